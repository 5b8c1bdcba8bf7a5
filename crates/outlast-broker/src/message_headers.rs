//! The headers with which a publisher steers a queue, and the walk over a stored batch that reads them.
//!
//! A queue's scan sees every record once: its offset, when it is due, when it expires, its id for the ledger, its lane.
//! The walk borrows everything, so that records without such headers cost no allocation, and copies nothing of a batch
//! that is not compressed. What a client wrote wrongly is said by name, never guessed at.
//!
//! | header | value | meaning |
//! |---|---|---|
//! | `outlast-deliver-at` | ms since the epoch, decimal | not handed out before; wins over the delay |
//! | `outlast-delay-ms` | ms, decimal | counted from the record's timestamp; 0 overrides the topic's delay |
//! | `outlast-ttl-ms` | ms, decimal, or -1 for ever | counted from when the record is due |
//! | `outlast-redrive-group` | a group's name | other share groups pass the record over |
//!
//! Of a header that is there several times the last one counts, as for Kafka's clients.

use outlast_records::{
    BatchError, BatchHeader, HeaderRefs, Offset, RecordRef, RecordSet, Timestamp,
};
use twox_hash::{XxHash3_64, XxHash3_128};

pub const DELIVER_AT: &str = "outlast-deliver-at";
pub const DELAY_MS: &str = "outlast-delay-ms";
pub const TTL_MS: &str = "outlast-ttl-ms";
/// The id that deduplication looks at when it is told to; no other meaning.
pub const MESSAGE_ID: &str = "outlast-message-id";
pub const REDRIVE_GROUP: &str = "outlast-redrive-group";
/// A record with it is a dead letter: what its other headers asked for has had its time, and is ignored.
pub const DEAD_REASON: &str = "outlast-dead-reason";

/// All of ours begin so; records without such a header are passed quickly.
const PREFIX: &[u8] = b"outlast-";

/// What decides how a record's headers are read: the topic's defaults, and what the group wants to know.
#[derive(Debug, Clone, Copy)]
pub struct WalkRules<'a> {
    /// `message.delay.ms`.
    pub delay_ms: i64,
    /// `message.ttl.ms`.
    pub ttl_ms: Option<i64>,
    /// The share group that reads: what was redriven for another one is skipped.
    pub group: &'a str,
    /// `queue.dedupe.header`; records without it have no id.
    pub id_header: Option<&'a str>,
    /// `queue.order=key`: records with a key have a lane.
    pub lanes: bool,
    /// The time from which a record without a timestamp counts its delay and its time to live.
    pub now: Timestamp,
    /// What a compressed batch may grow to.
    pub max_decompressed: usize,
}

/// What a queue must know of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueMessage {
    pub offset: Offset,
    /// Hash of the key; `None` without a key, or where nobody asked.
    pub lane: Option<u64>,
    /// `None`: at once.
    pub due: Option<Timestamp>,
    /// `None`: never.
    pub expires: Option<Timestamp>,
    /// Hash of the id.
    pub id: Option<u128>,
    /// It was redriven for another group.
    pub skip: bool,
    pub undecodable: Option<Undecodable>,
}

/// Why a record cannot be taken as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undecodable {
    /// The header of this name does not have a value that it may have.
    Header(&'static str),
    /// From this offset to the end of the batch the records cannot be read; the walk ends with it.
    Records,
}

/// Calls `visit` for each record of a stored batch in the order of the offsets. Control batches have none.
///
/// A batch whose records cannot be read, or have offsets that are not the batch's own, ends with one
/// [`Undecodable::Records`]: the broker takes a producer's records as they are, so that a hostile one may store anything
/// under a good checksum. Only a batch whose header cannot be read is an error.
pub fn walk(
    batch: &[u8],
    rules: &WalkRules<'_>,
    mut visit: impl FnMut(QueueMessage),
) -> Result<BatchHeader, BatchError> {
    let header = outlast_records::header_at(batch)?;
    if header.attributes.is_control() {
        return Ok(header);
    }
    let mut next = header.base_offset;
    let Ok(set) = RecordSet::decode(batch, rules.max_decompressed) else {
        visit(unreadable(next));
        return Ok(header);
    };
    for record in set.iter() {
        match record {
            Ok(record) if record.offset >= next && record.offset <= header.last_offset() => {
                visit(read(&record, rules));
                next = record.offset.next();
            }
            Ok(_) | Err(_) => {
                // After the last offset there is nothing that could be lost.
                if next <= header.last_offset() {
                    visit(unreadable(next));
                }
                break;
            }
        }
    }
    Ok(header)
}

/// What the headers of one record say.
pub fn read(record: &RecordRef<'_>, rules: &WalkRules<'_>) -> QueueMessage {
    let mut message = QueueMessage {
        offset: record.offset,
        lane: None,
        due: None,
        expires: None,
        id: None,
        skip: false,
        undecodable: None,
    };
    if rules.lanes {
        message.lane = record.key.map(XxHash3_64::oneshot);
    }
    let mut given = Given::default();
    for (key, value) in record.headers {
        if let Some(wanted) = rules.id_header
            && key == wanted.as_bytes()
        {
            message.id = value.map(id_hash);
        }
        if key.starts_with(PREFIX) {
            given.take(key, value, rules.group);
        }
    }
    if given.is_dead {
        given = Given::default();
    }
    message.skip = given.skip;
    message.undecodable = given.malformed.map(Undecodable::Header);
    let published = match record.timestamp {
        Timestamp::NONE => rules.now,
        timestamp => timestamp,
    };
    let delay = given.delay_ms.unwrap_or(rules.delay_ms);
    message.due = match given.deliver_at {
        Some(at) => Some(at),
        None => (delay > 0).then(|| plus(published, delay)),
    };
    let ttl = given
        .ttl_ms
        .map_or(rules.ttl_ms, |ttl| (ttl >= 0).then_some(ttl));
    // A delay longer than the time to live would otherwise kill each message before anybody could have it.
    let from = message.due.map_or(published, |due| due.max(published));
    message.expires = ttl.map(|ttl| plus(from, ttl));
    message
}

/// The hash under which an id is remembered. It is part of what is stored, so it never changes.
pub fn id_hash(id: &[u8]) -> u128 {
    XxHash3_128::oneshot(id)
}

/// The last value of a header.
pub fn last_header<'a>(headers: HeaderRefs<'a>, name: &str) -> Option<&'a [u8]> {
    headers
        .filter(|(key, _)| *key == name.as_bytes())
        .last()
        .and_then(|(_, value)| value)
}

#[derive(Default)]
struct Given {
    is_dead: bool,
    deliver_at: Option<Timestamp>,
    delay_ms: Option<i64>,
    ttl_ms: Option<i64>,
    skip: bool,
    /// The first one.
    malformed: Option<&'static str>,
}

impl Given {
    fn take(&mut self, key: &[u8], value: Option<&[u8]>, group: &str) {
        if key == DELIVER_AT.as_bytes() {
            self.deliver_at = self.number(DELIVER_AT, value, 0).map(Timestamp);
        } else if key == DELAY_MS.as_bytes() {
            self.delay_ms = self.number(DELAY_MS, value, 0);
        } else if key == TTL_MS.as_bytes() {
            self.ttl_ms = self.number(TTL_MS, value, -1);
        } else if key == REDRIVE_GROUP.as_bytes() {
            self.skip = value != Some(group.as_bytes());
        } else if key == DEAD_REASON.as_bytes() {
            self.is_dead = true;
        }
    }

    fn number(&mut self, name: &'static str, value: Option<&[u8]>, least: i64) -> Option<i64> {
        let number = value
            .and_then(|value| std::str::from_utf8(value).ok())
            .and_then(|text| text.trim().parse::<i64>().ok())
            .filter(|number| *number >= least);
        if number.is_none() {
            self.malformed.get_or_insert(name);
        }
        number
    }
}

fn plus(from: Timestamp, ms: i64) -> Timestamp {
    Timestamp(from.0.saturating_add(ms))
}

fn unreadable(offset: Offset) -> QueueMessage {
    QueueMessage {
        offset,
        lane: None,
        due: None,
        expires: None,
        id: None,
        skip: false,
        undecodable: Some(Undecodable::Records),
    }
}

#[cfg(test)]
mod tests;
