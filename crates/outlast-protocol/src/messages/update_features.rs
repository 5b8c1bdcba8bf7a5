//! Raises or lowers the finalized versions of cluster features.

use crate::{Str, schema::message};

message! {
    versions 0..=2, flexible 0..;
    struct UpdateFeaturesRequest {
        timeout_ms: i32 = 60_000,
        feature_updates: Vec<FeatureUpdateKey>,
        validate_only: bool [1..],
    }

    struct FeatureUpdateKey {
        feature: Str,
        max_version_level: i16,
        allow_downgrade: bool [0],
        upgrade_type: i8 [1..] = 1,
    }
}

message! {
    versions 0..=2, flexible 0..;
    struct UpdateFeaturesResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str>,
        results: Vec<UpdatableFeatureResult> [0..=1, ignorable],
    }

    struct UpdatableFeatureResult {
        feature: Str,
        error_code: i16,
        error_message: Option<Str>,
    }
}
