//! Chooses the SASL mechanism of a connection.

use crate::{Str, schema::message};

message! {
    versions 0..=1;
    struct SaslHandshakeRequest {
        mechanism: Str,
    }
}

message! {
    versions 0..=1;
    struct SaslHandshakeResponse {
        error_code: i16,
        mechanisms: Vec<Str>,
    }
}
