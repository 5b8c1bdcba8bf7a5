//! What queues ought to do, written down as simply as possible: one state an offset, every rule a
//! loop over all of them. Knows nothing of runs, indexes, records or timers.

use super::*;

/// One group with a few queues.
#[derive(Clone, Debug)]
pub struct Model {
    pub now: i64,
    pub settings: QueueSettings,
    pub queues: Vec<ModelQueue>,
    /// Oldest first.
    pub ledger: Vec<(u128, i64)>,
}

#[derive(Clone, Debug)]
pub struct ModelQueue {
    /// What the partition holds; none where there is a gap.
    pub log: Vec<Option<Scanned>>,
    pub states: Vec<St>,
    /// Was passed over because another message with its id was in flight.
    parked: Vec<bool>,
    pub scanned_to: usize,
    keyed: bool,
    clock: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum St {
    Unseen,
    Scheduled,
    Ready,
    /// Was delivered, and waits. When exactly it may be delivered again is up to chance, within
    /// bounds; see [`Model::learn_delays`].
    Again {
        count: u16,
        earliest: i64,
        latest: i64,
    },
    Acquired {
        worker: usize,
        count: u16,
        deadline: i64,
    },
    Dying {
        count: u16,
        reason: DeadReason,
    },
    Done(End),
}

/// Why a message is done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    Accepted,
    Buried,
    Dropped,
    Duplicate,
    Skipped,
    Settled,
    Nothing,
    CutOff,
}

impl St {
    pub fn waits(&self) -> bool {
        matches!(
            self,
            St::Unseen | St::Scheduled | St::Ready | St::Again { .. }
        )
    }
}

impl Model {
    pub fn new(settings: QueueSettings, logs: Vec<Vec<Option<Scanned>>>) -> Model {
        let keyed = settings.order == QueueOrder::Key;
        let queues = logs.into_iter().map(|log| ModelQueue {
            states: vec![St::Unseen; log.len()],
            parked: vec![false; log.len()],
            log,
            scanned_to: 0,
            keyed,
            clock: 0,
        });
        Model {
            now: T0,
            settings,
            queues: queues.collect(),
            ledger: Vec::new(),
        }
    }

    /// Brings a queue up to the time.
    pub fn advance(&mut self, q: usize) {
        self.prune();
        let keyed = self.settings.order == QueueOrder::Key;
        if self.queues[q].keyed != keyed {
            self.queues[q].keyed = keyed;
            self.forget_scan(q);
        }
        let now = self.now;
        self.queues[q].clock = now;
        for o in 0..self.queues[q].states.len() {
            match self.queues[q].states[o] {
                St::Acquired { deadline, .. } if deadline <= now => self.fail(q, o, None, true),
                St::Scheduled if self.message(q, o).due.unwrap().0 <= now => {
                    self.queues[q].states[o] = St::Ready;
                }
                _ => {}
            }
            self.expire(q, o);
        }
        self.free_ids();
    }

    fn expire(&mut self, q: usize, o: usize) {
        let queue = &self.queues[q];
        if !queue.states[o].waits() || !self.is_expired(q, o) {
            return;
        }
        if self.id(q, o).is_some_and(|id| self.has(id)) {
            self.end(q, o, End::Duplicate);
        } else {
            self.die(q, o, DeadReason::Expired);
        }
    }

    /// Of what was not looked at, in this life of the process, nobody knows when it expires.
    fn is_expired(&self, q: usize, o: usize) -> bool {
        o < self.queues[q].scanned_to
            && self.queues[q].log[o]
                .is_some_and(|message| message.expires.is_some_and(|at| at.0 <= self.now))
    }

    pub fn scan(&mut self, q: usize, to: usize) {
        for o in self.queues[q].scanned_to..to {
            self.queues[q].scanned_to = o + 1;
            let state = self.queues[q].states[o].clone();
            let Some(message) = self.queues[q].log[o] else {
                if !matches!(state, St::Done(_)) {
                    self.end(q, o, End::Nothing);
                }
                continue;
            };
            let is_duplicate = self.id(q, o).is_some_and(|id| self.has(id));
            if message.skip && state.waits() {
                self.end(q, o, End::Skipped);
            } else if is_duplicate && state.waits() {
                self.end(q, o, End::Duplicate);
            } else if state != St::Unseen {
                self.expire(q, o);
            } else if message.undecodable {
                self.die(q, o, DeadReason::Undecodable);
            } else if self.is_expired(q, o) {
                self.die(q, o, DeadReason::Expired);
            } else if message.due.is_some_and(|due| due.0 > self.now) {
                self.queues[q].states[o] = St::Scheduled;
            } else {
                self.queues[q].states[o] = St::Ready;
            }
        }
        self.skip_done(q);
    }

    /// Whether a worker could have this message now, were there no limit.
    pub fn is_deliverable(&self, q: usize, o: usize) -> bool {
        let queue = &self.queues[q];
        let waits_no_more = match queue.states[o] {
            St::Ready => true,
            St::Again { earliest, .. } => earliest <= self.now,
            _ => false,
        };
        let lane = |o: usize| queue.log[o].and_then(|message| message.lane);
        let is_first = self.settings.order == QueueOrder::None
            || lane(o).is_none()
            || (0..o).all(|earlier| {
                lane(earlier) != lane(o) || matches!(queue.states[earlier], St::Done(_))
            });
        o < queue.scanned_to && waits_no_more && is_first && !queue.parked[o]
    }

    pub fn acquire(
        &mut self,
        q: usize,
        worker: usize,
        held: OffsetRange,
        max: usize,
        lock: i64,
    ) -> Vec<(i64, u16)> {
        let room = self.settings.max_locks.saturating_sub(self.in_flight(q));
        let mut acquired = Vec::new();
        for o in 0..self.queues[q].states.len() {
            let wanted = held.contains(Offset(o as i64)) && acquired.len() < max.min(room);
            if !wanted || !self.is_deliverable(q, o) {
                continue;
            }
            if let Some(id) = self.id(q, o) {
                if self.has(id) {
                    self.end(q, o, End::Duplicate);
                    continue;
                }
                if self.is_in_flight(id) {
                    self.queues[q].parked[o] = true;
                    continue;
                }
            }
            let count = 1 + match self.queues[q].states[o] {
                St::Again { count, .. } => count,
                _ => 0,
            };
            let deadline = self.now + lock;
            self.queues[q].states[o] = St::Acquired {
                worker,
                count,
                deadline,
            };
            acquired.push((o as i64, count));
        }
        acquired
    }

    /// False when the worker doesn't hold all of it.
    pub fn acknowledge(&mut self, q: usize, worker: usize, range: OffsetRange, verb: Verb) -> bool {
        let offsets = range.first.0 as usize..=range.last.0 as usize;
        let held = |o| matches!(self.queues[q].states.get(o), Some(St::Acquired { worker: w, .. }) if *w == worker);
        if !offsets.clone().all(held) {
            return false;
        }
        for o in offsets {
            match verb {
                Verb::Accept => {
                    if let Some(id) = self.id(q, o)
                        && !self.has(id)
                    {
                        self.ledger.push((id, self.now));
                    }
                    self.end(q, o, End::Accepted);
                }
                Verb::Gap => self.end(q, o, End::Nothing),
                Verb::Reject => self.die(q, o, DeadReason::Rejected),
                Verb::Release { delay, counts } => self.fail(q, o, delay, counts),
                Verb::Renew { lock } => {
                    let lock = lock.unwrap_or(self.settings.lock).as_millis() as i64;
                    if let St::Acquired { deadline, .. } = &mut self.queues[q].states[o] {
                        *deadline = self.now + lock;
                    }
                }
            }
        }
        self.prune();
        self.free_ids();
        true
    }

    pub fn release_worker(&mut self, worker: usize) {
        for q in 0..self.queues.len() {
            for o in 0..self.queues[q].states.len() {
                if matches!(self.queues[q].states[o], St::Acquired { worker: w, .. } if w == worker)
                {
                    self.fail(q, o, None, true);
                }
            }
        }
        self.free_ids();
    }

    pub fn bury(&mut self, q: usize, range: OffsetRange) {
        self.each(
            q,
            range,
            |state| matches!(state, St::Dying { .. }),
            End::Buried,
        );
    }

    pub fn settle(&mut self, q: usize, range: OffsetRange) {
        self.each(q, range, St::waits, End::Settled);
    }

    pub fn cut(&mut self, q: usize, log_start: i64) {
        if let Some(range) = OffsetRange::new(Offset(0), Offset(log_start - 1)) {
            self.each(q, range, |state| !matches!(state, St::Done(_)), End::CutOff);
        }
        self.free_ids();
    }

    /// What was before is done, and nothing is known of what comes.
    pub fn reset(&mut self, q: usize, start: usize) {
        let queue = &mut self.queues[q];
        for o in 0..queue.states.len() {
            queue.parked[o] = false;
            queue.states[o] = match o < start {
                true => St::Done(End::CutOff),
                false => St::Unseen,
            };
        }
        queue.scanned_to = 0;
        self.skip_done(q);
        self.free_ids();
    }

    /// After a crash only what was recorded is known.
    pub fn crash(&mut self) {
        for q in 0..self.queues.len() {
            self.forget_scan(q);
        }
    }

    fn forget_scan(&mut self, q: usize) {
        let queue = &mut self.queues[q];
        for o in 0..queue.states.len() {
            queue.parked[o] = false;
            if matches!(queue.states[o], St::Ready | St::Scheduled) {
                queue.states[o] = St::Unseen;
            }
        }
        queue.scanned_to = 0;
        self.skip_done(q);
    }

    fn each(&mut self, q: usize, range: OffsetRange, which: impl Fn(&St) -> bool, end: End) {
        for o in 0..self.queues[q].states.len() {
            if range.contains(Offset(o as i64)) && which(&self.queues[q].states[o]) {
                self.end(q, o, end);
            }
        }
        self.skip_done(q);
    }

    /// The machine chose delays by chance: within the bounds they are taken over.
    pub fn learn_delays(&mut self, q: usize, queue: &Queue) {
        let clock = self.queues[q].clock;
        for (o, state) in self.queues[q].states.iter_mut().enumerate() {
            let St::Again {
                earliest, latest, ..
            } = state
            else {
                continue;
            };
            let until = match queue.state(Offset(o as i64)) {
                MessageState::Delayed { until, .. } => until.0,
                _ => (*latest).min(clock),
            };
            assert!(
                (*earliest..=*latest).contains(&until),
                "offset {o}: {until} is not within {earliest} to {latest}"
            );
            (*earliest, *latest) = (until, until);
        }
    }

    fn fail(&mut self, q: usize, o: usize, delay: Option<Duration>, counts: bool) {
        let St::Acquired { count, .. } = self.queues[q].states[o] else {
            panic!("nobody holds {o}");
        };
        if counts && count >= self.settings.delivery_limit {
            return self.die(q, o, DeadReason::Limit);
        }
        let (earliest, latest) = match delay {
            Some(delay) => (delay.as_millis() as i64, delay.as_millis() as i64),
            None if counts => policy_bounds(&self.settings.retry, count),
            None => (0, 0),
        };
        self.queues[q].states[o] = St::Again {
            count: if counts { count } else { count - 1 },
            earliest: self.now + earliest,
            latest: self.now + latest,
        };
        if self.is_expired(q, o) {
            self.die(q, o, DeadReason::Expired);
        }
    }

    fn die(&mut self, q: usize, o: usize, reason: DeadReason) {
        let count = match self.queues[q].states[o] {
            St::Again { count, .. } | St::Acquired { count, .. } => count,
            _ => 0,
        };
        let drops = reason == DeadReason::Expired && self.settings.expired == ExpiredAction::Drop;
        if drops || !self.settings.dead_letters {
            self.end(q, o, End::Dropped);
        } else {
            self.queues[q].states[o] = St::Dying { count, reason };
        }
    }

    /// A message ends once.
    fn end(&mut self, q: usize, o: usize, end: End) {
        let state = &mut self.queues[q].states[o];
        assert!(!matches!(state, St::Done(_)), "{o} ends twice");
        *state = St::Done(end);
        self.queues[q].parked[o] = false;
        self.skip_done(q);
    }

    fn skip_done(&mut self, q: usize) {
        let queue = &mut self.queues[q];
        while let Some(St::Done(_)) = queue.states.get(queue.scanned_to) {
            queue.scanned_to += 1;
        }
    }

    fn free_ids(&mut self) {
        for q in 0..self.queues.len() {
            for o in 0..self.queues[q].states.len() {
                let Some(id) = self
                    .id(q, o)
                    .filter(|id| self.queues[q].parked[o] && !self.is_in_flight(*id))
                else {
                    continue;
                };
                self.queues[q].parked[o] = false;
                if self.has(id) && self.queues[q].states[o].waits() {
                    self.end(q, o, End::Duplicate);
                }
            }
        }
    }

    fn prune(&mut self) {
        let Some(dedupe) = &self.settings.dedupe else {
            return;
        };
        let window = dedupe.window.as_millis() as i64;
        let too_many = self.ledger.len().saturating_sub(dedupe.max_ids);
        self.ledger.drain(..too_many);
        self.ledger.retain(|(_, at)| at + window > self.now);
    }

    fn has(&self, id: u128) -> bool {
        self.ledger.iter().any(|(other, _)| *other == id)
    }

    fn is_in_flight(&self, id: u128) -> bool {
        self.queues.iter().enumerate().any(|(q, queue)| {
            (0..queue.states.len()).any(|o| {
                matches!(queue.states[o], St::Acquired { .. }) && self.id(q, o) == Some(id)
            })
        })
    }

    pub fn in_flight(&self, q: usize) -> usize {
        let states = self.queues[q].states.iter();
        states.filter(|s| matches!(s, St::Acquired { .. })).count()
    }

    fn id(&self, q: usize, o: usize) -> Option<u128> {
        self.settings.dedupe.as_ref()?;
        self.queues[q].log[o].and_then(|message| message.id)
    }

    fn message(&self, q: usize, o: usize) -> Scanned {
        self.queues[q].log[o].expect("only messages have such states")
    }
}

/// How long a message waits that failed so often, at least and at most.
fn policy_bounds(policy: &RetryPolicy, count: u16) -> (i64, i64) {
    let (initial, max) = (policy.initial.as_millis(), policy.max.as_millis());
    let (initial, max) = (initial as i64, max as i64);
    match policy.kind {
        RetryKind::Fixed => (initial, initial),
        RetryKind::Random => (initial, max),
        RetryKind::Exponential => {
            let mut full = initial as f64;
            for _ in 1..count {
                full *= policy.multiplier;
            }
            let full = full.min(max as f64);
            (
                (full * (1.0 - policy.jitter)).floor() as i64,
                full.ceil() as i64,
            )
        }
    }
}
