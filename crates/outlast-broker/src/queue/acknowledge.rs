//! What a worker says about messages that it holds, and what becomes of those that failed.

use std::time::Duration;

use super::change::{Change, Recorded, later, offsets};
use super::machine::{Queue, Step};
use super::state::{State, Story, StoryId};
use super::{AckError, DeadReason, OffsetRange, Verb, Worker};

impl Queue {
    pub(super) fn acknowledge(
        &mut self,
        worker: &Worker,
        range: OffsetRange,
        verb: Verb,
        step: &mut Step<'_>,
    ) -> Result<(), AckError> {
        let held = self.held_by(worker, range).ok_or(AckError::NotHeld)?;
        match verb {
            Verb::Accept => {
                self.enter_ledger(range, step);
                self.finish_with(range, step);
            }
            Verb::Gap => self.finish_with(range, step),
            Verb::Reject => {
                for (part, story) in held {
                    let story = self.stories.get(story).clone();
                    self.die(part, DeadReason::Rejected, Some(story), step);
                }
            }
            Verb::Release { delay, counts } => {
                for (part, story) in held {
                    self.fail(part, story, delay, counts, step);
                }
            }
            Verb::Renew { lock } => {
                let deadline = later(step.now, lock.unwrap_or(step.settings.lock));
                for (part, story) in held {
                    let story = self.stories.get(story).clone();
                    let to = Recorded::Acquired { story, deadline };
                    let ids = self.ids_of(part);
                    let range = part;
                    self.change(Change { range, to, ids }, step);
                }
            }
        }
        Ok(())
    }

    /// The worker is gone. Returns how many messages it held.
    pub(super) fn release_worker(&mut self, worker: &Worker, step: &mut Step<'_>) -> u64 {
        let mut count = 0;
        let locks: Vec<_> = self.index.locks.iter().map(|(_, first)| *first).collect();
        for first in locks {
            if let Some((run, State::Acquired { story, .. })) = self.runs.at(first)
                && self.stories.get(story).worker == *worker
            {
                count += run.count();
                self.fail(run, story, None, true, step);
            }
        }
        count
    }

    /// The runs of the range, if the worker holds every message of it.
    fn held_by(&self, worker: &Worker, range: OffsetRange) -> Option<Vec<(OffsetRange, StoryId)>> {
        let segments = self.runs.segments(range);
        segments
            .map(|(part, state)| match state {
                Some(State::Acquired { story, .. })
                    if self.stories.get(story).worker == *worker =>
                {
                    Some((part, story))
                }
                _ => None,
            })
            .collect()
    }

    fn enter_ledger(&mut self, range: OffsetRange, step: &mut Step<'_>) {
        let Some(dedupe) = &step.settings.dedupe else {
            return;
        };
        for id in self.ids.range(range.first..=range.last).map(|(_, id)| *id) {
            if step.ledger.add(id, step.now) {
                step.accepted.push(id);
            }
        }
        step.ledger.prune(dedupe, step.now);
    }

    /// These messages, which a worker held, were not processed: another try, or death.
    pub(super) fn fail(
        &mut self,
        range: OffsetRange,
        story: StoryId,
        delay: Option<Duration>,
        counts: bool,
        step: &mut Step<'_>,
    ) {
        let mut story = self.stories.get(story).clone();
        if !counts {
            story.count = story.count.saturating_sub(1);
        } else if story.count >= step.settings.delivery_limit {
            return self.die(range, DeadReason::Limit, Some(story), step);
        }
        let overdue = self.derived.overdue.range(range.first..=range.last);
        let overdue: Vec<_> = overdue.copied().collect();
        let mut at = range.first;
        for offset in overdue {
            self.derived.overdue.remove(&offset);
            if let Some(before) = OffsetRange::new(at, offset.plus(-1)) {
                self.try_again(before, &story, delay, counts, step);
            }
            let one = OffsetRange::one(offset);
            self.die(one, DeadReason::Expired, Some(story.clone()), step);
            at = offset.next();
        }
        if let Some(rest) = OffsetRange::new(at, range.last) {
            self.try_again(rest, &story, delay, counts, step);
        }
    }

    fn try_again(
        &mut self,
        range: OffsetRange,
        story: &Story,
        delay: Option<Duration>,
        counts: bool,
        step: &mut Step<'_>,
    ) {
        let policy = &step.settings.retry;
        match delay {
            Some(delay) => self.wait_out(range, story, delay, step),
            None if !counts => self.wait_out(range, story, Duration::ZERO, step),
            None if policy.varies() => {
                for offset in offsets(range) {
                    let chance = self.seed.chance(offset, story.count);
                    let delay = policy.delay(story.count, chance);
                    self.wait_out(OffsetRange::one(offset), story, delay, step);
                }
            }
            None => self.wait_out(range, story, policy.delay(story.count, 0.0), step),
        }
    }

    fn wait_out(
        &mut self,
        range: OffsetRange,
        story: &Story,
        delay: Duration,
        step: &mut Step<'_>,
    ) {
        let story = story.clone();
        let until = later(step.now, delay);
        let to = if until > step.now {
            Recorded::Waiting { story, until }
        } else {
            self.woken = true;
            Recorded::Retry(story)
        };
        self.change(Change::new(range, to), step);
    }

    pub(super) fn die(
        &mut self,
        range: OffsetRange,
        reason: DeadReason,
        story: Option<Story>,
        step: &mut Step<'_>,
    ) {
        let to = if step.settings.keeps(reason) {
            Recorded::Dying { reason, story }
        } else {
            Recorded::Done
        };
        self.change(Change::new(range, to), step);
    }
}
