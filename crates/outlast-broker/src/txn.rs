//! Transactions as a pure state machine (KIP-98, KIP-360, KIP-890): (state, command, now) → (records, timers, news).
//!
//! [`Transactions`] is the state of one `__transaction_state` partition: for every transactional id that hashes to it, who
//! its producer is and how far its transaction has come. Every change is one record, Kafka's own, that holds the whole
//! state of the id; a restart finds what the newest record of each id says. There is no clock, socket or lock here, and no
//! partition is touched: `transactions` writes the markers of an ended transaction and then says so.
//!
//! ```text
//!             first partition            EndTxn, time-out, or           markers are in
//!                is added                 a new producer                all partitions
//!   Empty ───────────────────▶ Ongoing ──────────────────▶ PrepareCommit ──────────▶ CompleteCommit
//!     ▲                          ▲   └──────────────────▶ PrepareAbort ───────────▶ CompleteAbort
//!     │                          │                                                       │
//!     │ InitProducerId           └───────────── next transaction ────────────────────────┤
//!     └──────────────────────────────────────────────────────────────────────────────────┘
//! ```
//! A producer's epoch rises with every InitProducerId, and, with the second version of the protocol (TV2), with every end of
//! a transaction: whatever a producer sent before is told from what it sends after, and a request that comes late can't
//! hit the next transaction (KAFKA-17754).

mod admin;
mod effects;
mod end;
mod expiry;
mod init;
mod join;
mod records;
mod state;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use outlast_protocol::{ErrorCode, Str};
use outlast_records::{ProducerEpoch, ProducerId, Timestamp};

pub use admin::Filters;
pub use effects::{Effects, News};
pub use end::{Ended, Ending};
pub use init::{Init, Started};
pub use records::{RecordError, TxnRecord};
pub use state::{Partitions, Transaction, TxnState};

/// What the coordinator may be configured to do, with Kafka's names and defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnConfig {
    pub transaction_max_timeout_ms: i32,
    pub transactional_id_expiration_ms: i64,
    pub transaction_remove_expired_transaction_cleanup_interval_ms: u64,
}

impl Default for TxnConfig {
    fn default() -> TxnConfig {
        TxnConfig {
            transaction_max_timeout_ms: 900_000,
            transactional_id_expiration_ms: 604_800_000,
            transaction_remove_expired_transaction_cleanup_interval_ms: 3_600_000,
        }
    }
}

impl TxnConfig {
    pub(crate) fn expiry_interval(&self) -> Duration {
        Duration::from_millis(self.transaction_remove_expired_transaction_cleanup_interval_ms)
    }
}

/// A producer of one epoch: what a request must say to speak for a transactional id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Producer {
    pub id: ProducerId,
    pub epoch: ProducerEpoch,
}

impl Producer {
    pub fn new(id: i64, epoch: i16) -> Producer {
        Producer {
            id: ProducerId(id),
            epoch: ProducerEpoch(epoch),
        }
    }
}

/// Which protocol a client speaks. With the second, a produce request brings its partition into the transaction, and every end
/// bumps the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TxnVersion {
    V0,
    V2,
}

impl TxnVersion {
    pub(crate) fn level(self) -> i16 {
        match self {
            TxnVersion::V0 => 0,
            TxnVersion::V2 => 2,
        }
    }

    fn of_level(level: i16) -> TxnVersion {
        if level >= 2 {
            TxnVersion::V2
        } else {
            TxnVersion::V0
        }
    }
}

/// The transactional ids of one shard.
#[derive(Debug)]
pub struct Transactions {
    config: Arc<TxnConfig>,
    // Ordered, so that what a command writes depends on nothing but the state.
    by_id: BTreeMap<Str, Transaction>,
    /// Records of kinds that this version doesn't know, kept for one that does.
    unknown: BTreeMap<Bytes, Bytes>,
}

impl Transactions {
    pub fn new(config: Arc<TxnConfig>) -> Transactions {
        Transactions {
            config,
            by_id: BTreeMap::new(),
            unknown: BTreeMap::new(),
        }
    }

    pub fn get(&self, id: &str) -> Option<&Transaction> {
        self.by_id.get(id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Str, &Transaction)> {
        self.by_id.iter()
    }

    /// After a restart: transactions go on to time out, and those that were ending must come to their end.
    pub fn loaded(&mut self, now: Timestamp, fx: &mut Effects) {
        for (id, txn) in &self.by_id {
            match txn.state {
                TxnState::Ongoing => fx.start_timer(id, txn, now),
                TxnState::PrepareCommit | TxnState::PrepareAbort => {
                    fx.news.push(News::Ending(id.clone()));
                }
                TxnState::Empty
                | TxnState::CompleteCommit
                | TxnState::CompleteAbort
                | TxnState::Dead
                | TxnState::PrepareEpochFence => {}
            }
        }
    }

    /// The time of a transaction is up. It may need a new producer id to be ended, so that this only says so.
    pub fn timer_fired(&mut self, id: &Str, producer: Producer, fx: &mut Effects) {
        let ongoing =
            |txn: &Transaction| txn.state == TxnState::Ongoing && txn.producer == producer;
        if self.by_id.get(id).is_some_and(ongoing) {
            fx.news.push(News::TimedOut(id.clone(), producer));
        }
    }

    /// Every change of an id goes through here, and its record.
    fn change(&mut self, id: &Str, next: Transaction, fx: &mut Effects) {
        fx.records.push(TxnRecord::State {
            id: id.clone(),
            value: Some(next.to_value()),
        });
        self.by_id.insert(id.clone(), next);
    }

    /// The transaction of an id that `producer` speaks for.
    fn spoken_for(&self, id: &str, producer: Producer) -> Result<&Transaction, ErrorCode> {
        if id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let txn = self
            .by_id
            .get(id)
            .ok_or(ErrorCode::InvalidProducerIdMapping)?;
        if txn.producer.id != producer.id {
            Err(ErrorCode::InvalidProducerIdMapping)
        } else if txn.producer.epoch != producer.epoch {
            Err(ErrorCode::ProducerFenced)
        } else {
            Ok(txn)
        }
    }
}
