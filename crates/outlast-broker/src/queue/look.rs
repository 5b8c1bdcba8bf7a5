//! Looking at a queue from outside, without changing it.

use std::collections::BTreeMap;

use outlast_records::Offset;

use super::change::from;
use super::machine::Queue;
use super::state::State;
use super::{MessageState, OffsetRange, QueueNumbers, Worker};

impl Queue {
    /// The first offset that is not done.
    pub fn start(&self) -> Offset {
        self.start
    }

    pub fn numbers(&self) -> QueueNumbers {
        let counts = &self.index.counts;
        let scanned_to = self.derived.scanned_to;
        let ahead = from(scanned_to);
        QueueNumbers {
            start: self.start,
            scanned_to,
            ready: counts.ready + counts.retry,
            delayed: counts.scheduled + counts.waiting,
            in_flight: counts.acquired,
            dying: counts.dying,
            done: counts.done,
            known_ahead: self.runs.within(ahead).map(|(run, _)| run.count()).sum(),
        }
    }

    pub fn state(&self, offset: Offset) -> MessageState {
        if offset < self.start {
            return MessageState::Done;
        }
        self.shown(self.runs.state(offset))
    }

    /// Stretches of equal state within the range, in order and without holes.
    pub fn states(&self, range: OffsetRange) -> impl Iterator<Item = (OffsetRange, MessageState)> {
        let before = OffsetRange::new(range.first, range.last.min(self.start.plus(-1)));
        let from_start = range.common(from(self.start));
        let before = before.map(|range| (range, MessageState::Done));
        let rest = from_start
            .into_iter()
            .flat_map(|range| self.runs.segments(range));
        before
            .into_iter()
            .chain(rest.map(|(range, state)| (range, self.shown(state))))
    }

    /// The workers that hold messages, and how many.
    pub fn workers(&self) -> BTreeMap<&Worker, u64> {
        let mut held = BTreeMap::new();
        for (_, first) in &self.index.locks {
            if let Some((run, state)) = self.runs.at(*first)
                && let Some(story) = state.story()
            {
                *held.entry(&self.stories.get(story).worker).or_insert(0) += run.count();
            }
        }
        held
    }

    pub(super) fn has_locks(&self) -> bool {
        self.index.counts.acquired > 0
    }

    pub(super) fn has_dying(&self) -> bool {
        self.index.counts.dying > 0
    }

    fn shown(&self, state: Option<State>) -> MessageState {
        let count = |id| self.stories.get(id).count;
        match state {
            None => MessageState::Unseen,
            Some(State::Scheduled) => MessageState::Scheduled,
            Some(State::Ready) => MessageState::Ready { delivery_count: 0 },
            Some(State::Retry(story)) => MessageState::Ready {
                delivery_count: count(story),
            },
            Some(State::Waiting { story, until }) => MessageState::Delayed {
                delivery_count: count(story),
                until,
            },
            Some(State::Acquired { story, deadline }) => MessageState::Acquired {
                delivery_count: count(story),
                worker: self.stories.get(story).worker.clone(),
                deadline,
            },
            Some(State::Dying { reason, story }) => MessageState::Dying {
                delivery_count: story.map_or(0, count),
                reason,
            },
            Some(State::Done) => MessageState::Done,
        }
    }
}
