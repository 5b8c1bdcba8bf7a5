//! Heartbeat: a member is alive, and learns when the group rebalances.

use outlast_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use crate::dispatch::RequestContext;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: HeartbeatRequest,
) -> HeartbeatResponse {
    match context.broker.groups().await {
        Ok(groups) => groups.heartbeat(request).await,
        Err(error) => HeartbeatResponse {
            error_code: error.code.code(),
            ..Default::default()
        },
    }
}
