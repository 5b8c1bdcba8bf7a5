//! Rules of queues as tables, and a harness that replays the log after every call.
//!
//! The property test against a model is in `property`, the model in `model`; what a queue costs in
//! `cost`.

mod cost;
mod deaths;
mod deliveries;
mod duplicates;
mod lanes;
mod model;
mod promises;
mod property;
mod record_formats;
mod restarts;
mod scans;
mod schedules;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use outlast_records::Timestamp;
use uuid::Uuid;

use super::index::Index;
use super::*;

const GROUP: &str = "billing";
const T0: i64 = 1_000_000;

/// One group's queues, their log, and a clock that only tests turn.
#[derive(Clone)]
struct Harness {
    queues: Queues,
    settings: QueueSettings,
    now: Timestamp,
    log: Vec<(Bytes, Option<Bytes>)>,
    /// Of the last call.
    records: Vec<QueueRecord>,
    /// Since the test last looked.
    woken: BTreeSet<QueueId>,
    dying: BTreeSet<QueueId>,
    /// When the next `timer_fired` was asked for.
    timers: BTreeMap<QueueId, Timestamp>,
}

fn queue_id(index: i32) -> QueueId {
    let topic = Uuid::from_u128(7);
    QueueId::new(GROUP, PartitionId { topic, index })
}

fn range(first: i64, last: i64) -> OffsetRange {
    OffsetRange {
        first: Offset(first),
        last: Offset(last),
    }
}

/// A retry policy that always says the same.
fn fixed(delay_ms: u64) -> RetryPolicy {
    RetryPolicy {
        kind: RetryKind::Fixed,
        initial: Duration::from_millis(delay_ms),
        ..RetryPolicy::default()
    }
}

fn release() -> Verb {
    Verb::Release {
        delay: None,
        counts: true,
    }
}

fn not_now(delay_ms: u64) -> Verb {
    Verb::Release {
        delay: Some(Duration::from_millis(delay_ms)),
        counts: false,
    }
}

impl Harness {
    /// A queue that begins at 0, with a fixed delay of 1 s between tries.
    fn new() -> Harness {
        Harness::with(QueueSettings {
            retry: fixed(1_000),
            ..QueueSettings::default()
        })
    }

    fn with(settings: QueueSettings) -> Harness {
        let mut h = Harness::empty(settings);
        assert!(h.run(|queues, turn| queues.open(&queue_id(0), Offset(0), turn)));
        assert!(h.was_woken());
        h
    }

    fn empty(settings: QueueSettings) -> Harness {
        Harness {
            queues: Queues::new(),
            settings,
            now: Timestamp(T0),
            log: Vec::new(),
            records: Vec::new(),
            woken: BTreeSet::new(),
            dying: BTreeSet::new(),
            timers: BTreeMap::new(),
        }
    }

    fn run<R>(&mut self, call: impl FnOnce(&mut Queues, &mut Turn<'_>) -> R) -> R {
        let reply = self.run_unchecked(call);
        self.check();
        reply
    }

    /// For so many messages that the checks would take too long.
    fn run_unchecked<R>(&mut self, call: impl FnOnce(&mut Queues, &mut Turn<'_>) -> R) -> R {
        let mut fx = Effects::default();
        let reply = call(
            &mut self.queues,
            &mut Turn {
                settings: &self.settings,
                now: self.now,
                fx: &mut fx,
            },
        );
        self.take(fx);
        reply
    }

    fn take(&mut self, fx: Effects) {
        let encoded = fx.records.iter().map(|record| record.encode().unwrap());
        self.log.extend(encoded);
        self.records = fx.records;
        self.woken.extend(fx.woken);
        self.dying.extend(fx.dying);
        for (id, at) in fx.timers {
            match at {
                Some(at) => self.timers.insert(id, at),
                None => self.timers.remove(&id),
            };
        }
    }

    /// Time passes, and every timer fires at its time.
    fn pass(&mut self, ms: i64) {
        let end = Timestamp(self.now.0 + ms);
        while let Some((id, at)) = self.next_timer().filter(|(_, at)| *at <= end) {
            self.timers.remove(&id);
            self.now = self.now.max(at);
            self.run(|queues, turn| queues.timer_fired(&id, turn));
        }
        self.now = end;
    }

    fn next_timer(&self) -> Option<(QueueId, Timestamp)> {
        let first = self.timers.iter().min_by_key(|(_, at)| **at);
        first.map(|(id, at)| (id.clone(), *at))
    }

    /// The process is killed, and another one reads the log.
    fn restart(&mut self) {
        self.queues = replayed(&self.log);
        self.woken.clear();
        self.dying.clear();
        self.timers.clear();
        let mut fx = Effects::default();
        self.queues.loaded(&mut fx);
        assert!(fx.records.is_empty());
        self.take(fx);
        self.check();
    }

    /// The log is replaced by what it says.
    fn rewrite(&mut self) {
        let records = self
            .queues
            .snapshot()
            .map(|record| record.encode().unwrap());
        let snapshot: Vec<_> = records.collect();
        // A crash in between finds both.
        let both: Vec<_> = self.log.iter().chain(&snapshot).cloned().collect();
        assert_eq!(self.durable(&replayed(&both)), self.durable(&self.queues));
        self.log = snapshot;
        self.check();
    }

    /// What holds after every call.
    fn check(&self) {
        assert_eq!(
            self.durable(&replayed(&self.log)),
            self.durable(&self.queues),
            "a replay gives another state"
        );
        for (_, _, queue) in self.queues.iter() {
            queue.check();
        }
    }

    /// What a restart must find, offset by offset. Delays that are over are left out: that follows.
    fn durable(&self, queues: &Queues) -> BTreeMap<GroupId, DurableGroup> {
        let groups = queues.groups.iter().map(|(name, group)| {
            let mut ledger = group.ledger.clone();
            match &self.settings.dedupe {
                Some(dedupe) => ledger.prune(dedupe, self.now),
                None => ledger.clear_processed(),
            }
            let queues = group.queues.iter();
            let durable = DurableGroup {
                ledger: ledger.iter().collect(),
                in_flight: ledger.in_flight().clone(),
                queues: queues
                    .map(|(partition, queue)| (*partition, self.durable_queue(queue)))
                    .collect(),
            };
            (name.clone(), durable)
        });
        let lives =
            |durable: &DurableGroup| !durable.ledger.is_empty() || !durable.queues.is_empty();
        groups.filter(|(_, durable)| lives(durable)).collect()
    }

    fn durable_queue(&self, queue: &Queue) -> (Offset, BTreeMap<Offset, DurableMessage>) {
        let mut messages = BTreeMap::new();
        for change in queue.changes() {
            let to = match change.to {
                Recorded::Waiting { story, until } if until <= queue.clock.max(self.now) => {
                    Recorded::Retry(story)
                }
                to => to,
            };
            for (at, offset) in super::change::offsets(change.range).enumerate() {
                let id = change.ids.get(at).copied().flatten();
                messages.insert(offset, (to.clone(), id));
            }
        }
        (queue.start(), messages)
    }
}

#[derive(Debug, PartialEq)]
struct DurableGroup {
    ledger: Vec<(Timestamp, u128)>,
    in_flight: BTreeMap<u128, u32>,
    queues: BTreeMap<PartitionId, (Offset, BTreeMap<Offset, DurableMessage>)>,
}

type DurableMessage = (Recorded, Option<u128>);

fn replayed(log: &[(Bytes, Option<Bytes>)]) -> Queues {
    let mut queues = Queues::new();
    for (key, value) in log {
        let record = QueueRecord::decode(Some(key.clone()), value.clone());
        queues.replay(record.unwrap());
    }
    queues
}

impl Queue {
    /// The indexes say what the runs say.
    fn check(&self) {
        let mut index = Index::default();
        let mut stories = BTreeSet::new();
        for (run, state) in self.runs.iter_from(Offset(0)) {
            assert!(run.first >= self.start, "kept beyond the start");
            index.note(super::runs::Edit::Added(run, state));
            stories.extend(state.story().map(|id| self.stories.get(id).clone()));
        }
        assert_eq!(index.counts, self.index.counts);
        assert_eq!(index.available, self.index.available);
        assert_eq!(index.locks, self.index.locks);
        assert_eq!(index.waiting, self.index.waiting);
        assert_eq!(index.dying, self.index.dying);
        assert_eq!(stories.len(), self.stories.len(), "stories of nobody");
        let start = self.runs.state(self.start);
        assert_ne!(start, Some(super::state::State::Done));
        assert!(self.derived.scanned_to >= self.start);
        assert!(self.ids.keys().all(|offset| *offset >= self.start));
    }
}

/// The first queue, in words that make tests short.
impl Harness {
    fn queue(&self) -> &Queue {
        self.queues.queue(&queue_id(0)).unwrap()
    }

    fn numbers(&self) -> QueueNumbers {
        self.queue().numbers()
    }

    fn state(&self, offset: i64) -> MessageState {
        self.queue().state(Offset(offset))
    }

    fn plan(&mut self, wanted: usize) -> Plan {
        let plan = self.run(|queues, turn| queues.plan(&queue_id(0), wanted, turn));
        plan.unwrap()
    }

    /// Scans messages at these offsets, and that there is nothing else before `to`.
    fn scan(&mut self, to: i64, messages: &[Scanned]) {
        let from = self.queue().numbers().scanned_to;
        let id = queue_id(0);
        self.run(|queues, turn| queues.scanned(&id, from, Offset(to), messages, turn));
    }

    /// Scans plain messages up to, not including, `to`.
    fn scan_plain(&mut self, to: i64) {
        let from = self.queue().numbers().scanned_to.0;
        let messages: Vec<_> = (from..to).map(|at| Scanned::plain(Offset(at))).collect();
        self.scan(to, &messages);
    }

    /// Offsets and delivery counts.
    fn acquire(&mut self, worker: &str, max: usize) -> Vec<(i64, u16)> {
        self.acquire_from(worker, range(0, 1_000_000), max)
    }

    fn acquire_from(&mut self, worker: &str, held: OffsetRange, max: usize) -> Vec<(i64, u16)> {
        self.acquire_at(0, worker, held, max)
    }

    fn acquire_at(
        &mut self,
        index: i32,
        worker: &str,
        held: OffsetRange,
        max: usize,
    ) -> Vec<(i64, u16)> {
        let (id, worker) = (queue_id(index), Worker::from(worker));
        let acquired =
            self.run(|queues, turn| queues.acquire(&id, &worker, &[held], max, None, turn));
        singles(&acquired)
    }

    fn acknowledge(
        &mut self,
        worker: &str,
        offsets: OffsetRange,
        verb: Verb,
    ) -> Result<(), AckError> {
        self.acknowledge_at(0, worker, offsets, verb)
    }

    fn acknowledge_at(
        &mut self,
        index: i32,
        worker: &str,
        offsets: OffsetRange,
        verb: Verb,
    ) -> Result<(), AckError> {
        let (id, worker) = (queue_id(index), Worker::from(worker));
        self.run(|queues, turn| queues.acknowledge(&id, &worker, offsets, verb, turn))
    }

    fn dying(&self) -> Vec<DyingMessage> {
        self.queues.dying(&queue_id(0), usize::MAX)
    }

    /// Whether the queue was woken since the last look.
    fn was_woken(&mut self) -> bool {
        self.woken.remove(&queue_id(0))
    }
}

fn singles(acquired: &[AcquiredRange]) -> Vec<(i64, u16)> {
    let ranges = acquired.iter();
    ranges
        .flat_map(|range| {
            (range.first.0..=range.last.0).map(|offset| (offset, range.delivery_count))
        })
        .collect()
}
