//! ApiVersions: which requests this broker serves (KIP-35, KIP-511), and which features clients may rely on (KIP-584).

use outlast_protocol::messages::api_versions::{
    ApiVersion, FinalizedFeatureKey, SupportedFeatureKey,
};
use outlast_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use outlast_protocol::{ApiKey, ErrorCode, Str};

use crate::connection::ClientSoftware;
use crate::dispatch::{self, RequestContext};

/// Features and their levels, as Kafka has them: share groups ready for production, and the second version of the transaction
/// protocol (KIP-890), by which clients choose theirs.
const FEATURES: [(&str, i16); 2] = [("share.version", 1), ("transaction.version", 2)];
/// The features never change.
const FEATURES_EPOCH: i64 = 0;
/// Clients of older versions take a level of 0 for an error.
const FIRST_VERSION_WITH_FEATURE_LEVEL_0: i16 = 4;

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
        finalized_features: FEATURES
            .iter()
            .map(|(name, level)| FinalizedFeatureKey {
                name: Str::from_static(name),
                max_version_level: *level,
                min_version_level: *level,
            })
            .collect(),
        ..Default::default()
    }
}

fn supported_features(version: i16) -> Vec<SupportedFeatureKey> {
    let supported = |(name, level): &(&'static str, i16)| SupportedFeatureKey {
        name: Str::from_static(name),
        min_version: match version {
            ..FIRST_VERSION_WITH_FEATURE_LEVEL_0 => 1,
            _ => 0,
        },
        max_version: *level,
    };
    FEATURES.iter().map(supported).collect()
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
