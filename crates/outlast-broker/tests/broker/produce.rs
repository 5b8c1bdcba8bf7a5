//! Produce: what is taken, what is refused with which code, and what the topic's configuration changes.

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::produce::TopicProduceData;
use outlast_protocol::messages::{InitProducerIdRequest, ListOffsetsRequest, ProduceRequest};
use outlast_records::Compression;
use uuid::Uuid;

use crate::harness::*;

#[tokio::test]
async fn batches_get_consecutive_offsets() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 2, &[]).await;
    for (partition, values, expect) in [
        (0, &["a", "b"][..], 0),
        (0, &["c"], 2),
        (1, &["d"], 0),
        (0, &["e"], 3),
    ] {
        assert_eq!(broker.put("t", partition, values).await, expect);
    }
}

#[tokio::test]
async fn errors_have_their_codes_and_offset_minus_one() {
    let broker = TestBroker::start().await;
    broker
        .create_topic("t", 1, &[("max.message.bytes", "200")])
        .await;
    broker
        .create_topic("compacted", 1, &[("cleanup.policy", "compact")])
        .await;
    broker
        .create_topic("bounded", 1, &[("message.timestamp.before.max.ms", "1000")])
        .await;
    broker
        .create_topic("two-replicas", 1, &[("min.insync.replicas", "2")])
        .await;
    let mut corrupt = batch(&["a"]);
    *corrupt.last_mut().unwrap() ^= 1;
    let two: bytes::BytesMut = [batch(&["a"]), batch(&["b"])].concat().as_slice().into();
    let at = |time| {
        Batch::new(Compression::None)
            .record(time, Some("k"), "v")
            .bytes()
    };
    let keyless = Batch::new(Compression::None)
        .record(START, None, "v")
        .bytes();
    let transactional = Batch::producer(1, 0, 0)
        .transactional()
        .values(&["a"])
        .bytes();
    for (topic, partition, records, expect) in [
        ("t", 0, batch(&["a"]), ErrorCode::None),
        ("t", 1, batch(&["a"]), ErrorCode::UnknownTopicOrPartition),
        ("t", -1, batch(&["a"]), ErrorCode::UnknownTopicOrPartition),
        (
            "missing",
            0,
            batch(&["a"]),
            ErrorCode::UnknownTopicOrPartition,
        ),
        ("t", 0, corrupt, ErrorCode::CorruptMessage),
        (
            "t",
            0,
            batch(&[&"x".repeat(200)]),
            ErrorCode::MessageTooLarge,
        ),
        ("t", 0, bytes::BytesMut::new(), ErrorCode::InvalidRecord),
        ("t", 0, two, ErrorCode::InvalidRecord),
        (
            "t",
            0,
            transactional,
            ErrorCode::TransactionalIdAuthorizationFailed,
        ),
        ("t", 0, at(START + 3_600_001), ErrorCode::InvalidTimestamp),
        ("t", 0, at(START + 3_600_000), ErrorCode::None),
        ("bounded", 0, at(START - 1001), ErrorCode::InvalidTimestamp),
        ("bounded", 0, at(START - 1000), ErrorCode::None),
        ("compacted", 0, keyless, ErrorCode::InvalidRecord),
        ("compacted", 0, batch(&["a"]), ErrorCode::None),
        (
            "two-replicas",
            0,
            batch(&["a"]),
            ErrorCode::NotEnoughReplicas,
        ),
    ] {
        let answer = broker.produce(topic, partition, records).await;
        let what = format!("{topic}-{partition}: {:?}", answer.error_message);
        assert_eq!(error(answer.error_code), expect, "{what}");
        assert_eq!(
            answer.base_offset == -1,
            expect != ErrorCode::None,
            "{what}"
        );
    }
}

#[tokio::test]
async fn every_record_to_blame_is_named() {
    let broker = TestBroker::start().await;
    broker
        .create_topic("t", 1, &[("cleanup.policy", "compact")])
        .await;
    let batch = Batch::new(Compression::None)
        .record(START, None, "a")
        .record(START, Some("k"), "b")
        .record(START, None, "c");
    let answer = broker.produce("t", 0, batch.bytes()).await;
    assert_eq!(
        answer
            .record_errors
            .iter()
            .map(|record| record.batch_index)
            .collect::<Vec<_>>(),
        [0, 2]
    );
}

#[tokio::test]
async fn a_good_batch_beside_a_bad_one_is_kept() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 2, &[]).await;
    let mut bad = batch(&["bad"]);
    bad[20] ^= 1;
    let mut request = produce_request("t", 0, -1, bad);
    let good = produce_request("t", 1, -1, batch(&["good"]))
        .topic_data
        .remove(0);
    request.topic_data.push(good);
    let response = broker.call(12, request).await;
    let codes: Vec<_> = response
        .responses
        .iter()
        .map(|topic| error(topic.partition_responses[0].error_code))
        .collect();
    assert_eq!(codes, [ErrorCode::CorruptMessage, ErrorCode::None]);
}

#[tokio::test]
async fn acks() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    for (acks, expect) in [
        (1, ErrorCode::None),
        (-1, ErrorCode::None),
        (2, ErrorCode::InvalidRequiredAcks),
    ] {
        let response = broker
            .call(9, produce_request("t", 0, acks, batch(&["a"])))
            .await;
        assert_eq!(
            error(response.responses[0].partition_responses[0].error_code),
            expect,
            "acks={acks}"
        );
    }
    let silent = broker
        .try_call(9, produce_request("t", 0, 0, batch(&["a"])))
        .await;
    assert!(matches!(silent, Ok(None)), "acks=0 has no response");
    let closed = broker
        .try_call(9, produce_request("t", 5, 0, batch(&["a"])))
        .await;
    assert!(
        closed.is_err(),
        "an error with acks=0 closes the connection"
    );
    assert_eq!(broker.put("t", 0, &["last"]).await, 3);
}

#[tokio::test]
async fn topics_are_named_by_id_from_version_13_on() {
    let broker = TestBroker::start().await;
    let id = broker.create_topic("t", 1, &[]).await;
    for (id, expect) in [
        (id, ErrorCode::None),
        (Uuid::from_u128(99), ErrorCode::UnknownTopicId),
    ] {
        let mut request = produce_request("t", 0, -1, batch(&["a"]));
        request.topic_data[0].topic_id = id;
        let response = broker.call(13, request).await;
        assert_eq!(response.responses[0].topic_id, id);
        assert_eq!(
            error(response.responses[0].partition_responses[0].error_code),
            expect
        );
    }
}

#[tokio::test]
async fn repeated_batches_are_answered_as_the_first_time() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let id = broker
        .call(4, InitProducerIdRequest::default())
        .await
        .producer_id;
    let send = |sequence, epoch, values: &'static [&str]| {
        broker.produce(
            "t",
            0,
            Batch::producer(id, epoch, sequence).values(values).bytes(),
        )
    };
    for (sequence, epoch, values, offset, expect) in [
        (0, 0, &["a", "b"][..], 0, ErrorCode::None),
        (2, 0, &["c"], 2, ErrorCode::None),
        (0, 0, &["a", "b"], 0, ErrorCode::None),
        (2, 0, &["c"], 2, ErrorCode::None),
        (4, 0, &["gap"], -1, ErrorCode::OutOfOrderSequenceNumber),
        (0, 1, &["d"], 3, ErrorCode::None),
        (3, 0, &["old epoch"], -1, ErrorCode::InvalidProducerEpoch),
    ] {
        let answer = send(sequence, epoch, values).await;
        assert_eq!(
            error(answer.error_code),
            expect,
            "sequence {sequence} epoch {epoch}"
        );
        assert_eq!(
            answer.base_offset, offset,
            "sequence {sequence} epoch {epoch}"
        );
    }
}

#[tokio::test]
async fn log_append_time_is_the_brokers() {
    let broker = TestBroker::start().await;
    broker
        .create_topic("t", 1, &[("message.timestamp.type", "LogAppendTime")])
        .await;
    let old = Batch::new(Compression::None)
        .record(5, Some("k"), "v")
        .bytes();
    let answer = broker.produce("t", 0, old).await;
    assert_eq!(
        (error(answer.error_code), answer.log_append_time_ms),
        (ErrorCode::None, START)
    );
    let fetched = broker.call(12, fetch_request(&[("t", 0, 0)])).await;
    let records = fetched.responses[0].partitions[0]
        .records
        .clone()
        .unwrap()
        .into_bytes();
    let record = outlast_records::records(&records, 1 << 20)
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(record.timestamp.0, START);
}

#[tokio::test]
async fn a_repeated_batch_keeps_its_first_log_append_time() {
    let broker = TestBroker::start().await;
    broker
        .create_topic("t", 1, &[("message.timestamp.type", "LogAppendTime")])
        .await;
    for _ in 0..2 {
        let answer = broker
            .produce("t", 0, Batch::producer(7, 0, 0).values(&["a"]).bytes())
            .await;
        assert_eq!((answer.base_offset, answer.log_append_time_ms), (0, START));
        broker.clock.advance_ms(1000);
    }
}

#[tokio::test]
async fn the_topic_may_ask_for_another_compression() {
    let broker = TestBroker::start().await;
    for (name, wanted, expect) in [
        ("producer", "producer", Compression::Gzip),
        ("zstd", "zstd", Compression::Zstd),
        ("uncompressed", "uncompressed", Compression::None),
    ] {
        broker
            .create_topic(name, 1, &[("compression.type", wanted)])
            .await;
        let sent = Batch::new(Compression::Gzip).values(&["a", "b"]).bytes();
        assert_eq!(
            error(broker.produce(name, 0, sent).await.error_code),
            ErrorCode::None
        );
        let fetched = broker.call(12, fetch_request(&[(name, 0, 0)])).await;
        let data = &fetched.responses[0].partitions[0];
        let bytes = data.records.clone().unwrap().into_bytes();
        let header = outlast_records::check_at(&bytes).unwrap();
        assert_eq!(header.attributes.compression(), Ok(expect), "{name}");
        assert_eq!(
            values(data),
            [(0, "a".to_owned()), (1, "b".to_owned())],
            "{name}"
        );
    }
}

#[tokio::test]
async fn zstd_needs_version_7() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    for (version, expect) in [
        (6, ErrorCode::UnsupportedCompressionType),
        (7, ErrorCode::None),
    ] {
        let records = Batch::new(Compression::Zstd).values(&["a"]).bytes();
        let response = broker
            .call(version, produce_request("t", 0, -1, records))
            .await;
        assert_eq!(
            error(response.responses[0].partition_responses[0].error_code),
            expect,
            "v{version}"
        );
    }
}

#[tokio::test]
async fn pipelined_requests_append_in_the_order_of_their_first_poll() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let names: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let sent = names.iter().map(|name| broker.put_one("t", name));
    let offsets = futures_in_order(sent).await;
    assert_eq!(offsets, (0..20).collect::<Vec<i64>>());
}

#[tokio::test]
async fn internal_topics_are_not_written_by_clients() {
    let broker = TestBroker::start().await;
    broker
        .call(
            4,
            outlast_protocol::messages::FindCoordinatorRequest {
                coordinator_keys: vec!["g".into()],
                ..Default::default()
            },
        )
        .await;
    let answer = broker.produce("__consumer_offsets", 0, batch(&["a"])).await;
    assert_eq!(error(answer.error_code), ErrorCode::InvalidTopicException);
}

#[tokio::test]
async fn an_empty_request_has_an_empty_answer() {
    let broker = TestBroker::start().await;
    let empty = ProduceRequest {
        acks: -1,
        ..Default::default()
    };
    assert!(broker.call(12, empty).await.responses.is_empty());
    let no_partitions = ProduceRequest {
        acks: -1,
        topic_data: vec![TopicProduceData {
            name: "t".into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    assert!(
        broker.call(12, no_partitions).await.responses[0]
            .partition_responses
            .is_empty()
    );
    broker.call(7, ListOffsetsRequest::default()).await;
}

impl TestBroker {
    async fn put_one(&self, topic: &str, value: &str) -> i64 {
        self.put(topic, 0, &[value]).await
    }
}

/// Polls each once in order before any is awaited, as the server does.
async fn futures_in_order<F: Future<Output = i64>>(futures: impl Iterator<Item = F>) -> Vec<i64> {
    let mut pinned: Vec<_> = futures.map(Box::pin).collect();
    let mut done: Vec<Option<i64>> = vec![None; pinned.len()];
    std::future::poll_fn(|context| {
        for (future, done) in pinned.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *done = Some(value);
            }
        }
        if done.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done.into_iter().flatten().collect()
}
