//! The one request of the newer consumer group protocol (KIP-848): joins, reports, learns assignments, leaves.

use uuid::Uuid;

use crate::{Str, schema::message};

message! {
    versions 0..=1, flexible 0..;
    struct ConsumerGroupHeartbeatRequest {
        group_id: Str,
        member_id: Str,
        member_epoch: i32,
        instance_id: Option<Str>,
        rack_id: Option<Str>,
        rebalance_timeout_ms: i32 = -1,
        subscribed_topic_names: Option<Vec<Str>>,
        subscribed_topic_regex: Option<Str> [1..],
        server_assignor: Option<Str>,
        topic_partitions: Option<Vec<TopicPartitions>>,
    }

    struct TopicPartitions {
        topic_id: Uuid,
        partitions: Vec<i32>,
    }
}

message! {
    versions 0..=1, flexible 0..;
    struct ConsumerGroupHeartbeatResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str>,
        member_id: Option<Str>,
        member_epoch: i32,
        heartbeat_interval_ms: i32,
        assignment: Option<Assignment>,
    }

    struct Assignment {
        topic_partitions: Vec<TopicPartitions>,
    }
}
