//! InitProducerId: a producer takes over a transactional id, and whoever had it is fenced by its epoch.

use outlast_protocol::{ErrorCode, Str};
use outlast_records::{ProducerEpoch, ProducerId, Timestamp};

use super::{Effects, Partitions, Producer, Transaction, Transactions, TxnState};
use crate::group::detached;

#[derive(Clone, Debug)]
pub struct Init {
    pub id: Str,
    pub timeout_ms: i32,
    /// What the producer believes to be, when it asks for a new epoch to recover (KIP-360).
    pub expected: Option<Producer>,
}

/// What became of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    As(Producer),
    /// Nothing has changed: the same must be asked again with a producer id that nobody has had.
    NeedsId,
    /// A transaction of the predecessor is being aborted; the same must be asked again when that is done.
    Aborting,
}

impl Transactions {
    /// `fresh`: a producer id that nobody has had, if the caller has one at hand. It is used if one is needed.
    pub fn init(
        &mut self,
        init: &Init,
        fresh: Option<ProducerId>,
        now: Timestamp,
        fx: &mut Effects,
    ) -> Result<Started, ErrorCode> {
        if init.id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        if init.timeout_ms <= 0 || init.timeout_ms > self.config.transaction_max_timeout_ms {
            return Err(ErrorCode::InvalidTransactionTimeout);
        }
        let Some(txn) = self.by_id.get(&init.id) else {
            let Some(fresh) = fresh else {
                return Ok(Started::NeedsId);
            };
            let new = Transaction::new(fresh, init.timeout_ms, now);
            let epoch = ProducerEpoch(0);
            return Ok(self.start(init, new, Producer { id: fresh, epoch }, now, fx));
        };
        if !init.expected.is_none_or(|expected| may_be(txn, expected)) {
            return Err(ErrorCode::ProducerFenced);
        }
        match txn.state {
            TxnState::PrepareCommit | TxnState::PrepareAbort => {
                Err(ErrorCode::ConcurrentTransactions)
            }
            TxnState::Ongoing => {
                let (id, producer) = (init.id.clone(), txn.producer);
                if self.fence(&id, producer, fresh, now, fx)? {
                    Ok(Started::Aborting)
                } else {
                    Ok(Started::NeedsId)
                }
            }
            TxnState::Empty | TxnState::CompleteCommit | TxnState::CompleteAbort => {
                let mut next = txn.clone();
                let rotates = Transaction::is_exhausted(txn.producer.epoch)
                    && init.expected.is_none_or(|e| e.epoch == txn.producer.epoch);
                if rotates {
                    let Some(fresh) = fresh else {
                        return Ok(Started::NeedsId);
                    };
                    next.last_epoch = match init.expected {
                        Some(_) => txn.producer.epoch,
                        None => ProducerEpoch::NONE,
                    };
                    let epoch = ProducerEpoch(0);
                    return Ok(self.start(init, next, Producer { id: fresh, epoch }, now, fx));
                }
                let (epoch, last_epoch) = bumped(txn, init.expected)?;
                next.last_epoch = last_epoch;
                let id = txn.producer.id;
                Ok(self.start(init, next, Producer { id, epoch }, now, fx))
            }
            // Neither is ever kept.
            TxnState::Dead | TxnState::PrepareEpochFence => Err(ErrorCode::UnknownServerError),
        }
    }

    fn start(
        &mut self,
        init: &Init,
        before: Transaction,
        producer: Producer,
        now: Timestamp,
        fx: &mut Effects,
    ) -> Started {
        let next = Transaction {
            state: TxnState::Empty,
            previous_id: before.producer.id,
            producer,
            timeout_ms: init.timeout_ms,
            partitions: Partitions::default(),
            started_at: Timestamp::NONE,
            updated_at: now,
            ..before
        };
        self.change(&detached(&init.id), next, fx);
        Started::As(producer)
    }
}

/// Whether a producer may believe to be this one.
fn may_be(txn: &Transaction, expected: Producer) -> bool {
    txn.producer.epoch == ProducerEpoch::NONE
        || expected.id == txn.producer.id
        // It asked before, got a new id because its epochs were used up, and missed the answer.
        || (expected.id == txn.previous_id && Transaction::is_exhausted(expected.epoch))
}

/// The next epoch, and the one that a producer may ask from again.
fn bumped(
    txn: &Transaction,
    expected: Option<Producer>,
) -> Result<(ProducerEpoch, ProducerEpoch), ErrorCode> {
    let current = txn.producer.epoch;
    let next = || {
        current
            .0
            .checked_add(1)
            .map(ProducerEpoch)
            .ok_or(ErrorCode::ProducerFenced)
    };
    match expected {
        None => Ok((next()?, ProducerEpoch::NONE)),
        Some(expected) if current == ProducerEpoch::NONE || expected.epoch == current => {
            Ok((next()?, current))
        }
        // It missed the answer.
        Some(expected) if expected.epoch == txn.last_epoch => Ok((current, txn.last_epoch)),
        Some(_) => Err(ErrorCode::ProducerFenced),
    }
}
