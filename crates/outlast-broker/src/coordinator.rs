//! The group coordinator: the shell around the pure group state of [`crate::group`].
//!
//! Groups are spread over shards, one a partition of `__consumer_offsets`, by Kafka's hash. A shard
//! runs commands one after the other, makes what they write durable, and only then lets replies go;
//! it keeps the timers and reads its log again when an append was lost (see [`crate::shard`]). Here are the
//! requests, one method each: which shards they go to, and what has to be known of topics.
//!
//! There is no authorisation here: the handlers have done it.

mod admin;
mod hash;
mod members;
mod offset_commit;
mod offset_fetch;
mod shard;
mod share_groups;
mod transactions;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use outlast_protocol::Str;
use outlast_records::{Offset, PartitionId};
use outlast_storage::{Clock, Store};
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::AbortHandle;
use tracing::warn;
use uuid::Uuid;

use crate::group::{Departure, Effects, Group, GroupConfig, GroupState, Groups};
use crate::random::Random;
pub(crate) use hash::shard_of;
use shard::{Shard, ShardError, World};
pub(crate) use transactions::Pending;

/// What the coordinator must know about topics: offsets are committed for those that exist.
pub trait TopicLookup: Send + Sync + 'static {
    fn by_name(&self, name: &str) -> Option<TopicFacts>;
    fn name_of(&self, id: Uuid) -> Option<Str>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicFacts {
    pub id: Uuid,
    pub partitions: i32,
}

/// Who sent a request.
#[derive(Clone, Debug)]
pub struct GroupClient {
    pub id: Str,
    pub address: IpAddr,
}

/// One group as the metrics want it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSummary {
    pub group_id: Str,
    pub state: GroupState,
    pub members: usize,
    pub offsets: Vec<GroupOffset>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOffset {
    pub topic: Str,
    /// Nil when the commit didn't say.
    pub topic_id: Uuid,
    pub partition: i32,
    pub offset: Offset,
}

pub struct GroupCoordinator {
    shards: Vec<Arc<Shard>>,
    drivers: Vec<AbortHandle>,
    topics: Arc<dyn TopicLookup>,
    random: Random,
    departures: Mutex<Option<Departures>>,
}

/// Members that have left share groups, or were removed from them.
pub type Departures = UnboundedReceiver<Departure>;

impl GroupCoordinator {
    /// Reads the groups of all partitions of `__consumer_offsets`, whose topic id and number of
    /// partitions these are. A partition that can't be read is tried again in the background, while
    /// the groups of the others are served. Must be called within a runtime.
    pub fn open(
        store: Store,
        clock: Arc<dyn Clock>,
        random: Random,
        config: GroupConfig,
        topics: Arc<dyn TopicLookup>,
        offsets_topic: TopicFacts,
    ) -> GroupCoordinator {
        let (sender, departures) = unbounded_channel();
        let world = Arc::new(World {
            config: Arc::new(config),
            departures: sender,
        });
        let shards: Vec<Arc<Shard>> = (0..offsets_topic.partitions.max(1))
            .map(|index| {
                let id = PartitionId {
                    topic: offsets_topic.id,
                    index,
                };
                let shard = Shard::open(id, Arc::clone(&world), store.clone(), clock.clone());
                Arc::new(shard)
            })
            .collect();
        let drivers = shards
            .iter()
            .map(|shard| tokio::spawn(Arc::clone(shard).drive()).abort_handle())
            .collect();
        GroupCoordinator {
            shards,
            drivers,
            topics,
            random,
            departures: Mutex::new(Some(departures)),
        }
    }

    /// For one listener: gives something once.
    pub fn departures(&self) -> Option<Departures> {
        self.departures.lock().take()
    }

    /// Which partition of `__consumer_offsets` a group belongs to.
    pub fn partition_of(&self, group_id: &str) -> i32 {
        hash::shard_of(group_id, self.shards.len()) as i32
    }

    /// Deletes what groups have committed for a topic that is gone. Doesn't wait: whether the
    /// offsets outlive a crash or not, they are not shown for another topic of the same name.
    pub fn topic_deleted(&self, name: &str, id: Uuid) {
        let name = Str::from(name);
        for shard in &self.shards {
            let deleted = shard.run(|groups, now, fx| groups.topic_deleted(&name, id, now, fx));
            if deleted.is_err() {
                warn!(
                    topic = &*name,
                    shard = shard.id.index,
                    "offsets of a deleted topic stay"
                );
            }
        }
    }

    /// Every group that is loaded.
    pub fn summaries(&self) -> Vec<GroupSummary> {
        let mut summaries = Vec::new();
        for shard in &self.shards {
            let add = |groups: &Groups| summaries.extend(groups.iter().map(summary));
            // A shard that is loading has nothing to show for the moment.
            let _ = shard.peek(add);
        }
        summaries
    }

    /// Stops the timers. Requests are answered COORDINATOR_NOT_AVAILABLE from now on.
    pub fn shutdown(&self) {
        for shard in &self.shards {
            shard.close();
        }
        for driver in &self.drivers {
            driver.abort();
        }
    }

    fn shard(&self, group_id: &str) -> &Arc<Shard> {
        &self.shards[hash::shard_of(group_id, self.shards.len())]
    }
}

impl Drop for GroupCoordinator {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// Runs a command that replies at once, and waits until its reply may leave.
async fn run<R>(
    shard: &Shard,
    command: impl FnOnce(&mut Groups, outlast_records::Timestamp, &mut Effects) -> R,
) -> Result<R, ShardError> {
    let (reply, ticket) = shard.run(command)?;
    shard.durable(ticket).await?;
    Ok(reply)
}

fn summary(group: &Group) -> GroupSummary {
    GroupSummary {
        group_id: group.id().wire(),
        state: group.state(),
        members: group.member_count(),
        offsets: group
            .offsets()
            .iter()
            .map(|(topic, partition, committed)| GroupOffset {
                topic: topic.clone(),
                topic_id: committed.topic_id,
                partition,
                offset: committed.offset,
            })
            .collect(),
    }
}
