//! Committed offsets and empty groups that nobody needs any more (KIP-211).
//!
//! | group | an offset expires `offsets.retention.minutes` after |
//! |---|---|
//! | without members, of a protocol | the group became empty |
//! | simple: never had members | its commit |
//! | consumers, stable | its commit, if the group is not subscribed to the topic |
//! | any other | never |
//!
//! An offset that was committed with a retention of its own expires by that instead. An empty group
//! without offsets goes.

use outlast_protocol::Str;
use outlast_records::Timestamp;

use super::{CommittedOffset, Effects, Group, GroupId, GroupRecord, GroupState, Groups, TimerKey};

impl Groups {
    pub fn expire(&mut self, now: Timestamp, fx: &mut Effects) {
        let ids: Vec<GroupId> = self.groups.keys().cloned().collect();
        for id in ids {
            let Some(group) = self.groups.get(&id) else {
                continue;
            };
            for (topic, partition) in expired(group, now, self.config.offsets_retention_ms()) {
                // A transaction is about to commit another one.
                if self.pending.is_pending(&id, &topic, partition) {
                    continue;
                }
                self.write_offset(&id, &topic, partition, None, now, fx);
            }
            let unused = self.groups.get(&id).is_some_and(|group| {
                group.state() == GroupState::Empty
                    && group.offsets.is_empty()
                    && group.pending_joins.is_empty()
            });
            if unused {
                self.remove_group(&id, fx);
            }
        }
    }

    /// The group and its offsets, from the state and from what a restart would find.
    pub(super) fn delete_group(&mut self, id: &GroupId, now: Timestamp, fx: &mut Effects) {
        let Some(group) = self.groups.get(id) else {
            return;
        };
        let offsets: Vec<(Str, i32)> = group
            .offsets
            .iter()
            .map(|(topic, partition, _)| (topic.clone(), partition))
            .chain(self.pending.of_group(id))
            .collect();
        for (topic, partition) in offsets {
            self.write_offset(id, &topic, partition, None, now, fx);
        }
        self.remove_group(id, fx);
    }

    fn remove_group(&mut self, id: &GroupId, fx: &mut Effects) {
        let Some(group) = self.groups.remove(id) else {
            return;
        };
        for member in &group.pending_joins {
            fx.cancel(TimerKey::Member(id.clone(), member.clone()));
        }
        if group.recorded.is_some() {
            fx.records.push(GroupRecord::Metadata {
                group: id.clone(),
                value: None,
            });
        }
    }
}

fn expired(group: &Group, now: Timestamp, retention_ms: i64) -> Vec<(Str, i32)> {
    let Some(base) = retention_base(group) else {
        return Vec::new();
    };
    let is_expired = |committed: &CommittedOffset| match committed.expires_at {
        Some(at) => now >= at,
        None => now.0.saturating_sub(base(committed).0) >= retention_ms,
    };
    group
        .offsets
        .iter()
        .filter(|(topic, _, committed)| !group.is_subscribed_to(topic) && is_expired(committed))
        .map(|(topic, partition, _)| (topic.clone(), partition))
        .collect()
}

/// From when the retention of an offset counts; none if the group's offsets don't expire now.
fn retention_base(group: &Group) -> Option<impl Fn(&CommittedOffset) -> Timestamp> {
    let since_empty = match group.state() {
        _ if group.protocol_type().is_none() => None,
        GroupState::Empty => group.state_since(),
        GroupState::Stable if group.uses_consumer_protocol() && group.knows_subscription() => None,
        GroupState::PreparingRebalance
        | GroupState::CompletingRebalance
        | GroupState::Stable
        | GroupState::Dead => return None,
    };
    Some(move |committed: &CommittedOffset| since_empty.unwrap_or(committed.committed_at))
}
