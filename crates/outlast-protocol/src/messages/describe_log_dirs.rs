//! Tells which log directories a broker has, what is in them and how large it is.

use crate::{Str, schema::message};

message! {
    versions 1..=5, flexible 2..;
    struct DescribeLogDirsRequest {
        topics: Option<Vec<DescribableLogDirTopic>>,
    }

    struct DescribableLogDirTopic {
        topic: Str,
        partitions: Vec<i32>,
    }
}

message! {
    versions 1..=5, flexible 2..;
    struct DescribeLogDirsResponse {
        throttle_time_ms: i32,
        error_code: i16 [3.., ignorable],
        results: Vec<DescribeLogDirsResult>,
    }

    struct DescribeLogDirsResult {
        error_code: i16,
        log_dir: Str,
        topics: Vec<DescribeLogDirsTopic>,
        total_bytes: i64 [4.., ignorable] = -1,
        usable_bytes: i64 [4.., ignorable] = -1,
        is_cordoned: bool [5.., ignorable],
    }

    struct DescribeLogDirsTopic {
        name: Str,
        partitions: Vec<DescribeLogDirsPartition>,
    }

    struct DescribeLogDirsPartition {
        partition_index: i32,
        partition_size: i64,
        offset_lag: i64,
        is_future_key: bool,
    }
}
