//! What can be found quickly about a queue's runs: how many messages are in which state, and which
//! runs come next by offset or by time. Kept true by every edit of a run.

use std::collections::BTreeSet;

use outlast_records::{Offset, Timestamp};

use super::OffsetRange;
use super::runs::Edit;
use super::state::State;

#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    pub counts: Counts,
    /// First offsets of runs that could be delivered.
    pub available: BTreeSet<Offset>,
    /// Runs that were delivered, by the end of their locks.
    pub locks: BTreeSet<(Timestamp, Offset)>,
    /// Runs that wait for another delivery, by the end of the delay.
    pub waiting: BTreeSet<(Timestamp, Offset)>,
    pub dying: BTreeSet<Offset>,
}

/// Messages by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub scheduled: u64,
    pub ready: u64,
    pub retry: u64,
    pub waiting: u64,
    pub acquired: u64,
    pub dying: u64,
    pub done: u64,
}

impl Index {
    pub fn note(&mut self, edit: Edit<State>) {
        match edit {
            Edit::Added(run, state) => self.added(run, state),
            Edit::Removed(run, state) => self.removed(run, state),
        }
    }

    fn added(&mut self, run: OffsetRange, state: State) {
        *self.counts.of(state) += run.count();
        match state {
            State::Ready | State::Retry(_) => self.available.insert(run.first),
            State::Waiting { until, .. } => self.waiting.insert((until, run.first)),
            State::Acquired { deadline, .. } => self.locks.insert((deadline, run.first)),
            State::Dying { .. } => self.dying.insert(run.first),
            State::Scheduled | State::Done => true,
        };
    }

    fn removed(&mut self, run: OffsetRange, state: State) {
        *self.counts.of(state) -= run.count();
        match state {
            State::Ready | State::Retry(_) => self.available.remove(&run.first),
            State::Waiting { until, .. } => self.waiting.remove(&(until, run.first)),
            State::Acquired { deadline, .. } => self.locks.remove(&(deadline, run.first)),
            State::Dying { .. } => self.dying.remove(&run.first),
            State::Scheduled | State::Done => true,
        };
    }
}

impl Counts {
    /// Messages that are not done.
    pub fn live(&self) -> u64 {
        self.scheduled + self.ready + self.retry + self.waiting + self.acquired + self.dying
    }

    fn of(&mut self, state: State) -> &mut u64 {
        match state {
            State::Scheduled => &mut self.scheduled,
            State::Ready => &mut self.ready,
            State::Retry(_) => &mut self.retry,
            State::Waiting { .. } => &mut self.waiting,
            State::Acquired { .. } => &mut self.acquired,
            State::Dying { .. } => &mut self.dying,
            State::Done => &mut self.done,
        }
    }
}
