//! The ends that no worker brings about: dead letters that were moved, and messages that an
//! administrator takes out.

use outlast_records::Offset;

use super::change::from;
use super::machine::{Queue, Step};
use super::state::State;
use super::{DyingMessage, OffsetRange};

impl Queue {
    pub(super) fn dying(&self, max: usize) -> Vec<DyingMessage> {
        let runs = self
            .index
            .dying
            .iter()
            .filter_map(|first| self.runs.at(*first));
        let messages = runs.flat_map(|(run, state)| {
            let dying = match state {
                State::Dying { reason, story } => Some((reason, story)),
                _ => None,
            };
            dying.into_iter().flat_map(move |(reason, story)| {
                super::change::offsets(run).map(move |offset| (offset, reason, story))
            })
        });
        messages
            .take(max)
            .map(|(offset, reason, story)| {
                let story = story.map(|id| self.stories.get(id));
                DyingMessage {
                    offset,
                    reason,
                    delivery_count: story.map_or(0, |story| story.count),
                    tried: story.map(|story| story.attempts()),
                }
            })
            .collect()
    }

    pub(super) fn buried(&mut self, range: OffsetRange, step: &mut Step<'_>) {
        let parts: Vec<_> = self.runs.within(range).collect();
        for (part, state) in parts {
            if matches!(state, State::Dying { .. }) {
                self.finish_with(part, step);
            }
        }
    }

    pub(super) fn settle(&mut self, range: OffsetRange, step: &mut Step<'_>) -> Vec<OffsetRange> {
        let Some(range) = range.common(from(self.start)) else {
            return Vec::new();
        };
        let parts: Vec<_> = self.runs.segments(range).collect();
        let mut settled: Vec<OffsetRange> = Vec::new();
        for (part, state) in parts {
            if state.is_some_and(|state| !state.waits_for_delivery()) {
                continue;
            }
            self.finish_with(part, step);
            match settled.last_mut() {
                Some(last) if last.last.next() == part.first => last.last = part.last,
                _ => settled.push(part),
            }
        }
        settled
    }

    /// What was before is gone, whatever its state.
    pub(super) fn log_start_moved(&mut self, log_start: Offset, step: &mut Step<'_>) {
        if let Some(gone) = OffsetRange::new(self.start, log_start.plus(-1)) {
            self.finish_with(gone, step);
        }
    }
}
