//! Reads the configuration of topics, brokers and other resources, with where each value comes from.

use crate::{Str, schema::message};

message! {
    versions 1..=4, flexible 4..;
    struct DescribeConfigsRequest {
        resources: Vec<DescribeConfigsResource>,
        include_synonyms: bool,
        include_documentation: bool [3..],
    }

    struct DescribeConfigsResource {
        resource_type: i8,
        resource_name: Str,
        configuration_keys: Option<Vec<Str>>,
    }
}

message! {
    versions 1..=4, flexible 4..;
    struct DescribeConfigsResponse {
        throttle_time_ms: i32,
        results: Vec<DescribeConfigsResult>,
    }

    struct DescribeConfigsResult {
        error_code: i16,
        error_message: Option<Str>,
        resource_type: i8,
        resource_name: Str,
        configs: Vec<DescribeConfigsResourceResult>,
    }

    struct DescribeConfigsResourceResult {
        name: Str,
        value: Option<Str>,
        read_only: bool,
        config_source: i8 = -1,
        is_sensitive: bool,
        synonyms: Vec<DescribeConfigsSynonym>,
        config_type: i8 [3.., ignorable],
        documentation: Option<Str> [3.., ignorable],
    }

    struct DescribeConfigsSynonym {
        name: Str,
        value: Option<Str>,
        source: i8,
    }
}
