//! Tells which requests and versions a broker speaks; the first request of most clients. Its response has header
//! version 0 in every version, so that a client can read it before it knows what the broker speaks.

use crate::{Str, schema::message};

message! {
    versions 0..=4, flexible 3..;
    struct ApiVersionsRequest {
        client_software_name: Str [3.., ignorable],
        client_software_version: Str [3.., ignorable],
    }
}

message! {
    versions 0..=4, flexible 3..;
    struct ApiVersionsResponse {
        error_code: i16,
        api_keys: Vec<ApiVersion>,
        throttle_time_ms: i32 [1.., ignorable],
    } tagged {
        0 => supported_features: Vec<SupportedFeatureKey> [3.., ignorable],
        1 => finalized_features_epoch: i64 [3.., ignorable] = -1,
        2 => finalized_features: Vec<FinalizedFeatureKey> [3.., ignorable],
        3 => zk_migration_ready: bool [3.., ignorable],
    }

    struct ApiVersion {
        api_key: i16,
        min_version: i16,
        max_version: i16,
    }

    struct SupportedFeatureKey {
        name: Str,
        min_version: i16,
        max_version: i16,
    }

    struct FinalizedFeatureKey {
        name: Str,
        max_version_level: i16,
        min_version_level: i16,
    }
}
