//! Looking at the log: which messages there are, and what decides when they can be delivered.
//!
//! The queue sees each message once, in the order of the log, and again after a restart. A message
//! that something has happened to keeps its state; only its key, its id and its expiry are learnt.

use outlast_records::{Offset, Timestamp};

use super::change::from;
use super::machine::{Queue, Step};
use super::state::State;
use super::{DeadReason, OffsetRange, Plan, QueueOrder, Scanned};

/// For [`Queues::plan`](super::Queues::plan): look ahead as far as the queue may.
pub const LOOK_AHEAD: usize = usize::MAX;

/// What a message is that nothing has happened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Ready,
    Scheduled,
    Dead(DeadReason),
    /// Not for this group, or processed already.
    Passed,
    /// Nothing.
    Gap,
}

impl Queue {
    pub(super) fn plan(&self, wanted: usize, step: &Step<'_>) -> Plan {
        let scan_from = self.derived.scanned_to;
        let may_scan = self.may_look_ahead() && !self.derived.behind;
        if wanted == LOOK_AHEAD {
            return Plan {
                redeliver: Vec::new(),
                scan_from,
                wants_scan: may_scan,
            };
        }
        let wanted = wanted.min(self.free_locks(step.settings)) as u64;
        let (redeliver, found) = match self.derived.behind {
            true => (Vec::new(), 0),
            false => self.deliverable(wanted),
        };
        Plan {
            redeliver,
            scan_from,
            wants_scan: may_scan && found < wanted,
        }
    }

    pub(super) fn scanned(
        &mut self,
        from: Offset,
        to: Offset,
        messages: &[Scanned],
        step: &mut Step<'_>,
    ) {
        let begin = self.derived.scanned_to;
        let Some(range) = OffsetRange::new(begin, to.plus(-1)).filter(|_| from <= begin) else {
            return;
        };
        // Whoever scans goes on to acquire, and then says whether there is more.
        let woken = self.woken;
        // Of the messages in this range the queue may know something only after a restart.
        let knows = self.runs.within(range).next().is_some();
        let mut stretch: Option<(OffsetRange, Found)> = None;
        let mut at = begin;
        for message in messages {
            if message.offset < at {
                continue;
            }
            if message.offset > range.last {
                break;
            }
            if let Some(gap) = OffsetRange::new(at, message.offset.plus(-1)) {
                self.extend(&mut stretch, gap, Found::Gap, knows, step);
            }
            let found = self.learn(message, knows, step);
            let one = OffsetRange::one(message.offset);
            self.extend(&mut stretch, one, found, knows, step);
            at = message.offset.next();
        }
        if let Some(gap) = OffsetRange::new(at, range.last) {
            self.extend(&mut stretch, gap, Found::Gap, knows, step);
        }
        if let Some((stretch, found)) = stretch {
            self.settle_found(stretch, found, knows, step);
        }
        self.derived.scanned_to = self.derived.scanned_to.max(to);
        self.skip_done();
        if self.derived.order.is_some() {
            let seen = messages.iter().map(|message| message.offset);
            seen.filter(|offset| range.contains(*offset))
                .for_each(|offset| self.reconsider(offset));
        }
        self.expire(step);
        self.woken = woken;
    }

    /// Notes what must be known of a message for as long as it isn't done.
    fn learn(&mut self, message: &Scanned, knows: bool, step: &Step<'_>) -> Found {
        let offset = message.offset;
        let known = knows.then(|| self.runs.state(offset)).flatten();
        let found = found(message, step);
        let state_is_done = match known {
            Some(state) => state == State::Done,
            None => found == Found::Passed || offset < self.start,
        };
        if state_is_done {
            return found;
        }
        if let Some(order) = &mut self.derived.order {
            if let Some(lane) = message.lane
                && step.settings.order == QueueOrder::Key
            {
                order.enter(offset, lane);
            }
            // What is in flight has the id that was recorded with it, and the ledger knows.
            let in_flight = matches!(known, Some(State::Acquired { .. }));
            if let Some(id) = message.id
                && step.settings.dedupe.is_some()
                && !in_flight
            {
                self.ids.insert(offset, id);
            }
        }
        let is_dead = matches!(found, Found::Dead(_)) && known.is_none();
        if let Some(expires) = message.expires.filter(|_| !is_dead) {
            self.derived.expiring.push(expires, offset);
        }
        if let Some(due) = message.due
            && found == Found::Scheduled
            && known.is_none()
        {
            self.derived.scheduled.push(due, offset);
        }
        found
    }

    /// Gathers messages in a row that are alike.
    fn extend(
        &mut self,
        stretch: &mut Option<(OffsetRange, Found)>,
        next: OffsetRange,
        found: Found,
        knows: bool,
        step: &mut Step<'_>,
    ) {
        match stretch {
            Some((range, same)) if *same == found => range.last = next.last,
            _ => {
                if let Some((range, found)) = stretch.replace((next, found)) {
                    self.settle_found(range, found, knows, step);
                }
            }
        }
    }

    fn settle_found(&mut self, range: OffsetRange, found: Found, knows: bool, step: &mut Step<'_>) {
        // What was known to be done further on may have taken the start along.
        let Some(range) = range.common(from(self.start)) else {
            return;
        };
        let parts = match knows {
            true => self.runs.segments(range).collect(),
            false => vec![(range, None)],
        };
        for (part, known) in parts {
            match (known, found) {
                (None, Found::Ready) => self.set(part, Some(State::Ready)),
                (None, Found::Scheduled) => self.set(part, Some(State::Scheduled)),
                (None, Found::Dead(reason)) => self.die(part, reason, None, step),
                (None, Found::Passed | Found::Gap) => self.finish_with(part, step),
                // There is no message any more, whatever was to be done with it.
                (Some(state), Found::Gap) if state != State::Done => self.finish_with(part, step),
                (Some(state), Found::Passed) if state.waits_for_delivery() => {
                    self.finish_with(part, step);
                }
                (Some(_), _) => {}
            }
        }
    }
}

fn found(message: &Scanned, step: &Step<'_>) -> Found {
    let is_past = |at: Timestamp| at <= step.now;
    let is_duplicate = |id: u128| step.settings.dedupe.is_some() && step.ledger.has(id);
    if message.skip || message.id.is_some_and(is_duplicate) {
        Found::Passed
    } else if message.undecodable {
        Found::Dead(DeadReason::Undecodable)
    } else if message.expires.is_some_and(is_past) {
        Found::Dead(DeadReason::Expired)
    } else if message.due.is_some_and(|due| !is_past(due)) {
        Found::Scheduled
    } else {
        Found::Ready
    }
}
