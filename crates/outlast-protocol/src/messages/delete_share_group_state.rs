//! Deletes the durable state of share group partitions; the group coordinator asks the share coordinator.

use uuid::Uuid;

use crate::{Str, schema::message};

message! {
    versions 0..=0, flexible 0..;
    struct DeleteShareGroupStateRequest {
        group_id: Str,
        topics: Vec<DeleteStateData>,
    }

    struct DeleteStateData {
        topic_id: Uuid,
        partitions: Vec<PartitionData>,
    }

    struct PartitionData {
        partition: i32,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct DeleteShareGroupStateResponse {
        results: Vec<DeleteStateResult>,
    }

    struct DeleteStateResult {
        topic_id: Uuid,
        partitions: Vec<PartitionResult>,
    }

    struct PartitionResult {
        partition: i32,
        error_code: i16,
        error_message: Option<Str>,
    }
}
