//! Elects leaders of partitions: the preferred one, or any when none is in sync.

use crate::{Str, schema::message};

message! {
    versions 0..=2, flexible 2..;
    struct ElectLeadersRequest {
        election_type: i8 [1..],
        topic_partitions: Option<Vec<TopicPartitions>>,
        timeout_ms: i32 = 60_000,
    }

    struct TopicPartitions {
        topic: Str,
        partitions: Vec<i32>,
    }
}

message! {
    versions 0..=2, flexible 2..;
    struct ElectLeadersResponse {
        throttle_time_ms: i32,
        error_code: i16 [1..],
        replica_election_results: Vec<ReplicaElectionResult>,
    }

    struct ReplicaElectionResult {
        topic: Str,
        partition_result: Vec<PartitionResult>,
    }

    struct PartitionResult {
        partition_id: i32,
        error_code: i16,
        error_message: Option<Str>,
    }
}
