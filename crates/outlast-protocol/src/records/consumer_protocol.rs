//! What consumers put into the opaque bytes of the classic group protocol: what they subscribe to and what the leader
//! assigned to them. The coordinator looks into it only to learn the topics.

use bytes::Bytes;

use crate::{Str, schema::message};

message! {
    versions 0..=3;
    struct ConsumerProtocolSubscription {
        topics: Vec<Str>,
        user_data: Option<Bytes>,
        owned_partitions: Vec<TopicPartition> [1.., ignorable],
        generation_id: i32 [2.., ignorable] = -1,
        rack_id: Option<Str> [3.., ignorable],
    }

    struct TopicPartition {
        topic: Str,
        partitions: Vec<i32>,
    }
}

message! {
    versions 0..=3;
    struct ConsumerProtocolAssignment {
        assigned_partitions: Vec<TopicPartition>,
        user_data: Option<Bytes>,
    }
}
