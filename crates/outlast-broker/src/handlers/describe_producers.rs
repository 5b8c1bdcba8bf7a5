//! DescribeProducers: who has written to a partition with a producer id, and how far (KIP-664).

use outlast_protocol::messages::describe_producers::{
    PartitionResponse, ProducerState, TopicResponse,
};
use outlast_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse};

use crate::dispatch::RequestContext;
use crate::error::ApiError;
use crate::topic_name;
use crate::topics::TopicTable;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: DescribeProducersRequest,
) -> DescribeProducersResponse {
    let table = context.broker.topics.load();
    let topics = request
        .topics
        .into_iter()
        .map(|topic| TopicResponse {
            partitions: topic
                .partition_indexes
                .iter()
                .map(|index| answer(*index, producers(&table, &topic.name, *index)))
                .collect(),
            name: topic.name,
        })
        .collect();
    DescribeProducersResponse {
        topics,
        ..Default::default()
    }
}

fn producers(table: &TopicTable, topic: &str, index: i32) -> Result<Vec<ProducerState>, ApiError> {
    topic_name::validate(topic)?;
    let partition = table.get(topic)?.partition(index)?;
    let states = partition
        .log
        .producers()
        .into_iter()
        .map(|producer| ProducerState {
            producer_id: producer.producer_id.0,
            producer_epoch: i32::from(producer.producer_epoch.0),
            last_sequence: producer.last_sequence.0,
            last_timestamp: producer.last_timestamp.0,
            coordinator_epoch: producer.coordinator_epoch,
            current_txn_start_offset: producer
                .current_txn_start_offset
                .map_or(-1, |offset| offset.0),
        });
    Ok(states.collect())
}

fn answer(
    partition_index: i32,
    producers: Result<Vec<ProducerState>, ApiError>,
) -> PartitionResponse {
    match producers {
        Ok(active_producers) => PartitionResponse {
            partition_index,
            active_producers,
            ..Default::default()
        },
        Err(error) => PartitionResponse {
            partition_index,
            error_code: error.code.code(),
            error_message: error.text(),
            ..Default::default()
        },
    }
}
