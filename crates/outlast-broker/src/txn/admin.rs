//! Looking at transactions: DescribeTransactions and ListTransactions (KIP-664, KIP-994, KIP-1152).

use outlast_protocol::messages::describe_transactions::{TopicData, TransactionState};
use outlast_protocol::messages::list_transactions;
use outlast_protocol::{ErrorCode, Str};
use outlast_records::{ProducerId, Timestamp};

use super::{Transactions, TxnState};

/// What a listing is narrowed to. `None`, and no producers, let everything through.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    pub states: Option<Vec<TxnState>>,
    pub producers: Vec<ProducerId>,
    /// Only those that have been open for longer.
    pub longer_than_ms: Option<i64>,
}

impl Transactions {
    pub fn describe(&self, id: &Str) -> TransactionState {
        let error = |code: ErrorCode| TransactionState {
            error_code: code.code(),
            transactional_id: id.clone(),
            ..TransactionState::default()
        };
        if id.is_empty() {
            return error(ErrorCode::InvalidRequest);
        }
        let Some(txn) = self.by_id.get(id) else {
            return error(ErrorCode::TransactionalIdNotFound);
        };
        TransactionState {
            error_code: ErrorCode::None.code(),
            transactional_id: id.clone(),
            transaction_state: Str::from_static(txn.state.name()),
            transaction_timeout_ms: txn.timeout_ms,
            transaction_start_time_ms: txn.started_at.0,
            producer_id: txn.producer.id.0,
            producer_epoch: txn.producer.epoch.0,
            topics: txn
                .partitions
                .topics()
                .map(|(topic, partitions)| TopicData {
                    topic: topic.clone(),
                    partitions: partitions.iter().copied().collect(),
                })
                .collect(),
        }
    }

    pub fn list(
        &self,
        filters: &Filters,
        matches: impl Fn(&str) -> bool,
        now: Timestamp,
    ) -> Vec<list_transactions::TransactionState> {
        self.by_id
            .iter()
            .filter(|(id, txn)| {
                let ran = now.0.saturating_sub(txn.started_at.0);
                let states = filters.states.as_ref();
                states.is_none_or(|states| states.contains(&txn.state))
                    && (filters.producers.is_empty()
                        || filters.producers.contains(&txn.producer.id))
                    && filters.longer_than_ms.is_none_or(|least| ran > least)
                    && matches(id)
            })
            .map(|(id, txn)| list_transactions::TransactionState {
                transactional_id: id.clone(),
                producer_id: txn.producer.id.0,
                transaction_state: Str::from_static(txn.state.name()),
            })
            .collect()
    }
}
