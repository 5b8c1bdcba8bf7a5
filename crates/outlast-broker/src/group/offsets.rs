//! The committed offsets of one group.

use std::collections::BTreeMap;

use outlast_protocol::Str;
use outlast_protocol::records::group::OffsetCommitValue;
use outlast_records::{LeaderEpoch, Offset, Timestamp};
use uuid::Uuid;

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CommittedOffset {
    /// The next offset that the group wants to read.
    pub offset: Offset,
    /// The epoch of the last record that was read, or [`LeaderEpoch::NONE`].
    pub leader_epoch: LeaderEpoch,
    pub metadata: Str,
    pub committed_at: Timestamp,
    /// Set by clients of old that ask for a retention of their own (OffsetCommit 2 to 4).
    pub expires_at: Option<Timestamp>,
    /// The topic that was meant, should its name be given to another one. Nil in records of old.
    pub topic_id: Uuid,
}

impl CommittedOffset {
    pub(super) fn from_value(value: &OffsetCommitValue) -> CommittedOffset {
        CommittedOffset {
            offset: Offset(value.offset),
            leader_epoch: LeaderEpoch(value.leader_epoch),
            metadata: super::detached(&value.metadata),
            committed_at: Timestamp(value.commit_timestamp),
            expires_at: Some(Timestamp(value.expire_timestamp)).filter(|t| t.0 != -1),
            topic_id: value.topic_id,
        }
    }

    pub(super) fn to_value(&self) -> OffsetCommitValue {
        OffsetCommitValue {
            offset: self.offset.0,
            leader_epoch: self.leader_epoch.0,
            metadata: self.metadata.clone(),
            commit_timestamp: self.committed_at.0,
            expire_timestamp: self.expires_at.map_or(-1, |t| t.0),
            topic_id: self.topic_id,
        }
    }

    /// Whether this was committed for the topic of this id. Nil on either side says nothing.
    pub(super) fn is_of(&self, topic_id: Uuid) -> bool {
        self.topic_id.is_nil() || topic_id.is_nil() || self.topic_id == topic_id
    }
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Offsets {
    // No topic without partitions.
    by_topic: BTreeMap<Str, BTreeMap<i32, CommittedOffset>>,
}

impl Offsets {
    pub fn is_empty(&self) -> bool {
        self.by_topic.is_empty()
    }

    pub fn get(&self, topic: &str, partition: i32) -> Option<&CommittedOffset> {
        self.by_topic.get(topic)?.get(&partition)
    }

    pub fn topics(&self) -> impl Iterator<Item = (&Str, &BTreeMap<i32, CommittedOffset>)> {
        self.by_topic.iter()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Str, i32, &CommittedOffset)> {
        self.by_topic.iter().flat_map(|(topic, partitions)| {
            partitions
                .iter()
                .map(move |(partition, committed)| (topic, *partition, committed))
        })
    }

    pub(super) fn topic(&self, topic: &str) -> impl Iterator<Item = (i32, &CommittedOffset)> {
        self.by_topic
            .get(topic)
            .into_iter()
            .flatten()
            .map(|(partition, committed)| (*partition, committed))
    }

    pub(super) fn insert(&mut self, topic: &Str, partition: i32, committed: CommittedOffset) {
        match self.by_topic.get_mut(topic) {
            Some(partitions) => {
                partitions.insert(partition, committed);
            }
            None => {
                let partitions = BTreeMap::from([(partition, committed)]);
                self.by_topic.insert(super::detached(topic), partitions);
            }
        }
    }

    pub(super) fn remove(&mut self, topic: &str, partition: i32) {
        if let Some(partitions) = self.by_topic.get_mut(topic) {
            partitions.remove(&partition);
            if partitions.is_empty() {
                self.by_topic.remove(topic);
            }
        }
    }
}
