//! The transaction coordinator: the shell around the pure transactions of [`crate::txn`].
//!
//! Transactional ids are spread over shards, one a partition of `__transaction_state`, by Kafka's hash. A transaction ends in
//! three steps: its outcome is recorded (*prepare*), markers are appended to all its partitions, and the end is recorded
//! (*complete*). Nothing of this waits for the disk in between. There is one write-ahead log, what is appended later never
//! becomes durable earlier, and each append is made on the condition that what it follows from was not lost
//! (`Store::append_if`); so a crash leaves a prefix of the three steps. A start that finds a transaction prepared writes
//! its markers (again), and then that it is complete; a marker that comes twice ends nothing, because nobody can have
//! begun another transaction in between. With partitions on other brokers, prepare would have to be durable before
//! their markers are asked for.
//!
//! The same order lets a produce request bring its partition into the transaction (TV2) and append its records without a
//! sync of its own for the first.
//!
//! Locks: a shard of transactions, then a shard of groups, then the store's sequencer; never the other way.

mod attendant;
mod ending;
mod lazy;
mod offsets;
mod produce;
mod requests;
mod shard;

use std::sync::Arc;

use outlast_protocol::{ErrorCode, Str};
use outlast_records::PartitionId;
use outlast_storage::{Clock, Store};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::broker::Broker;
use crate::coordinator::{TopicFacts, shard_of};
use crate::error::ApiError;
use crate::txn::TxnConfig;
pub(crate) use lazy::LazyTransactions;
pub(crate) use produce::{append, is_transactional};
use shard::{Shard, World};

/// There is one broker, which leads `__transaction_state` in one epoch for ever.
const COORDINATOR_EPOCH: i32 = 0;

pub(crate) struct TransactionCoordinator {
    shards: Vec<Arc<Shard>>,
    tasks: Vec<AbortHandle>,
}

impl TransactionCoordinator {
    /// Reads the transactions of all partitions of `__transaction_state`, whose topic id and number of partitions these are,
    /// and sees to those that were ending. A partition that can't be read is tried again in the background. Must be called
    /// within a runtime.
    fn open(
        broker: &Arc<Broker>,
        store: Store,
        clock: Arc<dyn Clock>,
        config: TxnConfig,
        state_topic: TopicFacts,
    ) -> TransactionCoordinator {
        let (news, heard) = mpsc::unbounded_channel();
        let world = Arc::new(World {
            config: Arc::new(config),
            news,
        });
        let shards: Vec<Arc<Shard>> = (0..state_topic.partitions.max(1))
            .map(|index| {
                let id = PartitionId {
                    topic: state_topic.id,
                    index,
                };
                Arc::new(Shard::open(
                    id,
                    Arc::clone(&world),
                    store.clone(),
                    clock.clone(),
                ))
            })
            .collect();
        let mut tasks: Vec<AbortHandle> = shards
            .iter()
            .map(|shard| tokio::spawn(Arc::clone(shard).drive()).abort_handle())
            .collect();
        let attendant = attendant::attend(Arc::downgrade(broker), heard);
        tasks.push(tokio::spawn(attendant).abort_handle());
        TransactionCoordinator { shards, tasks }
    }

    /// Requests are answered COORDINATOR_NOT_AVAILABLE from now on. What is ending goes on at the next start.
    pub(crate) fn shutdown(&self) {
        for shard in &self.shards {
            shard.close();
        }
        for task in &self.tasks {
            task.abort();
        }
    }

    fn shard(&self, id: &str) -> &Arc<Shard> {
        &self.shards[shard_of(id, self.shards.len())]
    }
}

impl Drop for TransactionCoordinator {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// Which partition of `__consumer_offsets` commits of a group belong to, for a transaction that takes part in it.
async fn offsets_partition(broker: &Arc<Broker>, group: &Str) -> Result<i32, ErrorCode> {
    let groups = broker.groups().await;
    let groups = groups.map_err(|ApiError { code, .. }| code)?;
    Ok(groups.partition_of(group))
}
