//! Starts or cancels moving partitions to other brokers.

use crate::{Str, schema::message};

message! {
    versions 0..=1, flexible 0..;
    struct AlterPartitionReassignmentsRequest {
        timeout_ms: i32 = 60_000,
        allow_replication_factor_change: bool [1..] = true,
        topics: Vec<ReassignableTopic>,
    }

    struct ReassignableTopic {
        name: Str,
        partitions: Vec<ReassignablePartition>,
    }

    struct ReassignablePartition {
        partition_index: i32,
        replicas: Option<Vec<i32>>,
    }
}

message! {
    versions 0..=1, flexible 0..;
    struct AlterPartitionReassignmentsResponse {
        throttle_time_ms: i32,
        allow_replication_factor_change: bool [1.., ignorable] = true,
        error_code: i16,
        error_message: Option<Str>,
        responses: Vec<ReassignableTopicResponse>,
    }

    struct ReassignableTopicResponse {
        name: Str,
        partitions: Vec<ReassignablePartitionResponse>,
    }

    struct ReassignablePartitionResponse {
        partition_index: i32,
        error_code: i16,
        error_message: Option<Str>,
    }
}
