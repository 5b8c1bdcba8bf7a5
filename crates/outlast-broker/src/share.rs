//! What share consumers (KIP-932) do with the queues: sessions, fetching, acknowledging.
//!
//! A consumer names its partitions once and keeps them in a session ([`ShareSessions`]). A fetch acquires what is there
//! ([`acquire`]), and waits if that is not enough; acknowledgements travel with a fetch or alone
//! ([`Acknowledgement`]). When a session is closed, its connection ends or its member leaves the group, what the consumer
//! held is free again ([`departures`]).
//!
//! Which message is in which state is the queues' business; who is a member is the group coordinator's.

mod acknowledge;
mod acquire;
mod departures;
mod groups;
mod sessions;

use std::collections::BTreeSet;
use std::time::Duration;

use outlast_protocol::{ErrorCode, Str};
use outlast_records::PartitionId;

use crate::broker_config::NODE_ID;
use crate::error::ApiError;
use crate::topics::TopicTable;

pub use acknowledge::{Acknowledgement, Allowed, acknowledge};
pub use acquire::{AcquireLimits, acquire};
pub(crate) use departures::{follow, release};
pub use sessions::{SessionKey, SessionTicket, ShareSessions};

/// The epoch that begins a session, and the one that ends it. In between they count up from 1.
pub const INITIAL_EPOCH: i32 = 0;
pub const FINAL_EPOCH: i32 = -1;

/// The longest id of a member, in UTF-16 code units as Kafka counts: that of a UUID in text.
const MAX_MEMBER_ID: usize = 36;

/// Members choose their own ids.
pub fn is_member_id(id: &str) -> bool {
    !id.is_empty() && id.encode_utf16().count() <= MAX_MEMBER_ID
}

pub fn session_key(group: Option<&Str>, member: Option<&Str>) -> Result<SessionKey, ApiError> {
    let invalid = |message: &str| Err(ApiError::new(ErrorCode::InvalidRequest, message));
    match (group, member) {
        (None, _) => invalid("the request names no group"),
        (Some(group), Some(member)) if is_member_id(member) => Ok(SessionKey::new(group, member)),
        (Some(_), _) => invalid("a member id has 1 to 36 characters"),
    }
}

pub fn check_partition(table: &TopicTable, id: PartitionId) -> Result<(), ApiError> {
    table.get_by_id(id.topic)?.partition(id.index).map(|_| ())
}

/// Each request begins with another partition, so that none is always last.
pub fn rotated(
    partitions: &BTreeSet<PartitionId>,
    epoch: i32,
) -> impl Iterator<Item = PartitionId> {
    let turn = usize::try_from(epoch).unwrap_or(0);
    let first = turn.checked_rem(partitions.len()).unwrap_or(0);
    let (before, after) = (partitions.iter().take(first), partitions.iter().skip(first));
    after.chain(before).copied()
}

/// `(leader, epoch)` for a client whose belief about them is out of date (KIP-951).
pub fn leader_hint(table: &TopicTable, id: PartitionId, code: ErrorCode) -> Option<(i32, i32)> {
    let stale = matches!(
        code,
        ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch
    );
    let topic = table.get_by_id(id.topic).ok().filter(|_| stale)?;
    let partition = topic.partition(id.index).ok()?;
    Some((NODE_ID, partition.leader_epoch.0))
}

pub fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
