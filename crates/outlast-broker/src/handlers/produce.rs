//! Produce: checks the batches of many partitions and appends them in one step; the answer waits until they are durable.
//!
//! Ordinarily nothing is awaited before the append, so that the requests of one connection append in the order in which
//! they came; where a topic deduplicates and its window must be read first, requests queue up in that order. The records'
//! bytes go from the request's frame to the log as they are, unless the topic asks for another compression or leaves
//! repeats out.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::BytesMut;
use outlast_protocol::messages::produce::{
    BatchIndexAndErrorMessage, PartitionProduceData, PartitionProduceResponse, TopicProduceResponse,
};
use outlast_protocol::messages::{ProduceRequest, ProduceResponse};
use outlast_protocol::{ErrorCode, Str};
use outlast_records::{
    CheckedBatch, Compression, ProduceRules, Timestamp, TimestampType, check_produced,
};
use outlast_storage::{AppendSection, Durable, PartitionLog, SectionOutcome};
use prometheus_client::metrics::counter::Counter;
use uuid::Uuid;

use crate::dispatch::RequestContext;
use crate::error::{ApiError, CloseConnection};
use crate::produce::MAX_DECOMPRESSED_BYTES;
use crate::produce::dedupe::{self, Candidate, Ids, Outcome, Published};
use crate::topic_config::TopicConfig;
use crate::topics::{Topic, TopicTable};
use crate::transactions;

/// Topics are named by id from this version on.
const TOPIC_IDS: i16 = 13;
const ACKS_ALL: i16 = -1;

/// Where in the response a section's outcome belongs.
struct Place {
    topic: usize,
    partition: usize,
    log: Arc<PartitionLog>,
    log_append_time: Timestamp,
    repeats: Counter,
    /// Topic and partition.
    name: (Str, i32),
}

/// When a section's records are durable.
enum Wait {
    /// With those that are not in this request's append.
    Until(Durable),
    Already,
}

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: ProduceRequest,
) -> Result<Option<ProduceResponse>, CloseConnection> {
    let acks = request.acks;
    let id = request.transactional_id.clone();
    let (mut response, mut places, candidates) = check(context, request);
    let append = append(context, id.as_ref(), &places, candidates).await;
    let mut waits: HashMap<usize, Wait> = HashMap::new();
    for (at, (place, (outcome, repeats))) in places.iter_mut().zip(append.outcomes).enumerate() {
        place.repeats.inc_by(repeats);
        let answer = place.answer(&mut response);
        let (first, time, wait) = match outcome {
            Outcome::Section(SectionOutcome::Appended { base_offset, .. }) => {
                answer.base_offset = base_offset.0;
                continue;
            }
            // The client sent it again because it missed the answer: it gets the first one.
            Outcome::Section(SectionOutcome::Duplicate {
                base_offset,
                timestamp,
                durable,
                ..
            }) => (base_offset, timestamp, Wait::Until(durable)),
            Outcome::Repeats { offset, time } => (offset, time, Wait::Already),
            Outcome::Section(SectionOutcome::Rejected(rejection)) => {
                fail(answer, rejection.into());
                continue;
            }
            Outcome::Refused(error) => {
                fail(answer, error);
                continue;
            }
        };
        answer.base_offset = first.0;
        if place.log_append_time != Timestamp::NONE {
            place.log_append_time = time;
        }
        waits.insert(at, wait);
    }
    if acks == 0 {
        return unacknowledged(&response).map_or(Ok(None), Err);
    }
    let durable = append.durable.await;
    for (at, place) in places.iter().enumerate() {
        let outcome = match waits.remove(&at) {
            Some(Wait::Until(duplicate)) => duplicate.await,
            Some(Wait::Already) => Ok(()),
            None => durable.clone(),
        };
        let answer = place.answer(&mut response);
        if answer.error_code != 0 {
            continue;
        }
        match outcome {
            Ok(()) => {
                answer.log_append_time_ms = place.log_append_time.0;
                answer.log_start_offset = place.log.start_offset().0;
            }
            Err(error) => fail(answer, error.into()),
        }
    }
    Ok(Some(response))
}

async fn append(
    context: &RequestContext<'_>,
    id: Option<&Str>,
    places: &[Place],
    candidates: Vec<Candidate>,
) -> Published {
    let broker = context.broker;
    if candidates.iter().any(transactions::is_transactional) {
        // Their records have no ids: see `candidate`.
        let names = places.iter().map(|place| place.name.clone());
        return transactions::append(broker, id, context.version, names.zip(candidates));
    }
    if candidates.iter().any(|candidate| candidate.ids.is_some()) {
        let now = broker.clock.now();
        return dedupe::append(&broker.store, &broker.dedupe_turnstile, now, candidates).await;
    }
    let sections = candidates.into_iter().map(|candidate| candidate.section);
    let append = broker.store.append(sections.collect());
    Published {
        outcomes: append
            .sections
            .into_iter()
            .map(|outcome| (Outcome::Section(outcome), 0))
            .collect(),
        durable: append.durable,
    }
}

impl Place {
    fn answer<'a>(&self, response: &'a mut ProduceResponse) -> &'a mut PartitionProduceResponse {
        &mut response.responses[self.topic].partition_responses[self.partition]
    }
}

/// An error is not tied to an offset: 0 would be a valid one.
fn fail(answer: &mut PartitionProduceResponse, error: ApiError) {
    answer.error_code = error.code.code();
    answer.error_message = error.text();
    answer.base_offset = -1;
    let text = error.text();
    let record = |index: &usize| {
        Some(BatchIndexAndErrorMessage {
            batch_index: i32::try_from(*index).ok()?,
            batch_index_error_message: text.clone(),
        })
    };
    answer.record_errors = error.records.iter().filter_map(record).collect();
}

fn unacknowledged(response: &ProduceResponse) -> Option<CloseConnection> {
    let mut answers = response.responses.iter().flat_map(|topic| {
        topic
            .partition_responses
            .iter()
            .map(move |partition| (topic, partition))
    });
    let (topic, partition) = answers.find(|(_, partition)| partition.error_code != 0)?;
    let code = ErrorCode::from_code(partition.error_code).unwrap_or(ErrorCode::UnknownServerError);
    let message = partition.error_message.as_deref().unwrap_or_default();
    Some(CloseConnection::Unacknowledged(format!(
        "{}-{}: {code} {message}",
        topic.name, partition.index
    )))
}

/// Errors are in the response already; what is good becomes sections.
fn check(
    context: &RequestContext<'_>,
    request: ProduceRequest,
) -> (ProduceResponse, Vec<Place>, Vec<Candidate>) {
    let table = context.broker.topics.load();
    let now = context.broker.clock.now();
    let refused = refuse(&request);
    let acks = request.acks;
    let mut response = ProduceResponse::default();
    let (mut places, mut candidates) = (Vec::new(), Vec::new());
    for (topic_at, data) in request.topic_data.into_iter().enumerate() {
        let topic = match &refused {
            None => find_topic(context, &table, &data.name, data.topic_id),
            Some(error) => Err(error.clone()),
        };
        let mut answers = Vec::with_capacity(data.partition_data.len());
        for (partition_at, partition) in data.partition_data.into_iter().enumerate() {
            let mut answer = PartitionProduceResponse {
                index: partition.index,
                base_offset: -1,
                ..Default::default()
            };
            let checked = topic.as_ref().map_err(Clone::clone);
            let made = checked.and_then(|topic| {
                let (candidate, log_append_time) =
                    candidate(context.version, topic, partition, acks, now)?;
                let repeats = topic.metrics.repeats.clone();
                Ok((candidate, log_append_time, repeats, topic.name.clone()))
            });
            match made {
                Ok((candidate, log_append_time, repeats, topic)) => {
                    places.push(Place {
                        topic: topic_at,
                        partition: partition_at,
                        log: candidate.section.log.clone(),
                        log_append_time,
                        repeats,
                        name: (topic, answer.index),
                    });
                    candidates.push(candidate);
                }
                Err(error) => fail(&mut answer, error),
            }
            answers.push(answer);
        }
        response.responses.push(TopicProduceResponse {
            name: data.name,
            topic_id: data.topic_id,
            partition_responses: answers,
        });
    }
    (response, places, candidates)
}

/// What is wrong with the request as a whole.
fn refuse(request: &ProduceRequest) -> Option<ApiError> {
    if !(-1..=1).contains(&request.acks) {
        let message = format!("acks is {}, it must be 0, 1 or -1 (all)", request.acks);
        return Some(ApiError::new(ErrorCode::InvalidRequiredAcks, message));
    }
    None
}

fn find_topic(
    context: &RequestContext<'_>,
    table: &TopicTable,
    name: &str,
    id: Uuid,
) -> Result<Arc<Topic>, ApiError> {
    let topic = if context.version >= TOPIC_IDS {
        table.get_by_id(id)?
    } else {
        table.get(name)?
    };
    // Kafka's own tools write to internal topics under this client id.
    if topic.is_internal && context.client_id.as_deref() != Some("__admin_client") {
        let message = format!(
            "topic {} is the broker's own: clients may not write to it",
            topic.name
        );
        return Err(ApiError::new(ErrorCode::InvalidTopicException, message));
    }
    Ok(topic.clone())
}

fn candidate(
    version: i16,
    topic: &Arc<Topic>,
    data: PartitionProduceData,
    acks: i16,
    now: Timestamp,
) -> Result<(Candidate, Timestamp), ApiError> {
    let partition = topic.partition(data.index)?;
    if acks == ACKS_ALL && topic.config.min_insync_replicas > 1 {
        let message = format!(
            "min.insync.replicas of topic {} is {}, but there is one broker",
            topic.name, topic.config.min_insync_replicas
        );
        return Err(ApiError::new(ErrorCode::NotEnoughReplicas, message));
    }
    let records = data.records.unwrap_or_default();
    let bytes = records.len() as u64;
    let batch = checked_batch(&topic.config, records, version, now)?;
    let log_append_time = match topic.config.timestamp_type {
        TimestampType::LogAppendTime => now,
        TimestampType::CreateTime => Timestamp::NONE,
    };
    topic.metrics.bytes_in.inc_by(bytes);
    topic
        .metrics
        .messages_in
        .inc_by(u64::from(batch.header().records_count.unsigned_abs()));
    // What a transaction brings counts when it commits, which nobody knows yet: its ids are not looked at.
    let dedupe = topic.config.messages.dedupe.as_ref();
    let dedupe = dedupe.filter(|_| !batch.header().attributes.is_transactional());
    let ids = dedupe.map(|config| Ids::of(&batch, partition, config));
    let section = AppendSection {
        log: partition.log.clone(),
        batches: vec![batch],
        leader_epoch: partition.leader_epoch,
    };
    let ids = ids.transpose()?;
    Ok((Candidate { section, ids }, log_append_time))
}

/// Checks what came for one partition, and changes it only where the topic's configuration says so.
fn checked_batch(
    config: &TopicConfig,
    records: BytesMut,
    version: i16,
    now: Timestamp,
) -> Result<CheckedBatch, ApiError> {
    let stamped = config.timestamp_type == TimestampType::LogAppendTime;
    let rules = ProduceRules {
        max_batch_bytes: config.max_message_bytes,
        max_decompressed_bytes: MAX_DECOMPRESSED_BYTES,
        keys_required: config.compact,
        log_append_time: stamped,
        now,
        timestamp_before_max_ms: config.timestamp_before_max_ms,
        timestamp_after_max_ms: config.timestamp_after_max_ms,
    };
    let mut batch = check_produced(records, &rules)?;
    let compression = batch.header().attributes.compression()?;
    if version < 7 && compression == Compression::Zstd {
        let message = "zstd needs Produce v7 or later: use a newer client or another compression";
        return Err(ApiError::new(
            ErrorCode::UnsupportedCompressionType,
            message,
        ));
    }
    if let Some(wanted) = config.compression
        && wanted != compression
    {
        batch = batch.recompress(wanted, None, MAX_DECOMPRESSED_BYTES)?;
        if batch.size() > config.max_message_bytes {
            let message = format!(
                "the batch has {} bytes after recompression, more than max.message.bytes={}",
                batch.size(),
                config.max_message_bytes
            );
            return Err(ApiError::new(ErrorCode::MessageTooLarge, message));
        }
    }
    if stamped {
        batch.set_log_append_time(now);
    }
    Ok(batch)
}
