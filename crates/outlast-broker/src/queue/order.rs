//! Which messages stand in each other's way: lanes of one key, and equal ids.
//!
//! A queue has this only while its group wants key order or deduplication; else runs alone say what
//! can be delivered. Here each scanned message is looked at by itself, which costs about 100 bytes
//! for one that isn't done. That is why such a queue doesn't look ahead as far as others.

use std::collections::{BTreeMap, BTreeSet};

use outlast_records::Offset;

use super::OffsetRange;
use super::change::offsets;
use super::machine::Queue;
use super::state::State;

#[derive(Debug, Clone, Default)]
pub(super) struct Order {
    /// Scanned messages with a key that are not done.
    lane_of: BTreeMap<Offset, u64>,
    /// The same, by lane: the first of a lane is its head, and only it may be delivered.
    lanes: BTreeSet<(u64, Offset)>,
    /// What can be delivered now.
    pub free: BTreeSet<Offset>,
    /// Another message with the id of these is in a worker's hand.
    pub parked: BTreeSet<Offset>,
}

impl Order {
    pub fn len(&self) -> usize {
        self.lane_of.len()
    }

    pub fn enter(&mut self, offset: Offset, lane: u64) {
        self.lane_of.insert(offset, lane);
        self.lanes.insert((lane, offset));
    }

    fn is_head(&self, offset: Offset) -> bool {
        self.lane_of
            .get(&offset)
            .is_none_or(|lane| self.head(*lane) == Some(offset))
    }

    fn head(&self, lane: u64) -> Option<Offset> {
        let (first, offset) = self.lanes.range((lane, Offset(i64::MIN))..).next()?;
        (*first == lane).then_some(*offset)
    }

    /// Returns the heads of the lanes that these messages were in.
    fn leave(&mut self, range: OffsetRange) -> Vec<Offset> {
        let mut lanes = BTreeSet::new();
        while let Some((&offset, &lane)) = self.lane_of.range(range.first..=range.last).next() {
            self.lane_of.remove(&offset);
            self.lanes.remove(&(lane, offset));
            lanes.insert(lane);
        }
        for set in [&mut self.free, &mut self.parked] {
            while let Some(&offset) = set.range(range.first..=range.last).next() {
                set.remove(&offset);
            }
        }
        lanes
            .into_iter()
            .filter_map(|lane| self.head(lane))
            .collect()
    }
}

impl Queue {
    /// These messages have this state now: who can be delivered because of it?
    pub(super) fn reorder(&mut self, range: OffsetRange, state: State) {
        let Some(order) = &mut self.derived.order else {
            return;
        };
        if state == State::Done {
            for head in order.leave(range) {
                self.reconsider(head);
            }
        } else if let Some(range) = self.looked_at().and_then(|seen| range.common(seen)) {
            offsets(range).for_each(|offset| self.reconsider(offset));
        }
    }

    /// Decides whether one message can be delivered.
    pub(super) fn reconsider(&mut self, offset: Offset) {
        let available = offset < self.derived.scanned_to
            && self.runs.state(offset).is_some_and(State::is_available);
        let Some(order) = &mut self.derived.order else {
            return;
        };
        if available && !order.parked.contains(&offset) && order.is_head(offset) {
            if order.free.insert(offset) {
                self.woken = true;
            }
        } else {
            order.free.remove(&offset);
        }
    }
}
