//! Kafka's record formats of `__consumer_offsets`, and the fold that makes state of them.
//!
//! The key's first two bytes say what a record is: 0 and 1 an offset, 2 a classic group, 10 to 14
//! share groups; others belong to protocols that are not served. Records that this version doesn't
//! know are kept as they are and go into every snapshot, so that a newer version finds them again.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use outlast_protocol::records::group::{
    GroupMetadataKey, GroupMetadataValue, MemberMetadata, OffsetCommitKey, OffsetCommitValue,
};
use outlast_protocol::{DecodeError, EncodeError, Message, Reader, Str, Writer};
use outlast_records::{EndTxnMarker, ProducerEpoch, ProducerId, Timestamp};
use thiserror::Error;

use crate::shard::Form;

use super::member::{Member, MemberProtocol};
use super::{
    CommittedOffset, Effects, Group, GroupId, Groups, InstanceId, MemberId, ShareRecord, detached,
};

const LEGACY_OFFSET: i16 = 0;
const OFFSET: i16 = 1;
const GROUP: i16 = 2;

/// What Kafka 4.3 writes.
const GROUP_VALUE_VERSION: i16 = 3;
const OFFSET_VALUE_VERSION: i16 = 4;
/// The one version that has an expiry of its own.
const OFFSET_VALUE_VERSION_WITH_EXPIRY: i16 = 1;

/// One record of a shard's log. Without a value it says that the thing is no more.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupRecord {
    Metadata {
        group: GroupId,
        value: Option<GroupMetadataValue>,
    },
    Offset {
        group: GroupId,
        topic: Str,
        partition: i32,
        value: Option<OffsetCommitValue>,
    },
    /// An offset that counts when its producer's transaction commits: in a batch of that.
    PendingOffset {
        producer: (ProducerId, ProducerEpoch),
        group: GroupId,
        topic: Str,
        partition: i32,
        value: OffsetCommitValue,
    },
    /// The end of a producer's transaction: a control batch.
    TransactionEnd {
        producer: (ProducerId, ProducerEpoch),
        marker: EndTxnMarker,
    },
    Share {
        group: GroupId,
        record: ShareRecord,
    },
    /// Of a kind that this version doesn't know.
    Unknown {
        key: Bytes,
        value: Option<Bytes>,
    },
}

#[derive(Debug, Error)]
pub enum RecordError {
    #[error("a record without a key")]
    NoKey,
    #[error("the key can't be read: {0}")]
    Key(#[source] DecodeError),
    #[error("the value can't be read: {0}")]
    Value(#[source] DecodeError),
}

impl GroupRecord {
    pub fn encode(&self) -> Result<(Bytes, Option<Bytes>), EncodeError> {
        match self {
            GroupRecord::Metadata { group, value } => {
                let key = GroupMetadataKey {
                    group: group.wire(),
                };
                let value = value
                    .as_ref()
                    .map(|v| v.to_versioned_bytes(GROUP_VALUE_VERSION))
                    .transpose()?;
                Ok((keyed(GROUP, &key)?, value))
            }
            GroupRecord::Offset {
                group,
                topic,
                partition,
                value,
            } => encode_offset(group, topic, *partition, value.as_ref()),
            GroupRecord::PendingOffset {
                group,
                topic,
                partition,
                value,
                ..
            } => encode_offset(group, topic, *partition, Some(value)),
            // The batch is all there is.
            GroupRecord::TransactionEnd { .. } => Ok((Bytes::new(), None)),
            GroupRecord::Share { group, record } => record.encode(group),
            GroupRecord::Unknown { key, value } => Ok((key.clone(), value.clone())),
        }
    }

    /// What kind of batch it goes into.
    pub(crate) fn form(&self) -> Form {
        match self {
            GroupRecord::PendingOffset { producer, .. } => {
                Form::InTransaction(producer.0, producer.1)
            }
            GroupRecord::TransactionEnd { producer, marker } => {
                Form::End(producer.0, producer.1, *marker)
            }
            GroupRecord::Metadata { .. }
            | GroupRecord::Offset { .. }
            | GroupRecord::Share { .. }
            | GroupRecord::Unknown { .. } => Form::Plain,
        }
    }

    pub fn decode(key: Option<Bytes>, value: Option<Bytes>) -> Result<GroupRecord, RecordError> {
        let key = key.ok_or(RecordError::NoKey)?;
        let mut kind = &key[..];
        match kind.try_get_i16() {
            Ok(LEGACY_OFFSET | OFFSET) => {
                let key: OffsetCommitKey = unkeyed(key)?;
                Ok(GroupRecord::Offset {
                    group: GroupId::new(&key.group),
                    topic: detached(&key.topic),
                    partition: key.partition,
                    value: read_value(value)?,
                })
            }
            Ok(GROUP) => {
                let key: GroupMetadataKey = unkeyed(key)?;
                Ok(GroupRecord::Metadata {
                    group: GroupId::new(&key.group),
                    value: read_value(value)?.map(detach_value),
                })
            }
            Ok(kind) => Ok(match ShareRecord::decode(kind, &key, &value)? {
                Some((group, record)) => GroupRecord::Share { group, record },
                None => unknown(&key, value.as_ref()),
            }),
            Err(_) => Ok(unknown(&key, value.as_ref())),
        }
    }
}

fn unknown(key: &Bytes, value: Option<&Bytes>) -> GroupRecord {
    GroupRecord::Unknown {
        key: Bytes::copy_from_slice(key),
        value: value.map(|v| Bytes::copy_from_slice(v)),
    }
}

impl Groups {
    /// Applies one record of the log, in the log's order. Timers come later, with
    /// [`Groups::loaded`].
    pub fn replay(&mut self, record: GroupRecord, now: Timestamp) {
        match record {
            GroupRecord::Metadata {
                group,
                value: Some(value),
            } => {
                let members = value.members.iter();
                let members = members.map(|m| restored_member(m, &value)).collect();
                self.groups
                    .entry(group.clone())
                    .or_insert_with(|| Group::new(group, now))
                    .restore(value, members);
            }
            GroupRecord::Metadata { group, value: None } => {
                if let Some(existing) = self.groups.remove(&group) {
                    // Whoever deletes a group deletes its offsets first. Those that are left are
                    // another client's, committed without a group.
                    if !existing.offsets.is_empty() {
                        let mut simple = Group::new(group.clone(), now);
                        simple.offsets = existing.offsets;
                        self.groups.insert(group, simple);
                    }
                }
            }
            GroupRecord::Offset {
                group,
                topic,
                partition,
                value,
            } => self.apply_offset(&group, &topic, partition, value.as_ref(), now),
            GroupRecord::PendingOffset {
                producer,
                group,
                topic,
                partition,
                value,
            } => self.apply_pending(producer, &group, &topic, partition, &value),
            GroupRecord::TransactionEnd { producer, marker } => {
                self.apply_end(producer.0, marker, now);
            }
            GroupRecord::Share { group, record } => self.apply_share(&group, &record),
            GroupRecord::Unknown { key, value } => {
                match value {
                    Some(value) => self.unknown.insert(key, value),
                    None => self.unknown.remove(&key),
                };
            }
        }
    }

    /// Everything that a restart must find, as records that can take the place of the whole log.
    pub fn snapshot(&self) -> impl Iterator<Item = GroupRecord> {
        let unknown = self
            .unknown
            .iter()
            .map(|(key, value)| GroupRecord::Unknown {
                key: key.clone(),
                value: Some(value.clone()),
            });
        let classic = self.groups.values().flat_map(group_records);
        unknown
            .chain(classic)
            .chain(self.pending.records())
            .chain(self.share_snapshot())
    }

    /// The one way in which an offset changes, both when it happens and when it is replayed.
    pub(super) fn apply_offset(
        &mut self,
        group: &GroupId,
        topic: &Str,
        partition: i32,
        value: Option<&OffsetCommitValue>,
        now: Timestamp,
    ) {
        match value {
            Some(value) => self
                .groups
                .entry(group.clone())
                // A commit from outside of any membership makes what is called a simple group.
                .or_insert_with(|| Group::new(group.clone(), now))
                .offsets
                .insert(topic, partition, CommittedOffset::from_value(value)),
            None => {
                self.pending.remove(group, topic, partition);
                if let Some(existing) = self.groups.get_mut(group) {
                    existing.offsets.remove(topic, partition);
                }
            }
        }
    }

    pub(super) fn write_offset(
        &mut self,
        group: &GroupId,
        topic: &Str,
        partition: i32,
        value: Option<OffsetCommitValue>,
        now: Timestamp,
        fx: &mut Effects,
    ) {
        self.apply_offset(group, topic, partition, value.as_ref(), now);
        fx.records.push(GroupRecord::Offset {
            group: group.clone(),
            topic: topic.clone(),
            partition,
            value,
        });
    }
}

/// The group as it is, for its log.
pub(super) fn group_metadata_value(group: &Group) -> GroupMetadataValue {
    GroupMetadataValue {
        protocol_type: group.protocol_type().cloned().unwrap_or_default(),
        generation: group.generation().0,
        protocol: group.protocol_name().cloned(),
        leader: group.leader().map(MemberId::wire),
        current_state_timestamp: group.state_since().map_or(-1, |t| t.0),
        members: group
            .members()
            .map(|member| MemberMetadata {
                member_id: member.id.wire(),
                group_instance_id: member.instance.as_ref().map(InstanceId::wire),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                rebalance_timeout: member.rebalance_timeout_ms,
                session_timeout: member.session_timeout_ms,
                subscription: member.metadata(group.protocol_name()),
                assignment: member.assignment.clone(),
            })
            .collect(),
    }
}

/// A group that nobody is a member of yet.
pub(super) fn empty_group_metadata_value(group: &Group) -> GroupMetadataValue {
    GroupMetadataValue {
        current_state_timestamp: group.state_since().map_or(-1, |t| t.0),
        ..GroupMetadataValue::default()
    }
}

fn group_records(group: &Group) -> impl Iterator<Item = GroupRecord> {
    let metadata = group.recorded.as_ref().map(|value| GroupRecord::Metadata {
        group: group.id.clone(),
        value: Some(value.clone()),
    });
    let offsets = group
        .offsets
        .iter()
        .map(|(topic, partition, committed)| GroupRecord::Offset {
            group: group.id.clone(),
            topic: topic.clone(),
            partition,
            value: Some(committed.to_value()),
        });
    metadata.into_iter().chain(offsets)
}

fn restored_member(member: &MemberMetadata, value: &GroupMetadataValue) -> Member {
    Member {
        id: MemberId::new(&member.member_id),
        instance: member.group_instance_id.as_ref().map(InstanceId::new),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        rebalance_timeout_ms: match member.rebalance_timeout {
            // Records of version 0 have none.
            -1 => member.session_timeout,
            timeout => timeout,
        },
        session_timeout_ms: member.session_timeout,
        // Only the elected protocol is recorded. A member that offers others when it joins again has
        // changed its metadata, and that makes a rebalance.
        protocols: vec![MemberProtocol {
            name: value.protocol.clone().unwrap_or_default(),
            metadata: member.subscription.clone(),
        }],
        assignment: member.assignment.clone(),
        awaiting_join: None,
        awaiting_sync: None,
        is_new: false,
    }
}

/// Frees what is kept from the batch that it was read from.
fn detach_value(mut value: GroupMetadataValue) -> GroupMetadataValue {
    let detach = |text: &mut Str| *text = detached(text);
    detach(&mut value.protocol_type);
    value.protocol.iter_mut().for_each(detach);
    value.leader.iter_mut().for_each(detach);
    for member in &mut value.members {
        detach(&mut member.member_id);
        member.group_instance_id.iter_mut().for_each(detach);
        detach(&mut member.client_id);
        detach(&mut member.client_host);
        member.subscription = Bytes::copy_from_slice(&member.subscription);
        member.assignment = Bytes::copy_from_slice(&member.assignment);
    }
    value
}

fn encode_offset(
    group: &GroupId,
    topic: &Str,
    partition: i32,
    value: Option<&OffsetCommitValue>,
) -> Result<(Bytes, Option<Bytes>), EncodeError> {
    let key = OffsetCommitKey {
        group: group.wire(),
        topic: topic.clone(),
        partition,
    };
    let value = value
        .map(|v| v.to_versioned_bytes(offset_value_version(v)))
        .transpose()?;
    Ok((keyed(OFFSET, &key)?, value))
}

fn keyed<K: Message>(kind: i16, key: &K) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    key.encode(&mut writer, 0)?;
    let fields = writer.finish_joined()?;
    let mut bytes = BytesMut::with_capacity(2 + fields.len());
    bytes.put_i16(kind);
    bytes.put(fields);
    Ok(bytes.freeze())
}

/// The kind must have been read already: there are two bytes of it.
pub(super) fn unkeyed<K: Message>(bytes: Bytes) -> Result<K, RecordError> {
    let fields = bytes.slice(2..);
    K::decode(&mut Reader::from(fields), 0).map_err(RecordError::Key)
}

pub(super) fn read_value<V: Message>(bytes: Option<Bytes>) -> Result<Option<V>, RecordError> {
    bytes
        .map(V::from_versioned_bytes)
        .transpose()
        .map_err(RecordError::Value)
}

fn offset_value_version(value: &OffsetCommitValue) -> i16 {
    if value.expire_timestamp == -1 {
        OFFSET_VALUE_VERSION
    } else {
        OFFSET_VALUE_VERSION_WITH_EXPIRY
    }
}
