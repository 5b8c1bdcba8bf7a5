//! SyncGroup: the leader gives the assignment, and each member gets its part of it.

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::{SyncGroupRequest, SyncGroupResponse};

use crate::dispatch::RequestContext;
use crate::group::sync_error;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: SyncGroupRequest,
) -> SyncGroupResponse {
    match context.broker.groups().await {
        Ok(groups) => tokio::select! {
            biased;
            response = groups.sync_group(request, context.version) => response,
            // The member asks whoever serves the group next.
            () = context.broker.closed() => sync_error(ErrorCode::CoordinatorNotAvailable),
        },
        Err(error) => sync_error(error.code),
    }
}
