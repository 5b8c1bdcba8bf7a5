//! Finds the broker that coordinates a group, a transactional id or the state of a share group.

use crate::{Str, schema::message};

message! {
    versions 0..=6, flexible 3..;
    struct FindCoordinatorRequest {
        key: Str [0..=3],
        key_type: i8 [1..],
        coordinator_keys: Vec<Str> [4..],
    }
}

message! {
    versions 0..=6, flexible 3..;
    struct FindCoordinatorResponse {
        throttle_time_ms: i32 [1.., ignorable],
        error_code: i16 [0..=3],
        error_message: Option<Str> [1..=3, ignorable],
        node_id: i32 [0..=3],
        host: Str [0..=3],
        port: i32 [0..=3],
        coordinators: Vec<Coordinator> [4..],
    }

    struct Coordinator {
        key: Str,
        node_id: i32,
        host: Str,
        port: i32,
        error_code: i16,
        error_message: Option<Str>,
    }
}
