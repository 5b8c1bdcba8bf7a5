//! Describes classic groups: state, protocol, members and what is assigned to them.

use bytes::Bytes;

use crate::{Str, schema::message};

message! {
    versions 0..=6, flexible 5..;
    struct DescribeGroupsRequest {
        groups: Vec<Str>,
        include_authorized_operations: bool [3..],
    }
}

message! {
    versions 0..=6, flexible 5..;
    struct DescribeGroupsResponse {
        throttle_time_ms: i32 [1.., ignorable],
        groups: Vec<DescribedGroup>,
    }

    struct DescribedGroup {
        error_code: i16,
        error_message: Option<Str> [6..],
        group_id: Str,
        group_state: Str,
        protocol_type: Str,
        protocol_data: Str,
        members: Vec<DescribedGroupMember>,
        authorized_operations: i32 [3..] = i32::MIN,
    }

    struct DescribedGroupMember {
        member_id: Str,
        group_instance_id: Option<Str> [4.., ignorable],
        client_id: Str,
        client_host: Str,
        member_metadata: Bytes,
        member_assignment: Bytes,
    }
}
