//! What transactions do to groups: TxnOffsetCommit, and the markers at their ends.
//!
//! The transaction coordinator calls with its own state held, and everything is written on the condition that what that
//! state follows from was written, too. So nothing here waits; what must be waited for is handed back.

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use outlast_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};
use outlast_records::{EndTxnMarker, ProducerEpoch, ProducerId};
use outlast_storage::Expected;
use uuid::Uuid;

use super::GroupCoordinator;
use super::offset_commit::check_partition;
use super::shard::{ShardError, Ticket};
use crate::group::txn_commit_error;

/// An answer that may leave when it is durable.
pub(crate) struct Pending<R> {
    shard: usize,
    ticket: Ticket,
    pub reply: R,
}

impl GroupCoordinator {
    /// Ends a producer's transaction in one partition of `__consumer_offsets`.
    pub(crate) fn end_transaction(
        &self,
        partition: i32,
        producer: (ProducerId, ProducerEpoch),
        marker: EndTxnMarker,
        based_on: &[Expected],
    ) -> Result<Pending<()>, ErrorCode> {
        let index = usize::try_from(partition).ok();
        let Some((at, shard)) = index.and_then(|at| Some((at, self.shards.get(at)?))) else {
            return Err(ErrorCode::UnknownTopicOrPartition);
        };
        let ended = shard.run_after(based_on, |groups, now, fx| {
            groups.end_transaction(producer, marker, now, fx);
        });
        let ((), ticket) = ended.map_err(ShardError::code)?;
        Ok(Pending {
            shard: at,
            ticket,
            reply: (),
        })
    }

    /// Commits offsets within a transaction that was verified.
    pub(crate) fn txn_offset_commit(
        &self,
        request: &TxnOffsetCommitRequest,
        based_on: &[Expected],
    ) -> Result<Pending<TxnOffsetCommitResponse>, ErrorCode> {
        let (known, topic_ids, places) = self.split_known(request);
        let at = usize::try_from(self.partition_of(&request.group_id)).unwrap_or_default();
        let shard = self.shard(&request.group_id);
        let committed = shard.run_after(based_on, |groups, now, fx| {
            groups.txn_commit(&known, &topic_ids, now, fx)
        });
        let (committed, ticket) = committed.map_err(ShardError::code)?;
        let mut reply = txn_commit_error(request, ErrorCode::UnknownTopicOrPartition);
        let codes = committed.topics.iter().flat_map(|topic| &topic.partitions);
        for ((topic, partition), answer) in places.into_iter().zip(codes) {
            reply.topics[topic].partitions[partition].error_code = answer.error_code;
        }
        Ok(Pending {
            shard: at,
            ticket,
            reply,
        })
    }

    /// Those partitions of a request that exist, and where each is in it.
    fn split_known(
        &self,
        request: &TxnOffsetCommitRequest,
    ) -> (TxnOffsetCommitRequest, Vec<Uuid>, Vec<(usize, usize)>) {
        let mut known = TxnOffsetCommitRequest {
            topics: Vec::new(),
            ..request.clone()
        };
        let (mut ids, mut places) = (Vec::new(), Vec::new());
        for (topic_at, topic) in request.topics.iter().enumerate() {
            let facts = self.topics.by_name(&topic.name);
            let facts = facts.ok_or(ErrorCode::UnknownTopicOrPartition);
            let mut partitions: Vec<TxnOffsetCommitRequestPartition> = Vec::new();
            for (partition_at, partition) in topic.partitions.iter().enumerate() {
                if check_partition(facts, partition.partition_index).is_ok() {
                    partitions.push(partition.clone());
                    places.push((topic_at, partition_at));
                }
            }
            if let Ok(facts) = facts
                && !partitions.is_empty()
            {
                ids.push(facts.id);
                known.topics.push(TxnOffsetCommitRequestTopic {
                    name: topic.name.clone(),
                    partitions,
                });
            }
        }
        (known, ids, places)
    }

    pub(crate) async fn settled<R>(&self, pending: Pending<R>) -> Result<R, ErrorCode> {
        let Pending {
            shard,
            ticket,
            reply,
        } = pending;
        self.shards[shard]
            .durable(ticket)
            .await
            .map_err(ShardError::code)?;
        Ok(reply)
    }
}
