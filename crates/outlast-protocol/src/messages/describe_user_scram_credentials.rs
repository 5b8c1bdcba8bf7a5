//! Tells which SCRAM credentials users have, without the secrets.

use crate::{Str, schema::message};

message! {
    versions 0..=0, flexible 0..;
    struct DescribeUserScramCredentialsRequest {
        users: Option<Vec<UserName>>,
    }

    struct UserName {
        name: Str,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct DescribeUserScramCredentialsResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str>,
        results: Vec<DescribeUserScramCredentialsResult>,
    }

    struct DescribeUserScramCredentialsResult {
        user: Str,
        error_code: i16,
        error_message: Option<Str>,
        credential_infos: Vec<CredentialInfo>,
    }

    struct CredentialInfo {
        mechanism: i8,
        iterations: i32,
    }
}
