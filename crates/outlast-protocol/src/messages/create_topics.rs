//! Creates topics, or checks whether they could be created.

use uuid::Uuid;

use crate::{Str, schema::message};

message! {
    versions 2..=7, flexible 5..;
    struct CreateTopicsRequest {
        topics: Vec<CreatableTopic>,
        timeout_ms: i32 = 60_000,
        validate_only: bool,
    }

    struct CreatableTopic {
        name: Str,
        num_partitions: i32,
        replication_factor: i16,
        assignments: Vec<CreatableReplicaAssignment>,
        configs: Vec<CreatableTopicConfig>,
    }

    struct CreatableReplicaAssignment {
        partition_index: i32,
        broker_ids: Vec<i32>,
    }

    struct CreatableTopicConfig {
        name: Str,
        value: Option<Str>,
    }
}

message! {
    versions 2..=7, flexible 5..;
    struct CreateTopicsResponse {
        throttle_time_ms: i32,
        topics: Vec<CreatableTopicResult>,
    }

    struct CreatableTopicResult {
        name: Str,
        topic_id: Uuid [7.., ignorable],
        error_code: i16,
        error_message: Option<Str>,
        num_partitions: i32 [5.., ignorable] = -1,
        replication_factor: i16 [5.., ignorable] = -1,
        configs: Option<Vec<CreatableTopicConfigs>> [5.., ignorable],
    } tagged {
        0 => topic_config_error_code: i16 [5.., ignorable],
    }

    struct CreatableTopicConfigs {
        name: Str,
        value: Option<Str>,
        read_only: bool,
        config_source: i8 = -1,
        is_sensitive: bool,
    }
}
