//! ShareFetch: acquires records for a member of a share group, and acknowledges earlier ones on the way.
//!
//! Acknowledgements take effect first and become durable together with the new locks. A request that renews locks fetches
//! nothing (KIP-1222): the wait for records might outlast what it renews.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use outlast_protocol::messages::share_fetch::{
    AcquiredRecords, FetchTopic, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
    ShareFetchableTopicResponse,
};
use outlast_protocol::messages::{ShareFetchRequest, ShareFetchResponse};
use outlast_protocol::{ErrorCode, Records, Str};
use outlast_records::PartitionId;

use crate::broker_config::NODE_ID;
use crate::dispatch::RequestContext;
use crate::error::ApiError;
use crate::queues::{QueueCoordinator, Received, Worker};
use crate::share::{
    self, Acknowledgement, AcquireLimits, Allowed, FINAL_EPOCH, INITIAL_EPOCH, SessionKey,
    SessionTicket,
};
use crate::topics::TopicTable;

/// Locks can be renewed, and the acquire mode chosen, from this version on.
const RENEW: i16 = 2;
const BATCH_OPTIMIZED: i8 = 0;
const RECORD_LIMIT: i8 = 1;

type Acknowledged = BTreeMap<PartitionId, Result<(), ApiError>>;
type Fetched = Vec<(PartitionId, Result<Received, ErrorCode>)>;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: ShareFetchRequest,
) -> ShareFetchResponse {
    share_fetch(context, request)
        .await
        .unwrap_or_else(|error| ShareFetchResponse {
            error_code: error.code.code(),
            error_message: error.text(),
            ..Default::default()
        })
}

async fn share_fetch(
    context: &RequestContext<'_>,
    request: ShareFetchRequest,
) -> Result<ShareFetchResponse, ApiError> {
    let key = share::session_key(request.group_id.as_ref(), request.member_id.as_ref())?;
    check_renewal(context, &request)?;
    let limits = limits(context, &request)?;
    let broker = context.broker;
    let table = broker.topics.load_full();
    let named = request.topics.iter().map(|topic| topic.partitions.len());
    if table.are_too_many_partitions(named.sum()) {
        return Err(ErrorCode::InvalidRequest.into());
    }
    let mut session = match open_session(context, &request, &key).await {
        Err(error) if error.code == ErrorCode::ShareSessionLimitReached => {
            // Not at once: the client will try again as soon as it knows.
            let mut closing = broker.closing.subscribe();
            let closed = closing.wait_for(|closing| *closing);
            let _ = tokio::time::timeout(limits.max_wait, closed).await;
            return Err(error);
        }
        opened => opened?,
    };
    let settings = broker.group_settings(&key.group);
    let worker = Worker::new(&key.member);
    let queues = broker.queues().await?;

    let (mut acknowledged, to_acknowledge) = sort(&table, &request.topics);
    let allowed = Allowed {
        says_renew: context.version >= RENEW && request.is_renew_ack,
        renew_enabled: settings.share.renew_acknowledge,
    };
    let acknowledge = share::acknowledge(queues, &key.group, &worker, allowed, to_acknowledge);
    // Polled in this order: what is released can be acquired again at once.
    let (results, fetched) = tokio::join!(biased; acknowledge, async {
        match &mut session {
            Some(session) if !allowed.says_renew => {
                let epoch = request.share_session_epoch;
                fetch(context, queues, &table, (&key, &worker), epoch, limits, session).await
            }
            _ => Vec::new(),
        }
    });
    acknowledged.extend(results);

    if request.share_session_epoch == FINAL_EPOCH {
        broker.share_sessions.end(&key);
        share::release(broker, &key).await;
    } else if session.is_some_and(|session| !session.is_open()) {
        // It ended while we worked. What was acquired since may have missed that.
        if broker.share_sessions.exists(&key).is_err() {
            share::release(broker, &key).await;
        }
        return Err(ErrorCode::ShareSessionNotFound.into());
    }
    let responses = responses(&table, fetched, acknowledged);
    let mut partitions = responses.iter().flat_map(|topic| &topic.partitions);
    let hints = partitions.any(|data| data.current_leader != LeaderIdAndEpoch::default());
    Ok(ShareFetchResponse {
        acquisition_lock_timeout_ms: share::millis(settings.queue.lock),
        node_endpoints: hints.then(|| endpoint(context)).into_iter().collect(),
        responses,
        ..Default::default()
    })
}

fn check_renewal(
    context: &RequestContext<'_>,
    request: &ShareFetchRequest,
) -> Result<(), ApiError> {
    let asks_for_records = request.max_bytes != 0
        || request.min_bytes != 0
        || request.max_records != 0
        || request.max_wait_ms != 0;
    if context.version >= RENEW && request.is_renew_ack && asks_for_records {
        let message = "a request that renews locks has 0 as its bytes, records and wait";
        return Err(ApiError::new(ErrorCode::InvalidRequest, message));
    }
    Ok(())
}

fn limits(
    context: &RequestContext<'_>,
    request: &ShareFetchRequest,
) -> Result<AcquireLimits, ApiError> {
    let size = |value: i32| usize::try_from(value).unwrap_or(0);
    let max_bytes = size(request.max_bytes).min(context.broker.config.fetch_max_bytes);
    let whole_batches = match request.share_acquire_mode {
        BATCH_OPTIMIZED => true,
        RECORD_LIMIT => false,
        other => {
            let message = format!("there is no acquire mode {other}");
            return Err(ApiError::new(ErrorCode::InvalidRequest, message));
        }
    };
    Ok(AcquireLimits {
        max_records: size(request.max_records),
        min_bytes: size(request.min_bytes).min(max_bytes),
        max_bytes,
        max_wait: Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)),
        whole_batches,
    })
}

/// `None` for the final request of a session, which fetches nothing.
async fn open_session(
    context: &RequestContext<'_>,
    request: &ShareFetchRequest,
    key: &SessionKey,
) -> Result<Option<SessionTicket>, ApiError> {
    let sessions = &context.broker.share_sessions;
    let connection = context.connection.id;
    let named: BTreeSet<PartitionId> = partitions(&request.topics);
    match request.share_session_epoch {
        FINAL_EPOCH => {
            sessions.exists(key)?;
            Ok(None)
        }
        INITIAL_EPOCH => {
            if acknowledges(&request.topics) {
                let message = "the first request of a share session acknowledges nothing";
                return Err(ApiError::new(ErrorCode::InvalidRequest, message));
            }
            // Queues belong to groups that exist.
            if !context.broker.groups().await?.is_share_group(&key.group)? {
                let message = format!("there is no share group {}", &*key.group);
                return Err(ApiError::new(ErrorCode::GroupIdNotFound, message));
            }
            Ok(Some(sessions.begin(key, connection, named)?))
        }
        epoch => {
            let mut forgotten = BTreeSet::new();
            for topic in &request.forgotten_topics_data {
                let (topic, indexes) = (topic.topic_id, &topic.partitions);
                forgotten.extend(indexes.iter().map(|index| PartitionId {
                    topic,
                    index: *index,
                }));
            }
            let ticket = sessions.proceed(key, epoch, connection, named, &forgotten)?;
            Ok(Some(ticket))
        }
    }
}

fn partitions(topics: &[FetchTopic]) -> BTreeSet<PartitionId> {
    let mut partitions = BTreeSet::new();
    for topic in topics {
        let id = |index| PartitionId {
            topic: topic.topic_id,
            index,
        };
        partitions.extend(topic.partitions.iter().map(|p| id(p.partition_index)));
    }
    partitions
}

fn acknowledges(topics: &[FetchTopic]) -> bool {
    let mut partitions = topics.iter().flat_map(|topic| &topic.partitions);
    partitions.any(|partition| !partition.acknowledgement_batches.is_empty())
}

type ToAcknowledge<'a> = Vec<(PartitionId, Vec<Acknowledgement<'a>>)>;

/// Acknowledgements for partitions that there are, and errors for those that there are not.
fn sort<'a>(table: &TopicTable, topics: &'a [FetchTopic]) -> (Acknowledged, ToAcknowledge<'a>) {
    let mut failed = Acknowledged::new();
    let mut found = Vec::new();
    for topic in topics {
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
            if acknowledgements.is_empty() {
                continue;
            }
            match share::check_partition(table, id) {
                Ok(()) => found.push((id, acknowledgements)),
                Err(error) => {
                    failed.insert(id, Err(error));
                }
            }
        }
    }
    (failed, found)
}

async fn fetch(
    context: &RequestContext<'_>,
    queues: &QueueCoordinator,
    table: &TopicTable,
    (key, worker): (&SessionKey, &Worker),
    epoch: i32,
    limits: AcquireLimits,
    session: &mut SessionTicket,
) -> Fetched {
    let mut fetched = Fetched::new();
    let mut partitions = Vec::with_capacity(session.partitions.len());
    for id in share::rotated(&session.partitions, epoch) {
        match share::check_partition(table, id) {
            Ok(()) => partitions.push(id),
            Err(error) => fetched.push((id, Err(error.code))),
        }
    }
    let closing = context.broker.closing.subscribe();
    let acquired = share::acquire(
        queues, &key.group, worker, partitions, limits, session, closing,
    );
    fetched.extend(acquired.await);
    fetched
}

fn responses(
    table: &TopicTable,
    fetched: Fetched,
    acknowledged: Acknowledged,
) -> Vec<ShareFetchableTopicResponse> {
    let mut partitions: BTreeMap<PartitionId, PartitionData> = BTreeMap::new();
    for (id, found) in fetched {
        let data = partitions.entry(id).or_insert_with(|| empty(id));
        match found {
            Ok(received) => {
                if let Ok(topic) = table.get_by_id(id.topic) {
                    let bytes: usize = received.batches.iter().map(|batch| batch.len()).sum();
                    topic.metrics.bytes_out.inc_by(bytes as u64);
                }
                data.acquired_records = received.acquired.iter().map(acquired).collect();
                data.records = Records(received.batches);
            }
            Err(code) => {
                data.error_code = code.code();
                if let Some((leader_id, leader_epoch)) = share::leader_hint(table, id, code) {
                    data.current_leader = LeaderIdAndEpoch {
                        leader_id,
                        leader_epoch,
                    };
                }
            }
        }
    }
    for (id, result) in acknowledged {
        let data = partitions.entry(id).or_insert_with(|| empty(id));
        if let Err(error) = result {
            data.acknowledge_error_code = error.code.code();
            data.acknowledge_error_message = error.text();
        }
    }
    let mut topics: Vec<ShareFetchableTopicResponse> = Vec::new();
    for (id, data) in partitions {
        match topics.last_mut() {
            Some(last) if last.topic_id == id.topic => last.partitions.push(data),
            _ => topics.push(ShareFetchableTopicResponse {
                topic_id: id.topic,
                partitions: vec![data],
            }),
        }
    }
    topics
}

fn empty(id: PartitionId) -> PartitionData {
    PartitionData {
        partition_index: id.index,
        ..Default::default()
    }
}

fn acquired(range: &crate::queues::AcquiredRange) -> AcquiredRecords {
    AcquiredRecords {
        first_offset: range.first.0,
        last_offset: range.last.0,
        delivery_count: i16::try_from(range.delivery_count).unwrap_or(i16::MAX),
    }
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
