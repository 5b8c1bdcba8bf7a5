//! Reads the queue's topic and its dead-letter topic with a Kafka client that knows nothing of
//! queues.

use anyhow::{Context, Result};
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::facts::{DeadLetter, Stored};
use super::fate::{Letter, Reason};
use super::{PARTITIONS, QUEUE, Shared};
use crate::kafka_client::{QUERY_LIMIT, client_config, retry};
use crate::read_back::{StoredRecord, read_topic};

/// Where the dead letters of a group go by themselves.
const DEAD_LETTERS: &str = "dlq.letters";

pub fn read(bootstrap: &str, shared: &Shared) -> Result<()> {
    for (partition, records) in read_topic(bootstrap, QUEUE, PARTITIONS)? {
        let stored = records.iter().map(|record| Stored {
            partition,
            offset: record.offset,
            letter: Letter::decode(&record.value),
        });
        shared.facts().stored.extend(stored);
    }
    let partitions = partitions_of(bootstrap, DEAD_LETTERS)?;
    for (partition, records) in read_topic(bootstrap, DEAD_LETTERS, partitions)? {
        let dead = records.iter().map(|record| dead_letter(partition, record));
        shared.facts().dead.extend(dead);
    }
    Ok(())
}

/// 0 when there is no such topic: nothing has died.
fn partitions_of(bootstrap: &str, topic: &str) -> Result<i32> {
    let consumer: BaseConsumer = client_config(bootstrap).create()?;
    let metadata = retry(|| consumer.fetch_metadata(None, QUERY_LIMIT))?;
    let found = metadata.topics().iter().find(|it| it.name() == topic);
    let partitions = found.map_or(0, |topic| topic.partitions().len());
    i32::try_from(partitions).context("a number of partitions")
}

fn dead_letter(partition: i32, record: &StoredRecord) -> DeadLetter {
    let number = |name: &str| record.header(name)?.parse::<i64>().ok();
    let reason = match record.header("outlast-dead-reason") {
        Some("limit") => Some(Reason::Limit),
        Some("rejected") => Some(Reason::Rejected),
        Some("expired") => Some(Reason::Expired),
        Some("undecodable") => Some(Reason::Undecodable),
        _ => None,
    };
    let from = number("__dlq.errors.partition").zip(number("__dlq.errors.offset"));
    DeadLetter {
        place: (partition, record.offset),
        letter: Letter::decode(&record.value),
        reason,
        attempts: number("__dlq.errors.delivery.count").and_then(|count| count.try_into().ok()),
        origin: from.and_then(|(partition, offset)| Some((partition.try_into().ok()?, offset))),
    }
}
