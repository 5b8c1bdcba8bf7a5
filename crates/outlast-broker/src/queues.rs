//! The queue coordinator: the shell around the pure queues of [`crate::queue`].
//!
//! A queue is one share group's view of one topic partition. All queues of a group live in one shard, a partition of
//! `__share_group_state` that the group's name hashes to, so that what a group remembers over partitions changes in one
//! step. A shard makes what a command writes durable before its reply leaves (see [`crate::shard`]).
//!
//! Here are the requests, one file each. Whoever calls has checked who may do what, and who is a member.
//!
//! ```text
//! receive:      plan ─ read (cache, else a blocking thread) ─ walk ─ scanned + acquire ─ durable ─ answer
//!               └ under the shard's lock                          └ under the shard's lock
//! dead letters: dying ─ read the original ─ [batch for the dead-letter topic, "buried"] in one WAL entry
//! ```

mod acknowledge;
mod burial;
mod coordinator;
mod counters;
mod dead_letter;
mod dead_letters;
mod hand;
mod jobs;
mod lazy;
mod offsets;
mod pattern;
mod peek;
mod receive;
mod redrive;
mod scan;
mod state;
mod steady_clock;
mod sweep;
mod waiters;

use std::time::Duration;

use bytes::Bytes;
use outlast_records::{Offset, PartitionId, Record, Timestamp};

pub use crate::queue::{AcquiredRange, DeadReason, MessageState, QueueNumbers, Verb, Worker};
pub use coordinator::QueueCoordinator;
pub(crate) use coordinator::check_group;
pub use counters::QueueCounters;
pub use dead_letter::DeadLetter;
pub use dead_letters::{DeadLetterCounts, DeadLetterFilter, DeadLetterPage};
pub use jobs::{Job, JobId, JobKind, JobState, RedriveOptions};
pub(crate) use lazy::LazyQueues;
pub use pattern::Pattern;
pub use waiters::QueueWatcher;

/// How much one [`QueueCoordinator::receive`] may hand out.
#[derive(Clone, Copy, Debug)]
pub struct ReceiveLimits {
    pub max_records: usize,
    /// Of stored batches. The first batch is given even if it is larger.
    pub max_bytes: usize,
    /// A batch that is begun is acquired to its end (Kafka's `batch_optimized`), even beyond `max_records`.
    pub whole_batches: bool,
    /// How long the messages are locked; the group's lock duration when not said.
    pub lock: Option<Duration>,
}

/// What a worker holds now. Empty when there was nothing.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// The stored batches that contain the acquired offsets, one batch a piece, in the order of their offsets. They may
    /// contain other records, too, which are none of the worker's business.
    pub batches: Vec<Bytes>,
    /// In order, not overlapping. Their locks are durable.
    pub acquired: Vec<AcquiredRange>,
}

/// What a worker says about offsets that it holds, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckRange {
    pub first: Offset,
    pub last: Offset,
    pub verb: Verb,
}

/// Where a queue begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartOffset {
    pub partition: PartitionId,
    /// The first offset that is not done; none when the group has no queue on the partition.
    pub start: Option<Offset>,
    /// Messages between there and the high watermark that are not done; −1 without a queue.
    pub lag: i64,
}

/// One message as an onlooker sees it.
#[derive(Clone, Debug)]
pub struct Peeked {
    pub record: Record,
    pub state: MessageState,
    /// When its first delivery is due, where its headers or its topic say so.
    pub due: Option<Timestamp>,
}

/// One queue in numbers.
#[derive(Clone, Copy, Debug)]
pub struct QueueStanding {
    pub partition: PartitionId,
    /// `ready` counts what was not looked at yet, too.
    pub numbers: QueueNumbers,
    pub start: Offset,
    pub high_watermark: Offset,
}
