//! A share group's records in `__consumer_offsets`, in Kafka's formats (key types 10 to 14), and the fold over them.
//!
//! Kafka's record of the partitions that have a share-partition state (type 15) isn't written: the queues themselves say
//! which there are.

use bytes::Bytes;
use outlast_protocol::records::share_group::{TopicPartition, TopicPartitions};
use outlast_protocol::records::{
    RecordKey, ShareGroupCurrentMemberAssignmentKey, ShareGroupCurrentMemberAssignmentValue,
    ShareGroupMemberMetadataKey, ShareGroupMemberMetadataValue, ShareGroupMetadataKey,
    ShareGroupMetadataValue, ShareGroupTargetAssignmentMemberKey,
    ShareGroupTargetAssignmentMemberValue, ShareGroupTargetAssignmentMetadataKey,
    ShareGroupTargetAssignmentMetadataValue,
};
use outlast_protocol::{EncodeError, Message, Str};
use outlast_records::Timestamp;

use super::{Assignment, ShareGroup, ShareMember};
use crate::group::records::{read_value, unkeyed};
use crate::group::{GroupId, GroupRecord, Groups, MemberId, RecordError, detached};

const MEMBER: i16 = ShareGroupMemberMetadataKey::TYPE;
const GROUP: i16 = ShareGroupMetadataKey::TYPE;
const TARGET: i16 = ShareGroupTargetAssignmentMetadataKey::TYPE;
const MEMBER_TARGET: i16 = ShareGroupTargetAssignmentMemberKey::TYPE;
const MEMBER_ASSIGNMENT: i16 = ShareGroupCurrentMemberAssignmentKey::TYPE;

/// The one version that each of the values has.
const VALUE_VERSION: i16 = 0;

/// Without a value it says that the thing is no more.
#[derive(Clone, Debug, PartialEq)]
pub enum ShareRecord {
    Group(Option<ShareGroupMetadataValue>),
    Member(MemberId, Option<ShareGroupMemberMetadataValue>),
    Target(Option<ShareGroupTargetAssignmentMetadataValue>),
    MemberTarget(MemberId, Option<ShareGroupTargetAssignmentMemberValue>),
    MemberAssignment(MemberId, Option<ShareGroupCurrentMemberAssignmentValue>),
}

impl ShareRecord {
    pub fn encode(&self, group: &GroupId) -> Result<(Bytes, Option<Bytes>), EncodeError> {
        let group_id = group.wire();
        match self {
            ShareRecord::Group(value) => pair(ShareGroupMetadataKey { group_id }, value),
            ShareRecord::Member(member, value) => {
                let member_id = member.wire();
                pair(
                    ShareGroupMemberMetadataKey {
                        group_id,
                        member_id,
                    },
                    value,
                )
            }
            ShareRecord::Target(value) => {
                pair(ShareGroupTargetAssignmentMetadataKey { group_id }, value)
            }
            ShareRecord::MemberTarget(member, value) => {
                let member_id = member.wire();
                let key = ShareGroupTargetAssignmentMemberKey {
                    group_id,
                    member_id,
                };
                pair(key, value)
            }
            ShareRecord::MemberAssignment(member, value) => {
                let member_id = member.wire();
                let key = ShareGroupCurrentMemberAssignmentKey {
                    group_id,
                    member_id,
                };
                pair(key, value)
            }
        }
    }

    /// `None` when the key is of another kind.
    pub fn decode(
        kind: i16,
        key: &Bytes,
        value: &Option<Bytes>,
    ) -> Result<Option<(GroupId, ShareRecord)>, RecordError> {
        let (key, value) = (key.clone(), value.clone());
        Ok(Some(match kind {
            GROUP => {
                let key: ShareGroupMetadataKey = unkeyed(key)?;
                let record = ShareRecord::Group(read_value(value)?);
                (GroupId::new(&key.group_id), record)
            }
            MEMBER => {
                let key: ShareGroupMemberMetadataKey = unkeyed(key)?;
                let value = read_value(value)?.map(detach_member);
                let record = ShareRecord::Member(MemberId::new(&key.member_id), value);
                (GroupId::new(&key.group_id), record)
            }
            TARGET => {
                let key: ShareGroupTargetAssignmentMetadataKey = unkeyed(key)?;
                let record = ShareRecord::Target(read_value(value)?);
                (GroupId::new(&key.group_id), record)
            }
            MEMBER_TARGET => {
                let key: ShareGroupTargetAssignmentMemberKey = unkeyed(key)?;
                let member = MemberId::new(&key.member_id);
                let record = ShareRecord::MemberTarget(member, read_value(value)?);
                (GroupId::new(&key.group_id), record)
            }
            MEMBER_ASSIGNMENT => {
                let key: ShareGroupCurrentMemberAssignmentKey = unkeyed(key)?;
                let member = MemberId::new(&key.member_id);
                let record = ShareRecord::MemberAssignment(member, read_value(value)?);
                (GroupId::new(&key.group_id), record)
            }
            _ => return Ok(None),
        }))
    }

    fn is_removal(&self) -> bool {
        match self {
            ShareRecord::Group(value) => value.is_none(),
            ShareRecord::Member(_, value) => value.is_none(),
            ShareRecord::Target(value) => value.is_none(),
            ShareRecord::MemberTarget(_, value) => value.is_none(),
            ShareRecord::MemberAssignment(_, value) => value.is_none(),
        }
    }
}

impl Groups {
    /// The one way in which a share group comes, changes and goes. A log that was compacted may have its records in any
    /// order, so each that says something makes the group and the member that it speaks of.
    pub(in crate::group) fn apply_share(&mut self, group: &GroupId, record: &ShareRecord) {
        if matches!(record, ShareRecord::Group(None)) {
            self.share_groups.remove(group);
        } else if let Some(existing) = self.share_groups.get_mut(group) {
            existing.apply(record);
        } else if !record.is_removal() {
            let mut new = ShareGroup::new(group.clone());
            new.apply(record);
            self.share_groups.insert(group.clone(), new);
        }
    }

    pub(in crate::group) fn share_snapshot(&self) -> impl Iterator<Item = GroupRecord> {
        self.share_groups.values().flat_map(|group| {
            group
                .snapshot()
                .into_iter()
                .map(|record| GroupRecord::Share {
                    group: group.id.clone(),
                    record,
                })
        })
    }
}

impl ShareGroup {
    pub(super) fn apply(&mut self, record: &ShareRecord) {
        match record {
            ShareRecord::Group(Some(value)) => {
                self.epoch = value.epoch;
                self.metadata_hash = value.metadata_hash;
            }
            ShareRecord::Group(None) => {}
            ShareRecord::Member(id, Some(value)) => {
                let member = self.member_or_new(id);
                member.rack.clone_from(&value.rack_id);
                member.client_id = value.client_id.clone();
                member.client_host = value.client_host.clone();
                member.topics = value.subscribed_topic_names.iter().cloned().collect();
            }
            ShareRecord::Member(id, None) => {
                self.members.remove(id);
            }
            ShareRecord::Target(Some(value)) => {
                self.target_epoch = value.assignment_epoch;
                let since = Timestamp(value.assignment_timestamp);
                self.target_since = Some(since).filter(|since| since.0 > 0);
            }
            ShareRecord::Target(None) => {
                self.target_epoch = 0;
                self.target_since = None;
            }
            ShareRecord::MemberTarget(id, Some(value)) => {
                let topics = value.topic_partitions.iter();
                let target = collect(topics.map(|topic| (topic.topic_id, &topic.partitions[..])));
                self.target.insert(id.clone(), target);
            }
            ShareRecord::MemberTarget(id, None) => {
                self.target.remove(id);
            }
            ShareRecord::MemberAssignment(id, Some(value)) => {
                let topics = value.assigned_partitions.iter();
                let assigned = collect(topics.map(|topic| (topic.topic_id, &topic.partitions[..])));
                let member = self.member_or_new(id);
                member.epoch = value.member_epoch;
                member.previous_epoch = value.previous_member_epoch;
                member.assigned = assigned;
            }
            ShareRecord::MemberAssignment(id, None) => {
                if let Some(member) = self.members.get_mut(id) {
                    (member.epoch, member.previous_epoch) = (0, -1);
                    member.assigned.clear();
                }
            }
        }
    }

    fn member_or_new(&mut self, id: &MemberId) -> &mut ShareMember {
        self.members
            .entry(id.clone())
            .or_insert_with(|| ShareMember::new(id.clone()))
    }

    /// Records that make the group what it is, out of nothing.
    fn snapshot(&self) -> Vec<ShareRecord> {
        let mut records = vec![ShareRecord::Group(Some(ShareGroupMetadataValue {
            epoch: self.epoch,
            metadata_hash: self.metadata_hash,
        }))];
        for member in self.members.values() {
            records.push(member.record());
            records.push(member.assignment_record());
        }
        records.push(ShareRecord::Target(Some(
            ShareGroupTargetAssignmentMetadataValue {
                assignment_epoch: self.target_epoch,
                assignment_timestamp: self.target_since.map_or(0, |since| since.0),
            },
        )));
        for (member, target) in &self.target {
            records.push(target_record(member, target));
        }
        records
    }
}

impl ShareMember {
    /// Who the member is and what it subscribes to.
    pub(super) fn record(&self) -> ShareRecord {
        let value = ShareGroupMemberMetadataValue {
            rack_id: self.rack.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            subscribed_topic_names: self.topics.iter().cloned().collect(),
        };
        ShareRecord::Member(self.id.clone(), Some(value))
    }

    /// What the member has been told.
    pub(super) fn assignment_record(&self) -> ShareRecord {
        /// Nothing has to be given back before a member is where it should be.
        const STABLE: i8 = 0;
        let value = ShareGroupCurrentMemberAssignmentValue {
            member_epoch: self.epoch,
            previous_member_epoch: self.previous_epoch,
            state: STABLE,
            assigned_partitions: by_topic(&self.assigned)
                .map(|(topic_id, partitions)| TopicPartitions {
                    topic_id,
                    partitions,
                })
                .collect(),
        };
        ShareRecord::MemberAssignment(self.id.clone(), Some(value))
    }
}

pub(super) fn target_record(member: &MemberId, target: &Assignment) -> ShareRecord {
    let value = ShareGroupTargetAssignmentMemberValue {
        topic_partitions: by_topic(target)
            .map(|(topic_id, partitions)| TopicPartition {
                topic_id,
                partitions,
            })
            .collect(),
    };
    ShareRecord::MemberTarget(member.clone(), Some(value))
}

/// An assignment as the messages and records have it.
pub(super) fn by_topic(
    assignment: &Assignment,
) -> impl Iterator<Item = (uuid::Uuid, Vec<i32>)> + '_ {
    assignment
        .iter()
        .map(|(topic, partitions)| (*topic, partitions.iter().copied().collect()))
}

fn collect<'a>(topics: impl Iterator<Item = (uuid::Uuid, &'a [i32])>) -> Assignment {
    let mut assignment = Assignment::new();
    for (topic, partitions) in topics {
        if !partitions.is_empty() {
            assignment.entry(topic).or_default().extend(partitions);
        }
    }
    assignment
}

fn pair<K: RecordKey>(
    key: K,
    value: &Option<K::Value>,
) -> Result<(Bytes, Option<Bytes>), EncodeError> {
    let value = value.as_ref();
    let value = value.map(|value| value.to_versioned_bytes(VALUE_VERSION));
    Ok((key.to_key_bytes()?, value.transpose()?))
}

/// Frees what is kept from the batch that it was read from.
fn detach_member(mut value: ShareGroupMemberMetadataValue) -> ShareGroupMemberMetadataValue {
    let detach = |text: &mut Str| *text = detached(text);
    value.rack_id.iter_mut().for_each(detach);
    detach(&mut value.client_id);
    detach(&mut value.client_host);
    value.subscribed_topic_names.iter_mut().for_each(detach);
    value
}
