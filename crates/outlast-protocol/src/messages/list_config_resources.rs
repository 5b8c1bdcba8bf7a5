//! Lists resources that have a configuration; version 0 knows only client metrics.

use crate::{Str, schema::message};

message! {
    versions 0..=1, flexible 0..;
    struct ListConfigResourcesRequest {
        resource_types: Vec<i8> [1..],
    }
}

message! {
    versions 0..=1, flexible 0..;
    struct ListConfigResourcesResponse {
        throttle_time_ms: i32,
        error_code: i16,
        config_resources: Vec<ConfigResource>,
    }

    struct ConfigResource {
        resource_name: Str,
        resource_type: i8 [1.., ignorable] = 16,
    }
}
