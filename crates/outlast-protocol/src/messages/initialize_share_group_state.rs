//! Starts the durable state of share group partitions; the group coordinator asks the share coordinator.

use uuid::Uuid;

use crate::{Str, schema::message};

message! {
    versions 0..=0, flexible 0..;
    struct InitializeShareGroupStateRequest {
        group_id: Str,
        topics: Vec<InitializeStateData>,
    }

    struct InitializeStateData {
        topic_id: Uuid,
        partitions: Vec<PartitionData>,
    }

    struct PartitionData {
        partition: i32,
        state_epoch: i32,
        start_offset: i64,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct InitializeShareGroupStateResponse {
        results: Vec<InitializeStateResult>,
    }

    struct InitializeStateResult {
        topic_id: Uuid,
        partitions: Vec<PartitionResult>,
    }

    struct PartitionResult {
        partition: i32,
        error_code: i16,
        error_message: Option<Str>,
    }
}
