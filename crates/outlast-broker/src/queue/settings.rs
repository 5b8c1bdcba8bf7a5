//! What a group can choose about how its queues work, in the form in which the state machine takes it.
//!
//! These are values that were checked already. They may change between any two calls; what is in
//! flight keeps the lock and the delay that it was given.

use std::sync::Arc;
use std::time::Duration;

use super::DeadReason;

/// The group's configuration, as far as the state machine cares. What only the shell needs (the
/// dead-letter topic's name, where a new queue begins, isolation) is not here.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueSettings {
    /// `share.record.lock.duration.ms`: how long a delivered message belongs to its worker.
    pub lock: Duration,
    /// `share.delivery.count.limit`: a message that failed this often dies. At least 1.
    pub delivery_limit: u16,
    /// `share.partition.max.record.locks`: how many messages of one queue may be in flight.
    pub max_locks: usize,
    pub retry: RetryPolicy,
    /// `queue.order`
    pub order: QueueOrder,
    /// `queue.dedupe.*`; none when no header is named.
    pub dedupe: Option<ConsumeDedupe>,
    /// `queue.expired.action`
    pub expired: ExpiredAction,
    /// Whether the group has dead letters at all. Without, a message that dies is done.
    pub dead_letters: bool,
}

impl Default for QueueSettings {
    fn default() -> QueueSettings {
        QueueSettings {
            lock: Duration::from_secs(30),
            delivery_limit: 5,
            max_locks: 2_000,
            retry: RetryPolicy::default(),
            order: QueueOrder::None,
            dedupe: None,
            expired: ExpiredAction::DeadLetter,
            dead_letters: true,
        }
    }
}

impl QueueSettings {
    /// Whether a message that dies of this becomes a dead letter.
    pub(super) fn keeps(&self, reason: DeadReason) -> bool {
        let dropped = reason == DeadReason::Expired && self.expired == ExpiredAction::Drop;
        self.dead_letters && !dropped
    }
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum QueueOrder {
    #[default]
    None,
    /// Messages of one key are handed out one at a time, in the order of their offsets.
    Key,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ExpiredAction {
    #[default]
    DeadLetter,
    Drop,
}

/// Deduplication on consume: a message whose id was processed within the window is not delivered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConsumeDedupe {
    /// The header that carries the id. The state machine only sees the id's hash.
    pub header: Arc<str>,
    pub window: Duration,
    /// The group remembers no more ids than this, the newest.
    pub max_ids: usize,
}

/// How long a failed message waits: `retry.*`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    pub kind: RetryKind,
    pub initial: Duration,
    pub max: Duration,
    pub multiplier: f64,
    /// The share of the delay that chance may take away, from 0 to 1. For exponential delays.
    pub jitter: f64,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RetryKind {
    /// Always the initial delay.
    Fixed,
    /// Between the initial and the maximum delay, each as likely.
    Random,
    /// The initial delay times a power of the multiplier, at most the maximum.
    #[default]
    Exponential,
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy {
            kind: RetryKind::Exponential,
            initial: Duration::from_secs(1),
            max: Duration::from_secs(600),
            multiplier: 2.0,
            jitter: 1.0,
        }
    }
}
