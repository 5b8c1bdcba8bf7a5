//! Random calls, crashes included, against the model.
//!
//! The harness checks after every call that a replay gives the state. Here every message is compared
//! with the model after every step, and the promises are checked that no model is needed for: no
//! message in two hands, none too early, none out of the order of its key, every message ends, and
//! ends once; whoever sleeps is woken, and no timer comes too late.

use proptest::prelude::*;

use super::model::{End, Model, St};
use super::*;

const QUEUES: usize = 2;
const WORKERS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    /// Reads on from where the plan says, or a little before.
    Scan {
        q: usize,
        more: usize,
        back: i64,
    },
    Acquire {
        q: usize,
        worker: usize,
        first: i64,
        more: i64,
        max: usize,
        lock_ms: Option<u64>,
    },
    /// Of a stretch that the worker holds, or of any.
    Acknowledge {
        q: usize,
        worker: usize,
        at: usize,
        more: i64,
        verb: Verb,
        held: bool,
    },
    WorkerDies {
        worker: usize,
    },
    Bury {
        q: usize,
        first: i64,
        more: i64,
    },
    Settle {
        q: usize,
        first: i64,
        more: i64,
    },
    LogStart {
        q: usize,
        to: i64,
    },
    Reset {
        q: usize,
        to: usize,
    },
    Pass {
        ms: i64,
    },
    TurnOrder,
    DeliveryLimit {
        limit: u16,
    },
    Rewrite,
    /// What the last call wrote may be lost, if nobody heard of it.
    Crash {
        unheard: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let q = || 0..QUEUES;
    let worker = || 0..WORKERS;
    let first = || 0..LOG as i64;
    prop_oneof![
        6 => (q(), 1..12usize, 0..3i64).prop_map(|(q, more, back)| Step::Scan { q, more, back }),
        8 => (q(), worker(), first(), 0..LOG as i64, 0..8usize, prop::option::of(1..4_000u64))
            .prop_map(|(q, worker, first, more, max, lock_ms)| {
                Step::Acquire { q, worker, first: first / 4, more, max, lock_ms }
            }),
        10 => (q(), worker(), 0..8usize, 0..4i64, verb(), prop::bool::weighted(0.9)).prop_map(
            |(q, worker, at, more, verb, held)| Step::Acknowledge { q, worker, at, more, verb, held }
        ),
        1 => worker().prop_map(|worker| Step::WorkerDies { worker }),
        2 => (q(), first(), 0..LOG as i64).prop_map(|(q, first, more)| Step::Bury { q, first, more }),
        1 => (q(), first(), 0..4i64).prop_map(|(q, first, more)| Step::Settle { q, first, more }),
        1 => (q(), 0..6i64).prop_map(|(q, to)| Step::LogStart { q, to }),
        1 => (q(), 0..LOG / 2).prop_map(|(q, to)| Step::Reset { q, to }),
        6 => prop_oneof![Just(0), Just(1), Just(49), Just(1_000), Just(5_000), Just(40_000)]
            .prop_map(|ms| Step::Pass { ms }),
        1 => Just(Step::TurnOrder),
        1 => (1..4u16).prop_map(|limit| Step::DeliveryLimit { limit }),
        1 => Just(Step::Rewrite),
        2 => any::<bool>().prop_map(|unheard| Step::Crash { unheard }),
    ]
}

fn verb() -> impl Strategy<Value = Verb> {
    let delay = || prop::option::of((0..3_000u64).prop_map(Duration::from_millis));
    prop_oneof![
        4 => Just(Verb::Accept),
        3 => (delay(), prop::bool::weighted(0.7))
            .prop_map(|(delay, counts)| Verb::Release { delay, counts }),
        1 => Just(Verb::Reject),
        1 => Just(Verb::Gap),
        2 => delay().prop_map(|lock| Verb::Renew { lock }),
    ]
}

/// How many offsets each log has.
const LOG: usize = 24;

fn message() -> impl Strategy<Value = Option<Scanned>> {
    let at = |steps: &'static [i64]| {
        prop::option::weighted(
            0.25,
            prop::sample::select(steps).prop_map(|ms| Timestamp(T0 + ms)),
        )
    };
    let scanned = (
        prop::option::of(0..3u64),
        at(&[-1, 0, 50, 1_000, 5_000]),
        at(&[-1, 100, 3_000, 6_000, 50_000]),
        prop::option::weighted(0.6, 1..8u128),
        prop::bool::weighted(0.05),
        prop::bool::weighted(0.05),
    );
    let scanned = scanned.prop_map(|(lane, due, expires, id, skip, undecodable)| Scanned {
        offset: Offset(0),
        lane,
        due,
        expires,
        id,
        skip,
        undecodable,
    });
    prop::option::weighted(0.9, scanned)
}

fn log() -> impl Strategy<Value = Vec<Option<Scanned>>> {
    prop::collection::vec(message(), LOG).prop_map(|mut log| {
        for (offset, message) in log.iter_mut().enumerate() {
            if let Some(message) = message {
                message.offset = Offset(offset as i64);
            }
        }
        log
    })
}

fn settings() -> impl Strategy<Value = QueueSettings> {
    let kind = prop::sample::select(vec![
        RetryKind::Fixed,
        RetryKind::Random,
        RetryKind::Exponential,
    ]);
    let retry = (kind, 0..1_500u64, prop::sample::select(vec![0.0, 0.5, 1.0]));
    let retry = retry.prop_map(|(kind, initial, jitter)| RetryPolicy {
        kind,
        initial: Duration::from_millis(initial),
        max: Duration::from_millis(4_000),
        multiplier: 2.0,
        jitter,
    });
    let dedupe = (prop::sample::select(vec![2_000u64, 60_000]), 0..6usize);
    let dedupe = dedupe.prop_map(|(window, max_ids)| ConsumeDedupe {
        header: "id".into(),
        window: Duration::from_millis(window),
        max_ids,
    });
    let order = prop::sample::select(vec![QueueOrder::None, QueueOrder::Key]);
    let expired = prop::sample::select(vec![ExpiredAction::DeadLetter, ExpiredAction::Drop]);
    (
        retry,
        order,
        prop::option::of(dedupe),
        expired,
        1..4u16,
        prop::sample::select(vec![2usize, 5, 100]),
        prop::bool::weighted(0.9),
    )
        .prop_map(
            |(retry, order, dedupe, expired, delivery_limit, max_locks, dead_letters)| {
                QueueSettings {
                    lock: Duration::from_millis(1_000),
                    delivery_limit,
                    max_locks,
                    retry,
                    order,
                    dedupe,
                    expired,
                    dead_letters,
                }
            },
        )
}

#[derive(Clone)]
struct World {
    h: Harness,
    model: Model,
    /// What was true before the last call.
    before: Option<Box<World>>,
    /// Queues of which a worker found nothing, and waits to be told.
    asleep: [bool; QUEUES],
    /// How often each message was delivered and that counted, as workers were told.
    told: BTreeMap<(usize, i64), u16>,
}

impl World {
    fn new(settings: QueueSettings, logs: Vec<Vec<Option<Scanned>>>) -> World {
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

    fn step(&mut self, step: &Step) {
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
    fn advance(&mut self, q: usize) {
        let settings = &self.h.settings;
        if settings.retry.varies() || settings.dedupe.is_some() {
            // The model must learn which delays were chosen before it goes on, and a message that
            // leaves its worker calls other queues.
            self.tick();
        } else {
            self.model.advance(q);
        }
    }

    fn tick(&mut self) {
        for q in 0..QUEUES {
            let id = queue_id(q as i32);
            self.h.run(|queues, turn| queues.timer_fired(&id, turn));
            self.model.advance(q);
        }
        self.learn();
    }

    fn scan(&mut self, q: usize, more: usize, back: i64) {
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

    fn acquire(
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
        self.told.extend(
            acquired
                .iter()
                .map(|(offset, count)| ((q, *offset), *count)),
        );
        let whole_log = held.first.0 == 0 && held.last.0 >= LOG as i64 && max > 0;
        let has_room = self.model.in_flight(q) < self.h.settings.max_locks;
        if whole_log && acquired.is_empty() && has_room {
            self.asleep[q] = true;
            self.h.woken.remove(&id);
        }
    }

    /// Without the model: what nobody may ever see.
    fn check_delivery(&self, q: usize, offset: i64, count: u16) {
        let o = offset as usize;
        let log = &self.model.queues[q].log;
        let message = log[o].expect("a gap was delivered");
        let now = self.h.now;
        assert!(message.due.is_none_or(|due| due <= now), "too early");
        assert!(message.expires.is_none_or(|at| at > now), "too late");
        assert!(!message.skip && !message.undecodable);
        let states = &self.model.queues[q].states;
        assert!(
            !matches!(states[o], St::Acquired { .. } | St::Done(_)),
            "in two hands, or done"
        );
        if let St::Again { earliest, .. } = states[o] {
            assert!(earliest <= now.0, "the retry came too early");
        }
        let told = self.told.get(&(q, offset)).copied().unwrap_or(0);
        assert_eq!(count, told + 1, "the count of {offset} fell or jumped");
    }

    /// In key order all earlier messages of the key are done.
    fn check_lane(&self, q: usize, offset: i64) {
        let queue = &self.model.queues[q];
        let lane = |o: usize| queue.log[o].and_then(|message| message.lane);
        let o = offset as usize;
        if self.h.settings.order == QueueOrder::Key && lane(o).is_some() {
            let mut earlier = (0..o).filter(|earlier| lane(*earlier) == lane(o));
            let done = |o: usize| matches!(queue.states[o], St::Done(_));
            assert!(earlier.all(done), "{offset} was out of order");
        }
    }

    fn acknowledge(&mut self, q: usize, worker: usize, range: OffsetRange, verb: Verb) {
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

    fn worker_dies(&mut self, worker: usize) {
        self.tick();
        let name = Worker::from(worker.to_string().as_str());
        self.h
            .run(|queues, turn| queues.release_worker(GROUP, &name, turn));
        self.model.release_worker(worker);
        for q in 0..QUEUES {
            assert_eq!(self.held(q, worker, 0, 0), None, "a dead worker's hand");
        }
    }

    fn settle(&mut self, q: usize, range: OffsetRange) {
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
    fn pass(&mut self, ms: i64) {
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

    fn crash(&mut self, unheard: bool) {
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
    fn held(&self, q: usize, worker: usize, at: usize, more: i64) -> Option<OffsetRange> {
        let held = |o: &i64| {
            let state = self.model.queues[q].states.get(*o as usize);
            matches!(state, Some(St::Acquired { worker: w, .. }) if *w == worker)
        };
        let all: Vec<i64> = (0..LOG as i64).filter(held).collect();
        let first = *all.get(at % all.len().max(1))?;
        let last = (first..=first + more).take_while(held).last()?;
        Some(range(first, last))
    }

    fn learn(&mut self) {
        for q in 0..QUEUES {
            let queue = self.h.queues.queue(&queue_id(q as i32)).unwrap();
            self.model.learn_delays(q, queue);
        }
    }

    fn learn_and_compare(&mut self) {
        self.learn();
        for q in 0..QUEUES {
            self.compare(q);
        }
        let ledger = &self.h.queues.groups[&GroupId::from(GROUP)].ledger;
        let ledger: Vec<_> = ledger.iter().map(|(at, id)| (id, at.0)).collect();
        assert_eq!(ledger, self.model.ledger);
    }

    fn compare(&mut self, q: usize) {
        let id = queue_id(q as i32);
        let queue = self.h.queues.queue(&id).unwrap();
        let states = &self.model.queues[q].states;
        for (offset, state) in states.iter().enumerate() {
            let real = queue.state(Offset(offset as i64));
            assert_eq!(real, shown(state, queue), "offset {offset} of {q}");
        }
        let numbers = queue.numbers();
        let count = |which: fn(&St) -> bool| states.iter().filter(|s| which(s)).count() as u64;
        assert_eq!(
            numbers.in_flight,
            count(|s| matches!(s, St::Acquired { .. }))
        );
        assert_eq!(numbers.dying, count(|s| matches!(s, St::Dying { .. })));
        assert_eq!(
            numbers.ready + numbers.delayed,
            count(|s| s.waits() && *s != St::Unseen)
        );
        let first = states.iter().position(|s| !matches!(s, St::Done(_)));
        assert_eq!(numbers.start.0, first.unwrap_or(LOG) as i64);
        assert_eq!(numbers.scanned_to.0, self.model.queues[q].scanned_to as i64);
        if numbers.dying > 0 {
            assert!(self.h.dying.contains(&id), "nobody was told of the dead");
        }
        self.check_wakes(q);
        self.check_timer(q);
    }

    /// Whoever waits hears of what there is.
    fn check_wakes(&mut self, q: usize) {
        let id = queue_id(q as i32);
        if self.h.woken.contains(&id) {
            self.asleep[q] = false;
        }
        let there = (0..LOG).any(|o| self.model.is_deliverable(q, o));
        let clock = self.h.queues.queue(&id).unwrap().clock;
        if self.asleep[q] && there && clock == self.h.now {
            assert!(
                self.model.in_flight(q) >= self.h.settings.max_locks,
                "sleeps on"
            );
        }
    }

    /// Something is asked for no later than what happens next.
    fn check_timer(&self, q: usize) {
        let id = queue_id(q as i32);
        let queue = &self.model.queues[q];
        let moments = queue.states.iter().enumerate().filter_map(|(o, state)| {
            let expires = || queue.log[o].and_then(|m| m.expires).map(|at| at.0);
            let expires = (o < queue.scanned_to).then(expires).flatten();
            let next = match state {
                St::Scheduled => queue.log[o].and_then(|m| m.due).map(|due| due.0),
                St::Again { earliest, .. } => Some(*earliest),
                St::Acquired { deadline, .. } => return Some(*deadline),
                St::Ready => None,
                _ => return None,
            };
            next.into_iter()
                .chain(expires)
                .filter(|at| *at > self.h.now.0)
                .min()
        });
        if let Some(next) = moments.min() {
            let asked = self.h.timers.get(&id).expect("no timer runs");
            assert!(asked.0 <= next, "asked for {asked}, but {next} is earlier");
        }
    }

    /// Everybody works until nothing is left.
    fn come_to_rest(&mut self) {
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

    /// How a message may end follows from what it is.
    fn check_ends(&self) {
        for queue in &self.model.queues {
            for (message, state) in queue.log.iter().zip(&queue.states) {
                let St::Done(end) = state else {
                    panic!("not done");
                };
                match message {
                    None => assert!(matches!(end, End::Nothing | End::Settled | End::CutOff)),
                    Some(message) => {
                        let never = (*end == End::Skipped && !message.skip)
                            || (*end == End::Nothing && message.skip)
                            || (*end == End::Dropped
                                && message.expires.is_none()
                                && self.h.settings.dead_letters);
                        assert!(!never, "{message:?} ended as {end:?}");
                    }
                }
            }
        }
    }
}

fn shown(state: &St, queue: &Queue) -> MessageState {
    match state {
        St::Unseen => MessageState::Unseen,
        St::Scheduled => MessageState::Scheduled,
        St::Ready => MessageState::Ready { delivery_count: 0 },
        St::Again {
            count, earliest, ..
        } if *earliest <= queue.clock.0 => MessageState::Ready {
            delivery_count: *count,
        },
        St::Again {
            count, earliest, ..
        } => MessageState::Delayed {
            delivery_count: *count,
            until: Timestamp(*earliest),
        },
        St::Acquired {
            worker,
            count,
            deadline,
        } => MessageState::Acquired {
            delivery_count: *count,
            worker: Worker::from(worker.to_string().as_str()),
            deadline: Timestamp(*deadline),
        },
        St::Dying { count, reason } => MessageState::Dying {
            delivery_count: *count,
            reason: *reason,
        },
        St::Done(_) => MessageState::Done,
    }
}

proptest! {
    // More with PROPTEST_CASES.
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(256),
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens(
        settings in settings(),
        logs in prop::collection::vec(log(), QUEUES),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new(settings, logs);
        for step in &steps {
            world.step(step);
        }
        world.come_to_rest();
    }
}
