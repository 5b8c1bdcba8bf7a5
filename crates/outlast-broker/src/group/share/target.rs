//! From what members subscribe to, to what each of them is told: the target, and the way there.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher as _;
use std::time::Duration;

use outlast_protocol::Str;
use outlast_protocol::records::ShareGroupTargetAssignmentMetadataValue;
use twox_hash::XxHash3_64;
use uuid::Uuid;

use super::heartbeat::{ShareTurn, SubscribedTopic};
use super::records::target_record;
use super::{ShareMember, ShareRecord, assignor};
use crate::group::MemberId;
use crate::group_config::ShareSettings;

impl ShareTurn<'_> {
    /// The topics that anybody subscribes to and that exist.
    pub(super) fn subscribed_topics(
        &self,
        lookup: &dyn Fn(&str) -> Option<SubscribedTopic>,
    ) -> BTreeMap<Str, SubscribedTopic> {
        let members = self.group.members.values();
        let names: BTreeSet<&Str> = members.flat_map(|member| &member.topics).collect();
        names
            .into_iter()
            .filter_map(|name| Some((name.clone(), lookup(name)?)))
            .collect()
    }

    pub(super) fn assign_if_due(
        &mut self,
        topics: &BTreeMap<Str, SubscribedTopic>,
        settings: &ShareSettings,
    ) {
        if self.group.target_epoch == self.group.epoch || !self.until_assignment(settings).is_zero()
        {
            return;
        }
        let members = self
            .group
            .members
            .values()
            .map(|member| (member.id.clone(), topic_ids(member, topics)))
            .collect();
        let partitions = topics
            .values()
            .map(|topic| (topic.id, topic.partitions))
            .collect();
        let target = assignor::assign(&members, &partitions, &self.group.target);
        for (member, assignment) in &target {
            if self.group.target.get(member) != Some(assignment) {
                self.emit(target_record(member, assignment));
            }
        }
        let epoch = self.group.epoch;
        self.emit(ShareRecord::Target(Some(
            ShareGroupTargetAssignmentMetadataValue {
                assignment_epoch: epoch,
                assignment_timestamp: self.now.0,
            },
        )));
    }

    /// How long the next assignment has to wait. A wall clock that went back makes nobody wait.
    fn until_assignment(&self, settings: &ShareSettings) -> Duration {
        let Some(since) = self.group.target_since else {
            return Duration::ZERO;
        };
        match u64::try_from(self.now.0.saturating_sub(since.0)) {
            Ok(passed) => settings
                .assignment_interval
                .saturating_sub(Duration::from_millis(passed)),
            Err(_) => Duration::ZERO,
        }
    }

    /// A member that waits for an assignment comes back when it may be made.
    pub(super) fn next_heartbeat(&self, settings: &ShareSettings) -> Duration {
        if self.group.target_epoch == self.group.epoch {
            return settings.heartbeat_interval;
        }
        self.until_assignment(settings)
            .max(Duration::from_millis(1))
            .min(settings.heartbeat_interval)
    }

    /// Brings the member to the target, less the topics that it has left since.
    pub(super) fn reconcile(
        &mut self,
        id: &MemberId,
        resubscribed: bool,
        topics: &BTreeMap<Str, SubscribedTopic>,
    ) {
        let target_epoch = self.group.target_epoch;
        let Some(before) = self.group.member(id) else {
            return;
        };
        if before.epoch == target_epoch && !resubscribed {
            return;
        }
        let mut member = before.clone();
        let subscribed = topic_ids(before, topics);
        member.assigned = self.group.target_of(id);
        member
            .assigned
            .retain(|topic, _| subscribed.contains(topic));
        if member.epoch != target_epoch {
            member.previous_epoch = member.epoch;
            member.epoch = target_epoch;
        }
        if member != *before {
            let record = member.assignment_record();
            self.emit(record);
        }
    }
}

fn topic_ids(member: &ShareMember, topics: &BTreeMap<Str, SubscribedTopic>) -> BTreeSet<Uuid> {
    let known = member.topics.iter().filter_map(|name| topics.get(name));
    known.map(|topic| topic.id).collect()
}

/// Tells whether the topics are the same as before, also after a restart.
pub(super) fn metadata_hash(topics: &BTreeMap<Str, SubscribedTopic>) -> i64 {
    if topics.is_empty() {
        return 0;
    }
    let mut hasher = XxHash3_64::new();
    for (name, topic) in topics {
        hasher.write(&(name.len() as u64).to_be_bytes());
        hasher.write(name.as_bytes());
        hasher.write(topic.id.as_bytes());
        hasher.write(&topic.partitions.to_be_bytes());
    }
    hasher.finish() as i64
}
