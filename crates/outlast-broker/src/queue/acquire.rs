//! Delivery: messages that can be delivered are locked for a worker.

use std::time::Duration;

use outlast_records::Offset;

use super::change::{Change, Recorded, later};
use super::machine::{Queue, Step};
use super::state::{State, Story};
use super::{AcquiredRange, OffsetRange, Worker};

impl Queue {
    pub(super) fn acquire(
        &mut self,
        worker: &Worker,
        held: &[OffsetRange],
        max: usize,
        lock: Option<Duration>,
        step: &mut Step<'_>,
    ) -> Vec<AcquiredRange> {
        let mut delivery = Delivery {
            worker,
            lock: lock.unwrap_or(step.settings.lock),
            left: max.min(self.free_locks(step.settings)) as u64,
            acquired: Vec::new(),
        };
        // What should have expired must not be delivered.
        if self.derived.behind {
            return delivery.acquired;
        }
        for range in held {
            let Some(range) = self.looked_at().and_then(|seen| range.common(seen)) else {
                continue;
            };
            if self.derived.order.is_some() {
                self.acquire_one_by_one(range, &mut delivery, step);
            } else {
                self.acquire_runs(range, &mut delivery, step);
            }
        }
        // Who comes next need not wait.
        if !delivery.acquired.is_empty()
            && self.free_locks(step.settings) > 0
            && self.first_available().is_some()
        {
            self.woken = true;
        }
        delivery.acquired
    }

    fn acquire_runs(
        &mut self,
        range: OffsetRange,
        delivery: &mut Delivery<'_>,
        step: &mut Step<'_>,
    ) {
        let mut at = range.first;
        while delivery.left > 0
            && let Some((run, state)) = self.next_available(at)
            && let Some(part) = run.common(OffsetRange { first: at, ..range })
        {
            let part = at_most(part, delivery.left);
            self.deliver(part, state, Vec::new(), delivery, step);
            at = part.last.next();
        }
    }

    /// Where messages can stand in each other's way.
    fn acquire_one_by_one(
        &mut self,
        range: OffsetRange,
        delivery: &mut Delivery<'_>,
        step: &mut Step<'_>,
    ) {
        let mut at = range.first;
        while delivery.left > 0
            && at <= range.last
            && let Some(order) = &mut self.derived.order
            && let Some(&offset) = order.free.range(at..=range.last).next()
        {
            at = offset.next();
            let one = OffsetRange::one(offset);
            let id = match step.settings.dedupe {
                Some(_) => self.ids.get(&offset).copied(),
                None => None,
            };
            if id.is_some_and(|id| step.ledger.has(id)) {
                self.finish_with(one, step);
            } else if let Some(id) = id.filter(|id| step.ledger.is_in_flight(*id)) {
                order.free.remove(&offset);
                order.parked.insert(offset);
                step.ledger.wait(id, step.partition, offset);
            } else if let Some(state) = self.runs.state(offset) {
                let ids = match step.settings.dedupe {
                    Some(_) => vec![id],
                    None => Vec::new(),
                };
                self.deliver(one, state, ids, delivery, step);
            }
        }
    }

    fn deliver(
        &mut self,
        range: OffsetRange,
        state: State,
        ids: Vec<Option<u128>>,
        delivery: &mut Delivery<'_>,
        step: &mut Step<'_>,
    ) {
        let before = state.story().map(|id| self.stories.get(id));
        let story = Story {
            count: before.map_or(0, |story| story.count).saturating_add(1),
            first: before.map_or(step.now, |story| story.first),
            last: step.now,
            worker: delivery.worker.clone(),
        };
        delivery.add(range, story.count);
        let deadline = later(step.now, delivery.lock);
        let to = Recorded::Acquired { story, deadline };
        self.change(Change { range, to, ids }, step);
    }

    /// The message with this id that others waited for is in nobody's hand any more.
    pub(super) fn unpark(&mut self, offset: Offset, id: u128, step: &mut Step<'_>) {
        let Some(order) = &mut self.derived.order else {
            return;
        };
        if !order.parked.remove(&offset) {
            return;
        }
        let waits = self
            .runs
            .state(offset)
            .is_some_and(State::waits_for_delivery);
        if waits && step.settings.dedupe.is_some() && step.ledger.has(id) {
            self.finish_with(OffsetRange::one(offset), step);
        } else {
            self.reconsider(offset);
        }
    }

    /// The first run from `at` on that could be delivered, as far as it is there.
    pub(super) fn next_available(&self, at: Offset) -> Option<(OffsetRange, State)> {
        if let Some((run, state)) = self.runs.at(at)
            && state.is_available()
        {
            return Some((OffsetRange { first: at, ..run }, state));
        }
        let first = self.index.available.range(at..).next()?;
        self.runs.at(*first)
    }

    /// Something that can be delivered.
    pub(super) fn first_available(&self) -> Option<Offset> {
        match &self.derived.order {
            Some(order) => order.free.first().copied(),
            None => {
                let first = self.index.available.first().copied();
                first.filter(|first| *first < self.derived.scanned_to)
            }
        }
    }

    /// Up to about `wanted` messages that can be delivered, in the order of their offsets.
    pub(super) fn deliverable(&self, wanted: u64) -> (Vec<OffsetRange>, u64) {
        let mut found = Vec::new();
        let mut count = 0;
        let Some(seen) = self.looked_at() else {
            return (found, count);
        };
        match &self.derived.order {
            Some(order) => {
                let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
                for offset in order.free.iter().take(wanted) {
                    append(&mut found, OffsetRange::one(*offset));
                    count += 1;
                }
            }
            None => {
                let mut at = seen.first;
                while count < wanted
                    && let Some((run, _)) = self.next_available(at)
                    && let Some(part) = run.common(OffsetRange { first: at, ..seen })
                {
                    let part = at_most(part, wanted - count);
                    append(&mut found, part);
                    count += part.count();
                    at = part.last.next();
                }
            }
        }
        (found, count)
    }
}

struct Delivery<'a> {
    worker: &'a Worker,
    lock: Duration,
    /// How many more messages may be acquired.
    left: u64,
    acquired: Vec<AcquiredRange>,
}

impl Delivery<'_> {
    fn add(&mut self, range: OffsetRange, delivery_count: u16) {
        self.left -= range.count();
        match self.acquired.last_mut() {
            Some(last)
                if last.last.next() == range.first && last.delivery_count == delivery_count =>
            {
                last.last = range.last;
            }
            _ => self.acquired.push(AcquiredRange {
                first: range.first,
                last: range.last,
                delivery_count,
            }),
        }
    }
}

/// The beginning of the range; `count` is at least 1.
fn at_most(range: OffsetRange, count: u64) -> OffsetRange {
    let more = i64::try_from(count - 1).unwrap_or(i64::MAX);
    OffsetRange {
        first: range.first,
        last: range.last.min(range.first.plus(more)),
    }
}

fn append(ranges: &mut Vec<OffsetRange>, next: OffsetRange) {
    match ranges.last_mut() {
        Some(last) if last.last.next() == next.first => last.last = next.last,
        _ => ranges.push(next),
    }
}
