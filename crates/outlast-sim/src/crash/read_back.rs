//! Reads whole partitions with a client that knows nothing of the run.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::group::retry;
use super::ledger::ReadPartition;
use super::{PARTITIONS, TOPIC, client_config};

/// How long the broker may give nothing while it has more.
const STALL_LIMIT: Duration = Duration::from_secs(60);
const QUERY_LIMIT: Duration = Duration::from_secs(10);

/// Every partition of the topic, from its first offset to the end it has now.
pub fn read_all(bootstrap: &str) -> Result<HashMap<i32, ReadPartition>> {
    let consumer: BaseConsumer = client_config(bootstrap)
        .set("group.id", "crash-read-back")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "false")
        .set("check.crcs", "true")
        .create()?;
    let mut list = TopicPartitionList::new();
    let mut ends = HashMap::new();
    for partition in 0..PARTITIONS {
        let (start, end) = retry(|| consumer.fetch_watermarks(TOPIC, partition, QUERY_LIMIT))
            .with_context(|| format!("asking for the end of partition {partition}"))?;
        list.add_partition_offset(TOPIC, partition, Offset::Offset(start))?;
        ends.insert(partition, end);
    }
    consumer.assign(&list)?;

    let mut read: HashMap<i32, ReadPartition> = (0..PARTITIONS)
        .map(|partition| (partition, Vec::new()))
        .collect();
    let mut open: usize = ends.values().filter(|&&end| end > 0).count();
    let mut progress = Instant::now();
    let mut complaint = String::new();
    while open > 0 {
        ensure!(
            progress.elapsed() < STALL_LIMIT,
            "reading back stalled: the ends are {ends:?}, the last records {:?}; {complaint}",
            read.iter()
                .map(|(partition, records)| (partition, records.last().map(|r| r.0)))
                .collect::<Vec<_>>()
        );
        let message = match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => message,
            Some(Err(error)) => {
                complaint = error.to_string();
                continue;
            }
            None => continue,
        };
        progress = Instant::now();
        let (partition, offset) = (message.partition(), message.offset());
        let value = message.payload().unwrap_or_default().to_vec();
        let end = ends[&partition];
        if offset < end {
            read.entry(partition).or_default().push((offset, value));
        }
        if offset + 1 == end {
            open -= 1;
        }
    }
    Ok(read)
}
