//! SyncGroup: the leader gives the assignment, and each member gets its part of it.

use outlast_protocol::messages::{SyncGroupRequest, SyncGroupResponse};

use crate::dispatch::RequestContext;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: SyncGroupRequest,
) -> SyncGroupResponse {
    match context.broker.groups().await {
        Ok(groups) => groups.sync_group(request, context.version).await,
        Err(error) => SyncGroupResponse {
            error_code: error.code.code(),
            ..Default::default()
        },
    }
}
