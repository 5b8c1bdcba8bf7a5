//! Lists the groups that a broker coordinates, by state and type.

use crate::{Str, schema::message};

message! {
    versions 0..=5, flexible 3..;
    struct ListGroupsRequest {
        states_filter: Vec<Str> [4..],
        types_filter: Vec<Str> [5..],
    }
}

message! {
    versions 0..=5, flexible 3..;
    struct ListGroupsResponse {
        throttle_time_ms: i32 [1.., ignorable],
        error_code: i16,
        groups: Vec<ListedGroup>,
    }

    struct ListedGroup {
        group_id: Str,
        protocol_type: Str,
        group_state: Str [4.., ignorable],
        group_type: Str [5.., ignorable],
    }
}
