//! ApiVersions: which requests this broker serves (KIP-35, KIP-511).

use outlast_protocol::messages::api_versions::{
    ApiVersion, FinalizedFeatureKey, SupportedFeatureKey,
};
use outlast_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use outlast_protocol::{ApiKey, ErrorCode, Str};

use crate::connection::ClientSoftware;
use crate::dispatch::{self, RequestContext};

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: ApiVersionsRequest,
) -> ApiVersionsResponse {
    if context.version >= 3 {
        let (name, version) = (
            &request.client_software_name,
            &request.client_software_version,
        );
        if !is_software_text(name) || !is_software_text(version) {
            return error(ErrorCode::InvalidRequest);
        }
        context.connection.set_software(ClientSoftware {
            name: Str::from(&**name),
            version: Str::from(&**version),
        });
    }
    ApiVersionsResponse {
        api_keys: api_keys(),
        supported_features: supported_features(context.version),
        finalized_features_epoch: FEATURES_EPOCH,
        finalized_features: vec![FinalizedFeatureKey {
            name: TRANSACTION_VERSION.into(),
            max_version_level: 2,
            min_version_level: 2,
        }],
        ..Default::default()
    }
}

/// Version 2 of the transaction protocol (KIP-890) is what clients choose theirs by.
const TRANSACTION_VERSION: &str = "transaction.version";
/// The features never change.
const FEATURES_EPOCH: i64 = 0;
/// Clients of before take a lowest version of 0 for an error.
const FIRST_VERSION_WITH_ZERO: i16 = 4;

fn supported_features(version: i16) -> Vec<SupportedFeatureKey> {
    if version < FIRST_VERSION_WITH_ZERO {
        return Vec::new();
    }
    vec![SupportedFeatureKey {
        name: TRANSACTION_VERSION.into(),
        min_version: 0,
        max_version: 2,
    }]
}

/// The answer to a version that isn't served, in version 0, which every client can read. It names only the versions of
/// ApiVersions itself, so that the client knows which to try.
pub(crate) fn unsupported_version() -> ApiVersionsResponse {
    error(ErrorCode::UnsupportedVersion)
}

fn error(code: ErrorCode) -> ApiVersionsResponse {
    let own = api_keys()
        .into_iter()
        .filter(|api| api.api_key == ApiKey::ApiVersions.code())
        .collect();
    ApiVersionsResponse {
        error_code: code.code(),
        api_keys: if code == ErrorCode::UnsupportedVersion {
            own
        } else {
            Vec::new()
        },
        ..Default::default()
    }
}

fn api_keys() -> Vec<ApiVersion> {
    dispatch::served_apis()
        .map(|(api, versions)| ApiVersion {
            api_key: api.code(),
            min_version: api.advertised_min_version(*versions.start()),
            max_version: *versions.end(),
        })
        .collect()
}

/// Letters and digits, with dots and dashes between them (KIP-511).
fn is_software_text(text: &str) -> bool {
    let end = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    end(bytes.first())
        && end(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_text() {
        for (text, expect) in [
            ("apache-kafka-java", true),
            ("4.3.0", true),
            ("x", true),
            ("", false),
            ("-a", false),
            ("a.", false),
            ("a b", false),
        ] {
            assert_eq!(is_software_text(text), expect, "{text:?}");
        }
    }
}
