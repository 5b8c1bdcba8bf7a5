//! What was observed in a run: the publishers' acknowledgements, the workers' own logs, the kills,
//! and what the topics hold at the end. Nothing here judges; `check` does.
//!
//! All times are nanoseconds of the machine's one monotonic clock, which Rust and Java workers
//! read alike, so moments of different processes can be compared.

use std::collections::{HashMap, HashSet};

use super::fate::{Letter, Number, Reason};

/// Nanoseconds of the machine's monotonic clock.
pub type Nanos = u64;

/// How a worker ended its hold on a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verb {
    Accept,
    Release,
    /// A release that takes its delivery back
    NotNow,
    Reject,
    /// Nothing: the worker lets the lock run out
    Forget,
}

impl Verb {
    pub const ALL: [(Verb, &'static str); 5] = [
        (Verb::Accept, "accept"),
        (Verb::Release, "release"),
        (Verb::NotNow, "not-now"),
        (Verb::Reject, "reject"),
        (Verb::Forget, "forget"),
    ];

    pub fn name(self) -> &'static str {
        let named = Self::ALL.iter().find(|(verb, _)| *verb == self);
        named.map_or("", |(_, name)| name)
    }

    pub fn of_name(name: &str) -> Option<Self> {
        let named = Self::ALL.iter().find(|(_, it)| *it == name);
        named.map(|(verb, _)| *verb)
    }

    /// Whether the message is done with when this is confirmed.
    pub fn is_terminal(self) -> bool {
        matches!(self, Verb::Accept | Verb::Reject)
    }
}

/// One message in one worker's hands, as the worker told it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    pub number: Number,
    pub worker: usize,
    /// What the broker reported, from 1.
    pub count: u32,
    /// When the request that brought it was sent: its lock is not older than this.
    pub asked: Nanos,
    /// When it was there: its lock is not younger than this.
    pub got: Nanos,
    /// The wall clock when it was there, in ms since the epoch.
    pub wall_ms: u64,
    /// When the last confirmed renewal was asked for.
    pub renewed: Option<Nanos>,
    /// The first attempt to settle it.
    pub tried: Option<(Verb, Nanos)>,
    /// When the broker's "yes" came.
    pub confirmed: Option<Nanos>,
    /// The broker said that the lock was no longer the worker's.
    pub refused: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Worker {
    pub name: String,
    /// Its locks end with its connection, because its protocol has sessions.
    pub has_session: bool,
    pub killed: Option<Nanos>,
}

/// One record of the queue's topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    pub partition: i32,
    pub offset: i64,
    /// Nothing when the bytes are no letter.
    pub letter: Option<Letter>,
}

/// One record of the dead-letter topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetter {
    /// Where it lies in the dead-letter topic.
    pub place: (i32, i64),
    pub letter: Option<Letter>,
    pub reason: Option<Reason>,
    /// How often it was delivered before it died.
    pub attempts: Option<u32>,
    /// Partition and offset that it says it comes from.
    pub origin: Option<(i32, i64)>,
}

#[derive(Clone, Default, Debug)]
pub struct Facts {
    /// How long a lock lives.
    pub lock: Nanos,
    pub delivery_limit: u32,
    /// Messages whose storing was acknowledged to the publisher.
    pub published: HashSet<Number>,
    pub letters: HashMap<Number, Letter>,
    pub workers: Vec<Worker>,
    pub deliveries: Vec<Delivery>,
    /// When the broker was killed.
    pub broker_kills: Vec<Nanos>,
    pub stored: Vec<Stored>,
    pub dead: Vec<DeadLetter>,
    /// Messages that the broker said were left, once everything was done.
    pub left: u64,
    /// What could not be understood: damaged messages, complaints of workers and publishers.
    pub complaints: Vec<String>,
}

impl Facts {
    /// How long a delivery was certainly in its worker's hands. Empty when that can't be said.
    pub fn held(&self, delivery: &Delivery) -> std::ops::Range<Nanos> {
        let worker = &self.workers[delivery.worker];
        let locked_from = delivery.asked.max(delivery.renewed.unwrap_or(0));
        let mut end = locked_from + self.lock;
        if let Some((_, tried)) = delivery.tried {
            end = end.min(tried);
        }
        if let Some(killed) = worker.killed {
            end = end.min(killed);
        }
        if worker.has_session {
            let kills = self.broker_kills.iter().copied();
            let next = kills.filter(|&kill| kill >= delivery.asked).min();
            end = end.min(next.unwrap_or(Nanos::MAX));
        }
        delivery.got..end.max(delivery.got)
    }
}

/// The logs of the running workers, as they come in line by line.
#[derive(Default, Debug)]
pub struct WorkerLog {
    /// The newest delivery of each message to each worker, as an index into the deliveries.
    newest: HashMap<(usize, Number), usize>,
}

impl WorkerLog {
    /// Takes in a line of a worker's log; see `docs` of the `queue-worker` program for the lines.
    pub fn read(&mut self, worker: usize, line: &str, facts: &mut Facts) {
        if self.understand(worker, line, facts).is_none() {
            let name = &facts.workers[worker].name;
            facts.complaints.push(format!("{name}: {line}"));
        }
    }

    fn understand(&mut self, worker: usize, line: &str, facts: &mut Facts) -> Option<()> {
        let words: Vec<&str> = line.split(' ').collect();
        let (kind, rest) = words.split_first()?;
        let number = |index: usize| rest.get(index)?.parse::<u64>().ok();
        if *kind == "take" {
            let delivery = Delivery {
                number: number(0)?.try_into().ok()?,
                worker,
                count: number(1)?.try_into().ok()?,
                asked: number(2)?,
                got: number(3)?,
                wall_ms: number(4)?,
                renewed: None,
                tried: None,
                confirmed: None,
                refused: false,
            };
            let key = (worker, delivery.number);
            self.newest.insert(key, facts.deliveries.len());
            facts.deliveries.push(delivery);
            return Some(());
        }
        let at = self.newest.get(&(worker, number(0)?.try_into().ok()?))?;
        let delivery = facts.deliveries.get_mut(*at)?;
        match *kind {
            "renew" => delivery.renewed = Some(number(1)?),
            "try" => {
                let verb = Verb::of_name(rest.get(1)?)?;
                delivery.tried.get_or_insert((verb, number(2)?));
            }
            "done" => delivery.confirmed = Some(number(1)?),
            "refused" => delivery.refused = true,
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(name: &str, has_session: bool) -> Worker {
        Worker {
            name: name.to_owned(),
            has_session,
            killed: None,
        }
    }

    #[test]
    fn a_worker_tells_a_delivery_in_lines() {
        let mut facts = Facts {
            lock: 100,
            workers: vec![worker("a", false)],
            ..Facts::default()
        };
        let mut log = WorkerLog::default();
        for line in [
            "take 7 2 1000 1010 5",
            "renew 7 1050",
            "try 7 accept 1120",
            "done 7 1130",
        ] {
            log.read(0, line, &mut facts);
        }
        assert_eq!(facts.complaints, Vec::<String>::new());
        let delivery = facts.deliveries[0].clone();
        assert_eq!((delivery.number, delivery.count), (7, 2));
        assert_eq!(delivery.tried, Some((Verb::Accept, 1120)));
        assert_eq!(delivery.confirmed, Some(1130));
        assert_eq!(facts.held(&delivery), 1010..1120);
        for line in [
            "",
            "take 7",
            "try 8 accept 1",
            "try 7 eat 1",
            "java.lang.Error",
        ] {
            log.read(0, line, &mut facts);
        }
        assert_eq!(facts.complaints.len(), 5);
    }

    #[test]
    fn a_hold_ends_with_the_lock_the_worker_or_its_session() {
        let delivery = Delivery {
            number: 1,
            worker: 0,
            count: 1,
            asked: 1000,
            got: 1010,
            wall_ms: 0,
            renewed: None,
            tried: None,
            confirmed: None,
            refused: false,
        };
        let check = |killed, has_session, renewed, expect| {
            let facts = Facts {
                lock: 100,
                workers: vec![Worker {
                    killed,
                    ..worker("a", has_session)
                }],
                broker_kills: vec![900, 1040],
                ..Facts::default()
            };
            let delivery = Delivery {
                renewed,
                ..delivery.clone()
            };
            assert_eq!(facts.held(&delivery), expect);
        };
        check(None, false, None, 1010..1100);
        check(Some(1020), false, None, 1010..1020);
        check(None, true, None, 1010..1040);
        check(None, false, Some(1090), 1010..1190);
        check(Some(1001), false, None, 1010..1010);
    }
}
