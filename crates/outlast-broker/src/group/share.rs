//! Share groups (KIP-932): who the workers of a group are, and on which partitions each of them looks for work.
//!
//! The second kind of group in [`Groups`]. Nothing is handed over between members here: a partition may be with several of
//! them at once, and who has which message is the queues' business. A member learns its partitions from the answer to its
//! heartbeat, and a member that is silent for too long is removed. A group id is of one kind only; which queues a group
//! has, and how far they are, is not known here.
//!
//! ```text
//!                   group epoch                target epoch               member epoch
//!   a member came,       │     at most once         │     the member's        │
//!   went, changed its ───┼──── an assignment ───────┼──── next heartbeat ─────┘
//!   topics, or they did        interval
//! ```
//!
//! An epoch never overtakes the one before it. All of it is durable, in Kafka's record formats, and changes through
//! [`ShareGroup::apply`] alone, both when it happens and when it is replayed.

mod admin;
mod assignor;
mod heartbeat;
mod records;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use outlast_protocol::Str;
use outlast_records::Timestamp;
use uuid::Uuid;

use super::{GroupId, MemberId};

pub use heartbeat::{ShareHeartbeat, SubscribedTopic};
pub use records::ShareRecord;

/// The group type that ListGroups reports, which is also its protocol type.
pub const SHARE_GROUP_TYPE: &str = "share";

/// Which partitions of which topic. No topic without partitions.
pub type Assignment = BTreeMap<Uuid, BTreeSet<i32>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShareGroupState {
    /// No members. Such a group stays until it is deleted: its queues fill up.
    Empty,
    Stable,
}

impl ShareGroupState {
    /// The name in ShareGroupDescribe and ListGroups.
    pub fn name(self) -> &'static str {
        match self {
            ShareGroupState::Empty => "Empty",
            ShareGroupState::Stable => "Stable",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct ShareGroup {
    id: GroupId,
    /// Counts the changes that call for an assignment.
    epoch: i32,
    /// Of the topics that the members subscribe to, with their ids and partitions.
    metadata_hash: i64,
    /// The group epoch that the target is for.
    target_epoch: i32,
    /// When the target was made; none before the first.
    target_since: Option<Timestamp>,
    target: BTreeMap<MemberId, Assignment>,
    members: BTreeMap<MemberId, ShareMember>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ShareMember {
    pub id: MemberId,
    pub rack: Option<Str>,
    pub client_id: Str,
    pub client_host: Str,
    pub topics: BTreeSet<Str>,
    /// The target epoch that the member was told.
    pub epoch: i32,
    /// The one before: the answer that told the newer one may have been lost.
    pub previous_epoch: i32,
    pub assigned: Assignment,
}

impl ShareGroup {
    fn new(id: GroupId) -> ShareGroup {
        ShareGroup {
            id,
            epoch: 0,
            metadata_hash: 0,
            target_epoch: 0,
            target_since: None,
            target: BTreeMap::new(),
            members: BTreeMap::new(),
        }
    }

    pub fn id(&self) -> &GroupId {
        &self.id
    }

    pub fn state(&self) -> ShareGroupState {
        if self.members.is_empty() {
            ShareGroupState::Empty
        } else {
            ShareGroupState::Stable
        }
    }

    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    pub fn target_epoch(&self) -> i32 {
        self.target_epoch
    }

    pub fn member(&self, id: &MemberId) -> Option<&ShareMember> {
        self.members.get(id)
    }

    pub fn members(&self) -> impl ExactSizeIterator<Item = &ShareMember> {
        self.members.values()
    }

    fn target_of(&self, member: &MemberId) -> Assignment {
        self.target.get(member).cloned().unwrap_or_default()
    }
}

impl ShareMember {
    fn new(id: MemberId) -> ShareMember {
        ShareMember {
            id,
            rack: None,
            client_id: Str::default(),
            client_host: Str::default(),
            topics: BTreeSet::new(),
            epoch: 0,
            previous_epoch: -1,
            assigned: Assignment::new(),
        }
    }
}
