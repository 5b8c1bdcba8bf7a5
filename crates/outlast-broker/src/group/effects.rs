//! What a command asks of the world around the state machine.
//!
//! Order matters within each list: records are appended in order, replies may leave in any order but
//! never before the records of this and of every earlier command are durable, and a later timer
//! change of the same key replaces an earlier one.

use std::time::Duration;

use outlast_protocol::messages::{JoinGroupResponse, SyncGroupResponse};

use super::{GenerationId, GroupId, GroupRecord, MemberId};
pub use crate::shard::RequestToken;

#[derive(Debug, Default)]
pub struct Effects {
    pub records: Vec<GroupRecord>,
    pub replies: Vec<(RequestToken, Reply)>,
    pub timers: Vec<TimerChange>,
    /// Members of share groups that are gone.
    pub departed: Vec<Departure>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    pub group: GroupId,
    pub member: MemberId,
    /// It said so itself, and may have last words for its queues. Otherwise it was not heard of for too long.
    pub left: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Join(JoinGroupResponse),
    Sync(SyncGroupResponse),
}

pub type TimerChange = crate::shard::TimerChange<TimerKey, TimerEvent>;

#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub enum TimerKey {
    /// A member must show itself before this runs out.
    Member(GroupId, MemberId),
    /// The join phase ends when this runs out.
    Join(GroupId),
    /// Members must have sent SyncGroup before this runs out.
    Sync(GroupId),
}

impl TimerKey {
    pub fn group(&self) -> &GroupId {
        match self {
            TimerKey::Member(group, _) | TimerKey::Join(group) | TimerKey::Sync(group) => group,
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TimerEvent {
    SessionExpired,
    JoinDue,
    /// The first rebalance of a group waits in steps of `delay`, and goes on waiting while members
    /// arrive until `remaining` is used up.
    InitialJoinDue {
        delay: Duration,
        remaining: Duration,
    },
    SyncDue {
        generation: GenerationId,
    },
}

impl Effects {
    pub(super) fn join_reply(&mut self, token: RequestToken, response: JoinGroupResponse) {
        self.replies.push((token, Reply::Join(response)));
    }

    pub(super) fn sync_reply(&mut self, token: RequestToken, response: SyncGroupResponse) {
        self.replies.push((token, Reply::Sync(response)));
    }

    pub(super) fn start(&mut self, key: TimerKey, after: Duration, event: TimerEvent) {
        self.timers.push(TimerChange::Start { key, after, event });
    }

    pub(super) fn cancel(&mut self, key: TimerKey) {
        self.timers.push(TimerChange::Cancel(key));
    }
}
