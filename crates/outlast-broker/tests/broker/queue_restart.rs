//! What a queue knows after the sudden death of the process.

use outlast_broker::queues::*;
use outlast_protocol::ErrorCode;
use outlast_records::Offset;
use outlast_storage::io::fault::Survives;

use crate::harness::*;
use crate::queue_harness::*;

#[tokio::test(start_paused = true)]
async fn locks_counts_and_delays_are_what_they_were() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    let policy = [
        ("retry.policy", "fixed"),
        ("retry.initial.delay.ms", "20000"),
    ];
    test.group(GROUP, &policy).await;
    test.put("t", 0, &["done", "locked", "failed", "new"]).await;
    assert_eq!(test.receive(topic, "w", 3).await.len(), 3);
    test.ack(topic, "w", 0..=0, Verb::Accept).await.unwrap();
    test.ack(topic, "w", 2..=2, release()).await.unwrap();
    test.pass(5_000).await;

    let test = test.killed(Survives::Nothing).await;
    assert_eq!(offsets(&test.receive(topic, "w2", 9).await), [3]);
    let numbers = test.numbers(topic).await;
    assert_eq!(
        (numbers.start, numbers.in_flight, numbers.delayed),
        (Offset(1), 2, 1)
    );
    // The old worker's lock is still its.
    let prolong = Verb::Renew { lock: None };
    assert_eq!(test.ack(topic, "w", 1..=1, prolong).await, Ok(()));
    test.pass(15_100).await;
    let failed = test.receive(topic, "w2", 9).await;
    assert_eq!((failed[0].offset, failed[0].count), (2, 2));
    assert_eq!(test.ack(topic, "w", 1..=1, Verb::Accept).await, Ok(()));

    let test = test.killed(Survives::Nothing).await;
    assert_eq!(test.numbers(topic).await.start, Offset(2));
    let late = test.ack(topic, "w", 1..=1, Verb::Accept).await;
    assert_eq!(late, Err(ErrorCode::InvalidRecordState));
    assert_eq!(test.ack(topic, "w2", 2..=3, Verb::Accept).await, Ok(()));
    assert_eq!(test.numbers(topic).await.start, Offset(4));
}

#[tokio::test(start_paused = true)]
async fn scheduled_messages_are_found_again() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[("message.delay.ms", "10000")]).await;
    test.group(GROUP, &[]).await;
    test.put_with("t", "a", &[]).await;
    test.put_with("t", "b", &[("outlast-delay-ms", "0")]).await;
    assert_eq!(offsets(&test.receive(topic, "w", 9).await), [1]);
    test.pass(4_000).await;
    let test = test.killed(Survives::Nothing).await;
    assert_eq!(test.receive(topic, "w", 9).await, []);
    test.pass(5_900).await;
    assert_eq!(test.receive(topic, "w", 9).await, []);
    test.pass(150).await;
    assert_eq!(offsets(&test.receive(topic, "w", 9).await), [0]);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_of_what_a_full_disk_did_not_take() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    test.group(GROUP, &[]).await;
    test.put("t", 0, &["a"]).await;
    assert_eq!(test.receive(topic, "w", 1).await.len(), 1);
    test.disk.set_capacity(Some(test.disk.used()));
    // What the write-ahead log has reserved still takes some.
    for length in [100_000, 1] {
        let value = "x".repeat(length);
        let full = async || {
            let answer = test.produce("t", 0, batch(&[&value])).await;
            error(answer.error_code) == ErrorCode::KafkaStorageError
        };
        test.until("the disk is full", full).await;
    }
    let failed = test.ack(topic, "w", 0..=0, Verb::Accept).await;
    assert_eq!(failed, Err(ErrorCode::CoordinatorNotAvailable));
    test.disk.set_capacity(None);
    // The shard reads its log again, on a thread of its own.
    for _ in 0..1_000 {
        test.pass(100).await;
        match test.ack(topic, "w", 0..=0, Verb::Accept).await {
            Ok(()) => break,
            Err(code) => assert!(
                code == ErrorCode::CoordinatorLoadInProgress
                    || code == ErrorCode::CoordinatorNotAvailable,
                "{code}"
            ),
        }
        std::thread::yield_now();
    }
    assert_eq!(test.numbers(topic).await.start, Offset(1));
}
