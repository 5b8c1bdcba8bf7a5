//! OffsetForLeaderEpoch: where an epoch ended, with which a consumer finds out whether its position still exists
//! (KIP-320).

use outlast_protocol::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderPartition, OffsetForLeaderTopicResult,
};
use outlast_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
use outlast_records::{LeaderEpoch, Offset};

use crate::dispatch::RequestContext;
use crate::error::ApiError;
use crate::topics::TopicTable;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let table = context.broker.topics.load();
    let topics = request
        .topics
        .into_iter()
        .map(|topic| OffsetForLeaderTopicResult {
            partitions: topic
                .partitions
                .iter()
                .map(|asked| answer(asked, epoch_end(&table, &topic.topic, asked)))
                .collect(),
            topic: topic.topic,
        })
        .collect();
    OffsetForLeaderEpochResponse {
        topics,
        ..Default::default()
    }
}

fn epoch_end(
    table: &TopicTable,
    topic: &str,
    asked: &OffsetForLeaderPartition,
) -> Result<(LeaderEpoch, Offset), ApiError> {
    let partition = table.get(topic)?.partition(asked.partition)?;
    partition.check_leader_epoch(asked.current_leader_epoch)?;
    if asked.leader_epoch == partition.leader_epoch.0 {
        // Also when the epoch has not written yet: it goes on where the log ends.
        return Ok((partition.leader_epoch, partition.log.high_watermark()));
    }
    if asked.leader_epoch < 0 || asked.leader_epoch > partition.leader_epoch.0 {
        return Ok((LeaderEpoch::NONE, Offset::NONE));
    }
    let end = partition
        .log
        .end_offset_for_epoch(LeaderEpoch(asked.leader_epoch));
    Ok(end.unwrap_or((LeaderEpoch::NONE, Offset::NONE)))
}

fn answer(
    asked: &OffsetForLeaderPartition,
    end: Result<(LeaderEpoch, Offset), ApiError>,
) -> EpochEndOffset {
    match end {
        Ok((epoch, end)) => EpochEndOffset {
            partition: asked.partition,
            leader_epoch: epoch.0,
            end_offset: end.0,
            ..Default::default()
        },
        Err(error) => EpochEndOffset {
            partition: asked.partition,
            error_code: error.code.code(),
            ..Default::default()
        },
    }
}
