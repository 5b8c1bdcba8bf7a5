//! Lists the transactions that a broker coordinates, by state, producer, duration or name.

use crate::{Str, schema::message};

message! {
    versions 0..=2, flexible 0..;
    struct ListTransactionsRequest {
        state_filters: Vec<Str>,
        producer_id_filters: Vec<i64>,
        duration_filter: i64 [1..] = -1,
        transactional_id_pattern: Option<Str> [2..],
    }
}

message! {
    versions 0..=2, flexible 0..;
    struct ListTransactionsResponse {
        throttle_time_ms: i32,
        error_code: i16,
        unknown_state_filters: Vec<Str>,
        transaction_states: Vec<TransactionState>,
    }

    struct TransactionState {
        transactional_id: Str,
        producer_id: i64,
        transaction_state: Str,
    }
}
