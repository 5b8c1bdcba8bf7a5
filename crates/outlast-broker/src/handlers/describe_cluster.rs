//! DescribeCluster: the cluster's id and its one broker.

use outlast_protocol::messages::describe_cluster::DescribeClusterBroker;
use outlast_protocol::messages::{DescribeClusterRequest, DescribeClusterResponse};
use outlast_protocol::{ErrorCode, Str};

use crate::authorized_operations::CLUSTER_OPERATIONS;
use crate::broker_config::NODE_ID;
use crate::dispatch::RequestContext;

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: DescribeClusterRequest,
) -> DescribeClusterResponse {
    match request.endpoint_type {
        BROKERS => describe(context, &request),
        CONTROLLERS => error(
            ErrorCode::MismatchedEndpointType,
            "this is a broker: ask it for brokers, not for controllers",
        ),
        _ => error(
            ErrorCode::UnsupportedEndpointType,
            "the endpoint type is not known here",
        ),
    }
}

fn describe(
    context: &RequestContext<'_>,
    request: &DescribeClusterRequest,
) -> DescribeClusterResponse {
    let advertised = &context.connection.advertised;
    let mut response = DescribeClusterResponse {
        cluster_id: context.broker.cluster_id.clone(),
        controller_id: NODE_ID,
        brokers: vec![DescribeClusterBroker {
            broker_id: NODE_ID,
            host: advertised.host.clone(),
            port: i32::from(advertised.port),
            rack: context.broker.config.rack.as_deref().map(Str::from),
            is_fenced: false,
        }],
        ..Default::default()
    };
    if request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = CLUSTER_OPERATIONS;
    }
    response
}

fn error(code: ErrorCode, message: &'static str) -> DescribeClusterResponse {
    DescribeClusterResponse {
        error_code: code.code(),
        error_message: Some(Str::from_static(message)),
        ..Default::default()
    }
}
