//! Hands the leader's assignment to the group coordinator and each member's part of it to the member.

use bytes::Bytes;

use crate::{Str, schema::message};

message! {
    versions 0..=5, flexible 4..;
    struct SyncGroupRequest {
        group_id: Str,
        generation_id: i32,
        member_id: Str,
        group_instance_id: Option<Str> [3..],
        protocol_type: Option<Str> [5.., ignorable],
        protocol_name: Option<Str> [5.., ignorable],
        assignments: Vec<SyncGroupRequestAssignment>,
    }

    struct SyncGroupRequestAssignment {
        member_id: Str,
        assignment: Bytes,
    }
}

message! {
    versions 0..=5, flexible 4..;
    struct SyncGroupResponse {
        throttle_time_ms: i32 [1.., ignorable],
        error_code: i16,
        protocol_type: Option<Str> [5.., ignorable],
        protocol_name: Option<Str> [5.., ignorable],
        assignment: Bytes,
    }
}
