//! Markers, and then the end.

use std::sync::Arc;

use outlast_protocol::{ErrorCode, Str};
use outlast_records::{BatchBuilder, CheckedBatch, EndTxnMarker, Timestamp};
use outlast_storage::{AppendSection, Expected, Rejection, SectionOutcome};

use super::{COORDINATOR_EPOCH, TransactionCoordinator};
use crate::broker::Broker;
use crate::shard::{ShardError, Ticket};
use crate::topic_name::CONSUMER_OFFSETS;
use crate::txn::{Ended, Ending, Producer, TxnVersion};

/// What became of an attempt to bring a transaction to its end.
pub(super) struct Completed {
    /// Nothing is left to do.
    pub(super) done: bool,
    ticket: Ticket,
}

impl TransactionCoordinator {
    /// EndTxn. Resolves when the end is durable; when a partition's marker has to wait, when the outcome is.
    pub(super) async fn end(
        &self,
        broker: &Arc<Broker>,
        id: &Str,
        producer: Producer,
        commit: bool,
        version: TxnVersion,
    ) -> Result<Producer, ErrorCode> {
        let shard = self.shard(id);
        let mut fresh = None;
        loop {
            let ran =
                shard.run(|txns, now, fx| txns.end(id, producer, commit, version, fresh, now, fx));
            let (ended, ticket) = ran.map_err(ShardError::code)?;
            let (after, ticket) = match ended {
                Ok(Ended::NeedsId) => {
                    fresh = Some(new_producer_id(broker).await?);
                    continue;
                }
                Ok(Ended::Prepared(after)) => (after, self.complete_or(broker, id, ticket)),
                Ok(Ended::Before(after)) => (after, ticket),
                Err(code) => return Err(code),
            };
            shard.durable(ticket).await.map_err(ShardError::code)?;
            return Ok(after);
        }
    }

    /// Aborts what has been open for too long.
    pub(super) async fn time_out(
        &self,
        broker: &Arc<Broker>,
        id: &Str,
        producer: Producer,
    ) -> Result<(), ErrorCode> {
        let shard = self.shard(id);
        let mut fresh = None;
        loop {
            let ran = shard.run(|txns, now, fx| txns.fence(id, producer, fresh, now, fx));
            let (fenced, ticket) = ran.map_err(ShardError::code)?;
            if fenced? {
                let ticket = self.complete_or(broker, id, ticket);
                return shard.durable(ticket).await.map_err(ShardError::code);
            }
            fresh = Some(new_producer_id(broker).await?);
        }
    }

    /// Brings a transaction to its end if that can be done now. What must be waited for: all of it then, else only that
    /// it is prepared (`prepared`).
    pub(super) fn complete_or(&self, broker: &Arc<Broker>, id: &Str, prepared: Ticket) -> Ticket {
        match self.complete(broker, id) {
            Ok(completed) => completed.ticket,
            Err(_) => prepared,
        }
    }

    /// Writes the markers of a transaction that is ending, and then that it has ended. Holds its shard: nobody begins
    /// another one in between.
    pub(super) fn complete(&self, broker: &Arc<Broker>, id: &str) -> Result<Completed, ShardError> {
        let ran = self.shard(id).run_leading(|txns, now, fx, based_on| {
            let Some(ending) = txns.ending(id) else {
                return true;
            };
            let written = write_markers(broker, &ending, now, based_on);
            if written {
                txns.complete(id, now, fx);
            }
            written
        });
        let (done, ticket) = ran?;
        Ok(Completed { done, ticket })
    }
}

pub(super) async fn new_producer_id(
    broker: &Arc<Broker>,
) -> Result<outlast_records::ProducerId, ErrorCode> {
    let next = broker.producer_ids.next(broker).await;
    next.map_err(|error| error.code)
}

/// The marker of a transaction as a batch.
pub(super) fn marker(ending: &Ending, now: Timestamp) -> (EndTxnMarker, CheckedBatch) {
    let marker = EndTxnMarker {
        commit: ending.commit,
        coordinator_epoch: COORDINATOR_EPOCH,
    };
    let producer = ending.producer;
    let batch = BatchBuilder::end_txn_marker(marker, producer.id, producer.epoch, now);
    (marker, batch)
}

/// False when a partition could not take its marker now. Those of the others are written all the same, and again the next
/// time.
fn write_markers(
    broker: &Arc<Broker>,
    ending: &Ending,
    now: Timestamp,
    based_on: &[Expected],
) -> bool {
    let table = broker.topics.load();
    let mut all = true;
    let mut sections = Vec::new();
    for (topic, index) in ending.partitions.iter() {
        if &**topic == CONSUMER_OFFSETS {
            let producer = (ending.producer.id, ending.producer.epoch);
            let (marker, _) = marker(ending, now);
            let ended = broker
                .opened_groups()
                .ok_or(ErrorCode::CoordinatorNotAvailable)
                .and_then(|groups| groups.end_transaction(index, producer, marker, based_on));
            all &= !matches!(
                ended,
                Err(ErrorCode::CoordinatorNotAvailable | ErrorCode::CoordinatorLoadInProgress)
            );
            continue;
        }
        // A topic that was deleted meanwhile has nothing that could be committed.
        let Ok(partition) = table.get(topic).and_then(|topic| topic.partition(index)) else {
            continue;
        };
        sections.push(AppendSection {
            log: partition.log.clone(),
            batches: vec![marker(ending, now).1],
            leader_epoch: partition.leader_epoch,
        });
    }
    let logs: Vec<_> = sections.iter().map(|section| section.log.id()).collect();
    // What is appended later becomes durable later: whoever waits for the record of the end waits for these, too.
    let append = broker.store.append_if(based_on, sections);
    for (partition, outcome) in logs.into_iter().zip(append.sections) {
        match outcome {
            SectionOutcome::Appended { .. } | SectionOutcome::Duplicate { .. } => {}
            SectionOutcome::Rejected(Rejection::PartitionDeleted) => {}
            SectionOutcome::Rejected(
                reason @ (Rejection::InvalidProducerEpoch { .. }
                | Rejection::CoordinatorFenced { .. }),
            ) => {
                // Somebody has ended it there by hand, with a newer epoch.
                tracing::warn!(%partition, %reason, "a transaction's marker is not wanted");
            }
            SectionOutcome::Rejected(_) => all = false,
        }
    }
    all
}
