//! DescribeShareGroupOffsets: where a share group's queues begin, and how much is left in them.

use std::collections::BTreeMap;

use outlast_protocol::Str;
use outlast_protocol::messages::describe_share_group_offsets::{
    DescribeShareGroupOffsetsRequestGroup, DescribeShareGroupOffsetsResponseGroup,
    DescribeShareGroupOffsetsResponsePartition, DescribeShareGroupOffsetsResponseTopic,
};
use outlast_protocol::messages::{
    DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsResponse,
};
use outlast_records::PartitionId;
use uuid::Uuid;

use crate::dispatch::RequestContext;
use crate::error::ApiError;
use crate::queues::StartOffset;
use crate::topics::TopicTable;

/// Said of a partition on which the group has no queue: nothing is known, which is no error.
const NONE: i64 = -1;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: DescribeShareGroupOffsetsRequest,
) -> DescribeShareGroupOffsetsResponse {
    let mut groups = Vec::with_capacity(request.groups.len());
    for group in &request.groups {
        let described = match describe(context, group).await {
            Ok(topics) => DescribeShareGroupOffsetsResponseGroup {
                topics,
                ..Default::default()
            },
            Err(error) => DescribeShareGroupOffsetsResponseGroup {
                error_code: error.code.code(),
                error_message: error.text(),
                ..Default::default()
            },
        };
        groups.push(DescribeShareGroupOffsetsResponseGroup {
            group_id: group.group_id.clone(),
            ..described
        });
    }
    DescribeShareGroupOffsetsResponse {
        groups,
        ..Default::default()
    }
}

async fn describe(
    context: &RequestContext<'_>,
    group: &DescribeShareGroupOffsetsRequestGroup,
) -> Result<Vec<DescribeShareGroupOffsetsResponseTopic>, ApiError> {
    let table = context.broker.topics.load_full();
    let queues = context.broker.opened_queues();
    // By topic: its id and the partitions asked for.
    let mut wanted: BTreeMap<Str, (Uuid, Vec<i32>)> = BTreeMap::new();
    match (&group.topics, queues) {
        (Some(topics), _) => {
            for topic in topics {
                let id = table.get(&topic.topic_name).map(|found| found.id);
                let entry = wanted.entry(topic.topic_name.clone()).or_default();
                entry.0 = id.unwrap_or_default();
                entry.1.extend(&topic.partitions);
            }
        }
        (None, Some(queues)) => {
            for id in queues.partitions(&group.group_id)? {
                if let Ok(topic) = table.get_by_id(id.topic) {
                    let entry = wanted.entry(topic.name.clone()).or_default();
                    entry.0 = id.topic;
                    entry.1.push(id.index);
                }
            }
        }
        (None, None) => {}
    }
    let existing: Vec<PartitionId> = existing(&table, &wanted);
    let starts = match queues {
        Some(queues) if !existing.is_empty() => {
            queues.start_offsets(&group.group_id, &existing).await?
        }
        _ => Vec::new(),
    };
    let starts: BTreeMap<PartitionId, StartOffset> = starts
        .into_iter()
        .map(|start| (start.partition, start))
        .collect();
    let topics = wanted.into_iter().map(|(topic_name, (topic_id, indexes))| {
        let partitions = indexes.into_iter().map(|index| {
            let id = PartitionId {
                topic: topic_id,
                index,
            };
            described(index, starts.get(&id))
        });
        DescribeShareGroupOffsetsResponseTopic {
            topic_name,
            topic_id,
            partitions: partitions.collect(),
        }
    });
    Ok(topics.collect())
}

fn existing(table: &TopicTable, wanted: &BTreeMap<Str, (Uuid, Vec<i32>)>) -> Vec<PartitionId> {
    let mut existing = Vec::new();
    for (id, indexes) in wanted.values() {
        let Ok(topic) = table.get_by_id(*id) else {
            continue;
        };
        let found = indexes
            .iter()
            .filter_map(|index| topic.partition(*index).ok());
        existing.extend(found.map(|partition| partition.id));
    }
    existing
}

fn described(
    partition_index: i32,
    start: Option<&StartOffset>,
) -> DescribeShareGroupOffsetsResponsePartition {
    let begun = start.and_then(|start| Some((start.start?.0, start.lag)));
    let (start_offset, lag) = begun.unwrap_or((NONE, NONE));
    DescribeShareGroupOffsetsResponsePartition {
        partition_index,
        start_offset,
        lag,
        ..Default::default()
    }
}
