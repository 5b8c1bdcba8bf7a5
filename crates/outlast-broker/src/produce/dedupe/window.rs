//! The ids that one partition remembers: who came, when, and at which offset.
//!
//! Bounded twice: an id is forgotten when it is older than the window, or when `max_ids` came after it. Ids are
//! 128-bit hashes. A ring has them in the order in which they came (32 bytes each), a hash table finds their places in it
//! (4 bytes and a control byte a bucket). With the room that both keep for growth that is 44 bytes for each of a million
//! ids and 74 at most, as `tests::what_an_id_costs` measures.
//!
//! An id counts as soon as its record was queued for the log. When the write fails it is forgotten again: the window
//! never knows a message that was not stored.

use std::collections::VecDeque;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use outlast_records::{Offset, Timestamp};
use outlast_storage::Durable;

use crate::topic_config::DedupeConfig;

pub(super) struct Window {
    pub(super) config: DedupeConfig,
    /// Everything below it in the log has been looked at.
    pub(super) seen: Offset,
    /// In the order in which they came.
    ring: VecDeque<Remembered>,
    /// The place number of the ring's front; places are numbered on and on, and wrap.
    front: u32,
    /// Place numbers, by id. An id whose place was given up, or that came again after the window, has only its newest.
    places: HashTable<u32>,
    /// Appends that may still fail, oldest first.
    pending: VecDeque<Pending>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Remembered {
    /// Two halves, because a `u128` would be aligned to 16 bytes.
    id: (u64, u64),
    pub(super) offset: Offset,
    pub(super) time: Timestamp,
}

struct Pending {
    first: u32,
    count: u32,
    durable: Durable,
}

/// What a window knows of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) offset: Offset,
    pub(super) time: Timestamp,
    /// Its record may still fail to be written.
    pub(super) pending: bool,
}

impl Window {
    pub(super) fn new(config: DedupeConfig, seen: Offset) -> Self {
        Self {
            config,
            seen,
            ring: VecDeque::new(),
            front: 0,
            places: HashTable::new(),
            pending: VecDeque::new(),
        }
    }

    /// Whether a message with this id came within the window.
    pub(super) fn find(&self, id: u128, now: Timestamp) -> Option<Known> {
        let place = self.place_of(halves(id))?;
        let found = self.at(place);
        let known = || Known {
            offset: found.offset,
            time: found.time,
            pending: self
                .pending
                .iter()
                .any(|pending| place.wrapping_sub(pending.first) < pending.count),
        };
        (!self.is_old(found.time, now)).then(known)
    }

    /// Takes in ids that were found in the log: of two within the window the first counts.
    pub(super) fn observe(&mut self, id: u128, offset: Offset, time: Timestamp) {
        if self.find(id, time).is_none() {
            self.push(id, offset, time);
            self.trim();
        }
    }

    /// Takes in the ids of records that were queued for the log as one append, and are none of the window.
    pub(super) fn remember(
        &mut self,
        ids: impl Iterator<Item = (u128, Offset)>,
        now: Timestamp,
        durable: Durable,
    ) {
        let first = self.next_place();
        for (id, offset) in ids {
            self.push(id, offset, now);
        }
        let count = self.next_place().wrapping_sub(first);
        if count > 0 {
            self.pending.push_back(Pending {
                first,
                count,
                durable,
            });
        }
    }

    /// Takes note of what became of appends, and forgets the ids of those that failed.
    pub(super) fn settle(&mut self) {
        let mut at = 0;
        while let Some(pending) = self.pending.get(at) {
            let failed = match pending.durable.outcome() {
                None => {
                    at += 1;
                    continue;
                }
                Some(outcome) => outcome.is_err(),
            };
            let (first, count) = (pending.first, pending.count);
            self.pending.remove(at);
            if failed {
                self.forget(first, count);
            }
        }
        self.trim();
    }

    /// Promises of the appends that may still fail.
    pub(super) fn pending(&self) -> impl Iterator<Item = &Durable> {
        self.pending.iter().map(|pending| &pending.durable)
    }

    /// Forgets what is older than the window, and gives memory back when most of it is free.
    pub(super) fn expire(&mut self, now: Timestamp) {
        while let Some(oldest) = self.ring.front()
            && self.is_old(oldest.time, now)
        {
            self.pop();
        }
        let (used, reserved) = (self.ring.len(), self.ring.capacity());
        if reserved > 4096 && used < reserved / 4 {
            self.ring.shrink_to(used * 2);
            let ring = &self.ring;
            let front = self.front;
            self.places.shrink_to(used * 2, |place| {
                ring[place.wrapping_sub(front) as usize].id.0
            });
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Bytes on the heap.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        self.ring.capacity() * size_of::<Remembered>() + self.places.allocation_size()
    }

    fn is_old(&self, time: Timestamp, now: Timestamp) -> bool {
        now.0.saturating_sub(time.0) >= self.config.window_ms
    }

    fn next_place(&self) -> u32 {
        self.front.wrapping_add(self.ring.len() as u32)
    }

    fn at(&self, place: u32) -> &Remembered {
        &self.ring[place.wrapping_sub(self.front) as usize]
    }

    fn push(&mut self, id: u128, offset: Offset, time: Timestamp) {
        let (id, place) = (halves(id), self.next_place());
        self.ring.push_back(Remembered { id, offset, time });
        let (ring, front) = (&self.ring, self.front);
        let of = |place: u32| &ring[place.wrapping_sub(front) as usize];
        match self
            .places
            .entry(id.0, |known| of(*known).id == id, |known| of(*known).id.0)
        {
            Entry::Occupied(mut older) => *older.get_mut() = place,
            Entry::Vacant(none) => {
                none.insert(place);
            }
        }
    }

    /// Forgets the oldest of too many. Those that may still fail push nobody out.
    fn trim(&mut self) {
        let unsure: usize = self
            .pending
            .iter()
            .map(|pending| pending.count as usize)
            .sum();
        while self.ring.len() > self.config.max_ids.saturating_add(unsure) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        let Some(oldest) = self.ring.front().copied() else {
            return;
        };
        self.unlink(self.front, oldest.id);
        self.ring.pop_front();
        self.front = self.front.wrapping_add(1);
    }

    fn forget(&mut self, first: u32, count: u32) {
        for place in (0..count).map(|nth| first.wrapping_add(nth)) {
            // Those at the front may have been pushed out since.
            let index = place.wrapping_sub(self.front) as usize;
            if let Some(failed) = self.ring.get(index).copied() {
                self.unlink(place, failed.id);
            }
        }
        // What failed is usually the newest.
        while let Some(newest) = self.ring.back().copied()
            && self.place_of(newest.id) != Some(self.next_place().wrapping_sub(1))
        {
            self.ring.pop_back();
        }
    }

    fn place_of(&self, id: (u64, u64)) -> Option<u32> {
        self.places
            .find(id.0, |place| self.at(*place).id == id)
            .copied()
    }

    /// Ends the id's being known, if it is by this place.
    fn unlink(&mut self, place: u32, id: (u64, u64)) {
        if let Ok(found) = self.places.find_entry(id.0, |known| *known == place) {
            found.remove();
        }
    }
}

fn halves(id: u128) -> (u64, u64) {
    (id as u64, (id >> 64) as u64)
}

#[cfg(test)]
mod tests;
