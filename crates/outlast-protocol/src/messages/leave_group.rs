//! Takes members out of a classic group.

use crate::{Str, schema::message};

message! {
    versions 0..=5, flexible 4..;
    struct LeaveGroupRequest {
        group_id: Str,
        member_id: Str [0..=2],
        members: Vec<MemberIdentity> [3..],
    }

    struct MemberIdentity {
        member_id: Str,
        group_instance_id: Option<Str>,
        reason: Option<Str> [5.., ignorable],
    }
}

message! {
    versions 0..=5, flexible 4..;
    struct LeaveGroupResponse {
        throttle_time_ms: i32 [1.., ignorable],
        error_code: i16,
        members: Vec<MemberResponse> [3..],
    }

    struct MemberResponse {
        member_id: Str,
        group_instance_id: Option<Str>,
        error_code: i16,
    }
}
