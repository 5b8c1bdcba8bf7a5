//! Deletes topics by name or id.

use uuid::Uuid;

use crate::{Str, schema::message};

message! {
    versions 1..=6, flexible 4..;
    struct DeleteTopicsRequest {
        topics: Vec<DeleteTopicState> [6..],
        topic_names: Vec<Str> [1..=5, ignorable],
        timeout_ms: i32,
    }

    struct DeleteTopicState {
        name: Option<Str>,
        topic_id: Uuid,
    }
}

message! {
    versions 1..=6, flexible 4..;
    struct DeleteTopicsResponse {
        throttle_time_ms: i32,
        responses: Vec<DeletableTopicResult>,
    }

    struct DeletableTopicResult {
        name: Option<Str> [1.., null(6..)] = Some(Str::default()),
        topic_id: Uuid [6.., ignorable],
        error_code: i16,
        error_message: Option<Str> [5.., ignorable],
    }
}
