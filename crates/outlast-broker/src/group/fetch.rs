//! OffsetFetch: what a group has committed.
//!
//! A topic that was deleted and created anew has another id, and what was committed for the old one
//! is not shown for the new one.

use outlast_protocol::messages::offset_fetch::{
    OffsetFetchRequestTopics, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use outlast_protocol::{ErrorCode, Str};
use uuid::Uuid;

use super::{CommittedOffset, GroupId, Groups};

/// Said of a partition without a committed offset.
pub(crate) const NO_OFFSET: i64 = -1;

impl Groups {
    /// The topics have names, and the ids that they have today if there are such topics. A group
    /// that doesn't exist has committed nothing.
    ///
    /// `require_stable`: whoever asks must not go on from an offset while a transaction that commits another one is open
    /// (KIP-447).
    pub fn fetch(
        &self,
        group_id: &GroupId,
        topics: &[OffsetFetchRequestTopics],
        require_stable: bool,
    ) -> Vec<OffsetFetchResponseTopics> {
        let group = self.groups.get(group_id);
        let partition = |topic: &OffsetFetchRequestTopics, index: i32| {
            if require_stable && self.pending.is_pending(group_id, &topic.name, index) {
                return unstable(index);
            }
            let committed = group.and_then(|g| g.offsets.get(&topic.name, index));
            fetched(index, committed.filter(|c| c.is_of(topic.topic_id)))
        };
        topics
            .iter()
            .map(|topic| OffsetFetchResponseTopics {
                name: topic.name.clone(),
                topic_id: topic.topic_id,
                partitions: topic
                    .partition_indexes
                    .iter()
                    .map(|index| partition(topic, *index))
                    .collect(),
            })
            .collect()
    }

    /// All that the group has committed, with the ids that the topics have today (nil for a topic
    /// that there is no longer).
    pub fn fetch_all(
        &self,
        group_id: &GroupId,
        current_id: impl Fn(&Str) -> Option<Uuid>,
        require_stable: bool,
    ) -> Vec<OffsetFetchResponseTopics> {
        let Some(group) = self.groups.get(group_id) else {
            return Vec::new();
        };
        let topic = |name: &Str| {
            let topic_id = current_id(name).unwrap_or_default();
            let partitions: Vec<_> = group
                .offsets
                .topic(name)
                .filter(|(_, committed)| committed.is_of(topic_id))
                .map(|(index, committed)| {
                    if require_stable && self.pending.is_pending(group_id, name, index) {
                        unstable(index)
                    } else {
                        fetched(index, Some(committed))
                    }
                })
                .collect();
            (!partitions.is_empty()).then(|| OffsetFetchResponseTopics {
                name: name.clone(),
                topic_id,
                partitions,
            })
        };
        group
            .offsets
            .topics()
            .filter_map(|(name, _)| topic(name))
            .collect()
    }
}

fn unstable(index: i32) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        error_code: ErrorCode::UnstableOffsetCommit.code(),
        ..fetched(index, None)
    }
}

fn fetched(index: i32, committed: Option<&CommittedOffset>) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index: index,
        committed_offset: committed.map_or(NO_OFFSET, |c| c.offset.0),
        committed_leader_epoch: committed.map_or(-1, |c| c.leader_epoch.0),
        metadata: Some(committed.map(|c| c.metadata.clone()).unwrap_or_default()),
        ..OffsetFetchResponsePartitions::default()
    }
}
