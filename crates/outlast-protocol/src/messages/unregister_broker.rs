//! Removes a broker that is gone for good from the cluster's metadata.

use crate::{Str, schema::message};

message! {
    versions 0..=0, flexible 0..;
    struct UnregisterBrokerRequest {
        broker_id: i32,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct UnregisterBrokerResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str>,
    }
}
