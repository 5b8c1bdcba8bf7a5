//! Reads record batches, waiting for new ones when there are none (a long poll), within incremental fetch sessions
//! (KIP-227).

use uuid::Uuid;

use crate::{Records, Str, schema::message};

message! {
    versions 4..=18, flexible 12..;
    struct FetchRequest {
        replica_id: i32 [4..=14] = -1,
        max_wait_ms: i32,
        min_bytes: i32,
        max_bytes: i32 = i32::MAX,
        isolation_level: i8,
        session_id: i32 [7.., ignorable],
        session_epoch: i32 [7.., ignorable] = -1,
        topics: Vec<FetchTopic>,
        forgotten_topics_data: Vec<ForgottenTopic> [7..],
        rack_id: Str [11.., ignorable],
    } tagged {
        0 => cluster_id: Option<Str> [12.., ignorable],
        1 => replica_state: ReplicaState [15..],
    }

    struct ReplicaState {
        replica_id: i32 = -1,
        replica_epoch: i64 = -1,
    }

    struct FetchTopic {
        topic: Str [4..=12, ignorable],
        topic_id: Uuid [13.., ignorable],
        partitions: Vec<FetchPartition>,
    }

    struct FetchPartition {
        partition: i32,
        current_leader_epoch: i32 [9.., ignorable] = -1,
        fetch_offset: i64,
        last_fetched_epoch: i32 [12..] = -1,
        log_start_offset: i64 [5.., ignorable] = -1,
        partition_max_bytes: i32,
    } tagged {
        0 => replica_directory_id: Uuid [17.., ignorable],
        1 => high_watermark: i64 [18.., ignorable] = i64::MAX,
    }

    struct ForgottenTopic {
        topic: Str [7..=12, ignorable],
        topic_id: Uuid [13.., ignorable],
        partitions: Vec<i32>,
    }
}

message! {
    versions 4..=18, flexible 12..;
    struct FetchResponse {
        throttle_time_ms: i32,
        error_code: i16 [7.., ignorable],
        session_id: i32 [7..],
        responses: Vec<FetchableTopicResponse>,
    } tagged {
        0 => node_endpoints: Vec<NodeEndpoint> [16..],
    }

    struct FetchableTopicResponse {
        topic: Str [4..=12, ignorable],
        topic_id: Uuid [13.., ignorable],
        partitions: Vec<PartitionData>,
    }

    struct PartitionData {
        partition_index: i32,
        error_code: i16,
        high_watermark: i64,
        last_stable_offset: i64 = -1,
        log_start_offset: i64 [5.., ignorable] = -1,
        aborted_transactions: Option<Vec<AbortedTransaction>>,
        preferred_read_replica: i32 [11..] = -1,
        records: Option<Records>,
    } tagged {
        0 => diverging_epoch: EpochEndOffset [12..],
        1 => current_leader: LeaderIdAndEpoch [12..],
        2 => snapshot_id: SnapshotId [12..],
    }

    struct EpochEndOffset {
        epoch: i32 = -1,
        end_offset: i64 = -1,
    }

    struct LeaderIdAndEpoch {
        leader_id: i32 = -1,
        leader_epoch: i32 = -1,
    }

    struct SnapshotId {
        end_offset: i64 = -1,
        epoch: i32 = -1,
    }

    struct AbortedTransaction {
        producer_id: i64,
        first_offset: i64,
    }

    struct NodeEndpoint {
        node_id: i32,
        host: Str,
        port: i32,
        rack: Option<Str>,
    }
}
