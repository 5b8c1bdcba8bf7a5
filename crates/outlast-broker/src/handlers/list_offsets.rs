//! ListOffsets: the offset at a timestamp, or one of the special ones.

use std::collections::HashSet;
use std::sync::Arc;

use outlast_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use outlast_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};
use outlast_protocol::{ErrorCode, Str};
use outlast_records::{LeaderEpoch, Offset, Timestamp};
use outlast_storage::{PartitionLog, TimedOffset};

use crate::dispatch::RequestContext;
use crate::error::ApiError;
use crate::topics::{Partition, TopicTable};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

const READ_COMMITTED: i8 = 1;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: ListOffsetsRequest,
) -> ListOffsetsResponse {
    let repeated = repeated_partitions(&request);
    let read_committed = request.isolation_level == READ_COMMITTED;
    let mut response = ListOffsetsResponse::default();
    let mut slow = Vec::new();
    {
        let table = context.broker.topics.load();
        for topic in request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for asked in topic.partitions {
                let known = repeated.contains(&(topic.name.clone(), asked.partition_index));
                let found = find(
                    context.version,
                    &table,
                    &topic.name,
                    &asked,
                    known,
                    read_committed,
                );
                let answer = match found {
                    Ok(Found::Now(found)) => found_response(context.version, &asked, found),
                    Ok(Found::Search(partition)) => {
                        slow.push((
                            response.topics.len(),
                            partitions.len(),
                            partition,
                            asked.clone(),
                        ));
                        error_response(&asked, ErrorCode::None)
                    }
                    Err(error) => error_response(&asked, error.code),
                };
                partitions.push(answer);
            }
            response.topics.push(ListOffsetsTopicResponse {
                name: topic.name,
                partitions,
            });
        }
    }
    if !slow.is_empty() {
        search(context.version, slow, read_committed, &mut response).await;
    }
    response
}

enum Found {
    Now(TimedOffset),
    /// The log must be read for it.
    Search(Arc<Partition>),
}

fn find(
    version: i16,
    table: &TopicTable,
    topic: &str,
    asked: &ListOffsetsPartition,
    repeated: bool,
    read_committed: bool,
) -> Result<Found, ApiError> {
    if repeated {
        return Err(ErrorCode::InvalidRequest.into());
    }
    if asked.timestamp < 0 && min_version(asked.timestamp).is_none_or(|min| version < min) {
        return Err(ErrorCode::UnsupportedVersion.into());
    }
    let partition = table.get(topic)?.partition(asked.partition_index)?;
    partition.check_leader_epoch(asked.current_leader_epoch)?;
    let at = |offset, epoch| Ok(Found::Now((offset, Timestamp::NONE, epoch)));
    match asked.timestamp {
        LATEST => at(
            readable(&partition.log, read_committed),
            partition.leader_epoch,
        ),
        EARLIEST | EARLIEST_LOCAL => at(partition.log.start_offset(), partition.leader_epoch),
        // Nothing is tiered.
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => at(Offset::NONE, LeaderEpoch::NONE),
        _ => Ok(Found::Search(partition.clone())),
    }
}

/// Where what the client may read ends.
fn readable(log: &PartitionLog, read_committed: bool) -> Offset {
    if read_committed {
        log.last_stable_offset()
    } else {
        log.high_watermark()
    }
}

/// The first version that knows a special timestamp.
fn min_version(timestamp: i64) -> Option<i16> {
    match timestamp {
        LATEST | EARLIEST => Some(1),
        MAX_TIMESTAMP => Some(7),
        EARLIEST_LOCAL => Some(8),
        LATEST_TIERED => Some(9),
        EARLIEST_PENDING_UPLOAD => Some(11),
        _ => None,
    }
}

/// Reads logs in one blocking task.
async fn search(
    version: i16,
    slow: Vec<(usize, usize, Arc<Partition>, ListOffsetsPartition)>,
    read_committed: bool,
    response: &mut ListOffsetsResponse,
) {
    let searched = tokio::task::spawn_blocking(move || {
        slow.into_iter()
            .map(|(topic, at, partition, asked)| {
                let found = match asked.timestamp {
                    MAX_TIMESTAMP => partition.log.max_timestamp(),
                    target => partition.log.offset_for_timestamp(Timestamp(target)),
                };
                let limit = readable(&partition.log, read_committed);
                let found = found.map(|found| found.filter(|(offset, _, _)| *offset < limit));
                let answer = match found {
                    Ok(Some(found)) => found_response(version, &asked, found),
                    // No record is as new as that: no error, and no offset.
                    Ok(None) => error_response(&asked, ErrorCode::None),
                    Err(error) => {
                        tracing::error!(%error, partition = %partition.id, "a timestamp could not be looked up");
                        error_response(&asked, ApiError::from(error).code)
                    }
                };
                (topic, at, answer)
            })
            .collect::<Vec<_>>()
    });
    match searched.await {
        Ok(answers) => {
            for (topic, at, answer) in answers {
                response.topics[topic].partitions[at] = answer;
            }
        }
        Err(error) => {
            tracing::error!(%error, "the look-up of timestamps did not run to its end");
            let partitions = response
                .topics
                .iter_mut()
                .flat_map(|topic| &mut topic.partitions);
            for partition in partitions.filter(|partition| partition.offset < 0) {
                partition.error_code = ErrorCode::UnknownServerError.code();
            }
        }
    }
}

fn found_response(
    version: i16,
    asked: &ListOffsetsPartition,
    (offset, timestamp, epoch): TimedOffset,
) -> ListOffsetsPartitionResponse {
    ListOffsetsPartitionResponse {
        partition_index: asked.partition_index,
        timestamp: timestamp.0,
        offset: offset.0,
        leader_epoch: if version >= 4 {
            epoch.0
        } else {
            LeaderEpoch::NONE.0
        },
        ..Default::default()
    }
}

fn error_response(asked: &ListOffsetsPartition, code: ErrorCode) -> ListOffsetsPartitionResponse {
    ListOffsetsPartitionResponse {
        partition_index: asked.partition_index,
        error_code: code.code(),
        ..Default::default()
    }
}

fn repeated_partitions(request: &ListOffsetsRequest) -> HashSet<(Str, i32)> {
    let (mut seen, mut repeated) = (HashSet::new(), HashSet::new());
    for topic in &request.topics {
        for partition in &topic.partitions {
            let key = (topic.name.clone(), partition.partition_index);
            if !seen.insert(key.clone()) {
                repeated.insert(key);
            }
        }
    }
    repeated
}
