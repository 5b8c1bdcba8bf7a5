//! Share groups (KIP-932) in `__consumer_offsets`: epochs, members, targets, and which partitions have durable state.

use uuid::Uuid;

use crate::{Str, schema::message};

message! {
    versions 0..=0;
    struct ShareGroupMemberMetadataKey {
        group_id: Str,
        member_id: Str,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct ShareGroupMemberMetadataValue {
        rack_id: Option<Str>,
        client_id: Str,
        client_host: Str,
        subscribed_topic_names: Vec<Str>,
    }
}

message! {
    versions 0..=0;
    struct ShareGroupMetadataKey {
        group_id: Str,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct ShareGroupMetadataValue {
        epoch: i32,
        metadata_hash: i64,
    }
}

message! {
    versions 0..=0;
    struct ShareGroupTargetAssignmentMetadataKey {
        group_id: Str,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct ShareGroupTargetAssignmentMetadataValue {
        assignment_epoch: i32,
    } tagged {
        0 => assignment_timestamp: i64,
    }
}

message! {
    versions 0..=0;
    struct ShareGroupTargetAssignmentMemberKey {
        group_id: Str,
        member_id: Str,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct ShareGroupTargetAssignmentMemberValue {
        topic_partitions: Vec<TopicPartition>,
    }

    struct TopicPartition {
        topic_id: Uuid,
        partitions: Vec<i32>,
    }
}

message! {
    versions 0..=0;
    struct ShareGroupCurrentMemberAssignmentKey {
        group_id: Str,
        member_id: Str,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct ShareGroupCurrentMemberAssignmentValue {
        member_epoch: i32,
        previous_member_epoch: i32,
        state: i8,
        assigned_partitions: Vec<TopicPartitions>,
    }

    struct TopicPartitions {
        topic_id: Uuid,
        partitions: Vec<i32>,
    }
}

message! {
    versions 0..=0;
    struct ShareGroupStatePartitionMetadataKey {
        group_id: Str,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct ShareGroupStatePartitionMetadataValue {
        initializing_topics: Vec<TopicPartitionsInfo>,
        initialized_topics: Vec<TopicPartitionsInfo>,
        deleting_topics: Vec<TopicInfo>,
    }

    struct TopicPartitionsInfo {
        topic_id: Uuid,
        topic_name: Str,
        partitions: Vec<i32>,
    }

    struct TopicInfo {
        topic_id: Uuid,
        topic_name: Str,
    }
}
