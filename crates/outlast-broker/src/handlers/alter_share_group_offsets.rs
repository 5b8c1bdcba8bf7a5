//! AlterShareGroupOffsets: begins an empty share group's queues anew, at other offsets.

use outlast_protocol::messages::alter_share_group_offsets::{
    AlterShareGroupOffsetsRequestTopic, AlterShareGroupOffsetsResponsePartition,
    AlterShareGroupOffsetsResponseTopic,
};
use outlast_protocol::messages::{AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsResponse};
use outlast_protocol::{ErrorCode, Str};
use outlast_records::{Offset, PartitionId};

use crate::dispatch::RequestContext;
use crate::error::ApiError;
use crate::queues;
use crate::topics::TopicTable;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: AlterShareGroupOffsetsRequest,
) -> AlterShareGroupOffsetsResponse {
    alter(context, request)
        .await
        .unwrap_or_else(|error| AlterShareGroupOffsetsResponse {
            error_code: error.code.code(),
            error_message: error.text(),
            ..Default::default()
        })
}

async fn alter(
    context: &RequestContext<'_>,
    request: AlterShareGroupOffsetsRequest,
) -> Result<AlterShareGroupOffsetsResponse, ApiError> {
    let group = &request.group_id;
    if group.is_empty() {
        return Err(ErrorCode::InvalidGroupId.into());
    }
    queues::check_group(group)?;
    let table = context.broker.topics.load_full();
    let named = request.topics.iter().map(|topic| topic.partitions.len());
    if table.are_too_many_partitions(named.sum()) {
        return Err(ErrorCode::InvalidRequest.into());
    }
    let groups = context.broker.groups().await?;
    // A group can be told where to begin before anybody joins it.
    groups.create_share_group(group).await?;
    groups.check_share_group_empty(group).await?;

    let mut offsets = Vec::new();
    let mut responses = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        responses.push(look_up(&table, topic, &mut offsets));
    }
    if !offsets.is_empty() {
        let queues = context.broker.queues().await?;
        queues.alter_offsets(group, &offsets).await?;
    }
    Ok(AlterShareGroupOffsetsResponse {
        responses,
        ..Default::default()
    })
}

/// Adds the partitions that there are to `offsets`.
fn look_up(
    table: &TopicTable,
    topic: &AlterShareGroupOffsetsRequestTopic,
    offsets: &mut Vec<(PartitionId, Offset)>,
) -> AlterShareGroupOffsetsResponseTopic {
    let found = table.get(&topic.topic_name);
    let partitions = topic.partitions.iter().map(|asked| {
        let index = asked.partition_index;
        let checked = found.clone().and_then(|topic| topic.partition(index));
        let error = match checked {
            Ok(_) if asked.start_offset < 0 => {
                let message = "a queue begins at an offset of 0 or more";
                Some(ApiError::new(ErrorCode::InvalidRequest, message))
            }
            Ok(partition) => {
                offsets.push((partition.id, Offset(asked.start_offset)));
                None
            }
            Err(error) => Some(error),
        };
        AlterShareGroupOffsetsResponsePartition {
            partition_index: index,
            error_code: error.as_ref().map_or(0, |error| error.code.code()),
            error_message: error.as_ref().and_then(ApiError::text),
        }
    });
    AlterShareGroupOffsetsResponseTopic {
        topic_name: Str::clone(&topic.topic_name),
        partitions: partitions.collect(),
        topic_id: found.map(|topic| topic.id).unwrap_or_default(),
    }
}
