//! What has happened in a group's queues since the broker started: plain counters, for metrics and for `describe`.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::histogram::Histogram;

/// All of one group. Counted when the change is durable.
#[derive(Debug)]
pub struct QueueCounters {
    /// Messages handed out, again each time.
    pub delivered: AtomicU64,
    /// Of these, those that had been handed out before.
    pub redelivered: AtomicU64,
    pub accepted: AtomicU64,
    pub released: AtomicU64,
    pub rejected: AtomicU64,
    /// Messages moved to the dead-letter topic (or dropped, if the group says so), by [`DeadReason::index`].
    pub dead: [AtomicU64; 4],
    /// Attempts to write a dead letter that failed; the message is held back and tried again.
    pub dead_letter_failures: AtomicU64,
    /// Seconds from the message's timestamp to its acknowledgement; one message of each delivery is measured.
    pub publish_to_accept: Histogram,
    /// Seconds from the delivery to the acknowledgement, of the same messages.
    pub processing: Histogram,
}
