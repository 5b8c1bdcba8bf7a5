//! The bounds and periods that the group coordinator keeps, with Kafka's names and defaults.

use std::time::Duration;

/// Each field is the broker config of the same name with dots for underscores.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GroupConfig {
    /// How long a new group waits for more members before its first rebalance.
    ///
    /// Kafka's built-in default is 3,000 ms, while the sample configuration that it ships sets 0 so
    /// that a first try doesn't seem to hang. Here the default is 0: the first consumer works at
    /// once, and those who come later cost one more rebalance, during which the first goes on
    /// working until its next heartbeat. A group of many consumers that start together and have
    /// expensive state to build is the case for a delay.
    pub group_initial_rebalance_delay_ms: u32,
    pub group_min_session_timeout_ms: i32,
    pub group_max_session_timeout_ms: i32,
    /// The most members that a group takes.
    pub group_max_size: usize,
    /// `group.share.max.size`: the most members that a share group takes.
    pub share_group_max_size: usize,
    /// The longest metadata string of a committed offset, in UTF-16 code units as Kafka counts.
    pub offset_metadata_max_bytes: usize,
    pub offsets_retention_minutes: u32,
    pub offsets_retention_check_interval_ms: u64,
}

/// How long the coordinator waits for a new member whose join is parked. Such a member has no id to
/// send heartbeats with; it may have gone long ago and have joined again under another id.
pub(super) const NEW_MEMBER_JOIN_TIMEOUT: Duration = Duration::from_secs(5 * 60);

impl GroupConfig {
    pub fn offsets_retention_ms(&self) -> i64 {
        i64::from(self.offsets_retention_minutes) * 60_000
    }

    pub(crate) fn expiry_interval(&self) -> Duration {
        Duration::from_millis(self.offsets_retention_check_interval_ms)
    }

    pub(super) fn initial_rebalance_delay(&self) -> Duration {
        Duration::from_millis(u64::from(self.group_initial_rebalance_delay_ms))
    }
}

impl Default for GroupConfig {
    fn default() -> GroupConfig {
        GroupConfig {
            group_initial_rebalance_delay_ms: 0,
            group_min_session_timeout_ms: 6_000,
            group_max_session_timeout_ms: 1_800_000,
            group_max_size: i32::MAX as usize,
            share_group_max_size: 200,
            offset_metadata_max_bytes: 4_096,
            offsets_retention_minutes: 7 * 24 * 60,
            offsets_retention_check_interval_ms: 600_000,
        }
    }
}
