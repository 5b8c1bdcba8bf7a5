//! Acknowledges records that a member of a share group acquired (KIP-932).

use uuid::Uuid;

use crate::{Str, schema::message};

message! {
    versions 1..=2, flexible 1..;
    struct ShareAcknowledgeRequest {
        group_id: Option<Str>,
        member_id: Option<Str>,
        share_session_epoch: i32,
        is_renew_ack: bool [2..],
        topics: Vec<AcknowledgeTopic>,
    }

    struct AcknowledgeTopic {
        topic_id: Uuid,
        partitions: Vec<AcknowledgePartition>,
    }

    struct AcknowledgePartition {
        partition_index: i32,
        acknowledgement_batches: Vec<AcknowledgementBatch>,
    }

    struct AcknowledgementBatch {
        first_offset: i64,
        last_offset: i64,
        acknowledge_types: Vec<i8>,
    }
}

message! {
    versions 1..=2, flexible 1..;
    struct ShareAcknowledgeResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str>,
        acquisition_lock_timeout_ms: i32 [2.., ignorable],
        responses: Vec<ShareAcknowledgeTopicResponse>,
        node_endpoints: Vec<NodeEndpoint>,
    }

    struct ShareAcknowledgeTopicResponse {
        topic_id: Uuid,
        partitions: Vec<PartitionData>,
    }

    struct PartitionData {
        partition_index: i32,
        error_code: i16,
        error_message: Option<Str>,
        current_leader: LeaderIdAndEpoch,
    }

    struct LeaderIdAndEpoch {
        leader_id: i32,
        leader_epoch: i32,
    }

    struct NodeEndpoint {
        node_id: i32,
        host: Str,
        port: i32,
        rack: Option<Str>,
    }
}
