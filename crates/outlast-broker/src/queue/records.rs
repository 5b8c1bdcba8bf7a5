//! The records of queues in `__share_group_state`.
//!
//! The key's first two bytes say what a record is: 100 a queue, 101 a group's ledger. Kafka's own
//! types, and those of later versions, are kept as they are.

use bytes::{Buf, Bytes};
use outlast_protocol::records::queue::{ProcessedIds, QueueChange};
use outlast_protocol::records::{
    QueueLedgerKey, QueueLedgerValue, QueueStateKey, QueueStateValue, RecordKey,
};
use outlast_protocol::{DecodeError, EncodeError, Message, Reader, Str};
use outlast_records::{Offset, PartitionId, Timestamp};
use thiserror::Error;
use uuid::Uuid;

use super::change::{Change, Recorded};
use super::state::Story;
use super::{DeadReason, OffsetRange, QueueId, Worker};
use crate::group::GroupId;

const RETRY: i8 = 1;
const ACQUIRED: i8 = 2;
const DYING: i8 = 3;
const DONE: i8 = 4;

const VALUE_VERSION: i16 = 0;

/// One record of a shard's log.
#[derive(Clone, Debug, PartialEq)]
pub enum QueueRecord {
    /// A queue changes, or begins anew and then changes.
    State {
        id: QueueId,
        begins_at: Option<Offset>,
        changes: Vec<Change>,
    },
    Deleted {
        id: QueueId,
    },
    /// A group has processed messages with these ids.
    Ledger {
        group: GroupId,
        /// How many ids, the newest, it still remembered before.
        kept: usize,
        processed: Vec<(Timestamp, Vec<u128>)>,
    },
    LedgerDeleted {
        group: GroupId,
    },
    /// Of a kind that this version doesn't know.
    Unknown {
        key: Bytes,
        value: Option<Bytes>,
    },
}

#[derive(Debug, Error)]
pub enum QueueRecordError {
    #[error("a record without a key")]
    NoKey,
    #[error("the key can't be read: {0}")]
    Key(#[source] DecodeError),
    #[error("the value can't be read: {0}")]
    Value(#[source] DecodeError),
    #[error("the offsets {first} to {last} are no range")]
    Range { first: i64, last: i64 },
    #[error("nobody knows the state {0}")]
    State(i8),
    #[error("nobody knows the reason {0}")]
    Reason(i8),
    #[error("there is no worker {0}")]
    Worker(i32),
    #[error("{ids} ids for {messages} messages")]
    Ids { ids: usize, messages: u64 },
}

impl QueueRecord {
    pub fn encode(&self) -> Result<(Bytes, Option<Bytes>), EncodeError> {
        Ok(match self {
            QueueRecord::State {
                id,
                begins_at,
                changes,
            } => {
                let value = state_value(*begins_at, changes).to_versioned_bytes(VALUE_VERSION)?;
                (state_key(id)?, Some(value))
            }
            QueueRecord::Deleted { id } => (state_key(id)?, None),
            QueueRecord::Ledger {
                group,
                kept,
                processed,
            } => {
                let value = ledger_value(*kept, processed).to_versioned_bytes(VALUE_VERSION)?;
                (ledger_key(group)?, Some(value))
            }
            QueueRecord::LedgerDeleted { group } => (ledger_key(group)?, None),
            QueueRecord::Unknown { key, value } => (key.clone(), value.clone()),
        })
    }

    pub fn decode(
        key: Option<Bytes>,
        value: Option<Bytes>,
    ) -> Result<QueueRecord, QueueRecordError> {
        let key = key.ok_or(QueueRecordError::NoKey)?;
        let mut kind = &key[..];
        match kind.try_get_i16() {
            Ok(QueueStateKey::TYPE) => {
                let key: QueueStateKey = unkeyed(key)?;
                let topic = key.topic_id;
                let id = QueueId {
                    group: GroupId::new(&key.group_id),
                    partition: PartitionId {
                        topic,
                        index: key.partition,
                    },
                };
                match value {
                    Some(value) => read_state(id, read_value(value)?),
                    None => Ok(QueueRecord::Deleted { id }),
                }
            }
            Ok(QueueLedgerKey::TYPE) => {
                let key: QueueLedgerKey = unkeyed(key)?;
                let group = GroupId::new(&key.group_id);
                match value {
                    Some(value) => Ok(read_ledger(group, read_value(value)?)),
                    None => Ok(QueueRecord::LedgerDeleted { group }),
                }
            }
            _ => Ok(QueueRecord::Unknown {
                key: Bytes::copy_from_slice(&key),
                value: value.map(|v| Bytes::copy_from_slice(&v)),
            }),
        }
    }
}

fn state_key(id: &QueueId) -> Result<Bytes, EncodeError> {
    QueueStateKey {
        group_id: id.group.wire(),
        topic_id: id.partition.topic,
        partition: id.partition.index,
    }
    .to_key_bytes()
}

fn ledger_key(group: &GroupId) -> Result<Bytes, EncodeError> {
    QueueLedgerKey {
        group_id: group.wire(),
    }
    .to_key_bytes()
}

fn state_value(begins_at: Option<Offset>, changes: &[Change]) -> QueueStateValue {
    let mut workers: Vec<Str> = Vec::new();
    let changes = changes
        .iter()
        .map(|change| change_value(change, &mut workers))
        .collect();
    QueueStateValue {
        workers,
        changes,
        begins_at: begins_at.map_or(-1, |offset| offset.0),
    }
}

fn change_value(change: &Change, workers: &mut Vec<Str>) -> QueueChange {
    let mut value = QueueChange {
        first_offset: change.range.first.0,
        last_offset: change.range.last.0,
        ids: change.ids.iter().map(|id| uuid_of(*id)).collect(),
        ..QueueChange::default()
    };
    let story = match &change.to {
        Recorded::Retry(story) => {
            value.state = RETRY;
            Some(story)
        }
        Recorded::Waiting { story, until } => {
            value.state = RETRY;
            value.until = until.0;
            Some(story)
        }
        Recorded::Acquired { story, deadline } => {
            value.state = ACQUIRED;
            value.until = deadline.0;
            Some(story)
        }
        Recorded::Dying { reason, story } => {
            value.state = DYING;
            value.reason = reason.index() as i8;
            story.as_ref()
        }
        Recorded::Done => {
            value.state = DONE;
            None
        }
    };
    if let Some(story) = story {
        value.delivery_count = story.count as i16;
        value.first_tried = story.first.0;
        value.last_tried = story.last.0;
        value.worker = index_of(&story.worker.0, workers);
    }
    value
}

fn index_of(worker: &Str, workers: &mut Vec<Str>) -> i32 {
    // Mostly the last one, and seldom many.
    let index = match workers.iter().rposition(|other| other == worker) {
        Some(index) => index,
        None => {
            workers.push(worker.clone());
            workers.len() - 1
        }
    };
    index as i32
}

fn read_state(id: QueueId, value: QueueStateValue) -> Result<QueueRecord, QueueRecordError> {
    let workers: Vec<Worker> = value.workers.iter().map(Worker::new).collect();
    let changes = value.changes.into_iter();
    let changes = changes
        .map(|change| read_change(change, &workers))
        .collect::<Result<_, _>>()?;
    let begins_at = (value.begins_at >= 0).then_some(Offset(value.begins_at));
    Ok(QueueRecord::State {
        id,
        begins_at,
        changes,
    })
}

fn read_change(value: QueueChange, workers: &[Worker]) -> Result<Change, QueueRecordError> {
    let (first, last) = (value.first_offset, value.last_offset);
    let range = OffsetRange::new(Offset(first), Offset(last))
        .ok_or(QueueRecordError::Range { first, last })?;
    let story = || -> Result<Story, QueueRecordError> {
        let worker = usize::try_from(value.worker).ok();
        let worker = worker.and_then(|index| workers.get(index));
        Ok(Story {
            count: value.delivery_count as u16,
            first: Timestamp(value.first_tried),
            last: Timestamp(value.last_tried),
            worker: worker
                .ok_or(QueueRecordError::Worker(value.worker))?
                .clone(),
        })
    };
    let until = Timestamp(value.until);
    let to = match value.state {
        RETRY if until == Timestamp::NONE => Recorded::Retry(story()?),
        RETRY => Recorded::Waiting {
            story: story()?,
            until,
        },
        ACQUIRED => Recorded::Acquired {
            story: story()?,
            deadline: until,
        },
        DYING => Recorded::Dying {
            reason: usize::try_from(value.reason)
                .ok()
                .and_then(|index| DeadReason::ALL.get(index).copied())
                .ok_or(QueueRecordError::Reason(value.reason))?,
            story: (value.worker >= 0).then(story).transpose()?,
        },
        DONE => Recorded::Done,
        unknown => return Err(QueueRecordError::State(unknown)),
    };
    let ids: Vec<_> = value.ids.iter().map(|id| id_of(*id)).collect();
    if !ids.is_empty() && ids.len() as u64 != range.count() {
        let (ids, messages) = (ids.len(), range.count());
        return Err(QueueRecordError::Ids { ids, messages });
    }
    Ok(Change { range, to, ids })
}

fn ledger_value(kept: usize, processed: &[(Timestamp, Vec<u128>)]) -> QueueLedgerValue {
    let processed = processed.iter().map(|(at, ids)| ProcessedIds {
        timestamp: at.0,
        ids: ids.iter().map(|id| uuid_of(Some(*id))).collect(),
    });
    QueueLedgerValue {
        kept: i32::try_from(kept).unwrap_or(i32::MAX),
        processed: processed.collect(),
    }
}

fn read_ledger(group: GroupId, value: QueueLedgerValue) -> QueueRecord {
    let processed = value.processed.iter().map(|processed| {
        let ids = processed.ids.iter().map(Uuid::as_u128).collect();
        (Timestamp(processed.timestamp), ids)
    });
    QueueRecord::Ledger {
        group,
        kept: usize::try_from(value.kept).unwrap_or(0),
        processed: processed.collect(),
    }
}

/// The hash of an id has as many bits as a UUID. No id is nil; the one hash that would be is none.
fn uuid_of(id: Option<u128>) -> Uuid {
    Uuid::from_u128(id.unwrap_or(0))
}

fn id_of(uuid: Uuid) -> Option<u128> {
    (!uuid.is_nil()).then(|| uuid.as_u128())
}

/// The type must have been read already: there are two bytes of it.
fn unkeyed<K: Message>(bytes: Bytes) -> Result<K, QueueRecordError> {
    let fields = bytes.slice(2..);
    K::decode(&mut Reader::from(fields), 0).map_err(QueueRecordError::Key)
}

fn read_value<V: Message>(bytes: Bytes) -> Result<V, QueueRecordError> {
    V::from_versioned_bytes(bytes).map_err(QueueRecordError::Value)
}
