//! Queues as a pure state machine: (state, call, now) → (records, answer, timers).
//!
//! [`Queues`] is the state of one `__share_group_state` partition: its groups, and of each group a
//! [`Queue`] for every topic partition that it works on and the ledger of the message ids that it
//! has processed. There is no clock, I/O, lock or chance here (jitter is a hash of the message and
//! its delivery count): `queues` gives the time, reads the log, makes the records durable and only
//! then lets answers go.
//!
//! A queue keeps runs of offsets in one state. What a worker or a time-out does to messages is a
//! [`Change`] of a run, which goes into the log and is applied by the same function when it happens
//! and when it is replayed. What can be read off the messages themselves (that they are there, when
//! they are due, their key) is not recorded: after a restart the queue scans the log again from its
//! start offset and leaves alone what has a recorded state. Only what has been scanned can be
//! delivered.
//!
//! ```text
//!            scanned             acquire
//!   unseen ──────────▶ Ready ───────────────▶ Acquired ── accepted ─────────────▶ Done
//!             │         ▲                     ▲     │                              ▲
//!             │         │ due         acquire │     │ failed, or given back        │ buried
//!             ├──▶ Scheduled                  │     ▼                              │
//!             │         │             Retry ◀───── Waiting                         │
//!             │         │ expired       │  delay over │                            │
//!             ▼         ▼               ▼             ▼                            │
//!           Dying (expired, undecodable; from Acquired: rejected, limit) ──────────┘
//! ```
//!
//! Where a message is done without any of this (there is none at the offset, it isn't for this
//! group, its id was processed, it expired and the group drops such, it was purged) it goes to Done
//! at once.
//!
//! What it costs, measured by `cargo bench --bench queues`: a delivery and its acknowledgement 1 µs
//! whether of 1 message or 500 in a row, in key order 1 µs a message; a million scheduled messages
//! 18 MB; a run of offsets in one state 75 bytes, so that a million messages of which each is in
//! another state than its neighbour take 75 MB; a message in a lane 70 bytes; a processed id 52.

mod acknowledge;
mod acquire;
mod calls;
mod change;
mod clock;
mod dying;
mod effects;
mod ids;
mod index;
mod ledger;
mod look;
mod machine;
mod order;
mod records;
mod replay;
mod retry;
mod runs;
mod scan;
mod settings;
mod state;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use outlast_records::{Offset, PartitionId};

use crate::group::GroupId;

pub use calls::{
    AckError, AcquiredRange, Attempts, DeadReason, DyingMessage, MessageState, Plan, QueueNumbers,
    Scanned, Verb,
};
pub use change::{Change, Recorded};
pub use effects::{Effects, Turn};
pub use ids::{OffsetRange, QueueId, Worker};
pub use machine::Queue;
pub use records::{QueueRecord, QueueRecordError};
pub use scan::LOOK_AHEAD;
pub use settings::{
    ConsumeDedupe, ExpiredAction, QueueOrder, QueueSettings, RetryKind, RetryPolicy,
};
pub use state::Story;

use ledger::Ledger;
use machine::{Step, state_records};

/// The queues of one shard, that is, of one partition of `__share_group_state`. A group is in one
/// shard with all that it has.
#[derive(Debug, Clone, Default)]
pub struct Queues {
    // Ordered, so that what a call writes depends on nothing but the state.
    groups: BTreeMap<GroupId, QueueGroup>,
    /// Records of kinds that this version doesn't know, kept for one that does.
    unknown: BTreeMap<Bytes, Bytes>,
}

#[derive(Debug, Clone, Default)]
struct QueueGroup {
    queues: BTreeMap<PartitionId, Queue>,
    ledger: Ledger,
}

/// Looking.
impl Queues {
    pub fn new() -> Queues {
        Queues::default()
    }

    pub fn queue(&self, id: &QueueId) -> Option<&Queue> {
        self.groups.get(&id.group)?.queues.get(&id.partition)
    }

    /// In order of group and partition.
    pub fn iter(&self) -> impl Iterator<Item = (&GroupId, PartitionId, &Queue)> {
        self.groups.iter().flat_map(|(name, group)| {
            let queues = group.queues.iter();
            queues.map(move |(partition, queue)| (name, *partition, queue))
        })
    }

    /// The queues of one group.
    pub fn group(&self, group: &str) -> impl Iterator<Item = (PartitionId, &Queue)> {
        let group = self.groups.get(&GroupId::from(group));
        let queues = group.into_iter().flat_map(|group| &group.queues);
        queues.map(|(partition, queue)| (*partition, queue))
    }

    /// The groups that have a queue.
    pub fn groups(&self) -> impl Iterator<Item = &GroupId> {
        let groups = self.groups.iter();
        groups
            .filter(|(_, group)| !group.queues.is_empty())
            .map(|(name, _)| name)
    }

    pub fn numbers(&self, id: &QueueId) -> Option<QueueNumbers> {
        self.queue(id).map(Queue::numbers)
    }

    /// How many processed ids the group remembers.
    pub fn ledger_len(&self, group: &str) -> usize {
        let group = self.groups.get(&GroupId::from(group));
        group.map_or(0, |group| group.ledger.len())
    }

    /// Up to `max` messages that must be moved to the dead-letter topic, in the order of their
    /// offsets.
    pub fn dying(&self, id: &QueueId, max: usize) -> Vec<DyingMessage> {
        self.queue(id).map_or(Vec::new(), |queue| queue.dying(max))
    }
}

/// The life of a queue.
impl Queues {
    /// Makes a queue that begins at `start`. False when there is one already, which stays as it is.
    pub fn open(&mut self, id: &QueueId, start: Offset, turn: &mut Turn<'_>) -> bool {
        if self.queue(id).is_some() {
            return false;
        }
        self.reset(id, start, turn);
        true
    }

    /// Begins a queue anew at `start`, and makes it if need be: states, counts and locks of its
    /// messages are forgotten.
    pub fn reset(&mut self, id: &QueueId, start: Offset, turn: &mut Turn<'_>) {
        if let Some(old) = self.queue_mut(id) {
            old.cancel_timer(id, turn.fx);
        }
        self.remove(id);
        let start = start.max(Offset(0));
        let group = self.groups.entry(id.group.clone()).or_default();
        group.queues.insert(id.partition, Queue::new(id, start));
        let records = state_records(id.clone(), Some(start), std::iter::empty());
        turn.fx.records.extend(records);
        turn.fx.wake(id);
        self.end_waiting_for_ids(&id.group, turn);
    }

    /// False when there is none. What the group has processed stays in its ledger.
    pub fn delete(&mut self, id: &QueueId, turn: &mut Turn<'_>) -> bool {
        let Some(queue) = self.queue_mut(id) else {
            return false;
        };
        queue.cancel_timer(id, turn.fx);
        self.remove(id);
        let id = id.clone();
        turn.fx
            .records
            .push(QueueRecord::Deleted { id: id.clone() });
        self.end_waiting_for_ids(&id.group, turn);
        true
    }

    /// All queues of the group, and its ledger. False when there was nothing.
    pub fn delete_group(&mut self, group: &str, fx: &mut Effects) -> bool {
        let name = GroupId::from(group);
        let Some(mut group) = self.groups.remove(&name) else {
            return false;
        };
        for (partition, queue) in &mut group.queues {
            let group = name.clone();
            let partition = *partition;
            let id = QueueId { group, partition };
            queue.cancel_timer(&id, fx);
            fx.records.push(QueueRecord::Deleted { id });
        }
        fx.records.push(QueueRecord::LedgerDeleted { group: name });
        true
    }

    /// The partition's log begins at `log_start` now: what was before is done, whoever holds it.
    pub fn log_start_moved(&mut self, id: &QueueId, log_start: Offset, turn: &mut Turn<'_>) {
        self.step(id, turn, |queue, step| {
            queue.log_start_moved(log_start, step);
        });
    }
}

/// The way of a delivery.
impl Queues {
    /// What is there for `wanted` messages. None when the queue is not open.
    ///
    /// With [`LOOK_AHEAD`] nothing is said of deliveries, and the queue wants to scan as far as it
    /// may: that is how messages are found which expire without anybody asking for them.
    pub fn plan(&mut self, id: &QueueId, wanted: usize, turn: &mut Turn<'_>) -> Option<Plan> {
        self.step(id, turn, |queue, step| queue.plan(wanted, step))
    }

    /// The log from `from` up to, not including, `to` was read, and `messages` (in order) are what
    /// it holds; at other offsets there is nothing. What was scanned already is passed over, and a
    /// scan that begins after [`Plan::scan_from`] is ignored.
    pub fn scanned(
        &mut self,
        id: &QueueId,
        from: Offset,
        to: Offset,
        messages: &[Scanned],
        turn: &mut Turn<'_>,
    ) {
        self.step(id, turn, |queue, step| {
            queue.scanned(from, to, messages, step);
        });
    }

    /// Hands up to `max` messages to `worker`, out of the ranges `held`, which are those that the
    /// caller can give it. The lock lasts as long as the group says when `lock` doesn't. Messages in
    /// a row that have the same delivery count are one range.
    pub fn acquire(
        &mut self,
        id: &QueueId,
        worker: &Worker,
        held: &[OffsetRange],
        max: usize,
        lock: Option<Duration>,
        turn: &mut Turn<'_>,
    ) -> Vec<AcquiredRange> {
        self.step(id, turn, |queue, step| {
            queue.acquire(worker, held, max, lock, step)
        })
        .unwrap_or_default()
    }

    /// All of the range or nothing.
    pub fn acknowledge(
        &mut self,
        id: &QueueId,
        worker: &Worker,
        range: OffsetRange,
        verb: Verb,
        turn: &mut Turn<'_>,
    ) -> Result<(), AckError> {
        self.step(id, turn, |queue, step| {
            queue.acknowledge(worker, range, verb, step)
        })
        .unwrap_or(Err(AckError::UnknownQueue))
    }

    /// The worker is gone: what it held in all queues of the group has failed this time. Returns how
    /// many messages that were.
    pub fn release_worker(&mut self, group: &str, worker: &Worker, turn: &mut Turn<'_>) -> u64 {
        let name = GroupId::from(group);
        let Some(group) = self.groups.get(&name) else {
            return 0;
        };
        let holding = group.queues.iter().filter(|(_, queue)| queue.has_locks());
        let holding: Vec<PartitionId> = holding.map(|(partition, _)| *partition).collect();
        let release = |partition| {
            let group = name.clone();
            let id = QueueId { group, partition };
            self.step(&id, turn, |queue, step| queue.release_worker(worker, step))
        };
        holding.into_iter().filter_map(release).sum()
    }

    /// Brings the queue up to the time: locks and delays that are over, messages that expire. Every
    /// call does so first, so that firing early, late or twice does no harm.
    pub fn timer_fired(&mut self, id: &QueueId, turn: &mut Turn<'_>) {
        self.step(id, turn, |queue, _| queue.timer_has_fired());
    }
}

/// The ends that no worker brings about.
impl Queues {
    /// These messages are in the dead-letter topic, by the same entry of the write-ahead log that
    /// takes the records of this call: done. What isn't dying is left alone.
    pub fn buried(&mut self, id: &QueueId, range: OffsetRange, turn: &mut Turn<'_>) {
        self.step(id, turn, |queue, step| queue.buried(range, step));
    }

    /// Done without delivery, for redrive and purge. Leaves alone what is locked, dying or done, and
    /// returns what it settled. Settles what was not scanned, too: the caller must not go beyond the
    /// end of the log.
    pub fn settle(
        &mut self,
        id: &QueueId,
        range: OffsetRange,
        turn: &mut Turn<'_>,
    ) -> Vec<OffsetRange> {
        self.step(id, turn, |queue, step| queue.settle(range, step))
            .unwrap_or_default()
    }
}

/// What surrounds it all.
impl Queues {
    /// After the last record was replayed: names the timers that must run, and the queues with
    /// messages that wait to be moved.
    pub fn loaded(&mut self, fx: &mut Effects) {
        for (name, group) in &mut self.groups {
            for (partition, queue) in &mut group.queues {
                let id = QueueId {
                    group: name.clone(),
                    partition: *partition,
                };
                queue.announce(&id, fx);
                if queue.has_dying() {
                    fx.died(&id);
                }
            }
        }
    }

    /// Runs a call on a queue, if it is open.
    fn step<R>(
        &mut self,
        id: &QueueId,
        turn: &mut Turn<'_>,
        call: impl FnOnce(&mut Queue, &mut Step<'_>) -> R,
    ) -> Option<R> {
        let group = self.groups.get_mut(&id.group)?;
        let queue = group.queues.get_mut(&id.partition)?;
        match &turn.settings.dedupe {
            Some(dedupe) => group.ledger.prune(dedupe, turn.now),
            None if !group.ledger.is_empty() => {
                group.ledger.clear_processed();
                let group = id.group.clone();
                turn.fx.records.push(QueueRecord::LedgerDeleted { group });
            }
            None => {}
        }
        let reply = queue.step(id, &mut group.ledger, turn, call);
        self.end_waiting_for_ids(&id.group, turn);
        Some(reply)
    }

    /// Messages that waited for another one with their id, which is in nobody's hand any more, can
    /// be delivered, or are done if it was accepted.
    fn end_waiting_for_ids(&mut self, group: &GroupId, turn: &mut Turn<'_>) {
        let Some(QueueGroup { queues, ledger }) = self.groups.get_mut(group) else {
            return;
        };
        while let Some((id, waiting)) = ledger.pop_free() {
            for (partition, offset) in waiting {
                if let Some(queue) = queues.get_mut(&partition) {
                    let group = group.clone();
                    let queue_id = QueueId { group, partition };
                    queue.step(&queue_id, ledger, turn, |queue, step| {
                        queue.unpark(offset, id, step);
                    });
                }
            }
        }
    }

    fn queue_mut(&mut self, id: &QueueId) -> Option<&mut Queue> {
        self.groups
            .get_mut(&id.group)?
            .queues
            .get_mut(&id.partition)
    }

    /// Without a record.
    fn remove(&mut self, id: &QueueId) {
        let Some(group) = self.groups.get_mut(&id.group) else {
            return;
        };
        if let Some(mut queue) = group.queues.remove(&id.partition) {
            queue.leave(&mut group.ledger);
        }
        self.remove_if_empty(&id.group);
    }

    fn remove_if_empty(&mut self, group: &GroupId) {
        let is_empty = |group: &QueueGroup| group.queues.is_empty() && group.ledger.is_empty();
        if self.groups.get(group).is_some_and(is_empty) {
            self.groups.remove(group);
        }
    }
}
