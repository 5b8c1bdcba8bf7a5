//! The coordinator itself: its shards and background tasks, and what all requests need.

use std::sync::{Arc, Weak};

use outlast_protocol::{ErrorCode, Str};
use outlast_records::{Offset, PartitionId, Timestamp};
use outlast_storage::{Clock, PartitionLog, Store};
use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tracing::warn;
use uuid::Uuid;

use super::counters::AllCounters;
use super::jobs::Jobs;
use super::scan::ScanTurns;
use super::state::{REDRIVE_GROUP, Shard, World};
use super::steady_clock::SteadyClock;
use super::{QueueCounters, QueueStanding, QueueWatcher};
use crate::broker::Broker;
use crate::coordinator::{TopicFacts, shard_of};
use crate::queue::{QueueId, Queues, Turn};
use crate::shard::{ShardError, Ticket};
use crate::topics::{Topic, Topics};

/// Every reply waits until what it says is durable. A call that fails with `COORDINATOR_LOAD_IN_PROGRESS` or
/// `COORDINATOR_NOT_AVAILABLE` may have had its effect or not, and can be made again.
pub struct QueueCoordinator {
    /// For jobs, which outlive the request that starts them.
    pub(super) me: Weak<QueueCoordinator>,
    shards: Vec<Arc<Shard>>,
    pub(super) world: Arc<World>,
    pub(super) topics: Arc<Topics>,
    pub(super) store: Store,
    pub(super) clock: Arc<SteadyClock>,
    pub(super) scan_turns: ScanTurns,
    pub(super) all_counters: AllCounters,
    pub(super) jobs: Jobs,
    tasks: Mutex<Vec<AbortHandle>>,
}

/// A partition that is there.
#[derive(Clone)]
pub(super) struct Place {
    pub topic: Arc<Topic>,
    pub log: Arc<PartitionLog>,
}

impl QueueCoordinator {
    /// Reads the queues of all partitions of `__share_group_state`, whose topic id and number of partitions these are.
    /// One that can't be read is tried again in the background, while the queues of the others are served. Must be
    /// called within a runtime.
    pub(super) fn open(broker: &Arc<Broker>, state_topic: TopicFacts) -> Arc<QueueCoordinator> {
        let world = Arc::new(World {
            broker: Arc::downgrade(broker),
            waiters: Arc::default(),
            dying: Default::default(),
        });
        let clock = Arc::new(SteadyClock::new(Arc::clone(&broker.clock)));
        let shards = (0..state_topic.partitions.max(1)).map(|index| {
            let id = PartitionId {
                topic: state_topic.id,
                index,
            };
            let clock: Arc<dyn Clock> = clock.clone();
            let store = broker.store.clone();
            Arc::new(Shard::open(id, Arc::clone(&world), store, clock))
        });
        let shards = shards.collect();
        let queues = Arc::new_cyclic(|me| QueueCoordinator {
            me: me.clone(),
            shards,
            world,
            topics: Arc::clone(&broker.topics),
            store: broker.store.clone(),
            clock,
            scan_turns: ScanTurns::default(),
            all_counters: AllCounters::default(),
            jobs: Jobs::default(),
            tasks: Mutex::default(),
        });
        queues.start();
        queues
    }

    fn start(self: &Arc<Self>) {
        let mut tasks = self.tasks.lock();
        for shard in &self.shards {
            tasks.push(tokio::spawn(Arc::clone(shard).drive()).abort_handle());
        }
        let waiters = Arc::clone(&self.world.waiters);
        tasks.push(tokio::spawn(async move { waiters.watch_logs().await }).abort_handle());
        tasks.push(tokio::spawn(Arc::clone(self).bury_the_dying()).abort_handle());
        tasks.push(tokio::spawn(Arc::clone(self).sweep()).abort_handle());
    }

    /// It is stopped with the coordinator.
    pub(super) fn keep_task(&self, task: AbortHandle) {
        let mut tasks = self.tasks.lock();
        tasks.retain(|task| !task.is_finished());
        tasks.push(task);
    }

    /// Stops what runs in the background. Requests are answered COORDINATOR_NOT_AVAILABLE from now on.
    pub(super) fn shutdown(&self) {
        for shard in &self.shards {
            shard.close();
        }
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
    }

    /// Which partition of `__share_group_state` a group belongs to.
    pub fn partition_of(&self, group: &str) -> i32 {
        shard_of(group, self.shards.len()) as i32
    }

    /// Tells when something may be there for a worker of the group. Watch first, then receive, then wait: what comes
    /// between is not missed. One of those who wait is told of a message, not all; one who was told and goes away
    /// without asking passes it on. Partitions that are not there are never told of.
    pub fn watch(&self, group: &str, partitions: &[PartitionId]) -> QueueWatcher {
        let logs = partitions
            .iter()
            .filter_map(|id| Some(self.place(*id).ok()?.log));
        self.world.waiters.watch(group, logs)
    }

    /// The group's queues in numbers; nothing while they are loaded.
    pub fn numbers(&self, group: &str) -> Vec<QueueStanding> {
        let numbers = self.look(group, |queues| {
            let numbers = |(partition, queue): (PartitionId, &crate::queue::Queue)| {
                (partition, queue.numbers())
            };
            queues.group(group).map(numbers).collect::<Vec<_>>()
        });
        let mut standings = Vec::new();
        for (partition, mut numbers) in numbers.unwrap_or_default() {
            let Ok(place) = self.place(partition) else {
                continue;
            };
            let high_watermark = place.log.high_watermark();
            let ahead = (high_watermark.0 - numbers.scanned_to.0)
                .max(0)
                .unsigned_abs();
            numbers.ready += ahead.saturating_sub(numbers.known_ahead);
            standings.push(QueueStanding {
                partition,
                numbers,
                start: numbers.start,
                high_watermark,
            });
        }
        standings
    }

    /// What has happened in a group since the broker started, for metrics.
    pub fn counters(&self, group: &str) -> Arc<QueueCounters> {
        self.all_counters.of(group)
    }

    /// The groups that have a queue.
    pub fn groups(&self) -> Vec<Str> {
        let mut groups = Vec::new();
        for shard in &self.shards {
            // A shard that is loading has nothing to show for the moment.
            let _ = shard.peek(|state| {
                let names = state.queues.groups().map(|group| group.wire());
                groups.extend(names.filter(|group| &**group != REDRIVE_GROUP));
            });
        }
        groups
    }

    /// Deletes the queues on a topic that is gone. Doesn't wait: if a crash takes it back, the sweep does it again.
    pub(crate) fn topic_deleted(&self, topic: Uuid) {
        for shard in &self.shards {
            let deleted = shard.run(|state, now, fx| {
                let of_topic = |id: &QueueId| id.partition.topic == topic;
                let gone: Vec<_> = queue_ids(&state.queues).filter(of_topic).collect();
                for id in &gone {
                    let settings = &self.world.settings(id.group.as_str()).queue;
                    state.queues.delete(id, &mut Turn { settings, now, fx });
                    self.scan_turns.forget(id);
                }
            });
            if deleted.is_err() {
                warn!(%topic, shard = shard.id.index, "queues of a deleted topic stay for now");
            }
        }
    }

    pub(super) fn shard(&self, group: &str) -> &Arc<Shard> {
        &self.shards[shard_of(group, self.shards.len())]
    }

    pub(super) fn place(&self, id: PartitionId) -> Result<Place, ErrorCode> {
        let table = self.topics.load();
        let topic = table.get_by_id(id.topic).map_err(|error| error.code)?;
        let partition = topic.partition(id.index).map_err(|error| error.code)?;
        Ok(Place {
            topic: Arc::clone(topic),
            log: Arc::clone(&partition.log),
        })
    }

    /// Runs a command in the group's shard.
    pub(super) fn run<R>(
        &self,
        group: &str,
        command: impl FnOnce(&mut Queues, &mut Turn<'_>) -> R,
    ) -> Result<(R, Ticket), ErrorCode> {
        let settings = self.world.settings(group);
        self.shard(group)
            .run(|state, now, fx| {
                let settings = &settings.queue;
                command(&mut state.queues, &mut Turn { settings, now, fx })
            })
            .map_err(ShardError::code)
    }

    pub(super) async fn durable(&self, group: &str, ticket: Ticket) -> Result<(), ErrorCode> {
        let shard = self.shard(group);
        shard.durable(ticket).await.map_err(ShardError::code)
    }

    /// Runs a command, and waits until its reply may leave.
    pub(super) async fn run_durably<R>(
        &self,
        group: &str,
        command: impl FnOnce(&mut Queues, &mut Turn<'_>) -> R,
    ) -> Result<R, ErrorCode> {
        let (reply, ticket) = self.run(group, command)?;
        self.durable(group, ticket).await?;
        Ok(reply)
    }

    /// Looks at the group's queues as they are, durable or not.
    pub(super) fn look<R>(
        &self,
        group: &str,
        look: impl FnOnce(&Queues) -> R,
    ) -> Result<R, ErrorCode> {
        self.shard(group)
            .peek(|state| look(&state.queues))
            .map_err(ShardError::code)
    }

    /// Every queue there is.
    pub(super) fn all_queues(&self) -> Vec<QueueId> {
        let mut ids = Vec::new();
        for shard in &self.shards {
            let _ = shard.peek(|state| ids.extend(queue_ids(&state.queues)));
        }
        ids
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl Place {
    /// Before it, nothing is delivered any more.
    pub fn log_start(&self) -> Offset {
        self.log.start_offset()
    }
}

fn queue_ids(queues: &Queues) -> impl Iterator<Item = QueueId> {
    queues.iter().map(|(group, partition, _)| QueueId {
        group: group.clone(),
        partition,
    })
}

/// The broker's own group is nobody's to work in.
pub(crate) fn check_group(group: &str) -> Result<(), ErrorCode> {
    if group.is_empty() || group == REDRIVE_GROUP {
        return Err(ErrorCode::InvalidGroupId);
    }
    Ok(())
}
