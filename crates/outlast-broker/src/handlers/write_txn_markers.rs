//! WriteTxnMarkers: ends a producer's transaction in some partitions, past its coordinator. Between brokers that is how every
//! transaction ends; here it is how an administrator ends one that hangs (`kafka-transactions.sh abort`).

use std::sync::Arc;

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::write_txn_markers::{
    WritableTxnMarker, WritableTxnMarkerPartitionResult, WritableTxnMarkerResult,
    WritableTxnMarkerTopicResult,
};
use outlast_protocol::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use outlast_records::{BatchBuilder, EndTxnMarker, Offset, ProducerEpoch, ProducerId};
use outlast_storage::{AppendSection, Durable, SectionOutcome};

use crate::broker::Broker;
use crate::coordinator::Pending;
use crate::dispatch::RequestContext;
use crate::error::ApiError;
use crate::topic_name::CONSUMER_OFFSETS;
use crate::topics::Partition;

/// From this transaction version on every end has an epoch of its own, higher than that of the records.
const FIRST_VERSION_THAT_BUMPS: i8 = 2;

/// What a partition's answer waits for.
enum Started {
    Log(Durable),
    Group(Pending<()>),
}

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: WriteTxnMarkersRequest,
) -> WriteTxnMarkersResponse {
    let mut markers = Vec::with_capacity(request.markers.len());
    for marker in &request.markers {
        let mut topics = Vec::with_capacity(marker.topics.len());
        for topic in &marker.topics {
            let started: Vec<_> = topic
                .partition_indexes
                .iter()
                .map(|index| (*index, start(context.broker, marker, &topic.name, *index)))
                .collect();
            let mut partitions = Vec::with_capacity(started.len());
            for (partition_index, started) in started {
                let finished = match started {
                    Ok(started) => finish(context.broker, started).await,
                    Err(code) => Err(code),
                };
                partitions.push(WritableTxnMarkerPartitionResult {
                    partition_index,
                    error_code: finished.err().unwrap_or(ErrorCode::None).code(),
                });
            }
            topics.push(WritableTxnMarkerTopicResult {
                name: topic.name.clone(),
                partitions,
            });
        }
        markers.push(WritableTxnMarkerResult {
            producer_id: marker.producer_id,
            topics,
        });
    }
    WriteTxnMarkersResponse { markers }
}

fn start(
    broker: &Arc<Broker>,
    asked: &WritableTxnMarker,
    topic: &str,
    index: i32,
) -> Result<Started, ErrorCode> {
    let table = broker.topics.load();
    let partition = table
        .get(topic)
        .and_then(|topic| topic.partition(index))
        .map_err(|error| error.code)?;
    let producer = (
        ProducerId(asked.producer_id),
        ProducerEpoch(asked.producer_epoch),
    );
    let marker = EndTxnMarker {
        commit: asked.transaction_result,
        coordinator_epoch: asked.coordinator_epoch,
    };
    if asked.transaction_version >= FIRST_VERSION_THAT_BUMPS
        && is_of_its_own_epoch(partition, producer)
    {
        return Err(ErrorCode::InvalidProducerEpoch);
    }
    if topic == CONSUMER_OFFSETS {
        let groups = broker
            .opened_groups()
            .ok_or(ErrorCode::NotLeaderOrFollower)?;
        let ended = groups.end_transaction(index, producer, marker, &[]);
        return ended.map(Started::Group).map_err(|code| match code {
            // The group's records are being read: whoever asks tries again.
            ErrorCode::CoordinatorNotAvailable | ErrorCode::CoordinatorLoadInProgress => {
                ErrorCode::NotLeaderOrFollower
            }
            other => other,
        });
    }
    let now = broker.clock.now();
    let mut append = broker.store.append(vec![AppendSection {
        log: partition.log.clone(),
        batches: vec![BatchBuilder::end_txn_marker(
            marker, producer.0, producer.1, now,
        )],
        leader_epoch: partition.leader_epoch,
    }]);
    match append.sections.pop() {
        Some(SectionOutcome::Rejected(rejection)) => Err(ApiError::from(rejection).code),
        Some(SectionOutcome::Appended { .. } | SectionOutcome::Duplicate { .. }) => {
            Ok(Started::Log(append.durable))
        }
        None => Err(ErrorCode::UnknownServerError),
    }
}

/// A marker that claims to follow a bump, and has the epoch of the transaction that is open.
fn is_of_its_own_epoch(partition: &Partition, (id, epoch): (ProducerId, ProducerEpoch)) -> bool {
    partition.log.producers().iter().any(|producer| {
        producer.producer_id == id
            && producer.producer_epoch == epoch
            && producer
                .current_txn_start_offset
                .is_some_and(|first| first >= Offset(0))
    })
}

async fn finish(broker: &Arc<Broker>, started: Started) -> Result<(), ErrorCode> {
    match started {
        Started::Log(durable) => durable.await.map_err(|error| ApiError::from(error).code),
        Started::Group(pending) => match broker.opened_groups() {
            Some(groups) => groups.settled(pending).await,
            None => Err(ErrorCode::NotLeaderOrFollower),
        },
    }
}
