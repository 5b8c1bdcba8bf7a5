//! Describes the cluster: id, controller, brokers or controllers.

use crate::{Str, schema::message};

message! {
    versions 0..=2, flexible 0..;
    struct DescribeClusterRequest {
        include_cluster_authorized_operations: bool,
        endpoint_type: i8 [1..] = 1,
        include_fenced_brokers: bool [2..],
    }
}

message! {
    versions 0..=2, flexible 0..;
    struct DescribeClusterResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str>,
        endpoint_type: i8 [1..] = 1,
        cluster_id: Str,
        controller_id: i32 = -1,
        brokers: Vec<DescribeClusterBroker>,
        cluster_authorized_operations: i32 = i32::MIN,
    }

    struct DescribeClusterBroker {
        broker_id: i32,
        host: Str,
        port: i32,
        rack: Option<Str>,
        is_fenced: bool [2..],
    }
}
