//! Replaces the whole configuration of resources; superseded by IncrementalAlterConfigs.

use crate::{Str, schema::message};

message! {
    versions 0..=2, flexible 2..;
    struct AlterConfigsRequest {
        resources: Vec<AlterConfigsResource>,
        validate_only: bool,
    }

    struct AlterConfigsResource {
        resource_type: i8,
        resource_name: Str,
        configs: Vec<AlterableConfig>,
    }

    struct AlterableConfig {
        name: Str,
        value: Option<Str>,
    }
}

message! {
    versions 0..=2, flexible 2..;
    struct AlterConfigsResponse {
        throttle_time_ms: i32,
        responses: Vec<AlterConfigsResourceResponse>,
    }

    struct AlterConfigsResourceResponse {
        error_code: i16,
        error_message: Option<Str>,
        resource_type: i8,
        resource_name: Str,
    }
}
