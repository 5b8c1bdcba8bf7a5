//! What is recorded about messages, and how it takes effect: the one way in which a recorded state
//! changes, both when it happens and when it is replayed.

use std::time::Duration;

use outlast_records::{Offset, Timestamp};

use super::ledger::Ledger;
use super::machine::Queue;
use super::state::{State, Story};
use super::{DeadReason, OffsetRange};

/// All messages of a range are in this state from now on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    pub range: OffsetRange,
    pub to: Recorded,
    /// The ids of the messages that are acquired, one an offset, where the group deduplicates;
    /// empty elsewhere. They are recorded because an acknowledgement needs them at once after a
    /// restart, when the messages were not scanned again.
    pub ids: Vec<Option<u128>>,
}

/// The states that a restart must find. All else is read off the messages again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Recorded {
    /// Was delivered, and can be again.
    Retry(Story),
    /// Was delivered, and can be again from then on.
    Waiting {
        story: Story,
        until: Timestamp,
    },
    Acquired {
        story: Story,
        deadline: Timestamp,
    },
    Dying {
        reason: DeadReason,
        story: Option<Story>,
    },
    Done,
}

impl Change {
    pub(super) fn new(range: OffsetRange, to: Recorded) -> Change {
        Change {
            range,
            to,
            ids: Vec::new(),
        }
    }

    /// Takes in the change that comes after this one, if together they are one.
    pub(super) fn absorb(&mut self, next: Change) -> Option<Change> {
        let fits = self.range.last.next() == next.range.first
            && self.ids.is_empty() == next.ids.is_empty()
            && self.to == next.to;
        if !fits {
            return Some(next);
        }
        self.range.last = next.range.last;
        self.ids.extend(next.ids);
        None
    }
}

impl Queue {
    /// Offsets before the start are done, whatever the change says of them.
    pub(super) fn apply(&mut self, change: &Change, ledger: &mut Ledger) {
        let Some(range) = change.range.common(from(self.start)) else {
            return;
        };
        self.ids_leave_flight(range, ledger);
        let state = self.kept(&change.to);
        self.set(range, Some(state));
        match state {
            State::Acquired { .. } => {
                let skipped = range.first.0.abs_diff(change.range.first.0) as usize;
                let ids = change.ids.iter().skip(skipped);
                for (offset, id) in offsets(range).zip(ids) {
                    if let Some(id) = *id {
                        self.ids.insert(offset, id);
                        ledger.took(id);
                    }
                }
            }
            State::Done => self.forget(range),
            _ => {}
        }
        self.reorder(range, state);
        self.advance_start();
    }

    /// Sets a state without recording it, or none.
    pub(super) fn set(&mut self, range: OffsetRange, state: Option<State>) {
        let (index, stories) = (&mut self.index, &mut self.stories);
        self.runs.set(range, state, |edit| {
            use super::runs::Edit;
            match &edit {
                Edit::Added(_, state) => {
                    if let Some(story) = state.story() {
                        stories.run_added(story);
                    }
                }
                Edit::Removed(_, state) => {
                    if let Some(story) = state.story() {
                        stories.run_removed(story);
                    }
                }
            }
            index.note(edit);
        });
        self.stories.sweep();
    }

    fn kept(&mut self, to: &Recorded) -> State {
        match to {
            Recorded::Retry(story) => State::Retry(self.stories.intern(story)),
            Recorded::Waiting { story, until } => State::Waiting {
                story: self.stories.intern(story),
                until: *until,
            },
            Recorded::Acquired { story, deadline } => State::Acquired {
                story: self.stories.intern(story),
                deadline: *deadline,
            },
            Recorded::Dying { reason, story } => State::Dying {
                reason: *reason,
                story: story.as_ref().map(|story| self.stories.intern(story)),
            },
            Recorded::Done => State::Done,
        }
    }

    /// The reverse; none for what is not recorded.
    pub(super) fn recorded(&self, state: State) -> Option<Recorded> {
        let story = |id| self.stories.get(id).clone();
        Some(match state {
            State::Scheduled | State::Ready => return None,
            State::Retry(id) => Recorded::Retry(story(id)),
            State::Waiting { story: id, until } => Recorded::Waiting {
                story: story(id),
                until,
            },
            State::Acquired {
                story: id,
                deadline,
            } => Recorded::Acquired {
                story: story(id),
                deadline,
            },
            State::Dying { reason, story: id } => Recorded::Dying {
                reason,
                story: id.map(story),
            },
            State::Done => Recorded::Done,
        })
    }

    /// Everything recorded about the queue, besides its start.
    pub(super) fn changes(&self) -> impl Iterator<Item = Change> {
        self.runs
            .iter_from(self.start)
            .filter_map(|(range, state)| {
                let to = self.recorded(state)?;
                let ids = match state {
                    State::Acquired { .. } => self.ids_of(range),
                    _ => Vec::new(),
                };
                Some(Change { range, to, ids })
            })
    }

    /// The ids of these messages, one an offset; empty when none has one.
    pub(super) fn ids_of(&self, range: OffsetRange) -> Vec<Option<u128>> {
        if self.ids.range(range.first..=range.last).next().is_none() {
            return Vec::new();
        }
        offsets(range)
            .map(|offset| self.ids.get(&offset).copied())
            .collect()
    }

    /// Who has one of these messages in hand has it no longer, or has it anew.
    fn ids_leave_flight(&mut self, range: OffsetRange, ledger: &mut Ledger) {
        for (offset, id) in self.ids.range(range.first..=range.last) {
            if let Some(State::Acquired { .. }) = self.runs.state(*offset) {
                ledger.left(*id);
            }
        }
    }

    /// The queue is no more, and nobody has anything of it in hand.
    pub(super) fn leave(&mut self, ledger: &mut Ledger) {
        self.ids_leave_flight(from(self.start), ledger);
    }

    /// What was derived from messages that are done.
    fn forget(&mut self, range: OffsetRange) {
        while let Some((&offset, _)) = self.ids.range(range.first..=range.last).next() {
            self.ids.remove(&offset);
        }
        while let Some(&offset) = self.derived.overdue.range(range.first..=range.last).next() {
            self.derived.overdue.remove(&offset);
        }
    }

    /// The start moves over what is done.
    fn advance_start(&mut self) {
        while let Some((run, State::Done)) = self.runs.first()
            && run.first <= self.start
        {
            self.set(run, None);
            self.start = self.start.max(run.last.next());
        }
        self.skip_done();
    }
}

pub(super) fn from(first: Offset) -> OffsetRange {
    OffsetRange {
        first,
        last: Offset(i64::MAX - 1),
    }
}

pub(super) fn offsets(range: OffsetRange) -> impl Iterator<Item = Offset> {
    (range.first.0..=range.last.0).map(Offset)
}

/// The moment that lies this much later.
pub(super) fn later(now: Timestamp, by: Duration) -> Timestamp {
    let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    Timestamp(now.0.saturating_add(by))
}
