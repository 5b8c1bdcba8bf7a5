//! The end of a transaction: decided by its producer, by its successor or by time, prepared here, and complete when its
//! markers are written.
//!
//! With TV2 a retry is known by its epoch, which is one less than the current one, and answered as before:
//!
//! | state | abort, retry | abort | commit, retry | commit |
//! |---|---|---|---|---|
//! | Empty | fenced | bumps the epoch | fenced | invalid |
//! | CompleteAbort | as before | bumps the epoch | invalid | invalid |
//! | CompleteCommit | invalid | bumps the epoch | as before | invalid |
//!
//! With TV1 the epoch is the same before and after: CompleteCommit takes commit, CompleteAbort takes abort.

use outlast_protocol::{ErrorCode, Str};
use outlast_records::{ProducerEpoch, ProducerId, Timestamp};

use super::{Effects, News, Partitions, Producer, Transaction, Transactions, TxnState, TxnVersion};
use crate::group::detached;

/// What EndTxn comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Decided; markers follow. The producer goes on as this one when they are written.
    Prepared(Producer),
    /// It had been decided so before.
    Before(Producer),
    /// Nothing has changed: the same must be asked again with a producer id that nobody has had.
    NeedsId,
}

/// A transaction whose markers must be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    pub producer: Producer,
    pub commit: bool,
    pub partitions: Partitions,
    pub version: TxnVersion,
}

impl Transactions {
    /// `fresh`: as for [`Transactions::init`].
    #[allow(
        clippy::too_many_arguments,
        reason = "a request of four fields, and what every command gets"
    )]
    pub fn end(
        &mut self,
        id: &Str,
        producer: Producer,
        commit: bool,
        version: TxnVersion,
        fresh: Option<ProducerId>,
        now: Timestamp,
        fx: &mut Effects,
    ) -> Result<Ended, ErrorCode> {
        match version {
            TxnVersion::V0 => self.end_v1(id, producer, commit, now, fx),
            TxnVersion::V2 => self.end_v2(id, producer, commit, fresh, now, fx),
        }
    }

    fn end_v1(
        &mut self,
        id: &Str,
        producer: Producer,
        commit: bool,
        now: Timestamp,
        fx: &mut Effects,
    ) -> Result<Ended, ErrorCode> {
        let txn = self.spoken_for(id, producer)?;
        match (txn.state, commit) {
            (TxnState::Ongoing, _) => {
                let next = Transaction {
                    version: TxnVersion::V0,
                    next_id: ProducerId::NONE,
                    ..txn.clone()
                };
                self.prepare(id, next, commit, now, fx);
                Ok(Ended::Prepared(producer))
            }
            (TxnState::CompleteCommit, true) | (TxnState::CompleteAbort, false) => {
                Ok(Ended::Before(producer))
            }
            (TxnState::PrepareCommit, true) | (TxnState::PrepareAbort, false) => {
                Err(ErrorCode::ConcurrentTransactions)
            }
            (_, _) => Err(ErrorCode::InvalidTxnState),
        }
    }

    fn end_v2(
        &mut self,
        id: &Str,
        producer: Producer,
        commit: bool,
        fresh: Option<ProducerId>,
        now: Timestamp,
        fx: &mut Effects,
    ) -> Result<Ended, ErrorCode> {
        if id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let txn = self
            .by_id
            .get(id)
            .ok_or(ErrorCode::InvalidProducerIdMapping)?;
        let current = txn.producer;
        let overflowed = txn.previous_id == producer.id
            && producer.epoch.0 == i16::MAX - 1
            && current.epoch == ProducerEpoch(0);
        if current.id != producer.id && !overflowed {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        let bumped = producer.epoch.0.checked_add(1) == Some(current.epoch.0);
        let retry = bumped || overflowed;
        let same = producer == current;
        let valid = match txn.state {
            TxnState::PrepareCommit | TxnState::PrepareAbort => bumped,
            TxnState::CompleteCommit | TxnState::CompleteAbort => retry || same,
            _ => same,
        };
        if !valid {
            return Err(ErrorCode::ProducerFenced);
        }
        match (txn.state, commit) {
            (TxnState::Ongoing, _) => self.bump_and_prepare(id, commit, fresh, now, fx),
            (TxnState::CompleteCommit, true) | (TxnState::CompleteAbort, false) if retry => {
                Ok(Ended::Before(current))
            }
            (TxnState::PrepareCommit, true) | (TxnState::PrepareAbort, false) => {
                Err(ErrorCode::ConcurrentTransactions)
            }
            // An abort without a transaction: the producer doesn't know whether it had begun one.
            (TxnState::Empty | TxnState::CompleteCommit | TxnState::CompleteAbort, false)
                if !retry =>
            {
                self.bump_and_prepare(id, false, fresh, now, fx)
            }
            (_, _) => Err(ErrorCode::InvalidTxnState),
        }
    }

    /// Aborts a transaction over its producer's head; the epoch of the markers fences it. False when that takes a producer id
    /// that nobody has had.
    pub fn fence(
        &mut self,
        id: &Str,
        producer: Producer,
        fresh: Option<ProducerId>,
        now: Timestamp,
        fx: &mut Effects,
    ) -> Result<bool, ErrorCode> {
        let txn = self.spoken_for(id, producer)?;
        if txn.state != TxnState::Ongoing {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        let ended = self.bump_and_prepare(id, false, fresh, now, fx)?;
        Ok(ended != Ended::NeedsId)
    }

    fn bump_and_prepare(
        &mut self,
        id: &Str,
        commit: bool,
        fresh: Option<ProducerId>,
        now: Timestamp,
        fx: &mut Effects,
    ) -> Result<Ended, ErrorCode> {
        let Some(txn) = self.by_id.get(id) else {
            return Err(ErrorCode::InvalidProducerIdMapping);
        };
        let mut next = txn.clone();
        if Transaction::is_exhausted(txn.producer.epoch) {
            let Some(fresh) = fresh else {
                return Ok(Ended::NeedsId);
            };
            next.next_id = fresh;
        } else {
            next.next_id = ProducerId::NONE;
        }
        next.last_epoch = txn.producer.epoch;
        // The last epoch of all is bumped no further: its producer was fenced already.
        next.producer.epoch = ProducerEpoch(txn.producer.epoch.0.saturating_add(1));
        next.version = TxnVersion::V2;
        if txn.state != TxnState::Ongoing {
            next.started_at = now;
            next.partitions = Partitions::default();
        }
        let after = next.after();
        self.prepare(id, next, commit, now, fx);
        Ok(Ended::Prepared(after))
    }

    fn prepare(
        &mut self,
        id: &Str,
        next: Transaction,
        commit: bool,
        now: Timestamp,
        fx: &mut Effects,
    ) {
        let id = detached(id);
        let next = Transaction {
            state: match commit {
                true => TxnState::PrepareCommit,
                false => TxnState::PrepareAbort,
            },
            previous_id: next.producer.id,
            updated_at: now,
            ..next
        };
        fx.cancel_timer(&id);
        fx.news.push(News::Ending(id.clone()));
        self.change(&id, next, fx);
    }

    /// The transaction of an id, if its markers must be written.
    pub fn ending(&self, id: &str) -> Option<Ending> {
        let txn = self.by_id.get(id)?;
        let commit = match txn.state {
            TxnState::PrepareCommit => true,
            TxnState::PrepareAbort => false,
            _ => return None,
        };
        Some(Ending {
            producer: txn.producer,
            commit,
            partitions: txn.partitions.clone(),
            version: txn.version,
        })
    }

    /// The markers are written, or those of partitions that are left must not be waited for.
    pub fn complete(&mut self, id: &str, now: Timestamp, fx: &mut Effects) {
        let Some((id, txn)) = self.by_id.get_key_value(id) else {
            return;
        };
        let state = match txn.state {
            TxnState::PrepareCommit => TxnState::CompleteCommit,
            TxnState::PrepareAbort => TxnState::CompleteAbort,
            _ => return,
        };
        let next = Transaction {
            state,
            producer: txn.after(),
            previous_id: txn.producer.id,
            next_id: ProducerId::NONE,
            partitions: Partitions::default(),
            updated_at: now,
            ..txn.clone()
        };
        let id = id.clone();
        self.change(&id, next, fx);
    }
}

impl Transaction {
    /// Who the producer of a transaction that is ending goes on as.
    fn after(&self) -> Producer {
        if self.version == TxnVersion::V2 && self.next_id != ProducerId::NONE {
            Producer {
                id: self.next_id,
                epoch: ProducerEpoch(0),
            }
        } else {
            self.producer
        }
    }
}
