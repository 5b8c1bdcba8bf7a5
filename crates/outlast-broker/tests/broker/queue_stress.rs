//! Many workers at once, on threads: each message is delivered once and done once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use outlast_broker::queues::*;
use outlast_records::{Offset, PartitionId};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::configs::{SET, alter};
use crate::harness::*;
use crate::queue_harness::*;

const WORKERS: usize = 64;
const MESSAGES: usize = 6_000;

/// Offset of a message → how often it was delivered; and when all were.
#[derive(Clone, Default)]
struct Deliveries {
    seen: Arc<Mutex<HashMap<i64, u16>>>,
    all: Arc<watch::Sender<bool>>,
}

async fn work(
    broker: Arc<outlast_broker::Broker>,
    topic: PartitionId,
    worker: Worker,
    deliveries: Deliveries,
) {
    let queues = broker.queues().await.unwrap();
    let mut watcher = queues.watch(GROUP, &[topic]);
    let mut all = deliveries.all.subscribe();
    while !*all.borrow() {
        let received = queues.receive(GROUP, &worker, topic, limits(7)).await;
        let found = messages(&received.unwrap());
        if found.is_empty() {
            tokio::select! {
                () = watcher.changed() => {}
                _ = all.wait_for(|all| *all) => {}
            }
            continue;
        }
        let acks: Vec<AckRange> = found
            .iter()
            .map(|message| AckRange {
                first: Offset(message.offset),
                last: Offset(message.offset),
                verb: Verb::Accept,
            })
            .collect();
        let done = queues.acknowledge(GROUP, &worker, topic, &acks).await;
        done.unwrap();
        let mut seen = deliveries.seen.lock();
        for message in &found {
            *seen.entry(message.offset).or_default() += 1;
        }
        if seen.len() == MESSAGES {
            deliveries.all.send_replace(true);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_workers_on_one_partition_get_each_message_once() {
    let test = TestBroker::start().await;
    let id = test.create_topic("t", 1, &[]).await;
    let topic = PartitionId {
        topic: id,
        index: 0,
    };
    let reset = [("share.auto.offset.reset", SET, Some("earliest"))];
    alter(&test, 32, GROUP, &reset).await;
    let deliveries = Deliveries::default();
    let workers: Vec<_> = (0..WORKERS)
        .map(|n| {
            let worker = Worker::from(format!("w{n}").as_str());
            let deliveries = deliveries.clone();
            tokio::spawn(work(test.broker.clone(), topic, worker, deliveries))
        })
        .collect();
    for n in 0..MESSAGES / 20 {
        // Some large batches, some single messages.
        if n % 2 == 0 {
            test.put("t", 0, &["x"; 20]).await;
        } else {
            for _ in 0..20 {
                test.put("t", 0, &["y"]).await;
            }
        }
    }
    for worker in workers {
        // A wake-up that is lost would be waited for in vain.
        let worked = tokio::time::timeout(Duration::from_secs(60), worker).await;
        worked.expect("workers that see everything").unwrap();
    }
    let seen = deliveries.seen.lock().clone();
    let twice: Vec<_> = seen.iter().filter(|(_, count)| **count != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    let queues = test.broker.queues().await.unwrap();
    let starts = queues.start_offsets(GROUP, &[topic]).await.unwrap();
    assert_eq!(starts[0].start, Some(Offset(MESSAGES as i64)));
}
