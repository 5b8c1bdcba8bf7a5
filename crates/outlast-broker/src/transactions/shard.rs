//! Transactions as a shard's state machine.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use outlast_protocol::{EncodeError, Str};
use outlast_records::Timestamp;
use tokio::sync::mpsc::UnboundedSender;

use crate::shard::{Asked, Machine};
use crate::txn::{Effects, News, Producer, RecordError, Transactions, TxnConfig, TxnRecord};

/// One partition of `__transaction_state`.
pub(super) type Shard = crate::shard::Shard<Transactions>;

/// What the shards share.
pub struct World {
    pub(super) config: Arc<TxnConfig>,
    /// To the task that sees to what nobody waits for.
    pub(super) news: UnboundedSender<News>,
}

impl Machine for Transactions {
    type World = World;
    type Effects = Effects;
    type Record = TxnRecord;
    type RecordError = RecordError;
    type TimerKey = Str;
    type TimerEvent = Producer;
    type Reply = ();

    const WHAT: &'static str = "transaction";

    fn empty(world: &Arc<World>) -> Transactions {
        Transactions::new(Arc::clone(&world.config))
    }

    fn replay(
        &mut self,
        key: Option<Bytes>,
        value: Option<Bytes>,
        _: Timestamp,
    ) -> Result<(), RecordError> {
        self.replay(TxnRecord::decode(key, value)?)
    }

    fn loaded(&mut self, now: Timestamp, fx: &mut Effects) {
        self.loaded(now, fx);
    }

    fn timer_fired(&mut self, id: &Str, producer: Producer, _: Timestamp, fx: &mut Effects) {
        self.timer_fired(id, producer, fx);
    }

    fn expire(&mut self, now: Timestamp, fx: &mut Effects) {
        self.expire(now, fx);
    }

    fn expiry_interval(world: &World) -> Duration {
        world.config.expiry_interval()
    }

    fn snapshot(&self) -> impl Iterator<Item = TxnRecord> {
        self.snapshot()
    }

    fn encode(record: &TxnRecord) -> Result<(Bytes, Option<Bytes>), EncodeError> {
        record.encode()
    }

    fn asked(world: &World, fx: Effects, _: Timestamp) -> Asked<Transactions> {
        for news in fx.news {
            // Without a listener the broker is shutting down, and the next start hears it again.
            let _ = world.news.send(news);
        }
        Asked {
            records: fx.records,
            replies: Vec::new(),
            timers: fx.timers,
        }
    }
}
