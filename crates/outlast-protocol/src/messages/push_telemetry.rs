//! Hands metrics of a client to the broker (KIP-714).

use bytes::Bytes;
use uuid::Uuid;

use crate::schema::message;

message! {
    versions 0..=0, flexible 0..;
    struct PushTelemetryRequest {
        client_instance_id: Uuid,
        subscription_id: i32,
        terminating: bool,
        compression_type: i8,
        metrics: Bytes,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct PushTelemetryResponse {
        throttle_time_ms: i32,
        error_code: i16,
    }
}
