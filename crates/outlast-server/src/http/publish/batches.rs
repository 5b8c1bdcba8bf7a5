//! From messages to produce requests and back to an outcome for each.
//!
//! A partition gets its messages in their order, in as few batches as the topic's largest batch allows. All requests are
//! begun before the first is waited for, so that they share one write to the disk; appending happens when a request is
//! begun, which keeps the order.

use std::collections::HashMap;

use bytes::BytesMut;
use futures_util::future::join_all;
use outlast_protocol::ErrorCode;
use outlast_protocol::messages::ProduceRequest;
use outlast_protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, TopicProduceData,
};
use outlast_records::{BatchBuilder, Compression, HEADER_SIZE, NewRecord, murmur2};

use super::{Outcome, Outgoing};
use crate::http::api::{Api, Found};
use crate::http::problem::{Kind, Problem};

/// Names the topic by name, and may carry a message with an error.
const PRODUCE: i16 = 9;
const ACKS_ALL: i16 = -1;
const TIMEOUT_MS: i32 = 30_000;
/// A record's lengths and deltas take no more than this beside its bytes, a header's no more than the other.
const RECORD_OVERHEAD: usize = 40;
const HEADER_OVERHEAD: usize = 10;

/// Messages of one partition that are stored, or not, together.
struct Batch {
    partition: i32,
    builder: BatchBuilder,
    /// Their places in the request.
    places: Vec<usize>,
}

pub(super) async fn send(
    api: &Api,
    found: &Found,
    messages: Vec<Outgoing>,
    turn: usize,
) -> Result<Vec<Outcome>, Problem> {
    let count = messages.len();
    let topic = api
        .broker
        .topic(&found.queue)
        .ok_or_else(|| Problem::from(ErrorCode::UnknownTopicOrPartition))?;
    // A batch of which some are duplicates has no simple offsets; one by one each gets its own.
    let id_header = topic.dedupe_header.as_deref();
    let one_by_one = id_header.is_some();
    let batches = gather(
        messages,
        |message| partition_of(found, message, id_header, turn),
        topic.max_message_bytes,
        |batch| one_by_one && !batch.builder.is_empty(),
        api.broker.now(),
    );
    let sent = join_all(
        batches
            .into_iter()
            .map(|batch| produce(api, &found.queue, batch)),
    )
    .await;
    let mut outcomes = vec![Outcome::default(); count];
    for (places, result) in sent {
        for (i, place) in places.into_iter().enumerate() {
            outcomes[place] = match &result {
                Ok((partition, base)) => Outcome {
                    partition: Some(*partition),
                    offset: Some(base + i as i64),
                    error: None,
                },
                Err(problem) => Outcome {
                    error: Some(problem.clone()),
                    ..Outcome::default()
                },
            };
        }
    }
    Ok(outcomes)
}

fn gather(
    messages: Vec<Outgoing>,
    partition_of: impl Fn(&Outgoing) -> i32,
    max_bytes: usize,
    is_full: impl Fn(&Batch) -> bool,
    now: outlast_records::Timestamp,
) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    // The batch of each partition that is still open.
    let mut open: HashMap<i32, usize> = HashMap::new();
    for (place, message) in messages.into_iter().enumerate() {
        let partition = partition_of(&message);
        let size = size_of(&message);
        let fitting = open.get(&partition).copied().filter(|at| {
            let batch = &batches[*at];
            batch.builder.uncompressed_size() + size <= max_bytes && !is_full(batch)
        });
        let at = fitting.unwrap_or_else(|| {
            batches.push(Batch {
                partition,
                builder: BatchBuilder::with_capacity(Compression::None, HEADER_SIZE + size),
                places: Vec::new(),
            });
            batches.len() - 1
        });
        open.insert(partition, at);
        let headers: Vec<(&[u8], Option<&[u8]>)> = message
            .headers
            .iter()
            .map(|(name, value)| (name.as_slice(), value.as_deref()))
            .collect();
        batches[at].builder.append(NewRecord {
            timestamp: message.timestamp.unwrap_or(now),
            key: message.key.as_deref(),
            value: message.value.as_deref(),
            headers: &headers,
        });
        batches[at].places.push(place);
    }
    batches
}

/// By key as Kafka's producers do it; without one by the id that the topic deduplicates by, so that a message that is sent
/// again meets its first copy; without that, too, all messages of a request go to the same, the next request's to the
/// next one.
fn partition_of(found: &Found, message: &Outgoing, id_header: Option<&str>, turn: usize) -> i32 {
    let count = found.partitions.max(1);
    if let Some(partition) = message.partition {
        return partition.clamp(0, count - 1);
    }
    let id = || {
        let name = id_header?.as_bytes();
        // The last one counts, as for the broker.
        let mut headers = message.headers.iter().rev();
        headers.find(|(header, _)| header == name)?.1.as_ref()
    };
    match message.key.as_ref().or_else(id) {
        Some(key) => murmur2::partition_for_key(key, count),
        None => (turn % count as usize) as i32,
    }
}

fn size_of(message: &Outgoing) -> usize {
    let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    let headers = message.headers.iter();
    let headers = headers.map(|(name, value)| HEADER_OVERHEAD + name.len() + length(value));
    RECORD_OVERHEAD + length(&message.key) + length(&message.value) + headers.sum::<usize>()
}

type Sent = (Vec<usize>, Result<(i32, i64), Problem>);

async fn produce(api: &Api, topic: &str, batch: Batch) -> Sent {
    let result = async {
        let built = batch
            .builder
            .build()
            .map_err(|error| Problem::new(Kind::TooLarge, error.to_string()))?;
        let request = ProduceRequest {
            acks: ACKS_ALL,
            timeout_ms: TIMEOUT_MS,
            topic_data: vec![TopicProduceData {
                name: topic.into(),
                partition_data: vec![PartitionProduceData {
                    index: batch.partition,
                    records: Some(BytesMut::from(built.bytes())),
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let mut response = api.kafka.call(PRODUCE, &request).await?;
        let answer = response
            .responses
            .pop()
            .and_then(|mut topic| topic.partition_responses.pop())
            .ok_or_else(|| Problem::new(Kind::Internal, "the broker gave no answer"))?;
        offset_of(answer)
    };
    (batch.places, result.await)
}

fn offset_of(answer: PartitionProduceResponse) -> Result<(i32, i64), Problem> {
    match ErrorCode::from_code(answer.error_code) {
        Some(ErrorCode::None) => Ok((answer.index, answer.base_offset)),
        code => Err(Problem::from_broker(
            code.unwrap_or(ErrorCode::UnknownServerError),
            answer.error_message.as_deref().map(Into::into),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outlast_records::Timestamp;

    fn found(partitions: i32) -> Found {
        Found {
            queue: "q".to_owned(),
            group: "q".to_owned(),
            topic: uuid::Uuid::nil(),
            partitions,
        }
    }

    fn message(key: Option<&str>, size: usize) -> Outgoing {
        Outgoing {
            key: key.map(Into::into),
            value: Some(vec![0; size]),
            ..Outgoing::default()
        }
    }

    fn gathered(partitions: i32, messages: Vec<Outgoing>, max: usize) -> Vec<(i32, Vec<usize>)> {
        let found = found(partitions);
        let partition = |message: &Outgoing| partition_of(&found, message, Some("id"), 1);
        let batches = gather(messages, partition, max, |_| false, Timestamp(1));
        for batch in &batches {
            assert!(batch.builder.uncompressed_size() <= max || batch.places.len() == 1);
        }
        let parts = batches
            .into_iter()
            .map(|batch| (batch.partition, batch.places));
        parts.collect()
    }

    #[test]
    fn a_batch_is_never_larger_than_the_topic_allows() {
        let messages = (0..4).map(|_| message(None, 400)).collect();
        assert_eq!(
            gathered(1, messages, 1000),
            [(0, vec![0, 1]), (0, vec![2, 3])]
        );
        let giants = vec![message(None, 400), message(None, 5000), message(None, 400)];
        assert_eq!(gathered(1, giants, 1000).len(), 3);
    }

    /// A client that heard no answer sends the message again, in another request.
    #[test]
    fn an_id_has_its_partition_where_there_is_no_key() {
        let with_id = |key| Outgoing {
            headers: vec![(b"id".to_vec(), Some(b"a".to_vec()))],
            ..message(key, 1)
        };
        let messages = vec![with_id(None), message(None, 1), with_id(Some("ab"))];
        let expect = [(4, vec![0]), (1, vec![1]), (2, vec![2])];
        assert_eq!(gathered(12, messages, 10_000), expect);
    }

    #[test]
    fn a_key_has_its_partition_and_the_rest_go_together() {
        // As in the Java client: of twelve, "a" is in 4 and "ab" in 2.
        let messages = vec![
            message(Some("a"), 1),
            message(None, 1),
            message(Some("ab"), 1),
            message(Some("a"), 1),
            message(None, 1),
        ];
        let expect = [(4, vec![0, 3]), (1, vec![1, 4]), (2, vec![2])];
        assert_eq!(gathered(12, messages, 10_000), expect);
    }
}
