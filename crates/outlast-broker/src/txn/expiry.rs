//! Transactional ids that nobody has used for long.

use outlast_protocol::Str;
use outlast_records::Timestamp;

use super::{Effects, Transaction, Transactions, TxnRecord, TxnState};

impl Transactions {
    pub fn expire(&mut self, now: Timestamp, fx: &mut Effects) {
        let before = now
            .0
            .saturating_sub(self.config.transactional_id_expiration_ms);
        let unused = |txn: &Transaction| {
            let idle = matches!(
                txn.state,
                TxnState::Empty | TxnState::CompleteCommit | TxnState::CompleteAbort
            );
            idle && txn.updated_at.0 <= before
        };
        let gone: Vec<Str> = self
            .by_id
            .iter()
            .filter(|(_, txn)| unused(txn))
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            self.by_id.remove(&id);
            fx.records.push(TxnRecord::State { id, value: None });
        }
    }
}
