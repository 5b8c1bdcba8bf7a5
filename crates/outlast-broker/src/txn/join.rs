//! Partitions that join a transaction, and whether they have.

use outlast_protocol::{ErrorCode, Str};
use outlast_records::Timestamp;

use super::{Effects, Partitions, Producer, Transactions, TxnState, TxnVersion};
use crate::group::detached;

impl Transactions {
    /// AddPartitionsToTxn, AddOffsetsToTxn, and with TV2 produce requests and offset commits: the first partition begins the
    /// transaction.
    pub fn add_partitions(
        &mut self,
        id: &Str,
        producer: Producer,
        partitions: &Partitions,
        version: TxnVersion,
        now: Timestamp,
        fx: &mut Effects,
    ) -> Result<(), ErrorCode> {
        let txn = self.spoken_for(id, producer)?;
        let begins = match txn.state {
            TxnState::PrepareCommit | TxnState::PrepareAbort => {
                return Err(ErrorCode::ConcurrentTransactions);
            }
            TxnState::Ongoing if txn.partitions.contains_all(partitions) => return Ok(()),
            TxnState::Ongoing => false,
            TxnState::Empty | TxnState::CompleteCommit | TxnState::CompleteAbort => true,
            TxnState::Dead | TxnState::PrepareEpochFence => {
                return Err(ErrorCode::UnknownServerError);
            }
        };
        let mut next = txn.clone();
        next.state = TxnState::Ongoing;
        next.previous_id = txn.producer.id;
        next.partitions.add(partitions);
        next.updated_at = now;
        next.version = version;
        let id = detached(id);
        if begins {
            next.started_at = now;
            fx.start_timer(&id, &next, now);
        }
        self.change(&id, next, fx);
        Ok(())
    }

    /// Whether a partition has joined: what a producer sends to one that has not must not be written (KIP-890).
    pub fn verify(
        &self,
        id: &str,
        producer: Producer,
        topic: &str,
        partition: i32,
    ) -> Result<(), ErrorCode> {
        let txn = self.spoken_for(id, producer)?;
        match txn.state {
            TxnState::PrepareCommit | TxnState::PrepareAbort => {
                Err(ErrorCode::ConcurrentTransactions)
            }
            TxnState::Ongoing if txn.partitions.contains(topic, partition) => Ok(()),
            _ => Err(ErrorCode::TransactionAbortable),
        }
    }
}
