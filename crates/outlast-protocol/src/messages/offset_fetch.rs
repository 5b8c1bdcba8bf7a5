//! Reads the committed positions of consumer groups.

use uuid::Uuid;

use crate::{Str, schema::message};

message! {
    versions 1..=10, flexible 6..;
    struct OffsetFetchRequest {
        group_id: Str [1..=7],
        topics: Option<Vec<OffsetFetchRequestTopic>> [1..=7, null(2..=7)] = Some(Vec::new()),
        groups: Vec<OffsetFetchRequestGroup> [8..],
        require_stable: bool [7..],
    }

    struct OffsetFetchRequestTopic {
        name: Str,
        partition_indexes: Vec<i32>,
    }

    struct OffsetFetchRequestGroup {
        group_id: Str,
        member_id: Option<Str> [9.., ignorable],
        member_epoch: i32 [9.., ignorable] = -1,
        topics: Option<Vec<OffsetFetchRequestTopics>>,
    }

    struct OffsetFetchRequestTopics {
        name: Str [8..=9, ignorable],
        topic_id: Uuid [10.., ignorable],
        partition_indexes: Vec<i32>,
    }
}

message! {
    versions 1..=10, flexible 6..;
    struct OffsetFetchResponse {
        throttle_time_ms: i32 [3.., ignorable],
        topics: Vec<OffsetFetchResponseTopic> [1..=7],
        error_code: i16 [2..=7, ignorable],
        groups: Vec<OffsetFetchResponseGroup> [8..],
    }

    struct OffsetFetchResponseTopic {
        name: Str,
        partitions: Vec<OffsetFetchResponsePartition>,
    }

    struct OffsetFetchResponsePartition {
        partition_index: i32,
        committed_offset: i64,
        committed_leader_epoch: i32 [5.., ignorable] = -1,
        metadata: Option<Str>,
        error_code: i16,
    }

    struct OffsetFetchResponseGroup {
        group_id: Str,
        topics: Vec<OffsetFetchResponseTopics>,
        error_code: i16,
    }

    struct OffsetFetchResponseTopics {
        name: Str [8..=9, ignorable],
        topic_id: Uuid [10.., ignorable],
        partitions: Vec<OffsetFetchResponsePartitions>,
    }

    struct OffsetFetchResponsePartitions {
        partition_index: i32,
        committed_offset: i64,
        committed_leader_epoch: i32 = -1,
        metadata: Option<Str>,
        error_code: i16,
    }
}
