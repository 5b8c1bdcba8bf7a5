//! Groups as a pure state machine: (state, command, now) → (records, replies, timers).
//!
//! [`Groups`] is the state of one `__consumer_offsets` partition: its classic groups, their members
//! and their committed offsets, and its share groups, which have a machine of their own (`share`). A command is a method; it changes the state at once and writes what must
//! happen into [`Effects`]. There is no clock, socket, lock or task here: `coordinator` gives the
//! time and the random member ids, makes the records durable and only then lets the replies go.
//!
//! What survives a restart is exactly what the records say (see `records`): the generation, members
//! and assignment of the last completed rebalance, and every committed offset. A rebalance that was
//! under way is forgotten, and its members join again.
//!
//! ```text
//!            first member joins               join phase over
//!   Empty ───────────────────────▶ Preparing ─────────────────▶ Completing
//!     ▲                            ▲   ▲  │                        │   │
//!     │       nobody is left       │   │  │   a member changed     │   │ the leader sent
//!     └────────────────────────────┼───┼──┘ ◀──────────────────────┘   │ the assignment
//!                                  │   │                               ▼
//!                                  │   └──── a member changed ────── Stable
//! ```

mod admin;
mod classic;
mod commit;
mod config;
mod effects;
mod expiry;
mod fetch;
mod heartbeat;
mod ids;
mod join;
mod leave;
mod member;
mod offsets;
mod pending;
mod rebalance;
mod records;
mod share;
mod static_member;
mod subscription;
mod sync;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use outlast_protocol::{ErrorCode, Str};
use outlast_records::Timestamp;

pub use classic::{Group, GroupState};
pub(crate) use commit::commit_error;
pub use config::GroupConfig;
pub use effects::{Departure, Effects, Reply, RequestToken, TimerChange, TimerEvent, TimerKey};
pub(crate) use fetch::NO_OFFSET;
pub use ids::{GenerationId, GroupId, InstanceId, MemberId};
pub use join::Join;
pub use member::Member;
pub use offsets::{CommittedOffset, Offsets};
use pending::PendingOffsets;
pub(crate) use pending::txn_commit_error;
pub(crate) use rebalance::{join_error, sync_error};
pub use records::{GroupRecord, RecordError};
pub use share::{
    SHARE_GROUP_TYPE, ShareGroup, ShareGroupState, ShareHeartbeat, ShareRecord, SubscribedTopic,
};

use rebalance::Turn;

/// The longest group id, client id and the like. A record's string is up to 32,767 bytes long, and a
/// member id is made of such a name and a UUID.
pub(crate) const MAX_NAME_BYTES: usize = 32_767 - 64;

/// The group type that ListGroups reports for groups of this protocol (KIP-848).
pub const CLASSIC_GROUP_TYPE: &str = "classic";

/// The groups of one shard, that is, of one partition of `__consumer_offsets`.
#[derive(Debug)]
pub struct Groups {
    config: Arc<GroupConfig>,
    // Ordered, so that what a command writes depends on nothing but the state.
    groups: BTreeMap<GroupId, Group>,
    /// What open transactions have committed.
    pending: PendingOffsets,
    /// No id is in both maps.
    share_groups: BTreeMap<GroupId, ShareGroup>,
    /// Records of kinds that this version doesn't know, kept for one that does.
    unknown: BTreeMap<Bytes, Bytes>,
}

impl Groups {
    pub fn new(config: Arc<GroupConfig>) -> Groups {
        Groups {
            config,
            groups: BTreeMap::new(),
            pending: PendingOffsets::default(),
            share_groups: BTreeMap::new(),
            unknown: BTreeMap::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.groups.len()
    }

    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    pub fn group(&self, id: &str) -> Option<&Group> {
        self.groups.get(&GroupId::from(id))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// A timer that an earlier command started has run out. Firing late, or for a group or member
    /// that is gone, does nothing.
    pub fn timer_fired(
        &mut self,
        key: &TimerKey,
        event: TimerEvent,
        now: Timestamp,
        fx: &mut Effects,
    ) {
        if let TimerKey::Member(group, member) = key {
            self.share_session_expired(group, member, now, fx);
        }
        let Some(mut turn) = self.turn(key.group(), now, fx) else {
            return;
        };
        match (key, event) {
            (TimerKey::Member(_, member), _) => turn.session_expired(member),
            (TimerKey::Join(_), TimerEvent::InitialJoinDue { delay, remaining }) => {
                turn.initial_join_due(delay, remaining)
            }
            (TimerKey::Join(_), _) => turn.complete_join(),
            (TimerKey::Sync(_), TimerEvent::SyncDue { generation }) => turn.sync_due(generation),
            (TimerKey::Sync(_), _) => {}
        }
    }

    /// What must run after the records of a shard have been replayed: every member gets a full
    /// session timeout to show that it is still there, and a group that is now over the configured
    /// size rebalances to shed members.
    pub fn loaded(&mut self, now: Timestamp, fx: &mut Effects) {
        let ids: Vec<GroupId> = self.groups.keys().cloned().collect();
        for id in ids {
            if let Some(mut turn) = self.turn(&id, now, fx) {
                turn.loaded();
            }
        }
        self.share_loaded(fx);
    }

    fn turn<'a>(
        &'a mut self,
        id: &GroupId,
        now: Timestamp,
        fx: &'a mut Effects,
    ) -> Option<Turn<'a>> {
        let group = self.groups.get_mut(id)?;
        Some(Turn {
            config: &self.config,
            group,
            now,
            fx,
        })
    }

    fn turn_or_new<'a>(
        &'a mut self,
        id: &GroupId,
        now: Timestamp,
        fx: &'a mut Effects,
    ) -> Turn<'a> {
        let group = self
            .groups
            .entry(id.clone())
            .or_insert_with(|| Group::new(id.clone(), now));
        Turn {
            config: &self.config,
            group,
            now,
            fx,
        }
    }
}

/// Whether an id, a group instance id if one was given, and the group's membership fit together
/// (KIP-345): the same check for join, sync, heartbeat, leave and offset commit.
pub(crate) fn validate_member(
    group: &Group,
    member: &MemberId,
    instance: Option<&InstanceId>,
) -> Result<(), ErrorCode> {
    if let Some(instance) = instance {
        match group.static_member(instance) {
            None => return Err(ErrorCode::UnknownMemberId),
            Some(current) if current != member => return Err(ErrorCode::FencedInstanceId),
            Some(_) => {}
        }
    }
    if group.member(member).is_none() {
        return Err(ErrorCode::UnknownMemberId);
    }
    Ok(())
}

/// A copy that doesn't keep the request's frame alive. Everything that the state keeps goes through
/// here: a group id of ten bytes would otherwise pin a frame of many mebibytes.
pub(crate) fn detached(from: &Str) -> Str {
    let text: &str = from;
    Str::from(text)
}
