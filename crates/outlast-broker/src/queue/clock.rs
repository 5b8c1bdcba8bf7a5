//! What time does to a queue: locks and delays end, scheduled messages come due, others expire.
//!
//! Before every call the queue is brought up to the time, so that no answer depends on whether a
//! timer fired. Only the end of a lock and an expiry are recorded. That a delay is over follows
//! from its end, which was recorded with it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use outlast_records::{Offset, Timestamp};

use super::change::offsets;
use super::machine::{Queue, Step};
use super::state::State;
use super::{DeadReason, OffsetRange};

/// So many messages come due, or expire, in one call at most; the next call goes on. It is what
/// bounds how long one call takes.
const MOST_AT_ONCE: usize = 10_000;

impl Queue {
    pub(super) fn catch_up(&mut self, step: &mut Step<'_>) {
        self.end_locks(step);
        self.end_delays(step.now);
        self.begin_scheduled(step.now);
        self.expire(step);
    }

    /// When there will be something to catch up with.
    pub(super) fn next_moment(&self) -> Option<Timestamp> {
        let lock = self.index.locks.first().map(|(at, _)| *at);
        let delay = self.index.waiting.first().map(|(at, _)| *at);
        let due = self.derived.scheduled.next();
        let expiry = self.derived.expiring.next();
        [lock, delay, due, expiry].into_iter().flatten().min()
    }

    fn end_locks(&mut self, step: &mut Step<'_>) {
        while let Some(&(deadline, first)) = self.index.locks.first()
            && deadline <= step.now
        {
            let Some((run, State::Acquired { story, .. })) = self.runs.at(first) else {
                return;
            };
            self.fail(run, story, None, true, step);
        }
    }

    fn end_delays(&mut self, now: Timestamp) {
        while let Some(&(until, first)) = self.index.waiting.first()
            && until <= now
        {
            let Some((run, State::Waiting { story, .. })) = self.runs.at(first) else {
                return;
            };
            self.become_available(run, State::Retry(story));
        }
    }

    fn begin_scheduled(&mut self, now: Timestamp) {
        let mut budget = MOST_AT_ONCE;
        while let Some(stretch) = self.derived.scheduled.pop_stretch(now, &mut budget) {
            let parts: Vec<_> = self.runs.within(stretch).collect();
            for (part, state) in parts {
                if state == State::Scheduled {
                    self.become_available(part, State::Ready);
                }
            }
        }
    }

    fn become_available(&mut self, range: OffsetRange, state: State) {
        self.set(range, Some(state));
        self.reorder(range, state);
        self.woken = true;
    }

    pub(super) fn expire(&mut self, step: &mut Step<'_>) {
        let mut budget = MOST_AT_ONCE;
        while let Some(stretch) = self.derived.expiring.pop_stretch(step.now, &mut budget) {
            self.drop_duplicates(stretch, step);
            let parts: Vec<_> = self.runs.within(stretch).collect();
            for (part, state) in parts {
                match state {
                    state if state.waits_for_delivery() => {
                        let story = state.story().map(|id| self.stories.get(id).clone());
                        self.die(part, DeadReason::Expired, story, step);
                    }
                    // The worker may still accept it. If it doesn't, there is no other try.
                    State::Acquired { .. } => self.derived.overdue.extend(offsets(part)),
                    _ => {}
                }
            }
        }
        let next = self.derived.expiring.next();
        self.derived.behind = next.is_some_and(|next| next <= step.now);
    }

    /// A message that was processed under another offset isn't missed.
    fn drop_duplicates(&mut self, range: OffsetRange, step: &mut Step<'_>) {
        if step.settings.dedupe.is_none() {
            return;
        }
        let ids = self.ids.range(range.first..=range.last);
        let processed = ids.filter(|(_, id)| step.ledger.has(**id));
        let processed: Vec<Offset> = processed.map(|(offset, _)| *offset).collect();
        for offset in processed {
            let waits = self
                .runs
                .state(offset)
                .is_some_and(State::waits_for_delivery);
            if waits {
                self.finish_with(OffsetRange::one(offset), step);
            }
        }
    }

    /// Times of messages that they no longer matter to go when they are the most.
    pub(super) fn tidy_times(&mut self) {
        let runs = &self.runs;
        let scheduled = self.index.counts.scheduled;
        self.derived.scheduled.tidy(scheduled, |offset| {
            runs.state(offset) == Some(State::Scheduled)
        });
        let live = self.index.counts.live() - self.index.counts.dying;
        self.derived.expiring.tidy(live, |offset| {
            let state = runs.state(offset);
            state.is_some_and(|state| !matches!(state, State::Dying { .. } | State::Done))
        });
    }
}

/// Moments of messages, the earliest first: 16 bytes each.
#[derive(Debug, Clone, Default)]
pub(super) struct Times(BinaryHeap<Reverse<(Timestamp, Offset)>>);

impl Times {
    pub fn push(&mut self, at: Timestamp, offset: Offset) {
        self.0.push(Reverse((at, offset)));
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<Reverse<(Timestamp, Offset)>>()
    }

    fn next(&self) -> Option<Timestamp> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// Messages in a row whose moment has come. Each costs 1 of the budget.
    fn pop_stretch(&mut self, now: Timestamp, budget: &mut usize) -> Option<OffsetRange> {
        let first = self.pop(now, budget)?;
        let mut stretch = OffsetRange::one(first);
        while let Some(Reverse((_, offset))) = self.0.peek()
            && *offset == stretch.last.next()
            && let Some(offset) = self.pop(now, budget)
        {
            stretch.last = offset;
        }
        Some(stretch)
    }

    fn pop(&mut self, now: Timestamp, budget: &mut usize) -> Option<Offset> {
        let Reverse((at, offset)) = *self.0.peek()?;
        if at > now || *budget == 0 {
            return None;
        }
        *budget -= 1;
        self.0.pop();
        Some(offset)
    }

    /// At most half of what is kept is of no use, and a little more.
    fn tidy(&mut self, of_use: u64, keep: impl Fn(Offset) -> bool) {
        const A_LITTLE: usize = 1_024;
        let of_use = usize::try_from(of_use).unwrap_or(usize::MAX);
        if self.0.len() > of_use.saturating_mul(2).saturating_add(A_LITTLE) {
            self.0.retain(|Reverse((_, offset))| keep(*offset));
            self.0.shrink_to(of_use.saturating_add(A_LITTLE));
        }
    }
}
