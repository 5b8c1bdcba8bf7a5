//! What holds after every step of a [`World`], and what each delivery must be.

use super::model::{End, St};
use super::property::LOG;
use super::world::{QUEUES, World};
use super::*;

impl World {
    /// Without the model: what nobody may ever see.
    pub(super) fn check_delivery(&self, q: usize, offset: i64, count: u16) {
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
    pub(super) fn check_lane(&self, q: usize, offset: i64) {
        let queue = &self.model.queues[q];
        let lane = |o: usize| queue.log[o].and_then(|message| message.lane);
        let o = offset as usize;
        if self.h.settings.order == QueueOrder::Key && lane(o).is_some() {
            let mut earlier = (0..o).filter(|earlier| lane(*earlier) == lane(o));
            let done = |o: usize| matches!(queue.states[o], St::Done(_));
            assert!(earlier.all(done), "{offset} was out of order");
        }
    }

    pub(super) fn learn_and_compare(&mut self) {
        self.learn();
        for q in 0..QUEUES {
            self.compare(q);
        }
        let ledger = &self.h.queues.groups[&GroupId::from(GROUP)].ledger;
        let ledger: Vec<_> = ledger.iter().map(|(at, id)| (id, at.0)).collect();
        assert_eq!(ledger, self.model.ledger);
    }

    pub(super) fn compare(&mut self, q: usize) {
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
    pub(super) fn check_wakes(&mut self, q: usize) {
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
    pub(super) fn check_timer(&self, q: usize) {
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

    /// How a message may end follows from what it is.
    pub(super) fn check_ends(&self) {
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
