//! Enters a classic consumer group or its next generation; the leader learns who the members are.

use bytes::Bytes;

use crate::{Str, schema::message};

message! {
    versions 0..=9, flexible 6..;
    struct JoinGroupRequest {
        group_id: Str,
        session_timeout_ms: i32,
        rebalance_timeout_ms: i32 [1.., ignorable] = -1,
        member_id: Str,
        group_instance_id: Option<Str> [5..],
        protocol_type: Str,
        protocols: Vec<JoinGroupRequestProtocol>,
        reason: Option<Str> [8.., ignorable],
    }

    struct JoinGroupRequestProtocol {
        name: Str,
        metadata: Bytes,
    }
}

message! {
    versions 0..=9, flexible 6..;
    struct JoinGroupResponse {
        throttle_time_ms: i32 [2.., ignorable],
        error_code: i16,
        generation_id: i32 = -1,
        protocol_type: Option<Str> [7.., ignorable],
        protocol_name: Option<Str> [0.., null(7..)] = Some(Str::default()),
        leader: Str,
        skip_assignment: bool [9..],
        member_id: Str,
        members: Vec<JoinGroupResponseMember>,
    }

    struct JoinGroupResponseMember {
        member_id: Str,
        group_instance_id: Option<Str> [5.., ignorable],
        metadata: Bytes,
    }
}
