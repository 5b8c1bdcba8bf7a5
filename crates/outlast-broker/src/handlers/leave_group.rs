//! LeaveGroup: members leave, on their own or by an administrator.

use outlast_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

use crate::dispatch::RequestContext;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: LeaveGroupRequest,
) -> LeaveGroupResponse {
    match context.broker.groups().await {
        Ok(groups) => groups.leave_group(request, context.version).await,
        Err(error) => LeaveGroupResponse {
            error_code: error.code.code(),
            ..Default::default()
        },
    }
}
