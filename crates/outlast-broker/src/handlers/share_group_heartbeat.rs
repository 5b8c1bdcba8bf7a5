//! ShareGroupHeartbeat: joins a share group, tells a member its partitions, leaves.

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::{ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse};
use outlast_records::PartitionId;

use crate::coordinator::GroupClient;
use crate::dispatch::RequestContext;
use crate::error::ApiError;
use crate::{queues, share};

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: ShareGroupHeartbeatRequest,
) -> ShareGroupHeartbeatResponse {
    heartbeat(context, &request)
        .await
        .unwrap_or_else(|error| ShareGroupHeartbeatResponse {
            error_code: error.code.code(),
            error_message: error.text(),
            ..Default::default()
        })
}

async fn heartbeat(
    context: &RequestContext<'_>,
    request: &ShareGroupHeartbeatRequest,
) -> Result<ShareGroupHeartbeatResponse, ApiError> {
    if !share::is_member_id(&request.member_id) {
        let message = "a member chooses an id of 1 to 36 characters";
        return Err(ApiError::new(ErrorCode::InvalidRequest, message));
    }
    if !request.group_id.is_empty() {
        queues::check_group(&request.group_id)?;
    }
    let client = GroupClient {
        id: context.client_id.clone().unwrap_or_default(),
        address: context.connection.peer.ip(),
    };
    let settings = context.broker.group_settings(&request.group_id);
    let groups = context.broker.groups().await?;
    let response = groups
        .share_group_heartbeat(&client, request, &settings.share)
        .await?;
    open_queues(context, request, &response).await;
    Ok(response)
}

/// The queues begin when somebody first takes them on, not when he first looks: with `latest` he gets all that comes in
/// between. If that fails, the first look opens them.
async fn open_queues(
    context: &RequestContext<'_>,
    request: &ShareGroupHeartbeatRequest,
    response: &ShareGroupHeartbeatResponse,
) {
    let assignment = response.assignment.iter();
    let partitions: Vec<PartitionId> = assignment
        .flat_map(|assignment| &assignment.topic_partitions)
        .flat_map(|topic| {
            topic.partitions.iter().map(|index| PartitionId {
                topic: topic.topic_id,
                index: *index,
            })
        })
        .collect();
    if partitions.is_empty() {
        return;
    }
    let opened = match context.broker.queues().await {
        Ok(queues) => queues.initialize(&request.group_id, &partitions).await,
        Err(error) => Err(error.code),
    };
    if let Err(code) = opened {
        tracing::debug!(group = &*request.group_id, %code, "queues are opened later");
    }
}
