//! Describes the state of the metadata quorum.

use uuid::Uuid;

use crate::{Str, schema::message};

message! {
    versions 0..=2, flexible 0..;
    struct DescribeQuorumRequest {
        topics: Vec<TopicData>,
    }

    struct TopicData {
        topic_name: Str,
        partitions: Vec<PartitionData>,
    }

    struct PartitionData {
        partition_index: i32,
    }
}

message! {
    versions 0..=2, flexible 0..;
    struct DescribeQuorumResponse {
        error_code: i16,
        error_message: Option<Str> [2.., ignorable],
        topics: Vec<TopicDataResponse>,
        nodes: Vec<Node> [2..],
    }

    /// Kafka calls this `TopicData`, like a different struct of the request.
    struct TopicDataResponse {
        topic_name: Str,
        partitions: Vec<PartitionDataResponse>,
    }

    /// Kafka calls this `PartitionData`, like a different struct of the request.
    struct PartitionDataResponse {
        partition_index: i32,
        error_code: i16,
        error_message: Option<Str> [2.., ignorable],
        leader_id: i32,
        leader_epoch: i32,
        high_watermark: i64,
        current_voters: Vec<ReplicaState>,
        observers: Vec<ReplicaState>,
    }

    struct ReplicaState {
        replica_id: i32,
        replica_directory_id: Uuid [2..],
        log_end_offset: i64,
        last_fetch_timestamp: i64 [1.., ignorable] = -1,
        last_caught_up_timestamp: i64 [1.., ignorable] = -1,
    }

    struct Node {
        node_id: i32,
        listeners: Vec<Listener>,
    }

    struct Listener {
        name: Str,
        host: Str,
        port: u16,
    }
}
