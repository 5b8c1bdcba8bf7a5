//! Moves the log start offset of partitions forward.

use crate::{Str, schema::message};

message! {
    versions 0..=2, flexible 2..;
    struct DeleteRecordsRequest {
        topics: Vec<DeleteRecordsTopic>,
        timeout_ms: i32,
    }

    struct DeleteRecordsTopic {
        name: Str,
        partitions: Vec<DeleteRecordsPartition>,
    }

    struct DeleteRecordsPartition {
        partition_index: i32,
        offset: i64,
    }
}

message! {
    versions 0..=2, flexible 2..;
    struct DeleteRecordsResponse {
        throttle_time_ms: i32,
        topics: Vec<DeleteRecordsTopicResult>,
    }

    struct DeleteRecordsTopicResult {
        name: Str,
        partitions: Vec<DeleteRecordsPartitionResult>,
    }

    struct DeleteRecordsPartitionResult {
        partition_index: i32,
        low_watermark: i64,
        error_code: i16,
    }
}
