//! Stores positions of a group that take effect when a transaction commits.

use crate::{Str, schema::message};

message! {
    versions 0..=5, flexible 3..;
    struct TxnOffsetCommitRequest {
        transactional_id: Str,
        group_id: Str,
        producer_id: i64,
        producer_epoch: i16,
        generation_id: i32 [3..] = -1,
        member_id: Str [3..],
        group_instance_id: Option<Str> [3..],
        topics: Vec<TxnOffsetCommitRequestTopic>,
    }

    struct TxnOffsetCommitRequestTopic {
        name: Str,
        partitions: Vec<TxnOffsetCommitRequestPartition>,
    }

    struct TxnOffsetCommitRequestPartition {
        partition_index: i32,
        committed_offset: i64,
        committed_leader_epoch: i32 [2.., ignorable] = -1,
        committed_metadata: Option<Str>,
    }
}

message! {
    versions 0..=5, flexible 3..;
    struct TxnOffsetCommitResponse {
        throttle_time_ms: i32,
        topics: Vec<TxnOffsetCommitResponseTopic>,
    }

    struct TxnOffsetCommitResponseTopic {
        name: Str,
        partitions: Vec<TxnOffsetCommitResponsePartition>,
    }

    struct TxnOffsetCommitResponsePartition {
        partition_index: i32,
        error_code: i16,
    }
}
