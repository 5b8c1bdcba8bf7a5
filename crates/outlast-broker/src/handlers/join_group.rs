//! JoinGroup: a member asks to take part in the next generation.

use outlast_protocol::messages::{JoinGroupRequest, JoinGroupResponse};

use crate::coordinator::GroupClient;
use crate::dispatch::RequestContext;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: JoinGroupRequest,
) -> JoinGroupResponse {
    let client = GroupClient {
        id: context.client_id.clone().unwrap_or_default(),
        address: context.connection.peer.ip(),
    };
    match context.broker.groups().await {
        Ok(groups) => groups.join_group(&client, request, context.version).await,
        Err(error) => JoinGroupResponse {
            error_code: error.code.code(),
            ..Default::default()
        },
    }
}
