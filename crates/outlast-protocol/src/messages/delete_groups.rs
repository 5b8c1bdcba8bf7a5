//! Deletes empty groups.

use crate::{Str, schema::message};

message! {
    versions 0..=2, flexible 2..;
    struct DeleteGroupsRequest {
        groups_names: Vec<Str>,
    }
}

message! {
    versions 0..=2, flexible 2..;
    struct DeleteGroupsResponse {
        throttle_time_ms: i32,
        results: Vec<DeletableGroupResult>,
    }

    struct DeletableGroupResult {
        group_id: Str,
        error_code: i16,
    }
}
