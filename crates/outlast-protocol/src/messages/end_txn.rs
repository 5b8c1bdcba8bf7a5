//! Commits or aborts a transaction.

use crate::{Str, schema::message};

message! {
    versions 0..=5, flexible 3..;
    struct EndTxnRequest {
        transactional_id: Str,
        producer_id: i64,
        producer_epoch: i16,
        committed: bool,
    }
}

message! {
    versions 0..=5, flexible 3..;
    struct EndTxnResponse {
        throttle_time_ms: i32,
        error_code: i16,
        producer_id: i64 [5.., ignorable] = -1,
        producer_epoch: i16 [5.., ignorable] = -1,
    }
}
