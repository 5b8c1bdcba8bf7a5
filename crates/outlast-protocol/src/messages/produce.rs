//! Appends record batches to partitions. The request's records are exclusive slices of its frame, so that offsets can
//! be patched into the batches without a copy.

use bytes::BytesMut;
use uuid::Uuid;

use crate::{Str, schema::message};

message! {
    versions 3..=13, flexible 9..;
    struct ProduceRequest {
        transactional_id: Option<Str>,
        acks: i16,
        timeout_ms: i32,
        topic_data: Vec<TopicProduceData>,
    }

    struct TopicProduceData {
        name: Str [3..=12, ignorable],
        topic_id: Uuid [13.., ignorable],
        partition_data: Vec<PartitionProduceData>,
    }

    struct PartitionProduceData {
        index: i32,
        records: Option<BytesMut>,
    }
}

message! {
    versions 3..=13, flexible 9..;
    struct ProduceResponse {
        responses: Vec<TopicProduceResponse>,
        throttle_time_ms: i32,
    } tagged {
        0 => node_endpoints: Vec<NodeEndpoint> [10..],
    }

    struct TopicProduceResponse {
        name: Str [3..=12, ignorable],
        topic_id: Uuid [13.., ignorable],
        partition_responses: Vec<PartitionProduceResponse>,
    }

    struct PartitionProduceResponse {
        index: i32,
        error_code: i16,
        base_offset: i64,
        log_append_time_ms: i64 = -1,
        log_start_offset: i64 [5.., ignorable] = -1,
        record_errors: Vec<BatchIndexAndErrorMessage> [8.., ignorable],
        error_message: Option<Str> [8.., ignorable],
    } tagged {
        0 => current_leader: LeaderIdAndEpoch [10..],
    }

    struct BatchIndexAndErrorMessage {
        batch_index: i32,
        batch_index_error_message: Option<Str>,
    }

    struct LeaderIdAndEpoch {
        leader_id: i32 = -1,
        leader_epoch: i32 = -1,
    }

    struct NodeEndpoint {
        node_id: i32,
        host: Str,
        port: i32,
        rack: Option<Str>,
    }
}
