//! DescribeTopicPartitions: topics with their partitions, page by page (KIP-966).

use std::collections::BTreeSet;

use outlast_protocol::messages::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use outlast_protocol::messages::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};
use outlast_protocol::{ErrorCode, Str};

use crate::authorized_operations::TOPIC_OPERATIONS;
use crate::broker_config::NODE_ID;
use crate::dispatch::RequestContext;
use crate::topic_name;
use crate::topics::{Partition, TopicTable};

/// Kafka's `max.request.partition.size.limit`.
const MAX_PARTITIONS: usize = 2000;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    if !is_valid(&request) {
        return invalid(request);
    }
    let table = context.broker.topics.load();
    let all = request.topics.is_empty();
    let from = request
        .cursor
        .as_ref()
        .map_or("", |cursor| &*cursor.topic_name);
    let names: BTreeSet<Str> = if all {
        table.iter().map(|topic| topic.name.clone()).collect()
    } else {
        request
            .topics
            .iter()
            .map(|topic| topic.name.clone())
            .collect()
    };
    let limit = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let mut left = limit.clamp(1, MAX_PARTITIONS);
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in names.into_iter().filter(|name| &**name >= from) {
        if left == 0 {
            response.next_cursor = Some(Cursor {
                topic_name: name,
                partition_index: 0,
            });
            break;
        }
        let first = match &request.cursor {
            Some(cursor) if cursor.topic_name == name => {
                usize::try_from(cursor.partition_index).unwrap_or(0)
            }
            Some(_) | None => 0,
        };
        let (topic, next) = describe(&table, &name, first, left);
        left -= topic.partitions.len();
        response.topics.push(topic);
        if let Some(next) = next {
            response.next_cursor = Some(Cursor {
                topic_name: name,
                partition_index: next,
            });
            break;
        }
    }
    response
}

/// A cursor must name one of the topics asked for, and a partition.
fn is_valid(request: &DescribeTopicPartitionsRequest) -> bool {
    request.cursor.as_ref().is_none_or(|cursor| {
        let named = request
            .topics
            .iter()
            .any(|topic| topic.name == cursor.topic_name);
        cursor.partition_index >= 0 && (named || request.topics.is_empty())
    })
}

fn invalid(request: DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let topics = request
        .topics
        .into_iter()
        .map(|topic| DescribeTopicPartitionsResponseTopic {
            error_code: ErrorCode::InvalidRequest.code(),
            name: Some(topic.name),
            ..Default::default()
        });
    DescribeTopicPartitionsResponse {
        topics: topics.collect(),
        ..Default::default()
    }
}

/// The topic with at most `limit` partitions from `first` on, and the partition to go on with.
fn describe(
    table: &TopicTable,
    name: &Str,
    first: usize,
    limit: usize,
) -> (DescribeTopicPartitionsResponseTopic, Option<i32>) {
    let Ok(topic) = table.get(name) else {
        let code = match topic_name::validate(name) {
            Ok(()) => ErrorCode::UnknownTopicOrPartition,
            Err(_) => ErrorCode::InvalidTopicException,
        };
        let missing = DescribeTopicPartitionsResponseTopic {
            error_code: code.code(),
            name: Some(name.clone()),
            is_internal: topic_name::is_internal(name),
            topic_authorized_operations: TOPIC_OPERATIONS,
            ..Default::default()
        };
        return (missing, None);
    };
    let mut partitions = topic.partitions().iter().skip(first);
    let described = DescribeTopicPartitionsResponseTopic {
        name: Some(topic.name.clone()),
        topic_id: topic.id,
        is_internal: topic.is_internal,
        partitions: partitions
            .by_ref()
            .take(limit)
            .map(|partition| describe_partition(partition))
            .collect(),
        topic_authorized_operations: TOPIC_OPERATIONS,
        ..Default::default()
    };
    (
        described,
        partitions.next().map(|partition| partition.id.index),
    )
}

fn describe_partition(partition: &Partition) -> DescribeTopicPartitionsResponsePartition {
    DescribeTopicPartitionsResponsePartition {
        partition_index: partition.id.index,
        leader_id: NODE_ID,
        leader_epoch: partition.leader_epoch.0,
        replica_nodes: vec![NODE_ID],
        isr_nodes: vec![NODE_ID],
        eligible_leader_replicas: Some(Vec::new()),
        last_known_elr: Some(Vec::new()),
        ..Default::default()
    }
}
