//! Queues as a shard's state machine, and the world that hears of their news.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use outlast_protocol::EncodeError;
use outlast_records::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::waiters::Waiters;
use crate::broker::Broker;
use crate::group_config::GroupSettings;
use crate::queue::{Effects, QueueId, QueueRecord, QueueRecordError, Queues, Turn};
use crate::shard::{Asked, Machine, TimerChange};

/// One partition of `__share_group_state`.
pub(super) type Shard = crate::shard::Shard<QueueState>;

/// The internal group whose queues are the dead-letter topics: what is live there was neither redriven nor purged.
pub(super) const REDRIVE_GROUP: &str = "outlast.redrive";

/// What all shards share.
pub(crate) struct World {
    pub(super) broker: Weak<Broker>,
    pub(super) waiters: Arc<Waiters>,
    pub(super) dying: Inbox,
}

impl World {
    pub fn settings(&self, group: &str) -> Arc<GroupSettings> {
        match self.broker.upgrade() {
            Some(broker) if group != REDRIVE_GROUP => broker.group_settings(group),
            // Nobody works in the internal group, and nothing dies there. The broker is gone only when all is over.
            _ => Arc::clone(&INTERNAL),
        }
    }
}

static INTERNAL: std::sync::LazyLock<Arc<GroupSettings>> = std::sync::LazyLock::new(|| {
    let none = crate::topic_config::ConfigMap::new();
    let mut settings = GroupSettings::resolve(&none, &none);
    settings.queue.dead_letters = false;
    Arc::new(settings)
});

/// Queues that somebody must look after, each once.
#[derive(Default)]
pub(super) struct Inbox {
    queues: Mutex<HashSet<QueueId>>,
    arrived: Notify,
}

impl Inbox {
    pub fn put(&self, id: QueueId) {
        if self.queues.lock().insert(id) {
            self.arrived.notify_one();
        }
    }

    /// One task may wait.
    pub async fn take_all(&self) -> Vec<QueueId> {
        loop {
            let taken: Vec<QueueId> = self.queues.lock().drain().collect();
            if !taken.is_empty() {
                return taken;
            }
            self.arrived.notified().await;
        }
    }
}

pub(crate) struct QueueState {
    pub queues: Queues,
    world: Arc<World>,
}

impl Machine for QueueState {
    type World = World;
    type Effects = Effects;
    type Record = QueueRecord;
    type RecordError = QueueRecordError;
    type TimerKey = QueueId;
    type TimerEvent = ();
    type Reply = ();

    const WHAT: &'static str = "queue";

    fn empty(world: &Arc<World>) -> QueueState {
        QueueState {
            queues: Queues::new(),
            world: Arc::clone(world),
        }
    }

    fn replay(
        &mut self,
        key: Option<Bytes>,
        value: Option<Bytes>,
        _: Timestamp,
    ) -> Result<(), QueueRecordError> {
        self.queues.replay(QueueRecord::decode(key, value)?);
        Ok(())
    }

    fn loaded(&mut self, _: Timestamp, fx: &mut Effects) {
        self.queues.loaded(fx);
    }

    fn timer_fired(&mut self, id: &QueueId, (): (), now: Timestamp, fx: &mut Effects) {
        let settings = self.world.settings(id.group.as_str());
        let mut turn = Turn {
            settings: &settings.queue,
            now,
            fx,
        };
        self.queues.timer_fired(id, &mut turn);
    }

    /// Every queue has a timer for what ends by itself.
    fn expire(&mut self, _: Timestamp, _: &mut Effects) {}

    fn expiry_interval(_: &World) -> Duration {
        Duration::from_secs(3600)
    }

    fn snapshot(&self) -> impl Iterator<Item = QueueRecord> {
        self.queues.snapshot()
    }

    fn encode(record: &QueueRecord) -> Result<(Bytes, Option<Bytes>), EncodeError> {
        record.encode()
    }

    fn asked(world: &World, fx: Effects, now: Timestamp) -> Asked<QueueState> {
        for id in &fx.woken {
            world.waiters.wake(id);
        }
        for id in fx.dying {
            world.dying.put(id);
        }
        let timers = fx.timers.into_iter().map(|(key, at)| match at {
            Some(at) => TimerChange::Start {
                key,
                after: Duration::from_millis(at.0.saturating_sub(now.0).max(0).unsigned_abs()),
                event: (),
            },
            None => TimerChange::Cancel(key),
        });
        Asked {
            records: fx.records,
            replies: Vec::new(),
            timers: timers.collect(),
        }
    }
}
