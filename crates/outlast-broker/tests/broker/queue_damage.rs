//! What becomes of messages that the disk has damaged: they are given up one by one, and hold nobody else up.

use outlast_broker::queues::*;
use outlast_records::{Offset, PartitionId};

use crate::queue_harness::*;

/// Pushes everything before it out of the cache.
async fn fill_cache(test: &QueueTest) {
    test.topic("filler", 1, &[]).await;
    let value = "x".repeat(900_000);
    for _ in 0..60 {
        test.put("filler", 0, &[&value]).await;
    }
}

/// Damages the messages with this value on the disk.
fn damage(test: &QueueTest, value: &str) {
    let mut found = 0;
    for path in test.disk.paths() {
        test.disk.overwrite(&path, |bytes| {
            // They were written first.
            let beginning = &bytes[..bytes.len().min(256 * 1024)];
            let hits: Vec<usize> = beginning
                .windows(value.len())
                .enumerate()
                .filter_map(|(at, window)| (window == value.as_bytes()).then_some(at))
                .collect();
            for at in hits {
                bytes[at] ^= 1;
                found += 1;
            }
        });
    }
    assert!(found > 0, "{value} is not on the disk");
}

async fn start() -> (QueueTest, PartitionId) {
    let test = QueueTest::start().await;
    let topic = test.topic("t", 1, &[]).await;
    test.group(GROUP, &[("retry.initial.delay.ms", "0")]).await;
    for value in ["first", "damaged-on-disk", "third", "fourth"] {
        test.put("t", 0, &[value]).await;
    }
    (test, topic)
}

/// What three requests get.
async fn receive_all(test: &QueueTest, topic: PartitionId) -> Vec<i64> {
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.extend(offsets(&test.receive(topic, "w", 9).await));
    }
    seen
}

async fn dead_letter(test: &QueueTest) -> DeadLetter {
    let queues = test.queues().await;
    let letters = async || {
        let filter = DeadLetterFilter::default();
        let page = queues.dead_letters(GROUP, &filter, None, 9).await;
        page.unwrap().letters
    };
    let moved = async || letters().await.len() == 1;
    test.until("there is a dead letter", moved).await;
    letters().await.remove(0)
}

#[tokio::test(start_paused = true)]
async fn what_was_damaged_before_anybody_saw_it_is_passed_over() {
    let (test, topic) = start().await;
    fill_cache(&test).await;
    damage(&test, "damaged-on-disk");
    assert_eq!(receive_all(&test, topic).await, [0, 2, 3]);
    let letter = dead_letter(&test).await;
    assert_eq!(letter.reason, DeadReason::Undecodable);
    assert_eq!(letter.topic_offset, Offset(1));
    assert!(
        letter.message.contains("cannot be read"),
        "{}",
        letter.message
    );
    assert_eq!(letter.record.value, None);
}

#[tokio::test(start_paused = true)]
async fn what_was_damaged_between_two_deliveries_is_given_up() {
    let (test, topic) = start().await;
    assert_eq!(test.receive(topic, "w", 9).await.len(), 4);
    test.ack(topic, "w", 0..=3, release()).await.unwrap();
    fill_cache(&test).await;
    damage(&test, "damaged-on-disk");
    assert_eq!(receive_all(&test, topic).await, [0, 2, 3]);
    let letter = dead_letter(&test).await;
    assert_eq!(letter.topic_offset, Offset(1));
    assert_eq!(letter.record.value, None);
}
