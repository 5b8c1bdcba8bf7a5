//! Groups of the newer consumer protocol (KIP-848) in `__consumer_offsets`: epochs, members, targets and what each
//! member has.

use bytes::Bytes;
use uuid::Uuid;

use crate::{Str, schema::message};

message! {
    versions 0..=0;
    struct ConsumerGroupMetadataKey {
        group_id: Str,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct ConsumerGroupMetadataValue {
        epoch: i32,
    } tagged {
        0 => metadata_hash: i64,
    }
}

message! {
    versions 0..=0;
    struct ConsumerGroupPartitionMetadataKey {
        group_id: Str,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct ConsumerGroupPartitionMetadataValue {
        topics: Vec<TopicMetadata>,
    }

    struct TopicMetadata {
        topic_id: Uuid,
        topic_name: Str,
        num_partitions: i32,
        partition_metadata: Vec<PartitionMetadata>,
    }

    struct PartitionMetadata {
        partition: i32,
        racks: Vec<Str>,
    }
}

message! {
    versions 0..=0;
    struct ConsumerGroupMemberMetadataKey {
        group_id: Str,
        member_id: Str,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct ConsumerGroupMemberMetadataValue {
        instance_id: Option<Str>,
        rack_id: Option<Str>,
        client_id: Str,
        client_host: Str,
        subscribed_topic_names: Vec<Str>,
        subscribed_topic_regex: Option<Str>,
        rebalance_timeout_ms: i32 = -1,
        server_assignor: Option<Str>,
    } tagged {
        0 => classic_member_metadata: Option<ClassicMemberMetadata>,
    }

    struct ClassicMemberMetadata {
        session_timeout_ms: i32,
        supported_protocols: Vec<ClassicProtocol>,
    }

    struct ClassicProtocol {
        name: Str,
        metadata: Bytes,
    }
}

message! {
    versions 0..=0;
    struct ConsumerGroupTargetAssignmentMetadataKey {
        group_id: Str,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct ConsumerGroupTargetAssignmentMetadataValue {
        assignment_epoch: i32,
    } tagged {
        0 => assignment_timestamp: i64,
    }
}

message! {
    versions 0..=0;
    struct ConsumerGroupTargetAssignmentMemberKey {
        group_id: Str,
        member_id: Str,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct ConsumerGroupTargetAssignmentMemberValue {
        topic_partitions: Vec<TopicPartition>,
    }

    struct TopicPartition {
        topic_id: Uuid,
        partitions: Vec<i32>,
    }
}

message! {
    versions 0..=0;
    struct ConsumerGroupCurrentMemberAssignmentKey {
        group_id: Str,
        member_id: Str,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct ConsumerGroupCurrentMemberAssignmentValue {
        member_epoch: i32,
        previous_member_epoch: i32,
        state: i8,
        assigned_partitions: Vec<TopicPartitions>,
        partitions_pending_revocation: Vec<TopicPartitions>,
    }

    struct TopicPartitions {
        topic_id: Uuid,
        partitions: Vec<i32>,
    } tagged {
        // Absent means empty; null is written.
        0 => assignment_epochs: Option<Vec<i32>> = Some(Vec::new()),
    }
}

message! {
    versions 0..=0;
    struct ConsumerGroupRegularExpressionKey {
        group_id: Str,
        regular_expression: Str,
    }
}

message! {
    versions 0..=0, flexible 0..;
    struct ConsumerGroupRegularExpressionValue {
        topics: Vec<Str>,
        version: i64,
        timestamp: i64,
    }
}
