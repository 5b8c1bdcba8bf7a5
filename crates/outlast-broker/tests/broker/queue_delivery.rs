//! Messages handed out and acknowledged: who gets what, and when.

use std::time::Duration;

use outlast_broker::queues::*;
use outlast_protocol::ErrorCode;
use outlast_protocol::messages::DeleteTopicsRequest;
use outlast_records::{Compression, Offset, PartitionId};
use tokio::task::JoinHandle;

use crate::harness::*;
use crate::queue_harness::*;

#[tokio::test(start_paused = true)]
async fn what_is_acknowledged_is_done_and_what_is_not_is_nobody_elses() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    test.group(GROUP, &[]).await;
    test.put("t", 0, &["a", "b", "c"]).await;
    test.put("t", 0, &["d"]).await;

    let first = test.receive(topic, "w1", 2).await;
    let values: Vec<&str> = first.iter().map(|m| m.value.as_str()).collect();
    assert_eq!(values, ["a", "b"]);
    assert!(first.iter().all(|m| m.count == 1));
    let second = test.receive(topic, "w2", 10).await;
    assert_eq!(offsets(&second), [2, 3]);
    assert_eq!(test.receive(topic, "w3", 10).await, []);

    assert_eq!(test.ack(topic, "w1", 0..=1, Verb::Accept).await, Ok(()));
    let not_its = test.ack(topic, "w1", 2..=2, Verb::Accept).await;
    assert_eq!(not_its, Err(ErrorCode::InvalidRecordState));
    let again = test.ack(topic, "w1", 0..=1, Verb::Accept).await;
    assert_eq!(again, Err(ErrorCode::InvalidRecordState));

    let numbers = test.numbers(topic).await;
    assert_eq!((numbers.start, numbers.in_flight), (Offset(2), 2));
    let queues = test.queues().await;
    let starts = queues.start_offsets(GROUP, &[topic]).await.unwrap();
    assert_eq!((starts[0].start, starts[0].lag), (Some(Offset(2)), 2));
    let counters = queues.counters(GROUP);
    let count =
        |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(
        (count(&counters.delivered), count(&counters.accepted)),
        (4, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_finished_where_whole_batches_are_wanted() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    test.group(GROUP, &[]).await;
    for _ in 0..3 {
        test.put("t", 0, &["a", "b", "c", "d"]).await;
    }
    let queues = test.queues().await;
    let whole = ReceiveLimits {
        whole_batches: true,
        ..limits(5)
    };
    let worker = Worker::from("w");
    let received = queues.receive(GROUP, &worker, topic, whole).await.unwrap();
    assert_eq!(offsets(&messages(&received)), (0..8).collect::<Vec<_>>());
    let one = queues
        .receive(GROUP, &worker, topic, limits(1))
        .await
        .unwrap();
    assert_eq!(offsets(&messages(&one)), [8]);
    assert_eq!(one.batches.len(), 1);
    let small = ReceiveLimits {
        max_bytes: 1,
        ..limits(10)
    };
    let rest = queues.receive(GROUP, &worker, topic, small).await.unwrap();
    assert_eq!(offsets(&messages(&rest)), [9, 10, 11]);
}

#[tokio::test(start_paused = true)]
async fn what_was_given_back_waits_for_its_time() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    let policy = [
        ("retry.policy", "fixed"),
        ("retry.initial.delay.ms", "5000"),
    ];
    test.group(GROUP, &policy).await;
    test.put("t", 0, &["a", "b", "c"]).await;
    test.receive(topic, "w", 3).await;
    test.ack(topic, "w", 0..=0, release()).await.unwrap();
    let not_now = Verb::Release {
        delay: Some(Duration::from_secs(2)),
        counts: false,
    };
    test.ack(topic, "w", 1..=1, not_now).await.unwrap();

    test.pass(1_900).await;
    assert_eq!(test.receive(topic, "w", 3).await, []);
    test.pass(150).await;
    let second = test.receive(topic, "w", 3).await;
    assert_eq!((second[0].offset, second[0].count), (1, 1));
    test.pass(3_000).await;
    let first = test.receive(topic, "w", 3).await;
    assert_eq!((first[0].offset, first[0].count), (0, 2));
    // The lock of the third runs out, which counts, and waits as a release does.
    test.pass(25_100).await;
    assert_eq!(test.receive(topic, "w", 3).await, []);
    test.pass(5_000).await;
    let third = test.receive(topic, "w", 3).await;
    assert_eq!((third[0].offset, third[0].count), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_worker_held_is_released_on_all_partitions() {
    let test = QueueTest::start().await;
    let zero = test.topic("t", 2, &[]).await;
    let one = PartitionId { index: 1, ..zero };
    test.group(GROUP, &[("retry.initial.delay.ms", "0")]).await;
    test.put("t", 0, &["a"]).await;
    test.put("t", 1, &["b"]).await;
    for partition in [zero, one] {
        assert_eq!(test.receive(partition, "w1", 1).await.len(), 1);
    }
    let queues = test.queues().await;
    let worker = Worker::from("w1");
    queues.release_worker(GROUP, &worker).await.unwrap();
    for partition in [zero, one] {
        let again = test.receive(partition, "w2", 1).await;
        assert_eq!(again[0].count, 2);
    }
}

/// A worker that waits until it gets something.
fn wait_for_messages(
    test: &QueueTest,
    topic: PartitionId,
    worker: &str,
) -> JoinHandle<Vec<Message>> {
    let (broker, worker) = (test.broker.clone(), Worker::from(worker));
    tokio::spawn(async move {
        let queues = broker.queues().await.unwrap();
        let mut watcher = queues.watch(GROUP, &[topic]);
        loop {
            let received = queues.receive(GROUP, &worker, topic, limits(1)).await;
            let found = messages(&received.unwrap());
            if !found.is_empty() {
                return found;
            }
            watcher.changed().await;
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_scheduled_message_is_there_within_fifty_milliseconds_whatever_the_wall_clock_does() {
    for jump in [0, 3_600_000, -3_600_000] {
        let test = QueueTest::start().await;
        let topic = test.topic("t", 1, &[]).await;
        test.group(GROUP, &[]).await;
        let waiting = wait_for_messages(&test, topic, "w");
        calm().await;
        let at = (START + 10_000).to_string();
        test.put_with("t", "later", &[("outlast-deliver-at", &at)])
            .await;
        calm().await;
        test.clock.advance_ms(jump);
        test.pass(9_990).await;
        assert!(!waiting.is_finished(), "too early after a jump of {jump}");
        let numbers = test.numbers(topic).await;
        assert_eq!((numbers.delayed, numbers.ready), (1, 0));
        test.pass(60).await;
        assert!(waiting.is_finished(), "too late after a jump of {jump}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_those_who_wait_as_many_are_told_as_there_are_messages() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    test.group(GROUP, &[]).await;
    let workers: Vec<_> = (0..8)
        .map(|n| wait_for_messages(&test, topic, &format!("w{n}")))
        .collect();
    calm().await;
    let finished = || workers.iter().filter(|w| w.is_finished()).count();
    test.put("t", 0, &["a"]).await;
    calm().await;
    assert_eq!(finished(), 1);
    test.put("t", 0, &["b", "c", "d"]).await;
    calm().await;
    assert_eq!(finished(), 4);
    test.put("t", 0, &["e", "f", "g", "h"]).await;
    calm().await;
    assert_eq!(finished(), 8);
}

#[tokio::test(start_paused = true)]
async fn one_who_was_told_and_goes_away_tells_the_next() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    test.group(GROUP, &[]).await;
    let queues = test.queues().await;
    queues.initialize(GROUP, &[topic]).await.unwrap();
    let mut told = queues.watch(GROUP, &[topic]);
    let next = wait_for_messages(&test, topic, "w");
    {
        let changed = told.changed();
        tokio::pin!(changed);
        assert!(futures_poll(changed.as_mut()).await);
        calm().await;
        test.put("t", 0, &["a"]).await;
        calm().await;
    }
    drop(told);
    calm().await;
    assert!(next.is_finished());
}

/// Polls once; whether it is still pending.
async fn futures_poll(future: impl std::future::Future<Output = ()>) -> bool {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(future.as_mut().poll(context).is_pending())
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_queue_begins_where_the_group_says() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    for n in 0..3 {
        test.put_with("t", &format!("{n}"), &[]).await;
        test.pass(10_000).await;
    }
    let queues = test.queues().await;
    for (group, reset, expect) in [
        ("g1", "earliest", 0),
        ("g2", "latest", 3),
        ("g3", "by_duration:PT15S", 2),
        ("g4", "by_duration:PT1S", 3),
    ] {
        test.group(group, &[("share.auto.offset.reset", reset)])
            .await;
        queues.initialize(group, &[topic]).await.unwrap();
        let starts = queues.start_offsets(group, &[topic]).await.unwrap();
        assert_eq!(starts[0].start, Some(Offset(expect)), "{reset}");
    }
}

#[tokio::test(start_paused = true)]
async fn offsets_are_altered_and_queues_deleted() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    let other = test.topic("u", 1, &[]).await;
    test.group(GROUP, &[]).await;
    test.put("t", 0, &["a", "b", "c"]).await;
    test.put("u", 0, &["a"]).await;
    test.receive(topic, "w", 2).await;
    test.receive(other, "w", 2).await;
    let queues = test.queues().await;
    let offsets_to = [(topic, Offset(1))];
    queues.alter_offsets(GROUP, &offsets_to).await.unwrap();
    assert_eq!(offsets(&test.receive(topic, "w2", 5).await), [1, 2]);
    queues.delete_offsets(GROUP, &[topic.topic]).await.unwrap();
    assert_eq!(queues.partitions(GROUP), Ok(vec![other]));
    // It is opened again where the configuration says.
    assert_eq!(offsets(&test.receive(topic, "w2", 5).await), [0, 1, 2]);
    queues.delete_group(GROUP).await.unwrap();
    assert_eq!(queues.partitions(GROUP), Ok(vec![]));
    assert!(queues.groups().is_empty());
    let hidden = queues.initialize("outlast.redrive", &[topic]).await;
    assert_eq!(hidden, Err(ErrorCode::InvalidGroupId));
}

#[tokio::test(start_paused = true)]
async fn queues_go_with_their_topic() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    test.group(GROUP, &[]).await;
    test.put("t", 0, &["a"]).await;
    test.receive(topic, "w", 1).await;
    let request = DeleteTopicsRequest {
        topic_names: vec!["t".into()],
        ..Default::default()
    };
    test.call(5, request).await;
    let queues = test.queues().await;
    assert_eq!(queues.partitions(GROUP), Ok(vec![]));
    let gone = queues
        .receive(GROUP, &Worker::from("w"), topic, limits(1))
        .await;
    assert_eq!(gone.err(), Some(ErrorCode::UnknownTopicId));
}

#[tokio::test(start_paused = true)]
async fn what_deletion_took_from_the_log_is_done() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    test.group(GROUP, &[]).await;
    for value in ["a", "b", "c"] {
        test.put("t", 0, &[value]).await;
    }
    test.receive(topic, "w", 1).await;
    test.store
        .advance_log_start(topic, Offset(2))
        .await
        .unwrap();
    assert_eq!(offsets(&test.receive(topic, "w", 5).await), [2]);
    assert_eq!(test.numbers(topic).await.start, Offset(2));
}

#[tokio::test(start_paused = true)]
async fn keys_keep_their_order_and_processed_ids_are_not_delivered_again() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    let configs = [("queue.order", "key"), ("queue.dedupe.header", "id")];
    test.group(GROUP, &configs).await;
    for (key, id) in [("k", "1"), ("k", "2"), ("l", "3"), ("l", "1")] {
        test.put_with("t", key, &[("id", id)]).await;
    }
    // One of each key at a time.
    assert_eq!(offsets(&test.receive(topic, "w", 9).await), [0, 2]);
    test.ack(topic, "w", 0..=0, Verb::Accept).await.unwrap();
    assert_eq!(offsets(&test.receive(topic, "w", 9).await), [1]);
    test.ack(topic, "w", 1..=2, Verb::Accept).await.unwrap();
    assert_eq!(
        test.receive(topic, "w", 9).await,
        [],
        "its id was processed"
    );
    assert_eq!(test.numbers(topic).await.start, Offset(4));
}

#[tokio::test(start_paused = true)]
async fn onlookers_see_what_a_queue_knows_and_change_nothing() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    test.group(GROUP, &[]).await;
    let queues = test.queues().await;
    queues.initialize(GROUP, &[topic]).await.unwrap();
    for n in 0..4 {
        let delay = [("outlast-delay-ms", "60000")];
        let headers = if n == 3 { &delay[..] } else { &[] };
        test.put_with("t", &n.to_string(), headers).await;
    }
    test.receive(topic, "w", 2).await;
    test.ack(topic, "w", 0..=0, Verb::Accept).await.unwrap();
    test.pass(1_000).await;
    let peeked = queues.peek(GROUP, topic, Offset(0), 10).await.unwrap();
    let states: Vec<_> = peeked
        .iter()
        .map(|p| (p.record.offset.0, p.state.clone(), p.due.map(|d| d.0)))
        .collect();
    assert_eq!(states.len(), 3, "{states:?}");
    assert!(matches!(
        &states[0],
        (1, MessageState::Acquired { worker, .. }, None) if worker.as_str() == "w"
    ));
    assert_eq!(states[1].1, MessageState::Ready { delivery_count: 0 });
    assert_eq!(
        states[2],
        (3, MessageState::Scheduled, Some(START + 60_000))
    );
    assert_eq!(
        queues.peek(GROUP, topic, Offset(2), 1).await.unwrap().len(),
        1
    );

    assert_eq!(queues.purge(GROUP, topic).await, Ok(2));
    let numbers = test.numbers(topic).await;
    assert_eq!(
        (numbers.ready, numbers.delayed, numbers.in_flight),
        (0, 0, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn what_has_left_the_cache_is_read_from_the_disk() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    test.group(GROUP, &[]).await;
    // More than the cache holds.
    let value = "x".repeat(500_000);
    for _ in 0..100 {
        let batch = Batch::new(Compression::None).values(&[&value]).bytes();
        test.produce("t", 0, batch).await;
    }
    let mut next = 0;
    while next < 100 {
        let found = offsets(&test.receive(topic, "w", 10).await);
        assert_eq!(found, (next..next + found.len() as i64).collect::<Vec<_>>());
        let last = next + found.len() as i64 - 1;
        test.ack(topic, "w", next..=last, Verb::Accept)
            .await
            .unwrap();
        next = last + 1;
    }
}
