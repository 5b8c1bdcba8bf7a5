//! What has happened in a group's queues since the broker started: plain counters, for metrics and for `describe`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use outlast_protocol::Str;
use outlast_records::{Offset, Timestamp};
use parking_lot::{Mutex, RwLock};

use super::AckRange;
use super::hand::Hand;
use crate::latency::LatencyHistogram;
use crate::queue::{AcquiredRange, DeadReason, QueueId, Verb};

/// All of one group. Counted when the change is durable.
#[derive(Debug, Default)]
pub struct QueueCounters {
    /// Messages handed out, again each time.
    pub delivered: AtomicU64,
    /// Of these, those that had been handed out before.
    pub redelivered: AtomicU64,
    pub accepted: AtomicU64,
    /// Given back, or lost with their worker.
    pub released: AtomicU64,
    pub rejected: AtomicU64,
    /// Messages moved to the dead-letter topic, by [`DeadReason::index`].
    pub dead: [AtomicU64; 4],
    /// Attempts to write dead letters that failed; the messages are held back and tried again.
    pub dead_letter_failures: AtomicU64,
    /// Seconds from the message's timestamp to its acknowledgement; one message of each delivery is measured.
    pub publish_to_accept: LatencyHistogram,
    /// Seconds from the delivery to the acknowledgement, of the same messages.
    pub processing: LatencyHistogram,
    samples: Mutex<HashMap<QueueId, BTreeMap<Offset, Sample>>>,
}

/// A message whose time is taken.
#[derive(Clone, Copy, Debug)]
struct Sample {
    published: Timestamp,
    delivered: Timestamp,
}

/// More of one queue are not measured at a time.
const MAX_SAMPLES: usize = 1000;

impl QueueCounters {
    pub(super) fn delivered(&self, acquired: &[AcquiredRange]) {
        for range in acquired {
            let count = (range.last.0 - range.first.0 + 1).unsigned_abs();
            self.delivered.fetch_add(count, Ordering::Relaxed);
            if range.delivery_count > 1 {
                self.redelivered.fetch_add(count, Ordering::Relaxed);
            }
        }
    }

    /// Begins to take the time of the first of these messages.
    pub(super) fn sample(
        &self,
        id: &QueueId,
        acquired: &[AcquiredRange],
        hand: &Hand,
        now: Timestamp,
    ) {
        let Some(first) = acquired.first() else {
            return;
        };
        let Some(batch) = hand.batch_of(first.first) else {
            return;
        };
        let sample = Sample {
            published: batch.header.base_timestamp,
            delivered: now,
        };
        let mut samples = self.samples.lock();
        let samples = match samples.get_mut(id) {
            Some(samples) => samples,
            None => samples.entry(id.clone()).or_default(),
        };
        if samples.len() >= MAX_SAMPLES {
            // Nobody has answered for these for long.
            samples.clear();
        }
        samples.insert(first.first, sample);
    }

    pub(super) fn acknowledged(&self, id: &QueueId, ack: &AckRange, now: Timestamp) {
        let count = (ack.last.0 - ack.first.0 + 1).unsigned_abs();
        let counter = match ack.verb {
            Verb::Accept => &self.accepted,
            Verb::Release { .. } => &self.released,
            Verb::Reject => &self.rejected,
            Verb::Renew { .. } | Verb::Gap => return,
        };
        counter.fetch_add(count, Ordering::Relaxed);
        let mut samples = self.samples.lock();
        let Some(samples) = samples.get_mut(id) else {
            return;
        };
        while let Some((&at, &sample)) = samples.range(ack.first..=ack.last).next() {
            samples.remove(&at);
            if ack.verb != Verb::Accept {
                continue;
            }
            let seconds = |since: Timestamp| (now.0 - since.0).max(0) as f64 / 1000.0;
            self.processing.observe(seconds(sample.delivered));
            if sample.published >= Timestamp(0) {
                self.publish_to_accept.observe(seconds(sample.published));
            }
        }
    }

    pub(super) fn released(&self, count: u64) {
        self.released.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn died(&self, reason: DeadReason) {
        self.dead[reason.index()].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn burial_failed(&self) {
        self.dead_letter_failures.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Default)]
pub(super) struct AllCounters(RwLock<HashMap<Str, Arc<QueueCounters>>>);

impl AllCounters {
    pub fn of(&self, group: &str) -> Arc<QueueCounters> {
        if let Some(counters) = self.0.read().get(group) {
            return Arc::clone(counters);
        }
        let mut all = self.0.write();
        Arc::clone(all.entry(Str::from(group)).or_default())
    }

    pub fn forget(&self, group: &str) {
        self.0.write().remove(group);
    }
}
