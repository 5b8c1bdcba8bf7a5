//! Incremental fetch sessions (KIP-227), within a bound.
//!
//! A session is either here or with the request that uses it. A request that is dropped halfway takes its session with
//! it, and the client, told that the session is unknown, begins a new one: there is no half-updated session.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outlast_protocol::ErrorCode;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::set::FetchSet;
use crate::random::Random;

/// A session that was used more recently is not given up for a new one.
const MIN_IDLE: Duration = Duration::from_secs(120);
/// Over all sessions: bounds their memory whatever clients ask for.
const MAX_PARTITIONS: usize = 250_000;

/// The epoch of a full fetch that wants a session, and of one that wants none.
const INITIAL_EPOCH: i32 = 0;
const FINAL_EPOCH: i32 = -1;

pub struct FetchSessions {
    slots: usize,
    cached: Mutex<Cached>,
    partitions: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Cached {
    sessions: HashMap<i32, Session>,
    /// Oldest use first; the id only tells equal times apart.
    by_use: BTreeSet<(Instant, i32)>,
}

struct Session {
    /// The epoch that the next request must have.
    epoch: i32,
    used: Instant,
    set: FetchSet,
    counted: Counted,
}

/// Partitions counted against the bound, until dropped.
struct Counted {
    partitions: usize,
    total: Arc<AtomicUsize>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.total.fetch_sub(self.partitions, Ordering::Relaxed);
    }
}

impl Counted {
    fn set(&mut self, partitions: usize) {
        self.total.fetch_add(partitions, Ordering::Relaxed);
        self.total.fetch_sub(self.partitions, Ordering::Relaxed);
        self.partitions = partitions;
    }
}

/// A session while a request has it: what it takes to put it back.
pub struct SessionTicket {
    id: i32,
    next_epoch: i32,
    counted: Counted,
}

impl FetchSessions {
    pub fn new(slots: usize) -> Self {
        Self {
            slots,
            cached: Mutex::default(),
            partitions: Arc::default(),
        }
    }

    /// Whether the request names all its partitions; such a request ends the session that it mentions.
    pub fn is_full(epoch: i32) -> bool {
        epoch == INITIAL_EPOCH || epoch == FINAL_EPOCH
    }

    pub fn wants_session(epoch: i32) -> bool {
        epoch == INITIAL_EPOCH
    }

    pub fn close(&self, id: i32) {
        self.cached.lock().remove(id);
    }

    /// Takes a session out for the request with this epoch. A wrong epoch leaves it in place.
    pub fn take(
        &self,
        id: i32,
        epoch: i32,
        by_topic_id: bool,
    ) -> Result<(FetchSet, SessionTicket), ErrorCode> {
        let mut cached = self.cached.lock();
        let session = cached
            .sessions
            .get(&id)
            .ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.epoch != epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.set.is_by_topic_id() != by_topic_id {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        let session = cached.remove(id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
        let ticket = SessionTicket {
            id,
            next_epoch: next_epoch(epoch),
            counted: session.counted,
        };
        Ok((session.set, ticket))
    }

    /// Puts a session back after its request; its id.
    pub fn give_back(&self, mut ticket: SessionTicket, set: FetchSet) -> i32 {
        ticket.counted.set(set.len());
        let session = Session {
            epoch: ticket.next_epoch,
            used: Instant::now(),
            set,
            counted: ticket.counted,
        };
        self.cached.lock().insert(ticket.id, session);
        ticket.id
    }

    /// Keeps the partitions of a full fetch as a new session; its id, or 0 when there is no room for one.
    pub fn create(&self, set: FetchSet, random: &Random) -> i32 {
        let now = Instant::now();
        let partitions = set.len();
        let mut cached = self.cached.lock();
        let held = self.partitions.load(Ordering::Relaxed);
        if partitions == 0 || held.saturating_add(partitions) > MAX_PARTITIONS {
            return 0;
        }
        if cached.sessions.len() >= self.slots && !cached.evict_idle(now) {
            return 0;
        }
        let id = loop {
            let id = random.positive_i32();
            if !cached.sessions.contains_key(&id) {
                break id;
            }
        };
        let mut counted = Counted {
            partitions: 0,
            total: self.partitions.clone(),
        };
        counted.set(partitions);
        cached.insert(
            id,
            Session {
                epoch: next_epoch(INITIAL_EPOCH),
                used: now,
                set,
                counted,
            },
        );
        id
    }
}

impl Cached {
    fn insert(&mut self, id: i32, session: Session) {
        self.by_use.insert((session.used, id));
        self.sessions.insert(id, session);
    }

    fn remove(&mut self, id: i32) -> Option<Session> {
        let session = self.sessions.remove(&id)?;
        self.by_use.remove(&(session.used, id));
        Some(session)
    }

    fn evict_idle(&mut self, now: Instant) -> bool {
        match self.by_use.first() {
            Some((used, id)) if now.duration_since(*used) > MIN_IDLE => {
                let id = *id;
                self.remove(id).is_some()
            }
            _ => false,
        }
    }
}

fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use outlast_protocol::messages::fetch::{FetchPartition, FetchTopic};

    use super::*;

    fn one_partition() -> FetchSet {
        let mut set = FetchSet::new(false, Arc::default());
        let partitions = vec![FetchPartition::default()];
        set.update(
            vec![FetchTopic {
                topic: "t".into(),
                partitions,
                ..Default::default()
            }],
            &[],
        );
        set
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_session_makes_room_and_a_used_one_does_not() {
        let random = Random::new(Some(1));
        let sessions = FetchSessions::new(1);
        let first = sessions.create(one_partition(), &random);
        assert_eq!(sessions.create(one_partition(), &random), 0);
        tokio::time::advance(MIN_IDLE).await;
        let (set, ticket) = sessions.take(first, 1, false).ok().unwrap();
        sessions.give_back(ticket, set);
        tokio::time::advance(MIN_IDLE).await;
        assert_eq!(
            sessions.create(one_partition(), &random),
            0,
            "used a moment ago"
        );
        tokio::time::advance(Duration::from_millis(1)).await;
        let second = sessions.create(one_partition(), &random);
        assert!(second > 0);
        assert_eq!(
            sessions.take(first, 2, false).err(),
            Some(ErrorCode::FetchSessionIdNotFound)
        );
        sessions.close(second);
        assert_eq!(
            sessions.partitions.load(Ordering::Relaxed),
            0,
            "nothing stays counted"
        );
    }

    #[tokio::test]
    async fn a_dropped_request_takes_its_session_along() {
        let random = Random::new(Some(1));
        let sessions = FetchSessions::new(1);
        let id = sessions.create(one_partition(), &random);
        drop(sessions.take(id, 1, false));
        assert_eq!(
            sessions.take(id, 1, false).err(),
            Some(ErrorCode::FetchSessionIdNotFound)
        );
        assert!(
            sessions.create(one_partition(), &random) > 0,
            "its slot is free"
        );
    }

    #[test]
    fn epochs_wrap_to_one() {
        assert_eq!((next_epoch(0), next_epoch(i32::MAX)), (1, 1));
    }
}
