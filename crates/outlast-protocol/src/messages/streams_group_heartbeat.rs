//! Joins a Kafka Streams group, reports its topology and tasks, learns assignments, leaves (KIP-1071).

use crate::{Str, schema::message};

message! {
    versions 0..=0, flexible 0..;
    struct StreamsGroupHeartbeatRequest {
        group_id: Str,
        member_id: Str,
        member_epoch: i32,
        endpoint_information_epoch: i32,
        instance_id: Option<Str>,
        rack_id: Option<Str>,
        rebalance_timeout_ms: i32 = -1,
        topology: Option<Topology>,
        active_tasks: Option<Vec<TaskIds>>,
        standby_tasks: Option<Vec<TaskIds>>,
        warmup_tasks: Option<Vec<TaskIds>>,
        process_id: Option<Str>,
        user_endpoint: Option<Endpoint>,
        client_tags: Option<Vec<KeyValue>>,
        task_offsets: Option<Vec<TaskOffset>>,
        task_end_offsets: Option<Vec<TaskOffset>>,
        shutdown_application: bool,
    }

    struct Topology {
        epoch: i32,
        subtopologies: Vec<Subtopology>,
    }

    struct Subtopology {
        subtopology_id: Str,
        source_topics: Vec<Str>,
        source_topic_regex: Vec<Str>,
        state_changelog_topics: Vec<TopicInfo>,
        repartition_sink_topics: Vec<Str>,
        repartition_source_topics: Vec<TopicInfo>,
        copartition_groups: Vec<CopartitionGroup>,
    }

    struct TopicInfo {
        name: Str,
        partitions: i32,
        replication_factor: i16,
        topic_configs: Vec<KeyValue>,
    }

    struct KeyValue {
        key: Str,
        value: Str,
    }

    struct CopartitionGroup {
        source_topics: Vec<i16>,
        source_topic_regex: Vec<i16>,
        repartition_source_topics: Vec<i16>,
    }

    struct TaskIds {
        subtopology_id: Str,
        partitions: Vec<i32>,
    }

    struct Endpoint {
        host: Str,
        port: u16,
    }

    struct TaskOffset {
        subtopology_id: Str,
        partition: i32,
        offset: i64,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct StreamsGroupHeartbeatResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str>,
        member_id: Str,
        member_epoch: i32,
        heartbeat_interval_ms: i32,
        acceptable_recovery_lag: i32,
        task_offset_interval_ms: i32,
        status: Option<Vec<Status>>,
        active_tasks: Option<Vec<TaskIds>>,
        standby_tasks: Option<Vec<TaskIds>>,
        warmup_tasks: Option<Vec<TaskIds>>,
        endpoint_information_epoch: i32,
        partitions_by_user_endpoint: Option<Vec<EndpointToPartitions>>,
    }

    struct Status {
        status_code: i8,
        status_detail: Str,
    }

    struct EndpointToPartitions {
        user_endpoint: Endpoint,
        active_partitions: Vec<TopicPartition>,
        standby_partitions: Vec<TopicPartition>,
    }

    struct TopicPartition {
        topic: Str,
        partitions: Vec<i32>,
    }
}
