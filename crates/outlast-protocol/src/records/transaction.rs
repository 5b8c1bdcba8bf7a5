//! Transactions in `__transaction_state`, one record a transactional id.

use crate::{Str, schema::message};

message! {
    versions 0..=0;
    struct TransactionLogKey {
        transactional_id: Str,
    }
}

message! {
    versions 0..=1, flexible 1..;
    struct TransactionLogValue {
        producer_id: i64,
        producer_epoch: i16,
        transaction_timeout_ms: i32,
        transaction_status: i8,
        transaction_partitions: Option<Vec<PartitionsSchema>>,
        transaction_last_update_timestamp_ms: i64,
        transaction_start_timestamp_ms: i64,
    } tagged {
        0 => previous_producer_id: i64 [1..] = -1,
        1 => next_producer_id: i64 [1..] = -1,
        2 => client_transaction_version: i16 [1..],
        3 => next_producer_epoch: i16 [1..] = -1,
    }

    struct PartitionsSchema {
        topic: Str,
        partition_ids: Vec<i32>,
    }
}
