//! Appends record batches to partitions. The request's records are exclusive slices of its frame, so that offsets can
//! be patched into the batches without a copy.

use bytes::BytesMut;
use uuid::Uuid;

use crate::{ApiKey, Records, Request, Str, schema::message};

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
    /// The same request as its sender has it: batches that are kept for a retry are shared with the frame instead of
    /// copied into it. Only the type of the records differs.
    struct SharedProduceRequest {
        transactional_id: Option<Str>,
        acks: i16,
        timeout_ms: i32,
        topic_data: Vec<SharedTopicProduceData>,
    }

    struct SharedTopicProduceData {
        name: Str [3..=12, ignorable],
        topic_id: Uuid [13.., ignorable],
        partition_data: Vec<SharedPartitionProduceData>,
    }

    struct SharedPartitionProduceData {
        index: i32,
        records: Option<Records>,
    }
}

impl Request for SharedProduceRequest {
    const KEY: ApiKey = ApiKey::Produce;
    type Response = ProduceResponse;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;

    #[test]
    fn both_views_of_the_request_are_the_same_bytes() {
        let batch = vec![7; 5000];
        let exclusive = ProduceRequest {
            acks: -1,
            topic_data: vec![TopicProduceData {
                name: Str::from("t"),
                topic_id: Uuid::from_u128(1),
                partition_data: vec![PartitionProduceData {
                    index: 3,
                    records: Some(BytesMut::from(&batch[..])),
                }],
            }],
            ..Default::default()
        };
        let shared = SharedProduceRequest {
            acks: -1,
            topic_data: vec![SharedTopicProduceData {
                name: Str::from("t"),
                topic_id: Uuid::from_u128(1),
                partition_data: vec![SharedPartitionProduceData {
                    index: 3,
                    records: Some(Records::from(bytes::Bytes::from(batch))),
                }],
            }],
            ..Default::default()
        };
        for version in ProduceRequest::VERSIONS {
            assert_eq!(
                exclusive.to_versioned_bytes(version).unwrap(),
                shared.to_versioned_bytes(version).unwrap()
            );
        }
    }
}
