//! Adds a voter to the metadata quorum.

use uuid::Uuid;

use crate::{Str, schema::message};

message! {
    versions 0..=1, flexible 0..;
    struct AddRaftVoterRequest {
        cluster_id: Option<Str>,
        timeout_ms: i32,
        voter_id: i32,
        voter_directory_id: Uuid,
        listeners: Vec<Listener>,
        ack_when_committed: bool [1..] = true,
    }

    struct Listener {
        name: Str,
        host: Str,
        port: u16,
    }
}

message! {
    versions 0..=1, flexible 0..;
    struct AddRaftVoterResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str>,
    }
}
