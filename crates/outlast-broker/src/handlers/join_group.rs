//! JoinGroup: a member asks to take part in the next generation.

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::{JoinGroupRequest, JoinGroupResponse};

use crate::coordinator::GroupClient;
use crate::dispatch::RequestContext;
use crate::group::{MemberId, join_error};

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: JoinGroupRequest,
) -> JoinGroupResponse {
    let client = GroupClient {
        id: context.client_id.clone().unwrap_or_default(),
        address: context.connection.peer.ip(),
    };
    let member_id = MemberId::new(&request.member_id);
    let refused = |code| join_error(&member_id, code);
    match context.broker.groups().await {
        Ok(groups) => tokio::select! {
            biased;
            response = groups.join_group(&client, request, context.version) => response,
            // The member asks whoever serves the group next.
            () = context.broker.closed() => refused(ErrorCode::CoordinatorNotAvailable),
        },
        Err(error) => refused(error.code),
    }
}
