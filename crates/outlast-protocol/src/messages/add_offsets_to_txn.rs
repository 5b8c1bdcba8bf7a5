//! Announces that a transaction will commit positions of a group.

use crate::{Str, schema::message};

message! {
    versions 0..=4, flexible 3..;
    struct AddOffsetsToTxnRequest {
        transactional_id: Str,
        producer_id: i64,
        producer_epoch: i16,
        group_id: Str,
    }
}

message! {
    versions 0..=4, flexible 3..;
    struct AddOffsetsToTxnResponse {
        throttle_time_ms: i32,
        error_code: i16,
    }
}
