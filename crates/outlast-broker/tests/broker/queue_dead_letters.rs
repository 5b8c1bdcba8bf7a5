//! Messages that a queue gives up: where they go, with what story, and never twice.

use std::sync::atomic::Ordering;

use outlast_broker::queues::*;
use outlast_protocol::messages::DeleteTopicsRequest;
use outlast_records::{Offset, PartitionId, Record};
use outlast_storage::io::fault::Survives;

use crate::harness::*;
use crate::queue_harness::*;

const DLQ: &str = "dlq.g";

async fn in_dlq(test: &QueueTest) -> Vec<Record> {
    calm().await;
    test.records_of(DLQ).await
}

async fn failures(test: &QueueTest) -> u64 {
    let counters = test.queues().await.counters(GROUP);
    counters.dead_letter_failures.load(Ordering::Relaxed)
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_tells_its_story() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    let policy = [
        ("share.delivery.count.limit", "2"),
        ("retry.policy", "fixed"),
        ("retry.initial.delay.ms", "1000"),
    ];
    test.group(GROUP, &policy).await;
    test.put("t", 0, &["fine"]).await;
    test.put_with("t", "bad", &[("mine", "1"), ("mine", "2")])
        .await;
    let published = now(&test);
    test.pass(10).await;
    for (try_of, worker) in [(1, "w1"), (2, "w2")] {
        let found = test.receive(topic, worker, 9).await;
        let bad = found.last().unwrap();
        assert_eq!((bad.offset, bad.count), (1, try_of));
        test.ack(topic, worker, 1..=1, release()).await.unwrap();
        test.pass(1_010).await;
    }
    assert_eq!(test.receive(topic, "w3", 9).await, []);
    let dead = in_dlq(&test).await;
    assert_eq!(dead.len(), 1);
    let record = &dead[0];
    assert_eq!(text(record.key.as_deref()), "bad");
    assert_eq!(text(record.value.as_deref()), "bad");
    assert_eq!(record.timestamp, published);
    let mine: Vec<_> = record.headers[..2]
        .iter()
        .map(|h| text(h.value.as_deref()))
        .collect();
    assert_eq!(mine, ["1", "2"]);
    let first = (START + 10).to_string();
    let last = (START + 1_020).to_string();
    for (name, expect) in [
        ("__dlq.errors.topic", "t"),
        ("__dlq.errors.partition", "0"),
        ("__dlq.errors.offset", "1"),
        ("__dlq.errors.group", "g"),
        ("__dlq.errors.delivery.count", "2"),
        ("outlast-dead-reason", "limit"),
        ("outlast-dead-first-tried", &first),
        ("outlast-dead-last-tried", &last),
        ("outlast-dead-worker", "w2"),
    ] {
        assert_eq!(header(record, name).as_deref(), Some(expect), "{name}");
    }
    let counters = test.queues().await.counters(GROUP);
    assert_eq!(
        counters.dead[DeadReason::Limit.index()].load(Ordering::Relaxed),
        1
    );
    test.ack(topic, "w1", 0..=0, Verb::Accept).await.unwrap();
    assert_eq!(test.numbers(topic).await.start, Offset(2));
}

#[tokio::test(start_paused = true)]
async fn each_reason_for_death_is_told() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    test.group(GROUP, &[]).await;
    test.put_with("t", "rejected", &[]).await;
    test.put_with("t", "malformed", &[("outlast-delay-ms", "soon")])
        .await;
    test.put_with("t", "expired", &[("outlast-ttl-ms", "3000")])
        .await;
    let found = test.receive(topic, "w", 1).await;
    assert_eq!(found[0].value, "rejected");
    test.ack(topic, "w", 0..=0, Verb::Reject).await.unwrap();
    // Nobody asks any more.
    test.pass(5_000).await;
    let dead = in_dlq(&test).await;
    let mut reasons: Vec<_> = dead
        .iter()
        .map(|record| {
            let reason = header(record, "outlast-dead-reason").unwrap();
            (text(record.value.as_deref()), reason)
        })
        .collect();
    reasons.sort();
    let expect = [
        ("expired", "expired"),
        ("malformed", "undecodable"),
        ("rejected", "rejected"),
    ];
    let expect = expect.map(|(value, reason)| (value.to_owned(), reason.to_owned()));
    assert_eq!(reasons, expect);
    let malformed = dead
        .iter()
        .find(|r| text(r.value.as_deref()) == "malformed");
    let message = header(malformed.unwrap(), "__dlq.errors.message").unwrap();
    assert!(message.contains("outlast-delay-ms"), "{message}");
    assert_eq!(test.numbers(topic).await.start, Offset(3));
}

#[tokio::test(start_paused = true)]
async fn expired_messages_may_be_dropped_and_records_left_out() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[("message.ttl.ms", "1000")]).await;
    let configs = [
        ("queue.expired.action", "drop"),
        ("errors.deadletterqueue.topic.name", "dead"),
        ("errors.deadletterqueue.copy.record.enable", "false"),
    ];
    test.group(GROUP, &configs).await;
    test.put_with("t", "a", &[("outlast-ttl-ms", "-1")]).await;
    test.put_with("t", "b", &[]).await;
    assert_eq!(offsets(&test.receive(topic, "w", 1).await), [0]);
    test.pass(3_000).await;
    test.ack(topic, "w", 0..=0, Verb::Reject).await.unwrap();
    calm().await;
    let dead = test.records_of("dead").await;
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].key.clone(), dead[0].value.clone()), (None, None));
    assert_eq!(
        header(&dead[0], "__dlq.errors.offset").as_deref(),
        Some("0")
    );
    assert_eq!(test.numbers(topic).await.start, Offset(2));
}

#[tokio::test(start_paused = true)]
async fn the_dead_of_a_partition_go_to_that_partition_modulo_their_number() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 3, &[]).await;
    let dlq = test.topic(DLQ, 2, &[]).await;
    test.group(GROUP, &[]).await;
    for index in 0..3 {
        test.put("t", index, &["x"]).await;
        let partition = PartitionId { index, ..topic };
        test.receive(partition, "w", 1).await;
        test.ack(partition, "w", 0..=0, Verb::Reject).await.unwrap();
    }
    calm().await;
    let ends = [0, 1].map(|index| {
        let log = test.store.log(PartitionId { index, ..dlq });
        log.high_watermark().0
    });
    assert_eq!(ends, [2, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_topic_that_cannot_be_written_holds_the_message_back() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    // Its name collides with the one that is needed.
    test.topic("dlq_g", 1, &[]).await;
    test.group(GROUP, &[]).await;
    test.put("t", 0, &["a", "b"]).await;
    test.receive(topic, "w", 2).await;
    test.ack(topic, "w", 0..=1, Verb::Reject).await.unwrap();
    test.pass(3_000).await;
    assert!(failures(&test).await >= 3);
    let numbers = test.numbers(topic).await;
    assert_eq!((numbers.start, numbers.dying), (Offset(0), 2));

    let test = test.killed(Survives::Nothing).await;
    test.pass(1_000).await;
    assert_eq!(test.numbers(topic).await.dying, 2);
    assert!(failures(&test).await >= 1);
    let request = DeleteTopicsRequest {
        topic_names: vec!["dlq_g".into()],
        ..Default::default()
    };
    test.call(5, request).await;
    test.pass(1_100).await;
    let moved = async || in_dlq(&test).await.len() == 2;
    test.until("dead letters are moved", moved).await;
    let numbers = test.numbers(topic).await;
    assert_eq!((numbers.start, numbers.dying), (Offset(2), 0));
}

/// The power fails in the middle of what the burial writes: the message is in one place, and in the end it is a dead
/// letter, once.
#[tokio::test(start_paused = true)]
async fn the_move_to_the_dead_letter_topic_is_one_step() {
    let (mut before, mut after) = (0, 0);
    let mut cut = 0;
    loop {
        let test = QueueTest::start().await;
        let topic = test.topic("t", 1, &[]).await;
        test.topic(DLQ, 1, &[]).await;
        // Held back at first: a topic can't have its own dead.
        let own_topic = [("errors.deadletterqueue.topic.name", "t")];
        test.group(GROUP, &own_topic).await;
        test.put_with("t", "bad", &[]).await;
        test.receive(topic, "w", 1).await;
        test.ack(topic, "w", 0..=0, Verb::Reject).await.unwrap();
        calm().await;
        test.group(GROUP, &[("errors.deadletterqueue.topic.name", DLQ)])
            .await;
        test.stop_writing();
        test.pass(1_100).await;
        let unsynced = test.write_without_sync();
        assert!(unsynced > 0, "nothing is moved");
        let test = test.killed(Survives::Bytes(cut)).await;
        match test.records_of(DLQ).await.len() {
            0 => before += 1,
            1 => after += 1,
            more => panic!("{more} dead letters"),
        }
        let moved = async || in_dlq(&test).await.len() == 1;
        test.until("the dead letter is moved", moved).await;
        test.pass(2_000).await;
        assert_eq!(in_dlq(&test).await.len(), 1, "after a cut at {cut}");
        assert_eq!(test.numbers(topic).await.start, Offset(1));
        if cut >= unsynced {
            break;
        }
        cut = (cut + unsynced / 24 + 1).min(unsynced);
    }
    assert!(before > 5 && after > 0, "{before} before, {after} after");
}
