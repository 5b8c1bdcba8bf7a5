//! ShareAcknowledge: what became of records that a member of a share group has acquired.

use std::collections::BTreeMap;

use outlast_protocol::Str;
use outlast_protocol::messages::share_acknowledge::{
    LeaderIdAndEpoch, NodeEndpoint, PartitionData, ShareAcknowledgeTopicResponse,
};
use outlast_protocol::messages::{ShareAcknowledgeRequest, ShareAcknowledgeResponse};
use outlast_records::PartitionId;

use crate::broker_config::NODE_ID;
use crate::dispatch::RequestContext;
use crate::error::ApiError;
use crate::queues::Worker;
use crate::share::{self, Acknowledgement, Allowed, FINAL_EPOCH};
use crate::topics::TopicTable;

/// Locks can be renewed from this version on.
const RENEW: i16 = 2;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: ShareAcknowledgeRequest,
) -> ShareAcknowledgeResponse {
    share_acknowledge(context, request)
        .await
        .unwrap_or_else(|error| ShareAcknowledgeResponse {
            error_code: error.code.code(),
            error_message: error.text(),
            ..Default::default()
        })
}

async fn share_acknowledge(
    context: &RequestContext<'_>,
    request: ShareAcknowledgeRequest,
) -> Result<ShareAcknowledgeResponse, ApiError> {
    let key = share::session_key(request.group_id.as_ref(), request.member_id.as_ref())?;
    let broker = context.broker;
    let (epoch, connection) = (request.share_session_epoch, context.connection.id);
    broker.share_sessions.acknowledge(&key, epoch, connection)?;
    let settings = broker.group_settings(&key.group);
    let queues = broker.queues().await?;

    let table = broker.topics.load_full();
    let mut results: BTreeMap<PartitionId, Result<(), ApiError>> = BTreeMap::new();
    let mut to_acknowledge = Vec::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let id = PartitionId {
                topic: topic.topic_id,
                index: partition.partition_index,
            };
            let batches = partition.acknowledgement_batches.iter();
            let acknowledgements: Vec<_> = batches
                .map(|batch| Acknowledgement {
                    first: batch.first_offset,
                    last: batch.last_offset,
                    types: &batch.acknowledge_types,
                })
                .collect();
            let checked = share::check_partition(&table, id);
            if checked.is_ok() && !acknowledgements.is_empty() {
                to_acknowledge.push((id, acknowledgements));
            } else {
                results.insert(id, checked);
            }
        }
    }
    let allowed = Allowed {
        says_renew: context.version >= RENEW && request.is_renew_ack,
        renew_enabled: settings.share.renew_acknowledge,
    };
    let worker = Worker::new(&key.member);
    let acknowledged = share::acknowledge(queues, &key.group, &worker, allowed, to_acknowledge);
    results.extend(acknowledged.await);

    if epoch == FINAL_EPOCH {
        broker.share_sessions.end(&key);
        share::release(broker, &key).await;
    }
    let responses = responses(&table, results);
    let mut partitions = responses.iter().flat_map(|topic| &topic.partitions);
    let hints = partitions.any(|data| data.current_leader != LeaderIdAndEpoch::default());
    Ok(ShareAcknowledgeResponse {
        acquisition_lock_timeout_ms: share::millis(settings.queue.lock),
        node_endpoints: hints.then(|| endpoint(context)).into_iter().collect(),
        responses,
        ..Default::default()
    })
}

fn responses(
    table: &TopicTable,
    results: BTreeMap<PartitionId, Result<(), ApiError>>,
) -> Vec<ShareAcknowledgeTopicResponse> {
    let mut topics: Vec<ShareAcknowledgeTopicResponse> = Vec::new();
    for (id, result) in results {
        let mut data = PartitionData {
            partition_index: id.index,
            ..Default::default()
        };
        if let Err(error) = result {
            data.error_code = error.code.code();
            data.error_message = error.text();
            if let Some((leader_id, leader_epoch)) = share::leader_hint(table, id, error.code) {
                data.current_leader = LeaderIdAndEpoch {
                    leader_id,
                    leader_epoch,
                };
            }
        }
        match topics.last_mut() {
            Some(last) if last.topic_id == id.topic => last.partitions.push(data),
            _ => topics.push(ShareAcknowledgeTopicResponse {
                topic_id: id.topic,
                partitions: vec![data],
            }),
        }
    }
    topics
}

fn endpoint(context: &RequestContext<'_>) -> NodeEndpoint {
    let advertised = &context.connection.advertised;
    NodeEndpoint {
        node_id: NODE_ID,
        host: advertised.host.clone(),
        port: i32::from(advertised.port),
        rack: context.broker.config.rack.as_deref().map(Str::from),
    }
}
