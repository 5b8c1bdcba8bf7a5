//! The message ids that a group has processed, and those that one of its workers has in hand.
//!
//! An id gets in with the acceptance of its message, in the same entry of the log, and leaves after
//! the window, or when there are more than the group may remember. A remembered id costs about 50
//! bytes of memory and 16 in the log.
//!
//! While a message is in hand, others with its id wait, in whichever queue of the group. They are
//! listed here, and looked at again when that message leaves the worker's hand.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use outlast_records::{Offset, PartitionId, Timestamp};

use super::ConsumeDedupe;
use super::change::later;

#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    processed: BTreeSet<u128>,
    /// The same ids, oldest first.
    by_age: VecDeque<Processed>,
    /// How many messages with this id are in hand. One, unless deduplication was turned on since.
    in_flight: BTreeMap<u128, u32>,
    waiting: BTreeMap<u128, Vec<(PartitionId, Offset)>>,
    /// Ids for which others have waited and which nobody has in hand any more.
    left: Vec<u128>,
}

/// An id in two halves, so that it needs no alignment beyond that of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Processed {
    at: Timestamp,
    id: [u64; 2],
}

impl Ledger {
    pub fn is_empty(&self) -> bool {
        self.processed.is_empty()
    }

    pub fn len(&self) -> usize {
        self.processed.len()
    }

    pub fn has(&self, id: u128) -> bool {
        self.processed.contains(&id)
    }

    pub fn is_in_flight(&self, id: u128) -> bool {
        self.in_flight.contains_key(&id)
    }

    /// False when it was there already, and keeps its age.
    pub fn add(&mut self, id: u128, at: Timestamp) -> bool {
        let new = self.processed.insert(id);
        if new {
            let id = [(id >> 64) as u64, id as u64];
            self.by_age.push_back(Processed { at, id });
        }
        new
    }

    /// Forgets what the settings no longer let it remember.
    pub fn prune(&mut self, settings: &ConsumeDedupe, now: Timestamp) {
        while let Some(oldest) = self.by_age.front()
            && (self.by_age.len() > settings.max_ids || later(oldest.at, settings.window) <= now)
        {
            self.forget_oldest();
        }
    }

    /// Forgets all but the newest, for a replay to forget what was forgotten then.
    pub fn keep(&mut self, newest: usize) {
        while self.by_age.len() > newest {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.by_age.pop_front() {
            self.processed.remove(&oldest.id());
        }
    }

    pub fn clear_processed(&mut self) {
        self.processed.clear();
        self.by_age = VecDeque::new();
    }

    /// Oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (Timestamp, u128)> {
        self.by_age.iter().map(|entry| (entry.at, entry.id()))
    }

    /// A worker has a message with this id in hand now.
    pub fn took(&mut self, id: u128) {
        *self.in_flight.entry(id).or_insert(0) += 1;
    }

    /// A worker has it in hand no longer.
    pub fn left(&mut self, id: u128) {
        let Some(count) = self.in_flight.get_mut(&id) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            self.in_flight.remove(&id);
            if self.waiting.contains_key(&id) {
                self.left.push(id);
            }
        }
    }

    /// This message waits until the other one with its id has left the worker's hand.
    pub fn wait(&mut self, id: u128, partition: PartitionId, offset: Offset) {
        self.waiting
            .entry(id)
            .or_default()
            .push((partition, offset));
    }

    /// Messages that need wait no longer.
    pub fn pop_free(&mut self) -> Option<(u128, Vec<(PartitionId, Offset)>)> {
        while let Some(id) = self.left.pop() {
            if let Some(waiting) = self.waiting.remove(&id) {
                return Some((id, waiting));
            }
        }
        None
    }

    #[cfg(test)]
    pub fn in_flight(&self) -> &BTreeMap<u128, u32> {
        &self.in_flight
    }
}

impl Processed {
    fn id(&self) -> u128 {
        (u128::from(self.id[0]) << 64) | u128::from(self.id[1])
    }
}
