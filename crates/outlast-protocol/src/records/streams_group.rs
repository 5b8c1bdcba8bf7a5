//! Kafka Streams groups (KIP-1071) in `__consumer_offsets`: topology, epochs, members, targets and tasks.

use crate::{Str, schema::message};

message! {
    versions 0..=0;
    struct StreamsGroupMetadataKey {
        group_id: Str,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct StreamsGroupMetadataValue {
        epoch: i32,
        metadata_hash: i64,
    } tagged {
        0 => validated_topology_epoch: i32 = -1,
        // Absent means empty; null is written.
        1 => last_assignment_configs: Option<Vec<LastAssignmentConfig>> = Some(Vec::new()),
    }

    struct LastAssignmentConfig {
        key: Str,
        value: Str,
    }
}

message! {
    versions 0..=0;
    struct StreamsGroupMemberMetadataKey {
        group_id: Str,
        member_id: Str,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct StreamsGroupMemberMetadataValue {
        instance_id: Option<Str>,
        rack_id: Option<Str>,
        client_id: Str,
        client_host: Str,
        rebalance_timeout_ms: i32 = -1,
        topology_epoch: i32,
        process_id: Str,
        user_endpoint: Option<Endpoint>,
        client_tags: Vec<KeyValue>,
    }

    struct Endpoint {
        host: Str,
        port: u16,
    }

    struct KeyValue {
        key: Str,
        value: Str,
    }
}

message! {
    versions 0..=0;
    struct StreamsGroupTargetAssignmentMetadataKey {
        group_id: Str,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct StreamsGroupTargetAssignmentMetadataValue {
        assignment_epoch: i32,
    } tagged {
        0 => assignment_timestamp: i64,
    }
}

message! {
    versions 0..=0;
    struct StreamsGroupTargetAssignmentMemberKey {
        group_id: Str,
        member_id: Str,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct StreamsGroupTargetAssignmentMemberValue {
        active_tasks: Vec<TargetTaskIds>,
        standby_tasks: Vec<TargetTaskIds>,
        warmup_tasks: Vec<TargetTaskIds>,
    }

    /// Kafka calls this `TaskIds`.
    struct TargetTaskIds {
        subtopology_id: Str,
        partitions: Vec<i32>,
    }
}

message! {
    versions 0..=0;
    struct StreamsGroupCurrentMemberAssignmentKey {
        group_id: Str,
        member_id: Str,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct StreamsGroupCurrentMemberAssignmentValue {
        member_epoch: i32,
        previous_member_epoch: i32,
        state: i8,
        active_tasks: Vec<TaskIds>,
        standby_tasks: Vec<TaskIds>,
        warmup_tasks: Vec<TaskIds>,
        active_tasks_pending_revocation: Vec<TaskIds>,
        standby_tasks_pending_revocation: Vec<TaskIds>,
        warmup_tasks_pending_revocation: Vec<TaskIds>,
    }

    struct TaskIds {
        subtopology_id: Str,
        partitions: Vec<i32>,
    } tagged {
        // Absent means empty; null is written.
        0 => assignment_epochs: Option<Vec<i32>> = Some(Vec::new()),
    }
}

message! {
    versions 0..=0;
    struct StreamsGroupTopologyKey {
        group_id: Str,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct StreamsGroupTopologyValue {
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
        topic_configs: Vec<TopicConfig>,
    }

    struct TopicConfig {
        key: Str,
        value: Str,
    }

    struct CopartitionGroup {
        source_topics: Vec<i16>,
        source_topic_regex: Vec<i16>,
        repartition_source_topics: Vec<i16>,
    }
}
