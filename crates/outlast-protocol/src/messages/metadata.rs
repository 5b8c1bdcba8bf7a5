//! Describes brokers, topics and the leaders of partitions; creates a missing topic when the client allows it.

use uuid::Uuid;

use crate::{Str, schema::message};

message! {
    versions 0..=13, flexible 9..;
    struct MetadataRequest {
        topics: Option<Vec<MetadataRequestTopic>> [0.., null(1..)] = Some(Vec::new()),
        allow_auto_topic_creation: bool [4..] = true,
        include_cluster_authorized_operations: bool [8..=10],
        include_topic_authorized_operations: bool [8..],
    }

    struct MetadataRequestTopic {
        topic_id: Uuid [10.., ignorable],
        name: Option<Str> [0.., null(10..)] = Some(Str::default()),
    }
}

message! {
    versions 0..=13, flexible 9..;
    struct MetadataResponse {
        throttle_time_ms: i32 [3.., ignorable],
        brokers: Vec<MetadataResponseBroker>,
        cluster_id: Option<Str> [2.., ignorable],
        controller_id: i32 [1.., ignorable] = -1,
        topics: Vec<MetadataResponseTopic>,
        cluster_authorized_operations: i32 [8..=10] = i32::MIN,
        error_code: i16 [13.., ignorable],
    }

    struct MetadataResponseBroker {
        node_id: i32,
        host: Str,
        port: i32,
        rack: Option<Str> [1.., ignorable],
    }

    struct MetadataResponseTopic {
        error_code: i16,
        name: Option<Str> [0.., null(12..)] = Some(Str::default()),
        topic_id: Uuid [10.., ignorable],
        is_internal: bool [1.., ignorable],
        partitions: Vec<MetadataResponsePartition>,
        topic_authorized_operations: i32 [8..] = i32::MIN,
    }

    struct MetadataResponsePartition {
        error_code: i16,
        partition_index: i32,
        leader_id: i32,
        leader_epoch: i32 [7.., ignorable] = -1,
        replica_nodes: Vec<i32>,
        isr_nodes: Vec<i32>,
        offline_replicas: Vec<i32> [5.., ignorable],
    }
}
