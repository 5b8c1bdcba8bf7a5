//! Reads whole topics with a client that knows nothing of the run.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::kafka_client::{client_config, retry};

/// How long the broker may give nothing while it has more.
const STALL_LIMIT: Duration = Duration::from_secs(60);
const QUERY_LIMIT: Duration = Duration::from_secs(10);

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredRecord {
    pub offset: i64,
    pub value: Vec<u8>,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl StoredRecord {
    fn new(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        let header = |header: rdkafka::message::Header<'_, &[u8]>| {
            let value = header.value.unwrap_or_default().to_vec();
            (header.key.to_owned(), value)
        };
        Self {
            offset: message.offset(),
            value: message.payload().unwrap_or_default().to_vec(),
            headers: headers.map(header).collect(),
        }
    }

    /// The first header of this name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        std::str::from_utf8(&found?.1).ok()
    }
}

/// Every partition of a topic, from its first offset to the end it has now.
pub fn read_topic(
    bootstrap: &str,
    topic: &str,
    partitions: i32,
) -> Result<HashMap<i32, Vec<StoredRecord>>> {
    let consumer: BaseConsumer = client_config(bootstrap)
        .set("group.id", "crash-read-back")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("check.crcs", "true")
        .create()?;
    let mut list = TopicPartitionList::new();
    let mut ends = HashMap::new();
    for partition in 0..partitions {
        let (start, end) = retry(|| consumer.fetch_watermarks(topic, partition, QUERY_LIMIT))
            .with_context(|| format!("asking for the end of {topic}, partition {partition}"))?;
        list.add_partition_offset(topic, partition, Offset::Offset(start))?;
        ends.insert(partition, end);
    }
    consumer.assign(&list)?;

    let mut read: HashMap<i32, Vec<StoredRecord>> = (0..partitions)
        .map(|partition| (partition, Vec::new()))
        .collect();
    // The last offsets may have no record: what was taken out of a batch leaves them unused.
    let mut open: HashSet<i32> = (0..partitions).collect();
    let mut progress = Instant::now();
    let mut complaint = String::new();
    while !open.is_empty() {
        ensure!(
            progress.elapsed() < STALL_LIMIT,
            "reading {topic} stalled: the ends are {ends:?}, the last records {:?}; {complaint}",
            read.iter()
                .map(|(partition, records)| (partition, records.last().map(|r| r.offset)))
                .collect::<Vec<_>>()
        );
        let message = match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => message,
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
                continue;
            }
            Some(Err(error)) => {
                complaint = error.to_string();
                continue;
            }
            None => continue,
        };
        progress = Instant::now();
        let partition = message.partition();
        let record = StoredRecord::new(&message);
        let (offset, end) = (record.offset, ends[&partition]);
        if offset < end {
            read.entry(partition).or_default().push(record);
        }
        if offset + 1 >= end {
            open.remove(&partition);
        }
    }
    Ok(read)
}
