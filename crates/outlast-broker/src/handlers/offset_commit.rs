//! OffsetCommit: how far a group has read.

use outlast_protocol::messages::offset_commit::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use outlast_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};

use crate::dispatch::RequestContext;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: OffsetCommitRequest,
) -> OffsetCommitResponse {
    let error = match context.broker.groups().await {
        Ok(groups) => return groups.offset_commit(request, context.version).await,
        Err(error) => error,
    };
    let topics = request
        .topics
        .into_iter()
        .map(|topic| OffsetCommitResponseTopic {
            name: topic.name,
            topic_id: topic.topic_id,
            partitions: topic
                .partitions
                .iter()
                .map(|partition| OffsetCommitResponsePartition {
                    partition_index: partition.partition_index,
                    error_code: error.code.code(),
                })
                .collect(),
        });
    OffsetCommitResponse {
        topics: topics.collect(),
        ..Default::default()
    }
}
