//! Reads the start offsets and the lag of share groups.

use uuid::Uuid;

use crate::{Str, schema::message};

message! {
    versions 0..=1, flexible 0..;
    struct DescribeShareGroupOffsetsRequest {
        groups: Vec<DescribeShareGroupOffsetsRequestGroup>,
    }

    struct DescribeShareGroupOffsetsRequestGroup {
        group_id: Str,
        topics: Option<Vec<DescribeShareGroupOffsetsRequestTopic>>,
    }

    struct DescribeShareGroupOffsetsRequestTopic {
        topic_name: Str,
        partitions: Vec<i32>,
    }
}

message! {
    versions 0..=1, flexible 0..;
    struct DescribeShareGroupOffsetsResponse {
        throttle_time_ms: i32,
        groups: Vec<DescribeShareGroupOffsetsResponseGroup>,
    }

    struct DescribeShareGroupOffsetsResponseGroup {
        group_id: Str,
        topics: Vec<DescribeShareGroupOffsetsResponseTopic>,
        error_code: i16,
        error_message: Option<Str>,
    }

    struct DescribeShareGroupOffsetsResponseTopic {
        topic_name: Str,
        topic_id: Uuid,
        partitions: Vec<DescribeShareGroupOffsetsResponsePartition>,
    }

    struct DescribeShareGroupOffsetsResponsePartition {
        partition_index: i32,
        start_offset: i64,
        leader_epoch: i32,
        lag: i64 [1.., ignorable] = -1,
        error_code: i16,
        error_message: Option<Str>,
    }
}
