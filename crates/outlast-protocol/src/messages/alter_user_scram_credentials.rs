//! Sets and removes SCRAM credentials of users.

use bytes::Bytes;

use crate::{Str, schema::message};

message! {
    versions 0..=0, flexible 0..;
    struct AlterUserScramCredentialsRequest {
        deletions: Vec<ScramCredentialDeletion>,
        upsertions: Vec<ScramCredentialUpsertion>,
    }

    struct ScramCredentialDeletion {
        name: Str,
        mechanism: i8,
    }

    struct ScramCredentialUpsertion {
        name: Str,
        mechanism: i8,
        iterations: i32,
        salt: Bytes,
        salted_password: Bytes,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct AlterUserScramCredentialsResponse {
        throttle_time_ms: i32,
        results: Vec<AlterUserScramCredentialsResult>,
    }

    struct AlterUserScramCredentialsResult {
        user: Str,
        error_code: i16,
        error_message: Option<Str>,
    }
}
