//! A worker's day: each step is done by the queues and by the model, and then compared.

use super::model::{Model, St};
use super::property::{LOG, Step};
use super::*;

pub const QUEUES: usize = 2;
pub const WORKERS: usize = 3;

#[derive(Clone)]
pub struct World {
    pub(super) h: Harness,
    pub(super) model: Model,
    /// What was true before the last call.
    before: Option<Box<World>>,
    /// Queues of which a worker found nothing, and waits to be told.
    pub(super) asleep: [bool; QUEUES],
    /// How often each message was delivered and that counted, as workers were told.
    pub(super) told: BTreeMap<(usize, i64), u16>,
}

impl World {
    pub(super) fn new(settings: QueueSettings, logs: Vec<Vec<Option<Scanned>>>) -> World {
        let mut h = Harness::empty(settings.clone());
        for q in 0..QUEUES {
            h.run(|queues, turn| queues.open(&queue_id(q as i32), Offset(0), turn));
        }
        World {
            h,
            model: Model::new(settings, logs),
            before: None,
            asleep: [false; QUEUES],
            told: BTreeMap::new(),
        }
    }

    pub(super) fn step(&mut self, step: &Step) {
        if !matches!(step, Step::Crash { .. } | Step::Pass { .. }) {
            self.before = None;
            self.before = Some(Box::new(self.clone()));
        }
        match *step {
            Step::Scan { q, more, back } => self.scan(q, more, back),
            Step::Acquire {
                q,
                worker,
                first,
                more,
                max,
                lock_ms,
            } => self.acquire(q, worker, range(first, first + more), max, lock_ms),
            Step::Acknowledge {
                q,
                worker,
                at,
                more,
                verb,
                held,
            } => {
                let held = held.then(|| self.held(q, worker, at, more)).flatten();
                let any = range(at as i64, at as i64 + more);
                self.acknowledge(q, worker, held.unwrap_or(any), verb);
            }
            Step::WorkerDies { worker } => self.worker_dies(worker),
            Step::Bury { q, first, more } => {
                self.advance(q);
                let id = queue_id(q as i32);
                let range = range(first, first + more);
                self.h.run(|queues, turn| queues.buried(&id, range, turn));
                self.model.bury(q, range);
            }
            Step::Settle { q, first, more } => self.settle(q, range(first, first + more)),
            Step::LogStart { q, to } => {
                self.advance(q);
                let id = queue_id(q as i32);
                self.h
                    .run(|queues, turn| queues.log_start_moved(&id, Offset(to), turn));
                self.model.cut(q, to);
            }
            Step::Reset { q, to } => {
                let id = queue_id(q as i32);
                self.h
                    .run(|queues, turn| queues.reset(&id, Offset(to as i64), turn));
                self.model.reset(q, to);
                self.told.retain(|(queue, _), _| *queue != q);
            }
            Step::Pass { ms } => self.pass(ms),
            Step::TurnOrder => {
                let order = match self.h.settings.order {
                    QueueOrder::None => QueueOrder::Key,
                    QueueOrder::Key => QueueOrder::None,
                };
                self.h.settings.order = order;
                self.model.settings.order = order;
                // Nobody is told of it until the queue is called.
                self.tick();
            }
            Step::DeliveryLimit { limit } => {
                self.h.settings.delivery_limit = limit;
                self.model.settings.delivery_limit = limit;
            }
            Step::Rewrite => self.h.rewrite(),
            Step::Crash { unheard } => self.crash(unheard),
        }
        self.learn_and_compare();
        if self.h.log.len() > 100 {
            self.h.rewrite();
        }
    }

    /// Brings the model up to the time, as the call that follows does with its queue.
    pub(super) fn advance(&mut self, q: usize) {
        let settings = &self.h.settings;
        if settings.retry.varies() || settings.dedupe.is_some() {
            // The model must learn which delays were chosen before it goes on, and a message that
            // leaves its worker calls other queues.
            self.tick();
        } else {
            self.model.advance(q);
        }
    }

    pub(super) fn tick(&mut self) {
        for q in 0..QUEUES {
            let id = queue_id(q as i32);
            self.h.run(|queues, turn| queues.timer_fired(&id, turn));
            self.model.advance(q);
        }
        self.learn();
    }

    pub(super) fn scan(&mut self, q: usize, more: usize, back: i64) {
        self.advance(q);
        let id = queue_id(q as i32);
        let plan = self
            .h
            .run(|queues, turn| queues.plan(&id, 4, turn))
            .unwrap();
        let deliverable = (0..LOG)
            .filter(|o| self.model.is_deliverable(q, *o))
            .count();
        let room = self.h.settings.max_locks - self.model.in_flight(q);
        let wanted = 4.min(room);
        let planned: u64 = plan.redeliver.iter().map(OffsetRange::count).sum();
        assert_eq!(planned, deliverable.min(wanted) as u64);
        assert_eq!(plan.wants_scan, deliverable < wanted);
        assert_eq!(plan.scan_from.0, self.model.queues[q].scanned_to as i64);
        let from = (plan.scan_from.0 - back).max(0);
        let to = (plan.scan_from.0 as usize + more).min(LOG);
        let messages: Vec<Scanned> = self.model.queues[q].log[from as usize..to.max(from as usize)]
            .iter()
            .flatten()
            .copied()
            .collect();
        let (from, to_offset) = (Offset(from), Offset(to as i64));
        // A scan with a hole before it must change nothing.
        let beyond = plan.scan_from.next();
        self.h
            .run(|queues, turn| queues.scanned(&id, beyond, to_offset.next(), &[], turn));
        self.h
            .run(|queues, turn| queues.scanned(&id, from, to_offset, &messages, turn));
        self.model.scan(q, to);
    }

    pub(super) fn acquire(
        &mut self,
        q: usize,
        worker: usize,
        held: OffsetRange,
        max: usize,
        lock_ms: Option<u64>,
    ) {
        self.advance(q);
        let id = queue_id(q as i32);
        let name = Worker::from(worker.to_string().as_str());
        let lock = lock_ms.map(Duration::from_millis);
        let acquired = self
            .h
            .run(|queues, turn| queues.acquire(&id, &name, &[held], max, lock, turn));
        let acquired = singles(&acquired);
        for (offset, count) in &acquired {
            self.check_delivery(q, *offset, *count);
        }
        let lock = lock.unwrap_or(self.h.settings.lock).as_millis() as i64;
        assert_eq!(acquired, self.model.acquire(q, worker, held, max, lock));
        for (offset, _) in &acquired {
            self.check_lane(q, *offset);
        }
        self.told.extend(
            acquired
                .iter()
                .map(|(offset, count)| ((q, *offset), *count)),
        );
        let whole_log = held.first.0 == 0 && held.last.0 >= LOG as i64 && max > 0;
        if whole_log && acquired.is_empty() {
            self.asleep[q] = true;
            self.h.woken.remove(&id);
        }
    }

    pub(super) fn acknowledge(&mut self, q: usize, worker: usize, range: OffsetRange, verb: Verb) {
        self.advance(q);
        let id = queue_id(q as i32);
        let name = Worker::from(worker.to_string().as_str());
        let result = self
            .h
            .run(|queues, turn| queues.acknowledge(&id, &name, range, verb, turn));
        let accepted = self.model.acknowledge(q, worker, range, verb);
        assert_eq!(result.is_ok(), accepted);
        if accepted && matches!(verb, Verb::Release { counts: false, .. }) {
            for offset in range.first.0..=range.last.0 {
                *self.told.get_mut(&(q, offset)).unwrap() -= 1;
            }
        }
    }

    pub(super) fn worker_dies(&mut self, worker: usize) {
        self.tick();
        let name = Worker::from(worker.to_string().as_str());
        self.h
            .run(|queues, turn| queues.release_worker(GROUP, &name, turn));
        self.model.release_worker(worker);
        for q in 0..QUEUES {
            assert_eq!(self.held(q, worker, 0, 0), None, "a dead worker's hand");
        }
    }

    pub(super) fn settle(&mut self, q: usize, range: OffsetRange) {
        let range = OffsetRange {
            last: range.last.min(Offset(LOG as i64 - 1)),
            ..range
        };
        self.advance(q);
        let id = queue_id(q as i32);
        let settled = self.h.run(|queues, turn| queues.settle(&id, range, turn));
        let waits = |o: &i64| self.model.queues[q].states[*o as usize].waits();
        let expected: Vec<i64> = (range.first.0..=range.last.0).filter(waits).collect();
        let settled = settled.iter().flat_map(|r| r.first.0..=r.last.0);
        assert_eq!(settled.collect::<Vec<_>>(), expected);
        self.model.settle(q, range);
    }

    /// Timers fire as they were asked for, and whatever is between.
    pub(super) fn pass(&mut self, ms: i64) {
        let end = Timestamp(self.h.now.0 + ms);
        while let Some((id, at)) = self.h.next_timer().filter(|(_, at)| *at <= end) {
            self.h.timers.remove(&id);
            self.h.now = self.h.now.max(at);
            self.model.now = self.h.now.0;
            self.h.run(|queues, turn| queues.timer_fired(&id, turn));
            let q = id.partition.index as usize;
            self.model.advance(q);
            if self.h.settings.dedupe.is_some() {
                // A message that left its worker may have called the other queue.
                self.tick();
            }
            self.learn_and_compare();
        }
        self.h.now = end;
        self.model.now = end.0;
    }

    pub(super) fn crash(&mut self, unheard: bool) {
        if unheard && let Some(before) = self.before.take() {
            // Time doesn't turn back.
            let now = self.h.now;
            *self = *before;
            self.h.now = now;
            self.model.now = now.0;
        }
        self.h.restart();
        self.model.crash();
        self.asleep = [false; QUEUES];
        self.tick();
    }

    /// A stretch that the worker holds.
    pub(super) fn held(
        &self,
        q: usize,
        worker: usize,
        at: usize,
        more: i64,
    ) -> Option<OffsetRange> {
        let held = |o: &i64| {
            let state = self.model.queues[q].states.get(*o as usize);
            matches!(state, Some(St::Acquired { worker: w, .. }) if *w == worker)
        };
        let all: Vec<i64> = (0..LOG as i64).filter(held).collect();
        let first = *all.get(at % all.len().max(1))?;
        let last = (first..=first + more).take_while(held).last()?;
        Some(range(first, last))
    }

    pub(super) fn learn(&mut self) {
        for q in 0..QUEUES {
            let queue = self.h.queues.queue(&queue_id(q as i32)).unwrap();
            self.model.learn_delays(q, queue);
        }
    }

    /// Everybody works until nothing is left.
    pub(super) fn come_to_rest(&mut self) {
        for round in 0.. {
            assert!(round < 400, "some messages never end");
            for q in 0..QUEUES {
                self.scan(q, LOG, 0);
                self.acquire(q, 0, range(0, LOG as i64), 3, None);
                while let Some(held) = self.held(q, 0, 0, 100) {
                    self.acknowledge(q, 0, held, Verb::Accept);
                }
                self.step(&Step::Bury {
                    q,
                    first: 0,
                    more: LOG as i64,
                });
            }
            self.step(&Step::Pass { ms: 500 });
            let queues = self.model.queues.iter();
            let mut states = queues.flat_map(|queue| &queue.states);
            if states.all(|state| matches!(state, St::Done(_))) {
                break;
            }
        }
        for q in 0..QUEUES {
            let queue = self.h.queues.queue(&queue_id(q as i32)).unwrap();
            assert_eq!(queue.start().0, LOG as i64);
            assert_eq!(queue.runs.len(), 0);
            assert_eq!(queue.stories.len(), 0);
            assert!(queue.ids.is_empty());
        }
        assert!(
            self.h.queues.groups[&GroupId::from(GROUP)]
                .ledger
                .in_flight()
                .is_empty()
        );
        self.check_ends();
    }
}
