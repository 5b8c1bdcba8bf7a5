//! A consumer group that reads on through every crash, and commits what it has read.
//!
//! The committed offset of a partition must lie between the last commit that was confirmed and the
//! last one that was attempted: a commit whose answer the crash swallowed may or may not count.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientConfig, Message};

use super::promise::Promise;
use super::{PARTITIONS, Shared, TOPIC};
use crate::kafka_client::{QUERY_LIMIT, client_config, retry};

const GROUP: &str = "crash-group";
const COMMIT_EVERY: Duration = Duration::from_millis(150);

/// Offsets by partition.
pub type Positions = HashMap<i32, i64>;

#[derive(Default, Clone, Debug)]
pub struct Commits {
    pub confirmed: Positions,
    pub attempted: Positions,
}

#[derive(Debug)]
pub struct GroupMember {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl GroupMember {
    pub fn start(bootstrap: &str, shared: &Shared) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let consumer: BaseConsumer = group_config(bootstrap).create()?;
        consumer.subscribe(&[TOPIC])?;
        let (worker_stop, shared) = (Arc::clone(&stop), shared.clone());
        let thread = std::thread::spawn(move || consume(&consumer, &worker_stop, &shared));
        Ok(Self { stop, thread })
    }

    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
    }
}

fn group_config(bootstrap: &str) -> ClientConfig {
    let mut config = client_config(bootstrap);
    config
        .set("group.id", GROUP)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("session.timeout.ms", "10000")
        .set("heartbeat.interval.ms", "500")
        .set("check.crcs", "true");
    config
}

fn consume(consumer: &BaseConsumer, stop: &AtomicBool, shared: &Shared) {
    let mut positions = Positions::new();
    let mut committed = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) {
            let (partition, offset) = (message.partition(), message.offset());
            shared.see(partition, offset, message.payload().unwrap_or_default());
            positions.insert(partition, offset + 1);
        }
        if committed.elapsed() >= COMMIT_EVERY && !positions.is_empty() {
            commit(consumer, &positions, shared);
            committed = Instant::now();
        }
    }
}

fn commit(consumer: &BaseConsumer, positions: &Positions, shared: &Shared) {
    let mut list = TopicPartitionList::new();
    for (&partition, &offset) in positions {
        if let Err(error) = list.add_partition_offset(TOPIC, partition, Offset::Offset(offset)) {
            return shared.broken(Promise::GroupGoesOn, error.to_string());
        }
    }
    shared.with_commits(|commits| raise(&mut commits.attempted, positions));
    // An error here is the crash itself, or the rebalance after it; the next commit tries again.
    if consumer.commit(&list, CommitMode::Sync).is_ok() {
        shared.with_commits(|commits| raise(&mut commits.confirmed, positions));
    }
}

/// A rebalance may let the member read again what it has read, so positions may go back; the
/// bounds of what can be committed are kept apart for that.
fn raise(bounds: &mut Positions, positions: &Positions) {
    bounds.extend(positions);
}

/// Asks the broker for the committed offsets and compares.
pub fn check_committed(bootstrap: &str, shared: &Shared) -> Result<Positions> {
    let consumer: BaseConsumer = group_config(bootstrap).create()?;
    let mut list = TopicPartitionList::new();
    list.add_partition_range(TOPIC, 0, PARTITIONS - 1);
    let before = shared.commits();
    let committed = retry(|| consumer.committed_offsets(list.clone(), QUERY_LIMIT))
        .context("reading the committed offsets")?;
    let after = shared.commits();
    let mut positions = Positions::new();
    for element in committed.elements() {
        let partition = element.partition();
        let offset = match element.offset() {
            Offset::Offset(offset) => offset,
            _ => -1,
        };
        positions.insert(partition, offset);
        let least = before.confirmed.get(&partition).copied().unwrap_or(-1);
        let most = after.attempted.get(&partition).copied().unwrap_or(-1);
        if !(least..=most).contains(&offset) {
            let what =
                format!("partition {partition}: {offset} is committed, not {least} to {most}");
            shared.broken(Promise::GroupOffsetsKept, what);
        }
    }
    Ok(positions)
}
