//! DeleteRecords: moves a partition's log start forward.

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use outlast_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};
use outlast_records::Offset;
use outlast_storage::Durable;
use std::sync::Arc;

use crate::dispatch::RequestContext;
use crate::error::ApiError;
use crate::topics::{Partition, TopicTable};

/// "Everything", in place of an offset.
const HIGH_WATERMARK: i64 = -1;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let table = context.broker.topics.load_full();
    // All are started before the first is waited for: they share one write.
    let started: Vec<_> = request
        .topics
        .into_iter()
        .map(|topic| {
            let partitions: Vec<_> = topic
                .partitions
                .iter()
                .map(|asked| {
                    (
                        asked.partition_index,
                        start(context, &table, &topic.name, asked),
                    )
                })
                .collect();
            (topic.name, partitions)
        })
        .collect();
    let mut response = DeleteRecordsResponse::default();
    for (name, started) in started {
        let mut partitions = Vec::with_capacity(started.len());
        for (index, started) in started {
            partitions.push(finish(index, started).await);
        }
        response
            .topics
            .push(DeleteRecordsTopicResult { name, partitions });
    }
    response
}

fn start(
    context: &RequestContext<'_>,
    table: &TopicTable,
    topic: &str,
    asked: &DeleteRecordsPartition,
) -> Result<(Arc<Partition>, Durable), ApiError> {
    let topic = table.get(topic)?;
    let partition = topic.partition(asked.partition_index)?;
    if topic.is_internal {
        return Err(ErrorCode::InvalidTopicException.into());
    }
    if topic.config.compact && !topic.config.delete {
        return Err(ErrorCode::PolicyViolation.into());
    }
    let high_watermark = partition.log.high_watermark();
    let to = if asked.offset == HIGH_WATERMARK {
        high_watermark
    } else {
        Offset(asked.offset)
    };
    if to < Offset(0) || to > high_watermark {
        return Err(ErrorCode::OffsetOutOfRange.into());
    }
    let durable = context.broker.store.advance_log_start(partition.id, to);
    Ok((partition.clone(), durable))
}

async fn finish(
    partition_index: i32,
    started: Result<(Arc<Partition>, Durable), ApiError>,
) -> DeleteRecordsPartitionResult {
    let result = match started {
        Ok((partition, durable)) => durable
            .await
            .map(|()| partition.log.start_offset())
            .map_err(ApiError::from),
        Err(error) => Err(error),
    };
    match result {
        Ok(start) => DeleteRecordsPartitionResult {
            partition_index,
            low_watermark: start.0,
            ..Default::default()
        },
        Err(error) => DeleteRecordsPartitionResult {
            partition_index,
            low_watermark: -1,
            error_code: error.code.code(),
        },
    }
}
