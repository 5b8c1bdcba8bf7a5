//! The requests of producers and administrators, one method each.

use std::sync::Arc;

use outlast_protocol::messages::describe_transactions::TransactionState;
use outlast_protocol::messages::list_transactions;
use outlast_protocol::{ErrorCode, Str};

use super::ending::new_producer_id;
use super::{TransactionCoordinator, offsets_partition};
use crate::broker::Broker;
use crate::shard::ShardError;
use crate::topic_name::CONSUMER_OFFSETS;
use crate::txn::{Filters, Init, Partitions, Producer, Started, TxnVersion};

/// A predecessor's transaction is aborted once; whoever finds another one open is not alone with its id.
const ABORTS: usize = 1;

impl TransactionCoordinator {
    pub(crate) async fn init(
        &self,
        broker: &Arc<Broker>,
        init: &Init,
    ) -> Result<Producer, ErrorCode> {
        let shard = self.shard(&init.id);
        let (mut fresh, mut aborts) = (None, 0);
        loop {
            let ran = shard.run(|txns, now, fx| txns.init(init, fresh, now, fx));
            let (started, ticket) = ran.map_err(ShardError::code)?;
            match started? {
                Started::As(producer) => {
                    shard.durable(ticket).await.map_err(ShardError::code)?;
                    return Ok(producer);
                }
                Started::NeedsId => fresh = Some(new_producer_id(broker).await?),
                Started::Aborting => {
                    // An id that was at hand has gone into the abort, perhaps.
                    fresh = None;
                    let ticket = self.complete_or(broker, &init.id, ticket);
                    shard.durable(ticket).await.map_err(ShardError::code)?;
                    aborts += 1;
                    if aborts > ABORTS {
                        return Err(ErrorCode::ConcurrentTransactions);
                    }
                }
            }
        }
    }

    /// AddPartitionsToTxn.
    pub(crate) async fn add_partitions(
        &self,
        id: &Str,
        producer: Producer,
        partitions: &Partitions,
        version: TxnVersion,
    ) -> Result<(), ErrorCode> {
        let shard = self.shard(id);
        let ran = shard
            .run(|txns, now, fx| txns.add_partitions(id, producer, partitions, version, now, fx));
        let (added, ticket) = ran.map_err(ShardError::code)?;
        added?;
        shard.durable(ticket).await.map_err(ShardError::code)
    }

    /// AddPartitionsToTxn as other brokers ask: whether each of the partitions has joined.
    pub(crate) fn verify(
        &self,
        id: &Str,
        producer: Producer,
        partitions: &Partitions,
    ) -> Result<Vec<Result<(), ErrorCode>>, ErrorCode> {
        let verified = self.shard(id).peek(|txns| {
            partitions
                .iter()
                .map(|(topic, partition)| txns.verify(id, producer, topic, partition))
                .collect()
        });
        verified.map_err(ShardError::code)
    }

    /// AddOffsetsToTxn: clients from before the second version of the protocol announce the group.
    pub(crate) async fn add_offsets(
        &self,
        broker: &Arc<Broker>,
        id: &Str,
        producer: Producer,
        group: &Str,
    ) -> Result<(), ErrorCode> {
        let partition = offsets_partition(broker, group).await?;
        let topic = Str::from_static(CONSUMER_OFFSETS);
        let partitions = Partitions::from_iter([(&topic, partition)]);
        self.add_partitions(id, producer, &partitions, TxnVersion::V0)
            .await
    }

    /// EndTxn: who the producer goes on as.
    pub(crate) async fn end_txn(
        &self,
        broker: &Arc<Broker>,
        id: &Str,
        producer: Producer,
        commit: bool,
        version: TxnVersion,
    ) -> Result<Producer, ErrorCode> {
        self.end(broker, id, producer, commit, version).await
    }

    /// DescribeTransactions shows what is decided, durable or not.
    pub(crate) fn describe(&self, id: &Str) -> TransactionState {
        let described = self.shard(id).peek(|txns| txns.describe(id));
        described.unwrap_or_else(|error| TransactionState {
            transactional_id: id.clone(),
            error_code: error.code().code(),
            ..TransactionState::default()
        })
    }

    pub(crate) fn list(
        &self,
        broker: &Arc<Broker>,
        filters: &Filters,
        matches: impl Fn(&str) -> bool,
    ) -> Result<Vec<list_transactions::TransactionState>, ErrorCode> {
        let now = broker.clock.now();
        let mut listed = Vec::new();
        for shard in &self.shards {
            let found = shard.peek(|txns| txns.list(filters, &matches, now));
            listed.append(&mut found.map_err(ShardError::code)?);
        }
        listed.sort_by(|a, b| a.transactional_id.cmp(&b.transactional_id));
        Ok(listed)
    }
}
