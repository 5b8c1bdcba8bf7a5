//! Groups as a shard's state machine.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use outlast_protocol::EncodeError;
use outlast_records::{EndTxnMarker, ProducerEpoch, ProducerId, Timestamp};
use tokio::sync::mpsc::UnboundedSender;

pub(super) use crate::shard::{ShardError, Ticket};

use crate::group::{
    Departure, Effects, GroupConfig, GroupRecord, Groups, RecordError, Reply, TimerEvent, TimerKey,
};
use crate::shard::{Asked, Form, Machine};

/// One partition of `__consumer_offsets`.
pub(super) type Shard = crate::shard::Shard<Groups>;

/// What the shards of groups share.
pub struct World {
    pub(super) config: Arc<GroupConfig>,
    /// Hears of members that have left share groups.
    pub(super) departures: UnboundedSender<Departure>,
}

/// A reply, and what it must wait for.
pub(super) type Promised = crate::shard::Promised<Reply>;

impl Machine for Groups {
    type World = World;
    type Effects = Effects;
    type Record = GroupRecord;
    type RecordError = RecordError;
    type TimerKey = TimerKey;
    type TimerEvent = TimerEvent;
    type Reply = Reply;

    const WHAT: &'static str = "group";

    fn empty(world: &Arc<World>) -> Groups {
        Groups::new(Arc::clone(&world.config))
    }

    fn replay(
        &mut self,
        key: Option<Bytes>,
        value: Option<Bytes>,
        now: Timestamp,
    ) -> Result<(), RecordError> {
        self.replay(GroupRecord::decode(key, value)?, now);
        Ok(())
    }

    fn replay_in_transaction(
        &mut self,
        producer: (ProducerId, ProducerEpoch),
        key: Option<Bytes>,
        value: Option<Bytes>,
        now: Timestamp,
    ) -> Result<(), RecordError> {
        let record = match GroupRecord::decode(key, value)? {
            GroupRecord::Offset {
                group,
                topic,
                partition,
                value: Some(value),
            } => GroupRecord::PendingOffset {
                producer,
                group,
                topic,
                partition,
                value,
            },
            other => other,
        };
        self.replay(record, now);
        Ok(())
    }

    fn replay_end(&mut self, producer: ProducerId, marker: EndTxnMarker, now: Timestamp) {
        self.apply_end(producer, marker, now);
    }

    fn loaded(&mut self, now: Timestamp, fx: &mut Effects) {
        self.loaded(now, fx);
    }

    fn timer_fired(&mut self, key: &TimerKey, event: TimerEvent, now: Timestamp, fx: &mut Effects) {
        self.timer_fired(key, event, now, fx);
    }

    fn expire(&mut self, now: Timestamp, fx: &mut Effects) {
        self.expire(now, fx);
    }

    fn expiry_interval(world: &World) -> Duration {
        world.config.expiry_interval()
    }

    fn snapshot(&self) -> impl Iterator<Item = GroupRecord> {
        self.snapshot()
    }

    fn encode(record: &GroupRecord) -> Result<(Bytes, Option<Bytes>), EncodeError> {
        record.encode()
    }

    fn form(record: &GroupRecord) -> Form {
        record.form()
    }

    fn asked(world: &World, fx: Effects, _: Timestamp) -> Asked<Groups> {
        for departed in fx.departed {
            // Nobody may be listening. Then what the member held is free when its locks have run out.
            let _ = world.departures.send(departed);
        }
        Asked {
            records: fx.records,
            replies: fx.replies,
            timers: fx.timers,
        }
    }
}
