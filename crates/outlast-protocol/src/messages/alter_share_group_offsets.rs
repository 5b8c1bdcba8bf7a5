//! Sets the start offsets of an empty share group.

use uuid::Uuid;

use crate::{Str, schema::message};

message! {
    versions 0..=0, flexible 0..;
    struct AlterShareGroupOffsetsRequest {
        group_id: Str,
        topics: Vec<AlterShareGroupOffsetsRequestTopic>,
    }

    struct AlterShareGroupOffsetsRequestTopic {
        topic_name: Str,
        partitions: Vec<AlterShareGroupOffsetsRequestPartition>,
    }

    struct AlterShareGroupOffsetsRequestPartition {
        partition_index: i32,
        start_offset: i64,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct AlterShareGroupOffsetsResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str>,
        responses: Vec<AlterShareGroupOffsetsResponseTopic>,
    }

    struct AlterShareGroupOffsetsResponseTopic {
        topic_name: Str,
        topic_id: Uuid,
        partitions: Vec<AlterShareGroupOffsetsResponsePartition>,
    }

    struct AlterShareGroupOffsetsResponsePartition {
        partition_index: i32,
        error_code: i16,
        error_message: Option<Str>,
    }
}
