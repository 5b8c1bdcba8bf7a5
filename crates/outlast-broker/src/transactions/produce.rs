//! Transactional produce requests: records are appended to partitions that have joined their producer's transaction, and
//! to no others.

use std::collections::BTreeSet;
use std::sync::Arc;

use outlast_protocol::{ErrorCode, Str};
use outlast_records::Sequence;
use outlast_storage::{AppendSection, Expected};

use super::TransactionCoordinator;
use crate::broker::Broker;
use crate::error::ApiError;
use crate::produce::dedupe::{Candidate, Outcome, Published};
use crate::shard::ShardError;
use crate::txn::{Partitions, Producer, Transactions, TxnVersion};

/// From this version of Produce on, a request brings its partitions into the transaction (KIP-890).
const FIRST_VERSION_THAT_JOINS: i16 = 12;
/// From this version on, clients know TRANSACTION_ABORTABLE.
const FIRST_VERSION_WITH_ABORTABLE: i16 = 11;

/// A candidate and its place by name.
struct Addressed {
    topic: Str,
    partition: i32,
    section: AppendSection,
    refused: Option<ApiError>,
}

pub(crate) fn is_transactional(candidate: &Candidate) -> bool {
    producer_of(&candidate.section).is_some()
}

/// Appends what a produce request brought, within a transaction and outside. Doesn't wait.
pub(crate) fn append(
    broker: &Arc<Broker>,
    id: Option<&Str>,
    api_version: i16,
    candidates: impl Iterator<Item = ((Str, i32), Candidate)>,
) -> Published {
    let mut sections: Vec<Addressed> = candidates.map(addressed).collect();
    let producers: BTreeSet<Producer> = sections
        .iter()
        .filter_map(|addressed| producer_of(&addressed.section))
        .collect();
    let producer = producers.first().copied();
    let fault = match (id, producers.len()) {
        (None, 1..) => Some((
            ErrorCode::TransactionalIdAuthorizationFailed,
            "there are transactional records, but no transactional id",
        )),
        (_, 2..) => Some((
            ErrorCode::InvalidProducerIdMapping,
            "there are records of more than one transactional producer",
        )),
        _ => None,
    };
    if let Some((code, message)) = fault {
        for addressed in &mut sections {
            addressed.refused = Some(ApiError::new(code, message));
        }
    }
    let (Some(id), Some(producer), None) = (id, producer, fault) else {
        return append_verified(broker, &[], sections, |_| Ok(()));
    };
    let version = match api_version {
        FIRST_VERSION_THAT_JOINS.. => TxnVersion::V2,
        _ => TxnVersion::V0,
    };
    let partitions: Partitions = sections
        .iter()
        .filter(|addressed| producer_of(&addressed.section).is_some())
        .map(|addressed| (&addressed.topic, addressed.partition))
        .collect();
    let refused = |code| produce_error(code, api_version);
    let mut sections = Some(sections);
    let appended = broker
        .opened_transactions()
        .ok_or(ErrorCode::InvalidProducerIdMapping)
        .and_then(|coordinator| {
            coordinator.append_in(id, producer, version, &partitions, |verifier, based_on| {
                let sections = sections.take().unwrap_or_default();
                append_verified(broker, based_on, sections, |addressed| {
                    let checked = verifier.check(&addressed.topic, addressed.partition);
                    checked.map_err(refused)?;
                    match version {
                        TxnVersion::V2 => check_first(addressed),
                        TxnVersion::V0 => Ok(()),
                    }
                })
            })
        });
    appended.unwrap_or_else(|code| {
        let sections = sections.take().unwrap_or_default();
        append_verified(broker, &[], sections, |_| Err(refused(code)))
    })
}

fn addressed(((topic, partition), candidate): ((Str, i32), Candidate)) -> Addressed {
    // No client mixes them; to look for repeats of these might wait.
    let mixed = candidate.ids.is_some();
    let refused = mixed.then(|| {
        let message = "records outside of the transaction are in the same request";
        ApiError::new(ErrorCode::InvalidRequest, message)
    });
    Addressed {
        topic,
        partition,
        section: candidate.section,
        refused,
    }
}

/// Appends what is outside of transactions, and of the rest what `verify` lets through.
fn append_verified(
    broker: &Arc<Broker>,
    based_on: &[Expected],
    sections: Vec<Addressed>,
    verify: impl Fn(&Addressed) -> Result<(), ApiError>,
) -> Published {
    let mut kept = Vec::with_capacity(sections.len());
    let mut refused = Vec::with_capacity(sections.len());
    for mut addressed in sections {
        let error = addressed
            .refused
            .take()
            .or_else(|| producer_of(&addressed.section).and_then(|_| verify(&addressed).err()));
        if error.is_none() {
            kept.push(addressed.section);
        }
        refused.push(error);
    }
    let append = broker.store.append_if(based_on, kept);
    let mut appended = append.sections.into_iter();
    let outcomes = refused.into_iter().map(|refused| {
        let outcome = match refused {
            Some(error) => Outcome::Refused(error),
            None => appended.next().map_or_else(
                || Outcome::Refused(ErrorCode::UnknownServerError.into()),
                Outcome::Section,
            ),
        };
        (outcome, 0)
    });
    Published {
        outcomes: outcomes.collect(),
        durable: append.durable,
    }
}

/// The producer of a section with transactional records.
fn producer_of(section: &AppendSection) -> Option<Producer> {
    let headers = section.batches.iter().map(|batch| batch.header());
    let mut transactional =
        headers.filter(|header| header.attributes.is_transactional() && header.has_producer());
    let header = transactional.next()?;
    Some(Producer {
        id: header.producer_id,
        epoch: header.producer_epoch,
    })
}

/// With TV2, sequences begin at 0 in every transaction. Where nothing is remembered of a producer, its first batch must be that
/// one: otherwise one that was sent before it, and failed, would be overtaken.
fn check_first(addressed: &Addressed) -> Result<(), ApiError> {
    let Some(header) = addressed
        .section
        .batches
        .first()
        .map(|batch| batch.header())
    else {
        return Ok(());
    };
    if header.base_sequence == Sequence(0)
        || addressed.section.log.knows_producer(header.producer_id)
    {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::OutOfOrderSequenceNumber,
        format!(
            "sequence {} is the first of producer {} here: 0 is missing",
            header.base_sequence.0, header.producer_id.0
        ),
    ))
}

/// What producers of this version make the right thing of.
fn produce_error(code: ErrorCode, api_version: i16) -> ApiError {
    let seen = match code {
        // Not fatal: the producer aborts and goes on.
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        ErrorCode::TransactionAbortable if api_version < FIRST_VERSION_WITH_ABORTABLE => {
            ErrorCode::InvalidTxnState
        }
        ErrorCode::ConcurrentTransactions if api_version < FIRST_VERSION_THAT_JOINS => {
            ErrorCode::NotEnoughReplicas
        }
        // Tried again without a look at the metadata.
        ErrorCode::CoordinatorLoadInProgress | ErrorCode::CoordinatorNotAvailable => {
            ErrorCode::NotEnoughReplicas
        }
        other => other,
    };
    ApiError::new(
        seen,
        format!("the partition is not part of the producer's transaction: {code}"),
    )
}

/// Whether what a producer sends to a partition may be appended; good for as long as it is lent.
pub(super) struct Verifier<'a> {
    txns: &'a Transactions,
    id: &'a str,
    producer: Producer,
}

impl Verifier<'_> {
    pub(super) fn check(&self, topic: &str, partition: i32) -> Result<(), ErrorCode> {
        self.txns.verify(self.id, self.producer, topic, partition)
    }
}

impl TransactionCoordinator {
    /// Brings partitions into the transaction first, where the client leaves that to the broker (TV2). Then `append` may
    /// append what the verifier lets through, on the condition that it is given. Doesn't wait: its records become durable
    /// before what `append` appends.
    pub(super) fn append_in<R>(
        &self,
        id: &Str,
        producer: Producer,
        version: TxnVersion,
        partitions: &Partitions,
        append: impl FnOnce(&Verifier<'_>, &[Expected]) -> R,
    ) -> Result<R, ErrorCode> {
        let shard = self.shard(id);
        if version == TxnVersion::V2 {
            let ran = shard.run(|txns, now, fx| {
                txns.add_partitions(id, producer, partitions, version, now, fx)
            });
            let (added, _) = ran.map_err(ShardError::code)?;
            added?;
        }
        // Nobody ends the transaction while the shard is held.
        let ran = shard.run_leading(|txns, _, _, based_on| {
            let verifier = Verifier { txns, id, producer };
            append(&verifier, based_on)
        });
        let (appended, _) = ran.map_err(ShardError::code)?;
        Ok(appended)
    }
}
