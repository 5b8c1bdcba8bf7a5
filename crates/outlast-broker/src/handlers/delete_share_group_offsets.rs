//! DeleteShareGroupOffsets: forgets an empty share group's queues on some topics.

use std::collections::BTreeSet;

use outlast_protocol::messages::delete_share_group_offsets::{
    DeleteShareGroupOffsetsRequestTopic, DeleteShareGroupOffsetsResponseTopic,
};
use outlast_protocol::messages::{DeleteShareGroupOffsetsRequest, DeleteShareGroupOffsetsResponse};
use outlast_protocol::{ErrorCode, Str};
use uuid::Uuid;

use crate::dispatch::RequestContext;
use crate::error::ApiError;
use crate::queues;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: DeleteShareGroupOffsetsRequest,
) -> DeleteShareGroupOffsetsResponse {
    match delete(context, &request).await {
        Ok(responses) => DeleteShareGroupOffsetsResponse {
            responses,
            ..Default::default()
        },
        Err(error) => DeleteShareGroupOffsetsResponse {
            error_code: error.code.code(),
            error_message: error.text(),
            ..Default::default()
        },
    }
}

async fn delete(
    context: &RequestContext<'_>,
    request: &DeleteShareGroupOffsetsRequest,
) -> Result<Vec<DeleteShareGroupOffsetsResponseTopic>, ApiError> {
    let group = &request.group_id;
    if group.is_empty() {
        return Err(ErrorCode::InvalidGroupId.into());
    }
    queues::check_group(group)?;
    let groups = context.broker.groups().await?;
    groups.check_share_group_empty(group).await?;

    let queues = context.broker.queues().await?;
    let partitions = queues.partitions(group)?;
    let queued: BTreeSet<Uuid> = partitions.iter().map(|id| id.topic).collect();
    let mut ids = Vec::new();
    let mut responses = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let found = find(context, topic, &queued);
        responses.push(DeleteShareGroupOffsetsResponseTopic {
            topic_name: Str::clone(&topic.topic_name),
            topic_id: found.as_ref().copied().unwrap_or_default(),
            error_code: found.as_ref().err().map_or(0, |error| error.code.code()),
            error_message: found.as_ref().err().and_then(ApiError::text),
        });
        ids.extend(found);
    }
    if !ids.is_empty() {
        queues.delete_offsets(group, &ids).await?;
    }
    Ok(responses)
}

fn find(
    context: &RequestContext<'_>,
    topic: &DeleteShareGroupOffsetsRequestTopic,
    queued: &BTreeSet<Uuid>,
) -> Result<Uuid, ApiError> {
    let id = context.broker.topics.load().get(&topic.topic_name)?.id;
    if queued.contains(&id) {
        Ok(id)
    } else {
        let message = format!("the group has no queue on topic {}", &*topic.topic_name);
        Err(ApiError::new(ErrorCode::UnknownTopicOrPartition, message))
    }
}
