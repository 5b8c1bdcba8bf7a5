//! One queue: its fields, and what surrounds every call on it.

use std::collections::{BTreeMap, BTreeSet};

use outlast_records::{Offset, PartitionId, Timestamp};

use super::change::{Change, Recorded};
use super::clock::Times;
use super::index::Index;
use super::ledger::Ledger;
use super::order::Order;
use super::retry::Seed;
use super::runs::Runs;
use super::state::{State, Stories};
use super::{Effects, OffsetRange, QueueId, QueueOrder, QueueRecord, QueueSettings, Turn};

/// How many messages a queue knows the due times or the expiry of, at most: 64 MiB of each.
const LOOK_AHEAD: usize = 4 * 1024 * 1024;
/// The same where each message is looked at by itself, at about 100 bytes each.
const LOOK_AHEAD_IN_ORDER: usize = 256 * 1024;
/// A record of the log has at most this many changes.
pub(super) const CHANGES_A_RECORD: usize = 4_096;

/// The state of one queue.
#[derive(Debug, Clone)]
pub struct Queue {
    pub(super) seed: Seed,
    /// The first offset that is not done. Nothing is kept of what is before.
    pub(super) start: Offset,
    /// What is recorded, and between that, before `scanned_to`, what is derived.
    pub(super) runs: Runs<State>,
    pub(super) index: Index,
    pub(super) stories: Stories,
    /// Ids of messages that are in flight or scanned and not done.
    pub(super) ids: BTreeMap<Offset, u128>,
    pub(super) derived: Derived,
    /// The latest time that was heard of.
    pub(super) clock: Timestamp,
    /// For the effects of the call that is under way.
    pub(super) woken: bool,
    pub(super) died: bool,
    /// When the next `timer_fired` was asked for.
    announced: Option<Timestamp>,
}

/// What is read off the messages, and again after a restart. With the runs that are not recorded it
/// goes as a whole when the way in which messages are looked at changes.
#[derive(Debug, Clone, Default)]
pub(super) struct Derived {
    /// Messages before this offset have been looked at; it is not done itself.
    pub scanned_to: Offset,
    /// When scheduled messages are due.
    pub scheduled: Times,
    /// When messages expire that may still be there.
    pub expiring: Times,
    /// Expired in a worker's hand.
    pub overdue: BTreeSet<Offset>,
    /// Only where messages can stand in each other's way.
    pub order: Option<Order>,
    /// How the messages were looked at; none before the first call.
    mode: Option<Mode>,
    /// There are more messages to expire than one call may see to. Nothing is handed out meanwhile.
    pub behind: bool,
}

/// What of the settings decides what must be known of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mode {
    keyed: bool,
    ids: bool,
}

/// One call on one queue.
pub(super) struct Step<'a> {
    pub partition: PartitionId,
    pub settings: &'a QueueSettings,
    pub now: Timestamp,
    pub ledger: &'a mut Ledger,
    /// To be recorded.
    changes: Vec<Change>,
    /// New in the ledger, to be recorded.
    pub accepted: Vec<u128>,
    /// How many ids were in the ledger before.
    remembered: usize,
    was_full: bool,
}

impl Queue {
    pub(super) fn new(id: &QueueId, start: Offset) -> Queue {
        let mut queue = Queue {
            seed: Seed::of(id),
            start,
            runs: Runs::new(),
            index: Index::default(),
            stories: Stories::default(),
            ids: BTreeMap::new(),
            derived: Derived::default(),
            clock: Timestamp(i64::MIN),
            woken: false,
            died: false,
            announced: None,
        };
        queue.skip_done();
        queue
    }

    /// Runs one call: brings the queue up to the time before it, and tells the effects after it.
    pub(super) fn step<R>(
        &mut self,
        id: &QueueId,
        ledger: &mut Ledger,
        turn: &mut Turn<'_>,
        call: impl FnOnce(&mut Queue, &mut Step<'_>) -> R,
    ) -> R {
        self.clock = self.clock.max(turn.now);
        let mut step = Step {
            partition: id.partition,
            settings: turn.settings,
            now: self.clock,
            remembered: ledger.len(),
            ledger,
            changes: Vec::new(),
            accepted: Vec::new(),
            was_full: self.is_full(turn.settings),
        };
        self.look_in_mode(turn.settings);
        self.catch_up(&mut step);
        let reply = call(self, &mut step);
        self.finish(id, step, turn.fx);
        reply
    }

    /// A recorded change happens.
    pub(super) fn change(&mut self, change: Change, step: &mut Step<'_>) {
        self.apply(&change, step.ledger);
        self.died |= matches!(change.to, Recorded::Dying { .. });
        let rest = match step.changes.last_mut() {
            Some(last) => last.absorb(change),
            None => Some(change),
        };
        step.changes.extend(rest);
    }

    /// These messages are done.
    pub(super) fn finish_with(&mut self, range: OffsetRange, step: &mut Step<'_>) {
        self.change(Change::new(range, Recorded::Done), step);
    }

    fn finish(&mut self, id: &QueueId, step: Step<'_>, fx: &mut Effects) {
        self.tidy_times();
        if !step.accepted.is_empty() {
            fx.records.push(QueueRecord::Ledger {
                group: id.group.clone(),
                kept: step.remembered,
                processed: vec![(step.now, step.accepted)],
            });
        }
        if !step.changes.is_empty() {
            let changes = step.changes.into_iter();
            fx.records.extend(state_records(id.clone(), None, changes));
        }
        let has_room = step.was_full && !self.is_full(step.settings);
        if std::mem::take(&mut self.woken) || has_room {
            fx.wake(id);
        }
        if std::mem::take(&mut self.died) {
            fx.died(id);
        }
        self.announce(id, fx);
    }

    /// A moment later than the one that was named already needs no word: fired too early, the timer
    /// is set again. Locks come and go with every message, and would name a new moment each time.
    pub(super) fn announce(&mut self, id: &QueueId, fx: &mut Effects) {
        let Some(next) = self.next_moment() else {
            return;
        };
        if self.announced.is_none_or(|announced| next < announced) {
            self.announced = Some(next);
            fx.timers.push((id.clone(), Some(next)));
        }
    }

    pub(super) fn timer_has_fired(&mut self) {
        self.announced = None;
    }

    pub(super) fn cancel_timer(&mut self, id: &QueueId, fx: &mut Effects) {
        if self.announced.take().is_some() {
            fx.timers.push((id.clone(), None));
        }
    }

    /// What was looked at in another mode is looked at again.
    fn look_in_mode(&mut self, settings: &QueueSettings) {
        let mode = Mode {
            keyed: settings.order == QueueOrder::Key,
            ids: settings.dedupe.is_some(),
        };
        if self.derived.mode == Some(mode) {
            return;
        }
        if self.derived.mode.is_some() {
            self.forget_scan();
            self.woken = true;
        }
        self.derived.mode = Some(mode);
        self.derived.order = (mode.keyed || mode.ids).then(Order::default);
    }

    /// As after a restart.
    fn forget_scan(&mut self) {
        let runs: Vec<(OffsetRange, State)> = self.runs.iter_from(self.start).collect();
        for (run, state) in runs {
            if !state.is_recorded() {
                self.set(run, None);
            }
        }
        let runs = &self.runs;
        self.ids
            .retain(|offset, _| matches!(runs.state(*offset), Some(State::Acquired { .. })));
        self.derived = Derived::default();
        self.skip_done();
    }

    /// The scan need not see what is done.
    pub(super) fn skip_done(&mut self) {
        let mut to = self.derived.scanned_to.max(self.start);
        while let Some((run, State::Done)) = self.runs.at(to) {
            to = run.last.next();
        }
        self.derived.scanned_to = to;
    }

    /// The offsets that were looked at.
    pub(super) fn looked_at(&self) -> Option<OffsetRange> {
        OffsetRange::new(self.start, self.derived.scanned_to.plus(-1))
    }

    /// How many more messages may be in flight.
    pub(super) fn free_locks(&self, settings: &QueueSettings) -> usize {
        let held = usize::try_from(self.index.counts.acquired).unwrap_or(usize::MAX);
        settings.max_locks.saturating_sub(held)
    }

    pub(super) fn may_look_ahead(&self) -> bool {
        let counts = &self.index.counts;
        match &self.derived.order {
            Some(order) => {
                order.len() < LOOK_AHEAD_IN_ORDER
                    && counts.ready + counts.scheduled < LOOK_AHEAD_IN_ORDER as u64
            }
            None => {
                self.derived.expiring.len() < LOOK_AHEAD && counts.scheduled < LOOK_AHEAD as u64
            }
        }
    }

    fn is_full(&self, settings: &QueueSettings) -> bool {
        self.free_locks(settings) == 0 || self.derived.behind || !self.may_look_ahead()
    }
}

/// Changes as records of the log.
pub(super) fn state_records(
    id: QueueId,
    mut begins_at: Option<Offset>,
    mut changes: impl Iterator<Item = Change>,
) -> impl Iterator<Item = QueueRecord> {
    std::iter::from_fn(move || {
        let changes: Vec<Change> = changes.by_ref().take(CHANGES_A_RECORD).collect();
        let begins_at = begins_at.take();
        if changes.is_empty() && begins_at.is_none() {
            return None;
        }
        Some(QueueRecord::State {
            id: id.clone(),
            begins_at,
            changes,
        })
    })
}
