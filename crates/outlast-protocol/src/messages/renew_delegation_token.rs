//! Puts off the expiry of a delegation token.

use bytes::Bytes;

use crate::schema::message;

message! {
    versions 1..=2, flexible 2..;
    struct RenewDelegationTokenRequest {
        hmac: Bytes,
        renew_period_ms: i64,
    }
}

message! {
    versions 1..=2, flexible 2..;
    struct RenewDelegationTokenResponse {
        error_code: i16,
        expiry_timestamp_ms: i64,
        throttle_time_ms: i32,
    }
}
