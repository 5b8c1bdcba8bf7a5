//! Carries the tokens of a SASL exchange, and again when a session is renewed.

use bytes::Bytes;

use crate::{Str, schema::message};

message! {
    versions 0..=2, flexible 2..;
    struct SaslAuthenticateRequest {
        auth_bytes: Bytes,
    }
}

message! {
    versions 0..=2, flexible 2..;
    struct SaslAuthenticateResponse {
        error_code: i16,
        error_message: Option<Str>,
        auth_bytes: Bytes,
        session_lifetime_ms: i64 [1.., ignorable],
    }
}
