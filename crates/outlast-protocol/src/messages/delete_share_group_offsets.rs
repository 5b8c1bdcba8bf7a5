//! Deletes the start offsets of an empty share group.

use uuid::Uuid;

use crate::{Str, schema::message};

message! {
    versions 0..=0, flexible 0..;
    struct DeleteShareGroupOffsetsRequest {
        group_id: Str,
        topics: Vec<DeleteShareGroupOffsetsRequestTopic>,
    }

    struct DeleteShareGroupOffsetsRequestTopic {
        topic_name: Str,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct DeleteShareGroupOffsetsResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str>,
        responses: Vec<DeleteShareGroupOffsetsResponseTopic>,
    }

    struct DeleteShareGroupOffsetsResponseTopic {
        topic_name: Str,
        topic_id: Uuid,
        error_code: i16,
        error_message: Option<Str>,
    }
}
