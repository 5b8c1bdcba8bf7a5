//! Says that a member of a classic group is alive, and learns of a rebalance.

use crate::{Str, schema::message};

message! {
    versions 0..=4, flexible 4..;
    struct HeartbeatRequest {
        group_id: Str,
        generation_id: i32,
        member_id: Str,
        group_instance_id: Option<Str> [3..],
    }
}

message! {
    versions 0..=4, flexible 4..;
    struct HeartbeatResponse {
        throttle_time_ms: i32 [1.., ignorable],
        error_code: i16,
    }
}
