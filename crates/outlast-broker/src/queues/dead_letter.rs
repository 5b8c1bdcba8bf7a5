//! What a dead letter looks like: the original record, and headers that tell its story.
//!
//! | header | value |
//! |---|---|
//! | `__dlq.errors.topic`, `.partition`, `.offset` | where the message came from |
//! | `__dlq.errors.group` | the group that gave it up |
//! | `__dlq.errors.delivery.count` | how often it was delivered without success |
//! | `__dlq.errors.message` | why, for people |
//! | `outlast-dead-reason` | `limit`, `rejected`, `expired` or `undecodable` |
//! | `outlast-dead-at` | when, ms since the epoch |
//! | `outlast-dead-first-tried`, `outlast-dead-last-tried` | when it was delivered first and last |
//! | `outlast-dead-worker` | who had it last |
//!
//! The first five are Kafka's (KIP-1191). They stand after the original's own headers; of a header that is there several
//! times the last one counts. A message that is redriven gets its headers back, and with them:
//!
//! | header | value |
//! |---|---|
//! | `outlast-history` | one for each time it died, oldest first |
//! | `outlast-redrive-count` | how often it was redriven |
//! | `outlast-redrive-group` | for whom: other share groups pass it over |
//! | `outlast-delay-ms` | 0: it is not to wait again |

use std::fmt::Write;

use bytes::Bytes;
use outlast_protocol::Str;
use outlast_records::{BatchBuilder, NewRecord, Offset, PartitionId, Record, RecordRef, Timestamp};

use crate::message_headers::{DEAD_REASON as REASON, DELAY_MS, DELIVER_AT, REDRIVE_GROUP};
use crate::queue::{DeadReason, DyingMessage};

const TOPIC: &str = "__dlq.errors.topic";
const PARTITION: &str = "__dlq.errors.partition";
const OFFSET: &str = "__dlq.errors.offset";
const GROUP: &str = "__dlq.errors.group";
const DELIVERIES: &str = "__dlq.errors.delivery.count";
const MESSAGE: &str = "__dlq.errors.message";
const DIED: &str = "outlast-dead-at";
const FIRST_TRIED: &str = "outlast-dead-first-tried";
const LAST_TRIED: &str = "outlast-dead-last-tried";
const WORKER: &str = "outlast-dead-worker";
const HISTORY: &str = "outlast-history";
const REDRIVES: &str = "outlast-redrive-count";

/// Those of a dead letter that a redriven message has no more.
const STORY: [&str; 11] = [
    TOPIC,
    PARTITION,
    OFFSET,
    GROUP,
    DELIVERIES,
    MESSAGE,
    REASON,
    DIED,
    FIRST_TRIED,
    LAST_TRIED,
    WORKER,
];
/// Those that a redriven message gets anew.
const RENEWED: [&str; 4] = [REDRIVES, REDRIVE_GROUP, DELAY_MS, DELIVER_AT];

/// One dead letter, with its story.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Its place in the dead-letter topic.
    pub partition: PartitionId,
    pub offset: Offset,
    pub died: Timestamp,
    pub reason: DeadReason,
    /// The reason for people.
    pub message: Str,
    /// Where it came from.
    pub topic: Str,
    pub topic_partition: i32,
    pub topic_offset: Offset,
    pub group: Str,
    pub deliveries: u32,
    pub first_tried: Option<Timestamp>,
    pub last_tried: Option<Timestamp>,
    pub last_worker: Option<Str>,
    /// How often it was redriven before it died this time.
    pub redrives: u32,
    /// As it lies in the dead-letter topic: original key, value and headers, and those that tell the story.
    pub record: Record,
}

/// What there is to tell about a message that dies.
pub(super) struct Story<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub group: &'a str,
    pub died: Timestamp,
    pub dying: &'a DyingMessage,
    /// More about the reason.
    pub detail: Option<&'a str>,
}

impl Story<'_> {
    /// Adds the dead letter of `original` to a batch; without one when it can't be read.
    pub fn append(&self, original: Option<&RecordRef<'_>>, copy: bool, batch: &mut BatchBuilder) {
        let texts = self.headers();
        let mut headers: Vec<(&[u8], Option<&[u8]>)> = Vec::new();
        let copied = original.filter(|_| copy);
        headers.extend(copied.iter().flat_map(|record| record.headers));
        let own = texts.iter();
        headers.extend(own.map(|(name, value)| (name.as_bytes(), Some(value.as_bytes()))));
        batch.append(NewRecord {
            timestamp: original.map_or(self.died, |record| record.timestamp),
            key: copied.and_then(|record| record.key),
            value: copied.and_then(|record| record.value),
            headers: &headers,
        });
    }

    fn headers(&self) -> Vec<(&'static str, String)> {
        let dying = self.dying;
        let mut headers = vec![
            (TOPIC, self.topic.to_owned()),
            (PARTITION, self.partition.to_string()),
            (OFFSET, dying.offset.to_string()),
            (GROUP, self.group.to_owned()),
            (DELIVERIES, dying.delivery_count.to_string()),
            (MESSAGE, self.message()),
            (REASON, dying.reason.name().to_owned()),
            (DIED, self.died.to_string()),
        ];
        if let Some(tried) = &dying.tried {
            headers.push((FIRST_TRIED, tried.first.to_string()));
            headers.push((LAST_TRIED, tried.last.to_string()));
            headers.push((WORKER, tried.last_worker.as_str().to_owned()));
        }
        headers
    }

    fn message(&self) -> String {
        let mut message = match self.dying.reason {
            DeadReason::Limit => format!(
                "delivered {} times, and never processed",
                self.dying.delivery_count
            ),
            DeadReason::Rejected => "rejected by a worker".to_owned(),
            DeadReason::Expired => "its time to live was over".to_owned(),
            DeadReason::Undecodable => "it cannot be understood".to_owned(),
        };
        if let Some(detail) = self.detail {
            let _ = write!(message, ": {detail}");
        }
        message
    }
}

impl DeadLetter {
    /// Reads the story from a record of a dead-letter topic. None when it isn't a dead letter of ours.
    pub(super) fn read(partition: PartitionId, record: Record) -> Option<DeadLetter> {
        let text = |name: &str| {
            let header = record.headers.iter().rev();
            let mut header = header.filter(|header| header.key == name.as_bytes());
            let value = header.next()?.value.as_ref()?;
            std::str::from_utf8(value).ok()
        };
        let time = |name: &str| text(name)?.parse().ok().map(Timestamp);
        Some(DeadLetter {
            partition,
            offset: record.offset,
            died: time(DIED)?,
            reason: DeadReason::from_name(text(REASON)?)?,
            message: text(MESSAGE).unwrap_or_default().into(),
            topic: text(TOPIC)?.into(),
            topic_partition: text(PARTITION)?.parse().ok()?,
            topic_offset: Offset(text(OFFSET)?.parse().ok()?),
            group: text(GROUP)?.into(),
            deliveries: text(DELIVERIES)?.parse().ok()?,
            first_tried: time(FIRST_TRIED),
            last_tried: time(LAST_TRIED),
            last_worker: text(WORKER).map(Str::from),
            redrives: text(REDRIVES)
                .and_then(|count| count.parse().ok())
                .unwrap_or(0),
            record,
        })
    }

    /// Adds the message to a batch for where it came from. It is a new message there, of this moment: its time to live
    /// begins again.
    pub(super) fn append_redriven(&self, now: Timestamp, batch: &mut BatchBuilder) {
        let mut kept = self.original_headers();
        let history = self.history();
        let redrives = (self.redrives.saturating_add(1)).to_string();
        let added = [
            (HISTORY, history.as_str()),
            (REDRIVES, redrives.as_str()),
            (REDRIVE_GROUP, &*self.group),
            (DELAY_MS, "0"),
        ];
        let added = added.iter();
        kept.extend(added.map(|(name, value)| (name.as_bytes(), Some(value.as_bytes()))));
        batch.append(NewRecord {
            timestamp: now,
            key: self.record.key.as_deref(),
            value: self.record.value.as_deref(),
            headers: &kept,
        });
    }

    /// The headers that are not about this death, in their order.
    fn original_headers(&self) -> Vec<(&[u8], Option<&[u8]>)> {
        let mut story: Vec<&str> = STORY.to_vec();
        let mut kept: Vec<(&[u8], Option<&[u8]>)> = Vec::new();
        for header in self.record.headers.iter().rev() {
            let is = |name: &str| header.key == name.as_bytes();
            // A message that died as a dead letter tells of that death, too; only the last one is taken back.
            if let Some(at) = story.iter().position(|name| is(name)) {
                story.remove(at);
            } else if !RENEWED.iter().any(|name| is(name)) {
                kept.push((&header.key, header.value.as_deref()));
            }
        }
        kept.reverse();
        kept
    }

    fn history(&self) -> String {
        let mut line = format!(
            "{} group={} deliveries={} died={}",
            self.reason.name(),
            self.group,
            self.deliveries,
            self.died
        );
        if let (Some(first), Some(last)) = (self.first_tried, self.last_tried) {
            let _ = write!(line, " first-tried={first} last-tried={last}");
        }
        if let Some(worker) = &self.last_worker {
            let _ = write!(line, " worker={worker}");
        }
        line
    }

    /// The values of a header, as bytes.
    pub(super) fn header_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Bytes> {
        self.record
            .headers
            .iter()
            .filter(|header| header.key == name.as_bytes())
            .filter_map(|header| header.value.as_ref())
    }
}

#[cfg(test)]
mod tests;
