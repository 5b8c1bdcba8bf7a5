//! Adds partitions to topics.

use crate::{Str, schema::message};

message! {
    versions 0..=3, flexible 2..;
    struct CreatePartitionsRequest {
        topics: Vec<CreatePartitionsTopic>,
        timeout_ms: i32,
        validate_only: bool,
    }

    struct CreatePartitionsTopic {
        name: Str,
        count: i32,
        assignments: Option<Vec<CreatePartitionsAssignment>>,
    }

    struct CreatePartitionsAssignment {
        broker_ids: Vec<i32>,
    }
}

message! {
    versions 0..=3, flexible 2..;
    struct CreatePartitionsResponse {
        throttle_time_ms: i32,
        results: Vec<CreatePartitionsTopicResult>,
    }

    struct CreatePartitionsTopicResult {
        name: Str,
        error_code: i16,
        error_message: Option<Str>,
    }
}
