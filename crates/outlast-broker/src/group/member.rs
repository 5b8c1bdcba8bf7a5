//! One member of a classic group: who it is, what it supports, what it waits for.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use outlast_protocol::Str;
use outlast_protocol::messages::join_group::JoinGroupRequestProtocol;

use super::{InstanceId, MemberId, RequestToken, detached};

/// One assignment protocol that a member offers, with the metadata that goes with it. The
/// coordinator never looks inside the metadata except to learn the subscribed topics.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MemberProtocol {
    pub name: Str,
    pub metadata: Bytes,
}

#[derive(Clone, Debug)]
pub struct Member {
    pub id: MemberId,
    pub instance: Option<InstanceId>,
    pub client_id: Str,
    pub client_host: Str,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    /// In the member's order of preference. Never empty.
    pub(super) protocols: Vec<MemberProtocol>,
    pub assignment: Bytes,
    /// Set while the member's JoinGroup waits for the join phase to end. Changed only through the
    /// group, which counts these.
    pub(super) awaiting_join: Option<RequestToken>,
    /// Set while the member's SyncGroup waits for the leader's assignment.
    pub(super) awaiting_sync: Option<RequestToken>,
    /// The member has not got its first join reply yet.
    pub(super) is_new: bool,
}

impl Member {
    pub fn is_static(&self) -> bool {
        self.instance.is_some()
    }

    pub fn session_timeout(&self) -> Duration {
        millis(self.session_timeout_ms)
    }

    /// The metadata for the protocol; empty if the member doesn't support it.
    pub fn metadata(&self, protocol: Option<&Str>) -> Bytes {
        self.protocols
            .iter()
            .find(|p| Some(&p.name) == protocol)
            .map(|p| p.metadata.clone())
            .unwrap_or_default()
    }

    /// The member's favourite among the candidates.
    pub fn vote<'a>(&self, candidates: &BTreeSet<&'a Str>) -> Option<&'a Str> {
        self.protocols
            .iter()
            .find_map(|p| candidates.get(&p.name).copied())
    }

    /// A member that waits for a reply of ours can't be expected to send heartbeats, unless it is
    /// new: then nothing else would ever remove it.
    pub fn session_is_held(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }
}

/// What a request offers, copied out of its frame.
pub(super) fn member_protocols(offered: &[JoinGroupRequestProtocol]) -> Vec<MemberProtocol> {
    let mut seen = BTreeSet::new();
    offered
        .iter()
        // Protocols are keyed by name; the first of two equal names wins.
        .filter(|protocol| seen.insert(&protocol.name))
        .map(|protocol| MemberProtocol {
            name: detached(&protocol.name),
            metadata: Bytes::copy_from_slice(&protocol.metadata),
        })
        .collect()
}

/// Timeouts come from clients; a negative one counts as zero.
pub(super) fn millis(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
