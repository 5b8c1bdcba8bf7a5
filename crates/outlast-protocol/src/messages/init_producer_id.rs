//! Gives an idempotent or transactional producer its id and epoch, and ends what its predecessor left open.

use crate::{Str, schema::message};

message! {
    versions 0..=6, flexible 2.., unstable 6;
    struct InitProducerIdRequest {
        transactional_id: Option<Str>,
        transaction_timeout_ms: i32,
        producer_id: i64 [3..] = -1,
        producer_epoch: i16 [3..] = -1,
        enable2_pc: bool [6..],
        keep_prepared_txn: bool [6..],
    }
}

message! {
    versions 0..=6, flexible 2..;
    struct InitProducerIdResponse {
        throttle_time_ms: i32,
        error_code: i16,
        producer_id: i64 = -1,
        producer_epoch: i16,
        ongoing_txn_producer_id: i64 [6..] = -1,
        ongoing_txn_producer_epoch: i16 [6..] = -1,
    }
}
