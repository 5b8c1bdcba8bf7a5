//! The state of one transactional id, and the record that says it.

use std::collections::{BTreeMap, BTreeSet};

use outlast_protocol::Str;
use outlast_protocol::records::TransactionLogValue;
use outlast_protocol::records::transaction::PartitionsSchema;
use outlast_records::{ProducerEpoch, ProducerId, Timestamp};

use super::{Producer, TxnVersion};
use crate::group::detached;

/// Kafka's numbers and names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TxnState {
    Empty = 0,
    Ongoing = 1,
    PrepareCommit = 2,
    PrepareAbort = 3,
    CompleteCommit = 4,
    CompleteAbort = 5,
    Dead = 6,
    /// Never recorded, and never entered here: fencing a producer and aborting its transaction are one step.
    PrepareEpochFence = 7,
}

impl TxnState {
    pub const ALL: [TxnState; 8] = [
        TxnState::Empty,
        TxnState::Ongoing,
        TxnState::PrepareCommit,
        TxnState::PrepareAbort,
        TxnState::CompleteCommit,
        TxnState::CompleteAbort,
        TxnState::Dead,
        TxnState::PrepareEpochFence,
    ];

    pub fn name(self) -> &'static str {
        match self {
            TxnState::Empty => "Empty",
            TxnState::Ongoing => "Ongoing",
            TxnState::PrepareCommit => "PrepareCommit",
            TxnState::PrepareAbort => "PrepareAbort",
            TxnState::CompleteCommit => "CompleteCommit",
            TxnState::CompleteAbort => "CompleteAbort",
            TxnState::Dead => "Dead",
            TxnState::PrepareEpochFence => "PrepareEpochFence",
        }
    }

    pub fn by_name(name: &str) -> Option<TxnState> {
        TxnState::ALL.into_iter().find(|state| state.name() == name)
    }

    fn by_number(number: i8) -> Option<TxnState> {
        TxnState::ALL
            .into_iter()
            .find(|state| *state as i8 == number)
    }
}

/// The partitions of a transaction, by topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partitions(BTreeMap<Str, BTreeSet<i32>>);

impl Partitions {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn contains(&self, topic: &str, partition: i32) -> bool {
        self.0
            .get(topic)
            .is_some_and(|partitions| partitions.contains(&partition))
    }

    pub fn insert(&mut self, topic: &Str, partition: i32) {
        match self.0.get_mut(&**topic) {
            Some(partitions) => {
                partitions.insert(partition);
            }
            None => {
                self.0.insert(detached(topic), BTreeSet::from([partition]));
            }
        }
    }

    pub fn contains_all(&self, others: &Partitions) -> bool {
        others
            .iter()
            .all(|(topic, partition)| self.contains(topic, partition))
    }

    pub fn add(&mut self, others: &Partitions) {
        for (topic, partition) in others.iter() {
            self.insert(topic, partition);
        }
    }

    pub fn topics(&self) -> impl Iterator<Item = (&Str, &BTreeSet<i32>)> {
        self.0.iter()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Str, i32)> {
        self.0
            .iter()
            .flat_map(|(topic, partitions)| partitions.iter().map(move |p| (topic, *p)))
    }
}

impl<'a> FromIterator<(&'a Str, i32)> for Partitions {
    fn from_iter<I: IntoIterator<Item = (&'a Str, i32)>>(all: I) -> Partitions {
        let mut partitions = Partitions::default();
        for (topic, partition) in all {
            partitions.insert(topic, partition);
        }
        partitions
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    pub state: TxnState,
    /// Whoever speaks for the id now. The epoch is −1 before the first InitProducerId is answered.
    pub producer: Producer,
    /// The producer id before the last change.
    pub previous_id: ProducerId,
    /// The id that follows when the transaction has ended, if its epochs are used up (TV2).
    pub next_id: ProducerId,
    /// The epoch before the last bump that a producer asked for by name (KIP-360), so that it can ask again. Kafka's record
    /// has no room for it: after a restart such a producer is fenced.
    pub last_epoch: ProducerEpoch,
    pub timeout_ms: i32,
    pub partitions: Partitions,
    /// When the open transaction began; none outside of one.
    pub started_at: Timestamp,
    pub updated_at: Timestamp,
    /// What the client spoke that changed it last.
    pub version: TxnVersion,
}

/// Longest run of a transaction that another process prepares and commits (KIP-939): without limit.
const TWO_PHASE_COMMIT: i32 = i32::MAX;

impl Transaction {
    pub fn new(id: ProducerId, timeout_ms: i32, now: Timestamp) -> Transaction {
        Transaction {
            state: TxnState::Empty,
            producer: Producer {
                id,
                epoch: ProducerEpoch::NONE,
            },
            previous_id: ProducerId::NONE,
            next_id: ProducerId::NONE,
            last_epoch: ProducerEpoch::NONE,
            timeout_ms,
            partitions: Partitions::default(),
            started_at: Timestamp::NONE,
            updated_at: now,
            version: TxnVersion::V0,
        }
    }

    /// One epoch is left, for fencing whoever has the last one.
    pub fn is_exhausted(epoch: ProducerEpoch) -> bool {
        epoch.0 >= i16::MAX - 1
    }

    pub fn may_time_out(&self) -> bool {
        self.timeout_ms != TWO_PHASE_COMMIT
    }

    pub(super) fn to_value(&self) -> TransactionLogValue {
        let topics = self.partitions.topics();
        let partitions = topics.map(|(topic, partitions)| PartitionsSchema {
            topic: topic.clone(),
            partition_ids: partitions.iter().copied().collect(),
        });
        TransactionLogValue {
            producer_id: self.producer.id.0,
            producer_epoch: self.producer.epoch.0,
            transaction_timeout_ms: self.timeout_ms,
            transaction_status: self.state as i8,
            transaction_partitions: match self.state {
                TxnState::Empty => None,
                _ => Some(partitions.collect()),
            },
            transaction_last_update_timestamp_ms: self.updated_at.0,
            transaction_start_timestamp_ms: self.started_at.0,
            previous_producer_id: self.previous_id.0,
            next_producer_id: self.next_id.0,
            client_transaction_version: self.version.level(),
            ..TransactionLogValue::default()
        }
    }

    /// `None`: the record has a state that there is none of.
    pub(super) fn from_value(value: &TransactionLogValue) -> Option<Transaction> {
        let mut partitions = Partitions::default();
        for topic in value.transaction_partitions.iter().flatten() {
            for partition in &topic.partition_ids {
                partitions.insert(&topic.topic, *partition);
            }
        }
        Some(Transaction {
            state: TxnState::by_number(value.transaction_status)?,
            producer: Producer::new(value.producer_id, value.producer_epoch),
            previous_id: ProducerId(value.previous_producer_id),
            next_id: ProducerId(value.next_producer_id),
            last_epoch: ProducerEpoch::NONE,
            timeout_ms: value.transaction_timeout_ms,
            partitions,
            started_at: Timestamp(value.transaction_start_timestamp_ms),
            updated_at: Timestamp(value.transaction_last_update_timestamp_ms),
            version: TxnVersion::of_level(value.client_transaction_version),
        })
    }
}
