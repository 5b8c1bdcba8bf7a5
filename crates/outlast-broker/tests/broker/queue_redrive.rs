//! Dead letters looked at, sent back, and dropped.

use outlast_broker::queues::*;
use outlast_protocol::ErrorCode;
use outlast_records::{Offset, PartitionId};
use outlast_storage::io::fault::Survives;

use crate::harness::*;
use crate::queue_harness::*;

const DLQ: &str = "dlq.g";

/// Rejects these messages of the group `g`.
async fn reject_all(test: &QueueTest, topic: PartitionId, values: &[&str]) {
    for value in values {
        test.put_with("t", value, &[("kind", value)]).await;
    }
    reject(test, topic).await;
}

async fn reject(test: &QueueTest, topic: PartitionId) {
    for message in test.receive(topic, "w", 1_000).await {
        let at = message.offset..=message.offset;
        test.ack(topic, "w", at, Verb::Reject).await.unwrap();
    }
    calm().await;
}

async fn letters(test: &QueueTest, filter: &DeadLetterFilter) -> Vec<DeadLetter> {
    let queues = test.queues().await;
    let page = queues.dead_letters(GROUP, filter, None, 1_000).await;
    let page = page.unwrap();
    assert_eq!(page.next, None);
    page.letters
}

async fn values_of(test: &QueueTest, filter: DeadLetterFilter) -> Vec<String> {
    let letters = letters(test, &filter).await;
    letters
        .iter()
        .map(|l| text(l.record.value.as_deref()))
        .collect()
}

async fn done(test: &QueueTest, id: JobId) -> Job {
    for _ in 0..100 {
        let job = test.queues().await.job(id).unwrap();
        if job.state != JobState::Running {
            return job;
        }
        test.pass(100).await;
    }
    panic!("the job doesn't end");
}

#[tokio::test(start_paused = true)]
async fn dead_letters_are_filtered_and_paged() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    test.group(GROUP, &[]).await;
    let queues = test.queues().await;
    let all = DeadLetterFilter::default();
    assert!(letters(&test, &all).await.is_empty(), "without a topic");
    reject_all(&test, topic, &["a1", "a2"]).await;
    test.pass(10_000).await;
    reject_all(&test, topic, &["b1"]).await;

    let check = async |filter: DeadLetterFilter, expect: &[&str]| {
        assert_eq!(values_of(&test, filter).await, expect);
    };
    check(DeadLetterFilter::default(), &["a1", "a2", "b1"]).await;
    check(
        DeadLetterFilter {
            reasons: vec![DeadReason::Expired],
            ..all.clone()
        },
        &[],
    )
    .await;
    check(
        DeadLetterFilter {
            key: Some(Pattern::new("a*")),
            ..all.clone()
        },
        &["a1", "a2"],
    )
    .await;
    let headers = vec![("kind".to_owned(), Pattern::new("?1"))];
    check(
        DeadLetterFilter {
            headers,
            ..all.clone()
        },
        &["a1", "b1"],
    )
    .await;
    let middle = Some(outlast_records::Timestamp(START + 5_000));
    check(
        DeadLetterFilter {
            since: middle,
            ..all.clone()
        },
        &["b1"],
    )
    .await;
    check(
        DeadLetterFilter {
            until: middle,
            ..all.clone()
        },
        &["a1", "a2"],
    )
    .await;
    check(
        DeadLetterFilter {
            topic: Some("u".into()),
            ..all.clone()
        },
        &[],
    )
    .await;
    let found = letters(&test, &all).await;
    let at = Some((found[1].partition, found[1].offset));
    check(DeadLetterFilter { at, ..all.clone() }, &["a2"]).await;
    assert_eq!((&*found[2].topic, found[2].topic_offset), ("t", Offset(2)));
    assert_eq!(found[2].last_worker.as_deref(), Some("w"));

    let first = queues.dead_letters(GROUP, &all, None, 2).await.unwrap();
    assert_eq!(first.letters.len(), 2);
    let rest = queues
        .dead_letters(GROUP, &all, first.next.as_deref(), 2)
        .await
        .unwrap();
    assert_eq!((rest.letters.len(), rest.next), (1, None));
    let bad = queues.dead_letters(GROUP, &all, Some("x"), 2).await;
    assert_eq!(bad.unwrap_err().code, ErrorCode::InvalidRequest);
    let counts = queues.count_dead_letters(GROUP, &all, 3).await.unwrap();
    assert_eq!(
        (counts.total, counts.by_reason, counts.guarded),
        (3, [0, 3, 0, 0], 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_redriven_message_is_delivered_to_its_group_again_with_its_history() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[("message.delay.ms", "60000")]).await;
    test.group(GROUP, &[]).await;
    test.group("other", &[]).await;
    test.put_with("t", "x", &[("outlast-ttl-ms", "90000"), ("mine", "1")])
        .await;
    test.pass(61_000).await;
    reject(&test, topic).await;
    test.pass(100_000).await;

    let queues = test.queues().await;
    let all = DeadLetterFilter::default();
    let job = queues
        .redrive(GROUP, all.clone(), RedriveOptions::default())
        .await;
    let job = done(&test, job.unwrap()).await;
    assert_eq!(
        (job.state, job.total, job.moved, job.skipped),
        (JobState::Done, 1, 1, 0)
    );
    assert!(letters(&test, &all).await.is_empty());
    let again = test.receive(topic, "w2", 9).await;
    assert_eq!((again[0].offset, again[0].count), (1, 1));
    let record = &test.records_of("t").await[1];
    for (name, expect) in [
        ("mine", Some("1")),
        ("outlast-ttl-ms", Some("90000")),
        ("outlast-redrive-count", Some("1")),
        ("outlast-redrive-group", Some(GROUP)),
        ("outlast-dead-reason", None),
        ("__dlq.errors.topic", None),
    ] {
        assert_eq!(header(record, name).as_deref(), expect, "{name}");
    }
    let history = header(record, "outlast-history").unwrap();
    assert!(
        history.starts_with("rejected group=g deliveries=1"),
        "{history}"
    );
    assert!(history.ends_with("worker=w"), "{history}");

    // Another group has had it, or will have: but not for a second time.
    let worker = Worker::from("w");
    let others = queues.receive("other", &worker, topic, limits(9)).await;
    assert_eq!(messages(&others.unwrap()), []);
    // The first had expired for it, and is on its way to its dead letters.
    let all_done = async || {
        let others = queues.start_offsets("other", &[topic]).await.unwrap();
        others[0].lag == 0
    };
    test.until("the other group is through", all_done).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_does_not_go_round_for_ever() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    test.group(GROUP, &[]).await;
    reject_all(&test, topic, &["x"]).await;
    let queues = test.queues().await;
    let all = DeadLetterFilter::default();
    for round in 1..=3 {
        let job = queues
            .redrive(GROUP, all.clone(), RedriveOptions::default())
            .await;
        assert_eq!(done(&test, job.unwrap()).await.moved, 1);
        reject(&test, topic).await;
        let letters = letters(&test, &all).await;
        assert_eq!(letters[0].redrives, round);
        let history = letters[0].record.headers.iter();
        let history = history.filter(|h| &h.key[..] == b"outlast-history");
        assert_eq!(history.count() as u32, round);
    }
    let counts = queues.count_dead_letters(GROUP, &all, 3).await.unwrap();
    assert_eq!((counts.total, counts.guarded), (1, 1));
    let job = queues
        .redrive(GROUP, all.clone(), RedriveOptions::default())
        .await;
    let job = done(&test, job.unwrap()).await;
    assert_eq!((job.moved, job.skipped), (0, 1));
    let force = RedriveOptions {
        force: true,
        ..RedriveOptions::default()
    };
    let job = queues.redrive(GROUP, all, force).await;
    assert_eq!(done(&test, job.unwrap()).await.moved, 1);
}

#[tokio::test(start_paused = true)]
async fn a_redrive_keeps_to_its_rate_and_can_be_cancelled() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    test.group(GROUP, &[]).await;
    let values: Vec<String> = (0..60).map(|n| n.to_string()).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    reject_all(&test, topic, &values).await;
    let queues = test.queues().await;
    let slow = RedriveOptions {
        rate: 10,
        ..RedriveOptions::default()
    };
    let id = queues
        .redrive(GROUP, DeadLetterFilter::default(), slow)
        .await
        .unwrap();
    for _ in 0..20 {
        test.pass(100).await;
    }
    let job = queues.job(id).unwrap();
    assert_eq!((job.state, job.total), (JobState::Running, 60));
    assert!((20..=22).contains(&job.moved), "{}", job.moved);
    assert!(queues.cancel_job(id));
    let job = done(&test, id).await;
    assert_eq!(job.state, JobState::Cancelled);
    assert!(!queues.cancel_job(id));
    let left = letters(&test, &DeadLetterFilter::default()).await.len();
    assert_eq!(left as u64 + job.moved, 60);
    assert_eq!(queues.jobs().len(), 1);
    let none = RedriveOptions {
        rate: 0,
        ..RedriveOptions::default()
    };
    let refused = queues
        .redrive(GROUP, DeadLetterFilter::default(), none)
        .await;
    assert_eq!(refused.unwrap_err().code, ErrorCode::InvalidRequest);
}

#[tokio::test(start_paused = true)]
async fn purged_letters_are_gone_for_good() {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    test.group(GROUP, &[]).await;
    reject_all(&test, topic, &["a", "b", "c"]).await;
    let queues = test.queues().await;
    let only_b = DeadLetterFilter {
        key: Some(Pattern::new("b")),
        ..DeadLetterFilter::default()
    };
    let job = queues.purge_dead_letters(GROUP, only_b).await.unwrap();
    assert_eq!(done(&test, job).await.moved, 1);
    let test = test.killed(Survives::Nothing).await;
    let all = DeadLetterFilter::default();
    assert_eq!(values_of(&test, all.clone()).await, ["a", "c"]);
    assert_eq!(test.records_of("t").await.len(), 3, "nothing was sent back");
    assert_eq!(test.records_of(DLQ).await.len(), 3);
    reject_all(&test, topic, &["d"]).await;
    assert_eq!(values_of(&test, all).await, ["a", "c", "d"]);
}

/// The power fails in the middle of what a redrive writes: the message is in one place.
#[tokio::test(start_paused = true)]
async fn a_redrive_is_one_step() {
    let (mut before, mut after) = (0, 0);
    let mut cut = 0;
    loop {
        let test = QueueTest::start().await;
        let topic = test.topic("t", 1, &[]).await;
        test.group(GROUP, &[]).await;
        reject_all(&test, topic, &["x"]).await;
        test.stop_writing();
        let queues = test.queues().await;
        let options = RedriveOptions::default();
        queues
            .redrive(GROUP, DeadLetterFilter::default(), options)
            .await
            .unwrap();
        calm().await;
        let unsynced = test.write_without_sync();
        assert!(unsynced > 0, "nothing is moved");
        let test = test.killed(Survives::Bytes(cut)).await;
        let left = letters(&test, &DeadLetterFilter::default()).await.len();
        let back = test.receive(topic, "w2", 9).await.len();
        assert_eq!(left + back, 1, "after a cut at {cut}");
        before += left;
        after += back;
        if cut >= unsynced {
            break;
        }
        cut = (cut + unsynced / 24 + 1).min(unsynced);
    }
    assert!(before > 5 && after > 0, "{before} before, {after} after");
}
