//! Stores the positions of a consumer group.

use uuid::Uuid;

use crate::{Str, schema::message};

message! {
    versions 2..=10, flexible 8..;
    struct OffsetCommitRequest {
        group_id: Str,
        generation_id_or_member_epoch: i32 = -1,
        member_id: Str,
        group_instance_id: Option<Str> [7..],
        retention_time_ms: i64 [2..=4, ignorable] = -1,
        topics: Vec<OffsetCommitRequestTopic>,
    }

    struct OffsetCommitRequestTopic {
        name: Str [2..=9, ignorable],
        topic_id: Uuid [10.., ignorable],
        partitions: Vec<OffsetCommitRequestPartition>,
    }

    struct OffsetCommitRequestPartition {
        partition_index: i32,
        committed_offset: i64,
        committed_leader_epoch: i32 [6.., ignorable] = -1,
        committed_metadata: Option<Str>,
    }
}

message! {
    versions 2..=10, flexible 8..;
    struct OffsetCommitResponse {
        throttle_time_ms: i32 [3.., ignorable],
        topics: Vec<OffsetCommitResponseTopic>,
    }

    struct OffsetCommitResponseTopic {
        name: Str [2..=9, ignorable],
        topic_id: Uuid [10.., ignorable],
        partitions: Vec<OffsetCommitResponsePartition>,
    }

    struct OffsetCommitResponsePartition {
        partition_index: i32,
        error_code: i16,
    }
}
