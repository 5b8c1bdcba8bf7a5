//! TxnOffsetCommit: a group's offsets, committed with a transaction (KIP-447).

use std::sync::Arc;

use outlast_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};
use outlast_protocol::{ErrorCode, Str};

use super::TransactionCoordinator;
use crate::broker::Broker;
use crate::topic_name::CONSUMER_OFFSETS;
use crate::txn::{Partitions, Producer, TxnVersion};

impl TransactionCoordinator {
    pub(crate) async fn txn_offset_commit(
        &self,
        broker: &Arc<Broker>,
        request: &TxnOffsetCommitRequest,
        version: TxnVersion,
    ) -> Result<TxnOffsetCommitResponse, ErrorCode> {
        let groups = broker.groups().await.map_err(|error| error.code)?;
        let partition = groups.partition_of(&request.group_id);
        let topic = Str::from_static(CONSUMER_OFFSETS);
        let partitions = Partitions::from_iter([(&topic, partition)]);
        let producer = Producer::new(request.producer_id, request.producer_epoch);
        let id = &request.transactional_id;
        let committed =
            self.append_in(id, producer, version, &partitions, |verifier, based_on| {
                verifier.check(CONSUMER_OFFSETS, partition)?;
                groups.txn_offset_commit(request, based_on)
            })??;
        groups.settled(committed).await
    }
}
