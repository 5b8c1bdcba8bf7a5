//! What goes into a queue and what comes out of it: the words of [`Queues`](super::Queues)' calls.

use std::time::Duration;

use outlast_protocol::ErrorCode;
use outlast_records::{Offset, Timestamp};
use thiserror::Error;

use super::{OffsetRange, Worker};

/// What a delivery should look at: the answer to "what is there for `wanted` messages?"
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Plan {
    /// Scanned messages that can be acquired at once, in the order of their offsets.
    pub redeliver: Vec<OffsetRange>,
    /// Where the next scan begins.
    pub scan_from: Offset,
    /// Whether a scan could lead to more deliveries. False when enough is there, when no more locks
    /// are free, or when the queue has looked ahead as far as it may.
    pub wants_scan: bool,
}

/// A message of the log, as the queue must know it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Scanned {
    pub offset: Offset,
    /// Hash of the key in key order; none for a message without a key, which no order binds.
    pub lane: Option<u64>,
    /// Not to be delivered before.
    pub due: Option<Timestamp>,
    /// Not to be delivered from then on.
    pub expires: Option<Timestamp>,
    /// Hash of its id, where the group deduplicates.
    pub id: Option<u128>,
    /// Not for this group: done without delivery.
    pub skip: bool,
    /// Its headers can't be understood: dead without delivery.
    pub undecodable: bool,
}

impl Scanned {
    /// A message without anything special.
    pub fn plain(offset: Offset) -> Scanned {
        Scanned {
            offset,
            lane: None,
            due: None,
            expires: None,
            id: None,
            skip: false,
            undecodable: false,
        }
    }
}

/// Messages that were handed to a worker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AcquiredRange {
    pub first: Offset,
    pub last: Offset,
    /// This delivery included: 1 for the first.
    pub delivery_count: u16,
}

/// What a worker says about messages that it holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verb {
    /// Processed.
    Accept,
    /// Not processed; to be delivered again.
    Release {
        /// Instead of what the retry policy says.
        delay: Option<Duration>,
        /// Whether this delivery counts as a failed one. If not, it is taken back, and without a
        /// delay of its own the message is there again at once.
        counts: bool,
    },
    /// Can't be processed: dead.
    Reject,
    /// Still at it: the lock lasts this long from now on, the group's duration when not said.
    Renew { lock: Option<Duration> },
    /// There is no message at these offsets; done.
    Gap,
}

/// Why an acknowledgement changed nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Error)]
pub enum AckError {
    #[error("the queue is not open")]
    UnknownQueue,
    #[error("not all of these messages are held by this worker")]
    NotHeld,
}

impl AckError {
    pub fn code(self) -> ErrorCode {
        match self {
            AckError::UnknownQueue | AckError::NotHeld => ErrorCode::InvalidRecordState,
        }
    }
}

/// Why a message is dead.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub enum DeadReason {
    /// Failed as often as the group allows.
    Limit,
    /// A worker rejected it.
    Rejected,
    /// Nobody took it in time.
    Expired,
    /// Its headers can't be understood.
    Undecodable,
}

impl DeadReason {
    pub const ALL: [DeadReason; 4] = [
        DeadReason::Limit,
        DeadReason::Rejected,
        DeadReason::Expired,
        DeadReason::Undecodable,
    ];

    /// Its place in [`DeadReason::ALL`].
    pub fn index(self) -> usize {
        match self {
            DeadReason::Limit => 0,
            DeadReason::Rejected => 1,
            DeadReason::Expired => 2,
            DeadReason::Undecodable => 3,
        }
    }

    /// As users see it, in headers, metrics and filters.
    pub fn name(self) -> &'static str {
        match self {
            DeadReason::Limit => "limit",
            DeadReason::Rejected => "rejected",
            DeadReason::Expired => "expired",
            DeadReason::Undecodable => "undecodable",
        }
    }

    pub fn from_name(name: &str) -> Option<DeadReason> {
        DeadReason::ALL.into_iter().find(|r| r.name() == name)
    }
}

/// A message that must be moved to the dead-letter topic, with its story.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DyingMessage {
    pub offset: Offset,
    pub reason: DeadReason,
    /// Deliveries that counted; 0 when it was never delivered.
    pub delivery_count: u16,
    pub tried: Option<Attempts>,
}

/// When and by whom a message was tried.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attempts {
    pub first: Timestamp,
    pub last: Timestamp,
    pub last_worker: Worker,
}

/// What a queue knows of a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MessageState {
    /// Not scanned, and nothing has happened to it.
    Unseen,
    /// Its first delivery isn't due; when is only in its headers.
    Scheduled,
    /// Can be delivered, unless an earlier one of its key or one with the same id is in the way.
    Ready { delivery_count: u16 },
    /// Waits out the delay of a retry.
    Delayed {
        delivery_count: u16,
        until: Timestamp,
    },
    Acquired {
        delivery_count: u16,
        worker: Worker,
        deadline: Timestamp,
    },
    /// Dead, and not yet in the dead-letter topic.
    Dying {
        delivery_count: u16,
        reason: DeadReason,
    },
    /// Accepted, dead and moved, expired and dropped, skipped, or never there.
    Done,
}

/// A queue in numbers. What has not been scanned is not among `ready` and `delayed`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct QueueNumbers {
    /// The first offset that is not done.
    pub start: Offset,
    /// Everything before this offset has been looked at.
    pub scanned_to: Offset,
    /// Could be delivered, or waits only for others of its key or id.
    pub ready: u64,
    /// Not due, or waiting out a retry.
    pub delayed: u64,
    pub in_flight: u64,
    /// Dead, and not yet in the dead-letter topic.
    pub dying: u64,
    /// Done at or after `start`: they don't count as lag.
    pub done: u64,
    /// Of all these, those at or after `scanned_to`: known from before a restart. What the log holds
    /// from `scanned_to` on, less these, is ready but not looked at.
    pub known_ahead: u64,
}
