//! Deduplication on publish: a repeated id is acknowledged and not stored again, whoever sends it and whatever happened
//! in between.

use bytes::BytesMut;
use outlast_protocol::ErrorCode;
use outlast_protocol::messages::InitProducerIdRequest;
use outlast_protocol::messages::produce::PartitionProduceResponse;
use outlast_records::{
    BatchBuilder, Compression, NewRecord, ProducerEpoch, ProducerId, Sequence, Timestamp,
};
use outlast_storage::io::fault::Survives;
use proptest::prelude::*;

use crate::harness::*;

const WINDOW: i64 = 1_000;

const ON: &[(&str, &str)] = &[
    ("message.dedupe.header", "id"),
    ("message.dedupe.window.ms", "1000"),
];

/// A batch of messages, each with a value and perhaps an id.
struct Messages {
    builder: BatchBuilder,
    now: i64,
}

impl Messages {
    fn new(now: i64, codec: Compression) -> Self {
        let builder = BatchBuilder::new(codec);
        Self { builder, now }
    }

    fn producer(self, id: i64, sequence: i32) -> Self {
        let builder = self
            .builder
            .producer(ProducerId(id), ProducerEpoch(0), Sequence(sequence));
        Self { builder, ..self }
    }

    fn add(mut self, id: Option<&str>, value: &str) -> Self {
        let headers: Vec<(&[u8], _)> = id
            .map(|id| (b"id".as_slice(), Some(id.as_bytes())))
            .into_iter()
            .collect();
        self.builder.append(NewRecord {
            timestamp: Timestamp(self.now),
            key: None,
            value: Some(value.as_bytes()),
            headers: &headers,
        });
        self
    }

    fn bytes(self) -> BytesMut {
        BytesMut::from(self.builder.build().unwrap().bytes())
    }
}

fn messages(ids: &[&str]) -> BytesMut {
    let batch = Messages::new(START, Compression::None);
    ids.iter()
        .enumerate()
        .fold(batch, |batch, (at, id)| {
            batch.add(Some(id), &format!("{id}{at}"))
        })
        .bytes()
}

async fn put(broker: &TestBroker, topic: &str, ids: &[&str]) -> i64 {
    let answer = broker.produce(topic, 0, messages(ids)).await;
    assert_eq!(
        error(answer.error_code),
        ErrorCode::None,
        "{:?}",
        answer.error_message
    );
    answer.base_offset
}

async fn stored(broker: &TestBroker, topic: &str) -> Vec<(i64, String)> {
    let (mut found, mut from) = (Vec::new(), 0);
    loop {
        let fetched = broker.call(12, fetch_request(&[(topic, 0, from)])).await;
        let data = &fetched.responses[0].partitions[0];
        assert_eq!(error(data.error_code), ErrorCode::None);
        found.extend(values(data));
        let records = data.records.clone().unwrap_or_default().into_bytes();
        match outlast_records::stored_batches(records).last() {
            Some(last) => from = last.unwrap().0.next_offset().0,
            None => return found,
        }
    }
}

async fn producer_id(broker: &TestBroker) -> i64 {
    let request = InitProducerIdRequest::default();
    broker.call(4, request).await.producer_id
}

#[tokio::test]
async fn a_repeat_is_answered_with_its_originals_offset_and_not_stored() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, ON).await;
    assert_eq!(put(&broker, "t", &["a", "b", "a"]).await, 0);
    assert_eq!(put(&broker, "t", &["b"]).await, 1);
    // What is new keeps the offset that its producer counts on.
    assert_eq!(put(&broker, "t", &["b", "c"]).await, 3);
    let expect = [(0, "a0"), (1, "b1"), (4, "c1")];
    assert_eq!(
        stored(&broker, "t").await,
        expect.map(|(offset, value)| (offset, value.to_owned()))
    );
    assert!(
        broker
            .metrics()
            .contains("outlast_topic_messages_deduplicated_total{topic=\"t\"} 3")
    );
}

#[tokio::test]
async fn the_window_is_a_time() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, ON).await;
    put(&broker, "t", &["a"]).await;
    broker.clock.advance_ms(WINDOW - 1);
    assert_eq!(
        put(&broker, "t", &["a"]).await,
        0,
        "a repeat does not prolong it"
    );
    broker.clock.advance_ms(1);
    assert_eq!(put(&broker, "t", &["a"]).await, 1);
    assert_eq!(put(&broker, "t", &["a"]).await, 1);
}

#[tokio::test]
async fn messages_without_an_id_and_topics_without_the_setting_are_left_alone() {
    let broker = TestBroker::start().await;
    broker.create_topic("off", 1, &[]).await;
    broker.create_topic("on", 1, ON).await;
    for offset in 0..2 {
        assert_eq!(put(&broker, "off", &["a"]).await, offset);
        assert_eq!(put(&broker, "on", &[""]).await, offset);
    }
    assert_eq!(broker.put("on", 0, &["x", "x"]).await, 2);
    assert_eq!(broker.put("on", 0, &["x", "x"]).await, 4);
}

#[tokio::test]
async fn what_was_there_before_it_was_switched_on_counts() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    put(&broker, "t", &["a", "b"]).await;
    let set = |key: &'static str, value: Option<&'static str>| {
        let broker = &broker;
        async move {
            let operation = if value.is_some() { 0 } else { 1 };
            let code = crate::configs::alter(broker, 2, "t", &[(key, operation, value)]).await;
            assert_eq!(code, ErrorCode::None);
        }
    };
    set("message.dedupe.header", Some("id")).await;
    assert_eq!(put(&broker, "t", &["b"]).await, 1);
    set("message.dedupe.header", None).await;
    assert_eq!(put(&broker, "t", &["b", "c"]).await, 2);
    set("message.dedupe.header", Some("id")).await;
    assert_eq!(put(&broker, "t", &["c"]).await, 3);
    set("message.dedupe.header", Some("other")).await;
    assert_eq!(put(&broker, "t", &["c"]).await, 4);
}

#[tokio::test]
async fn an_idempotent_producers_sequence_goes_on_over_repeats() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, ON).await;
    put(&broker, "t", &["a", "b"]).await;
    let id = producer_id(&broker).await;
    let batch = |sequence: i32, ids: &[&str]| {
        let batch = Messages::new(START, Compression::Lz4).producer(id, sequence);
        ids.iter()
            .fold(batch, |batch, id| batch.add(Some(id), id))
            .bytes()
    };
    for (sequence, ids, offset) in [
        (0, &["a", "b"][..], 2),
        (2, &["b", "c"], 4),
        (4, &["c"], 6),
        (5, &["d"], 7),
    ] {
        for time in ["first", "again"] {
            let answer = broker.produce("t", 0, batch(sequence, ids)).await;
            assert_eq!(
                (error(answer.error_code), answer.base_offset),
                (ErrorCode::None, offset),
                "{ids:?} {time}"
            );
        }
    }
    let broker = broker.restart().await;
    let answer = broker.produce("t", 0, batch(6, &["d"])).await;
    assert_eq!(
        (error(answer.error_code), answer.base_offset),
        (ErrorCode::None, 8)
    );
    let answer = broker.produce("t", 0, batch(9, &["e"])).await;
    assert_eq!(
        error(answer.error_code),
        ErrorCode::OutOfOrderSequenceNumber
    );
    assert_eq!(
        put(&broker, "t", &["e"]).await,
        9,
        "what was refused is not remembered"
    );
    let values: Vec<_> = stored(&broker, "t")
        .await
        .into_iter()
        .map(|(offset, _)| offset)
        .collect();
    assert_eq!(values, [0, 1, 5, 7, 9]);
}

#[tokio::test]
async fn two_at_once_are_one() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, ON).await;
    let (a, b, c) = tokio::join!(
        broker.produce("t", 0, messages(&["a"])),
        broker.produce("t", 0, messages(&["a"])),
        broker.produce("t", 0, messages(&["a", "b"])),
    );
    let offsets = [a, b, c].map(|answer| {
        assert_eq!(answer.error_code, 0);
        answer.base_offset
    });
    assert_eq!(offsets, [0, 0, 1]);
    assert_eq!(stored(&broker, "t").await.len(), 2);
}

#[tokio::test]
async fn requests_keep_their_order_while_a_window_is_read() {
    let broker = TestBroker::start().await;
    for topic in ["t", "u"] {
        broker.create_topic(topic, 1, ON).await;
    }
    put(&broker, "t", &["a"]).await;
    let broker = broker.restart().await;
    // The first one touches another partition, too, and must not be overtaken because of it.
    let mut both = produce_request("u", 0, -1, messages(&["z"]));
    both.topic_data
        .extend(produce_request("t", 0, -1, messages(&["b"])).topic_data);
    let (first, second, third) = tokio::join!(
        broker.call(12, both),
        broker.produce("t", 0, messages(&["c"])),
        broker.produce("t", 0, messages(&["a", "d"])),
    );
    assert_eq!(first.responses[1].partition_responses[0].base_offset, 1);
    assert_eq!((second.base_offset, third.base_offset), (2, 3));
}

#[tokio::test]
async fn a_partition_twice_in_a_request_is_refused_the_second_time() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, ON).await;
    let mut twice = produce_request("t", 0, -1, messages(&["a"]));
    twice
        .topic_data
        .extend(produce_request("t", 0, -1, messages(&["b"])).topic_data);
    let response = broker.call(12, twice).await;
    let codes: Vec<_> = response
        .responses
        .iter()
        .map(|topic| error(topic.partition_responses[0].error_code))
        .collect();
    assert_eq!(codes, [ErrorCode::None, ErrorCode::InvalidRequest]);
}

#[tokio::test]
async fn a_batch_that_cannot_be_read_is_refused() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, ON).await;
    let good = Messages::new(START, Compression::Zstd)
        .add(Some("a"), "v")
        .bytes();
    let mut bad = good.clone();
    bad[outlast_records::HEADER_SIZE] ^= 1;
    let crc = outlast_records::crc32c(&bad[21..]).to_be_bytes();
    bad[17..21].copy_from_slice(&crc);
    let answer = broker.produce("t", 0, bad).await;
    assert_eq!(error(answer.error_code), ErrorCode::CorruptMessage);
    assert_eq!(broker.produce("t", 0, good).await.base_offset, 0);
}

#[tokio::test]
async fn what_a_full_disk_turned_away_is_not_remembered() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, ON).await;
    let large = "x".repeat(500_000);
    let message = |id: usize| {
        Messages::new(START, Compression::None)
            .add(Some(&id.to_string()), &large)
            .bytes()
    };
    broker.disk.set_capacity(Some(broker.disk.used()));
    let mut id = 0;
    while broker.produce("t", 0, message(id)).await.error_code == 0 {
        id += 1;
    }
    // Several at once: the later ones wait for the first's fate instead of trusting in it.
    let (a, b) = tokio::join!(
        broker.produce("t", 0, message(id)),
        broker.produce("t", 0, message(id))
    );
    assert!(a.error_code != 0 && b.error_code != 0);
    broker.disk.set_capacity(None);
    assert_eq!(
        broker.produce("t", 0, message(id)).await.base_offset,
        id as i64
    );
    assert_eq!(
        broker.produce("t", 0, message(id)).await.base_offset,
        id as i64
    );
    assert_eq!(stored(&broker, "t").await.len(), id + 1);
}

#[derive(Debug, Clone)]
enum Step {
    /// Ids, codec, and a producer that is idempotent (and sends it twice).
    Publish(Vec<Option<u8>>, u8, Option<(usize, bool)>),
    Later(i64),
    Restart,
    PowerFails(u64),
    /// The power fails after so many calls while this is being published: what isn't answered may be stored or not.
    Unanswered(Vec<Option<u8>>, u64),
    DiskIsFull(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let ids = proptest::collection::vec(proptest::option::weighted(0.9, 0_u8..10), 1..5);
    let unanswered = ids.clone();
    let producer = proptest::option::of((0_usize..2, any::<bool>()));
    prop_oneof![
        10 => (ids, 0_u8..5, producer).prop_map(|(ids, codec, producer)| Step::Publish(ids, codec, producer)),
        3 => (0_i64..700).prop_map(Step::Later),
        1 => Just(Step::Restart),
        1 => (0_u64..4).prop_map(Step::PowerFails),
        1 => (unanswered, 0_u64..5).prop_map(|(ids, seed)| Step::Unanswered(ids, seed)),
        1 => any::<bool>().prop_map(Step::DiskIsFull),
    ]
}

const MAX_IDS: usize = 6;

/// All that was stored, and nothing else: the rule in its plainest form.
#[derive(Default)]
struct Model {
    stored: Vec<(i64, String)>,
    /// Id, offset and time of the stored messages that have one, the newest last.
    ids: Vec<(u8, i64, i64)>,
    end: i64,
    sequences: [i32; 2],
}

impl Model {
    /// Where the message's original is.
    fn original(&self, id: u8, now: i64) -> Option<i64> {
        let remembered = &self.ids[self.ids.len().saturating_sub(MAX_IDS)..];
        let newest = remembered.iter().rev().find(|known| known.0 == id)?;
        (now - newest.2 < WINDOW).then_some(newest.1)
    }

    /// The offset that the answer must have.
    fn publish(
        &mut self,
        ids: &[Option<u8>],
        values: &[String],
        idempotent: bool,
        now: i64,
    ) -> i64 {
        let known: Vec<_> = ids
            .iter()
            .map(|id| id.and_then(|id| self.original(id, now)))
            .collect();
        if !idempotent && known.iter().all(Option::is_some) {
            return known[0].unwrap();
        }
        let base = self.end;
        let mut here = Vec::new();
        for (at, id) in ids.iter().enumerate() {
            if known[at].is_some() || id.is_some_and(|id| here.contains(&id)) {
                continue;
            }
            let offset = base + at as i64;
            here.extend(*id);
            self.stored.push((offset, values[at].clone()));
            self.ids.extend(id.map(|id| (id, offset, now)));
        }
        self.end = base + ids.len() as i64;
        base
    }
}

async fn agrees_with_the_model(steps: Vec<Step>) {
    let mut broker = TestBroker::start().await;
    let max_ids = MAX_IDS.to_string();
    let config = [ON, &[("message.dedupe.max.ids", &max_ids)]].concat();
    broker.create_topic("t", 1, &config).await;
    let producers = [producer_id(&broker).await, producer_id(&broker).await];
    let (mut model, mut now, mut full, mut count) = (Model::default(), START, false, 0);
    for step in steps {
        match step {
            Step::Later(ms) => {
                broker.clock.advance_ms(ms);
                now += ms;
            }
            Step::Restart | Step::PowerFails(_) | Step::Unanswered(..) => {
                broker.disk.set_capacity(None);
                full = false;
                let mut answered = false;
                if let Step::Unanswered(ids, seed) = &step {
                    broker.disk.fail_power_after(*seed);
                    let answer = broker.produce("t", 0, plain(ids, now)).await;
                    answered = answer.error_code == 0;
                }
                broker = match step {
                    Step::PowerFails(0) | Step::Unanswered(_, 0) => {
                        broker.lose_power(Survives::Everything).await
                    }
                    Step::PowerFails(seed) | Step::Unanswered(_, seed) => {
                        broker.lose_power(Survives::Chance(seed)).await
                    }
                    _ => broker.restart().await,
                };
                if let Step::Unanswered(ids, _) = &step
                    && (answered || stored(&broker, "t").await.len() > model.stored.len())
                {
                    let values = vec!["unanswered".to_owned(); ids.len()];
                    model.publish(ids, &values, false, now);
                }
            }
            Step::DiskIsFull(is_full) => {
                let capacity = is_full.then(|| broker.disk.used());
                broker.disk.set_capacity(capacity);
                full = is_full;
            }
            Step::Publish(ids, codec, producer) => {
                // Only large ones find a full disk full: the log has some room reserved.
                let padding = if full { 200_000 } else { 0 };
                let values: Vec<_> = ids
                    .iter()
                    .map(|_| {
                        count += 1;
                        format!("{count}{}", "x".repeat(padding))
                    })
                    .collect();
                let bytes = |sequences: &[i32; 2]| {
                    let codec = Compression::from_id(codec).unwrap();
                    let mut batch = Messages::new(now, codec);
                    if let Some((producer, _)) = producer {
                        batch = batch.producer(producers[producer], sequences[producer]);
                    }
                    for (id, value) in ids.iter().zip(&values) {
                        batch = batch.add(id.map(|id| id.to_string()).as_deref(), value);
                    }
                    batch.bytes()
                };
                let answer = broker.produce("t", 0, bytes(&model.sequences)).await;
                if answer.error_code != 0 {
                    assert!(full, "{answer:?}");
                    assert_eq!(error(answer.error_code), ErrorCode::KafkaStorageError);
                    continue;
                }
                let expect = model.publish(&ids, &values, producer.is_some(), now);
                assert_eq!(answer.base_offset, expect, "{ids:?}");
                if let Some((producer, again)) = producer {
                    if again {
                        let again = broker.produce("t", 0, bytes(&model.sequences)).await;
                        assert_same(&again, &answer);
                    }
                    model.sequences[producer] += ids.len() as i32;
                }
            }
        }
    }
    assert_eq!(stored(&broker, "t").await, model.stored);
}

fn plain(ids: &[Option<u8>], now: i64) -> BytesMut {
    let batch = Messages::new(now, Compression::None);
    let id = |id: &Option<u8>| id.map(|id| id.to_string());
    ids.iter()
        .fold(batch, |batch, one| {
            batch.add(id(one).as_deref(), "unanswered")
        })
        .bytes()
}

fn assert_same(again: &PartitionProduceResponse, first: &PartitionProduceResponse) {
    assert_eq!(
        (again.error_code, again.base_offset),
        (first.error_code, first.base_offset)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn it_stores_what_a_naive_model_stores(steps in proptest::collection::vec(step(), 1..40)) {
        tokio::runtime::Runtime::new().unwrap().block_on(agrees_with_the_model(steps));
    }
}
