//! Removes a voter from the metadata quorum.

use uuid::Uuid;

use crate::{Str, schema::message};

message! {
    versions 0..=0, flexible 0..;
    struct RemoveRaftVoterRequest {
        cluster_id: Option<Str>,
        voter_id: i32,
        voter_directory_id: Uuid,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct RemoveRaftVoterResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str>,
    }
}
