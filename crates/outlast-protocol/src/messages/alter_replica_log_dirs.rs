//! Moves replicas between the log directories of a broker.

use crate::{Str, schema::message};

message! {
    versions 1..=2, flexible 2..;
    struct AlterReplicaLogDirsRequest {
        dirs: Vec<AlterReplicaLogDir>,
    }

    struct AlterReplicaLogDir {
        path: Str,
        topics: Vec<AlterReplicaLogDirTopic>,
    }

    struct AlterReplicaLogDirTopic {
        name: Str,
        partitions: Vec<i32>,
    }
}

message! {
    versions 1..=2, flexible 2..;
    struct AlterReplicaLogDirsResponse {
        throttle_time_ms: i32,
        results: Vec<AlterReplicaLogDirTopicResult>,
    }

    struct AlterReplicaLogDirTopicResult {
        topic_name: Str,
        partitions: Vec<AlterReplicaLogDirPartitionResult>,
    }

    struct AlterReplicaLogDirPartitionResult {
        partition_index: i32,
        error_code: i16,
    }
}
