//! Share sessions: which partitions a member of a share group fetches from, kept between its requests.
//!
//! A session is named by group and member. Each request within it has the next epoch, so that one that was repeated or
//! lost is noticed; 0 begins a new session in place of the old one, whose locks stay the member's. A session ends with the
//! connection that used it last.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use outlast_protocol::{ErrorCode, Str};
use outlast_records::PartitionId;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{FINAL_EPOCH, INITIAL_EPOCH};

/// Over all sessions: bounds their memory whatever clients ask for.
const MAX_PARTITIONS: usize = 250_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey {
    pub group: Str,
    pub member: Str,
}

impl SessionKey {
    /// Copies the names, so that a session doesn't keep a request's frame alive.
    pub fn new(group: &str, member: &str) -> Self {
        Self {
            group: Str::from(group),
            member: Str::from(member),
        }
    }
}

pub struct ShareSessions {
    slots: usize,
    sessions: Mutex<Sessions>,
}

#[derive(Default)]
struct Sessions {
    by_key: HashMap<SessionKey, Session>,
    by_connection: HashMap<u64, BTreeSet<SessionKey>>,
    partitions: usize,
}

struct Session {
    /// What the next request must have.
    epoch: i32,
    partitions: Arc<BTreeSet<PartitionId>>,
    connection: u64,
    /// Dropped with the session.
    open: watch::Sender<()>,
}

/// One request's view of its session.
pub struct SessionTicket {
    pub partitions: Arc<BTreeSet<PartitionId>>,
    open: watch::Receiver<()>,
}

impl SessionTicket {
    pub fn is_open(&self) -> bool {
        self.open.has_changed().is_ok()
    }

    /// Resolves when the session ends.
    pub async fn closed(&mut self) {
        while self.open.changed().await.is_ok() {}
    }
}

impl ShareSessions {
    pub fn new(slots: usize) -> Self {
        Self {
            slots,
            sessions: Mutex::default(),
        }
    }

    /// Begins a session, in place of the one that the member has.
    pub fn begin(
        &self,
        key: &SessionKey,
        connection: u64,
        partitions: BTreeSet<PartitionId>,
    ) -> Result<SessionTicket, ErrorCode> {
        let mut sessions = self.sessions.lock();
        sessions.remove(key);
        let full = sessions.by_key.len() >= self.slots
            || sessions.partitions.saturating_add(partitions.len()) > MAX_PARTITIONS;
        if full {
            return Err(ErrorCode::ShareSessionLimitReached);
        }
        sessions.partitions += partitions.len();
        let session = Session {
            epoch: next_epoch(INITIAL_EPOCH),
            partitions: Arc::new(partitions),
            connection,
            open: watch::Sender::new(()),
        };
        let ticket = session.ticket();
        sessions.by_key.insert(key.clone(), session);
        sessions.bind(key, connection);
        Ok(ticket)
    }

    /// The next fetch of a session, which may change its partitions.
    pub fn proceed(
        &self,
        key: &SessionKey,
        epoch: i32,
        connection: u64,
        added: BTreeSet<PartitionId>,
        forgotten: &BTreeSet<PartitionId>,
    ) -> Result<SessionTicket, ErrorCode> {
        let mut sessions = self.sessions.lock();
        let held = sessions.partitions;
        let session = sessions.advance(key, epoch, connection)?;
        let before = session.partitions.len();
        let changes = added.iter().any(|id| !session.partitions.contains(id))
            || forgotten.iter().any(|id| session.partitions.contains(id));
        if changes {
            let partitions = Arc::make_mut(&mut session.partitions);
            let room = MAX_PARTITIONS.saturating_sub(held);
            partitions.extend(added.into_iter().take(room));
            partitions.retain(|id| !forgotten.contains(id));
        }
        let after = session.partitions.len();
        let ticket = session.ticket();
        sessions.partitions = held + after - before;
        Ok(ticket)
    }

    /// An acknowledgement that comes without a fetch. One with the final epoch is followed by [`end`](Self::end).
    pub fn acknowledge(
        &self,
        key: &SessionKey,
        epoch: i32,
        connection: u64,
    ) -> Result<(), ErrorCode> {
        let mut sessions = self.sessions.lock();
        match epoch {
            INITIAL_EPOCH => Err(ErrorCode::InvalidShareSessionEpoch),
            FINAL_EPOCH => sessions.find(key).map(|_| ()),
            _ => sessions.advance(key, epoch, connection).map(|_| ()),
        }
    }

    pub fn exists(&self, key: &SessionKey) -> Result<(), ErrorCode> {
        self.sessions.lock().find(key).map(|_| ())
    }

    pub fn end(&self, key: &SessionKey) {
        self.sessions.lock().remove(key);
    }

    /// Ends the sessions of a connection. They are given back, for what their members hold.
    pub fn end_of_connection(&self, connection: u64) -> Vec<SessionKey> {
        let mut sessions = self.sessions.lock();
        let keys = sessions.by_connection.remove(&connection);
        let keys: Vec<SessionKey> = keys.into_iter().flatten().collect();
        for key in &keys {
            sessions.remove(key);
        }
        keys
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.sessions.lock().by_key.len()
    }
}

impl Sessions {
    fn find(&mut self, key: &SessionKey) -> Result<&mut Session, ErrorCode> {
        self.by_key
            .get_mut(key)
            .ok_or(ErrorCode::ShareSessionNotFound)
    }

    fn advance(
        &mut self,
        key: &SessionKey,
        epoch: i32,
        connection: u64,
    ) -> Result<&mut Session, ErrorCode> {
        let session = self.find(key)?;
        if session.epoch != epoch {
            return Err(ErrorCode::InvalidShareSessionEpoch);
        }
        session.epoch = next_epoch(epoch);
        let before = std::mem::replace(&mut session.connection, connection);
        if before != connection {
            self.unbind(key, before);
            self.bind(key, connection);
        }
        self.find(key)
    }

    fn remove(&mut self, key: &SessionKey) {
        if let Some(session) = self.by_key.remove(key) {
            self.partitions -= session.partitions.len();
            self.unbind(key, session.connection);
        }
    }

    fn bind(&mut self, key: &SessionKey, connection: u64) {
        let keys = self.by_connection.entry(connection).or_default();
        keys.insert(key.clone());
    }

    fn unbind(&mut self, key: &SessionKey, connection: u64) {
        if let Some(keys) = self.by_connection.get_mut(&connection) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_connection.remove(&connection);
            }
        }
    }
}

impl Session {
    fn ticket(&self) -> SessionTicket {
        SessionTicket {
            partitions: Arc::clone(&self.partitions),
            open: self.open.subscribe(),
        }
    }
}

fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn partitions(indexes: &[i32]) -> BTreeSet<PartitionId> {
        let topic = Uuid::from_u128(7);
        let id = |index: &i32| PartitionId {
            topic,
            index: *index,
        };
        indexes.iter().map(id).collect()
    }

    fn key(member: &str) -> SessionKey {
        SessionKey::new("g", member)
    }

    #[test]
    fn each_request_has_the_next_epoch() {
        let sessions = ShareSessions::new(10);
        let fetch = |epoch| {
            let ticket = sessions.proceed(&key("a"), epoch, 1, partitions(&[]), &partitions(&[]));
            ticket.map(|_| ())
        };
        assert_eq!(fetch(1), Err(ErrorCode::ShareSessionNotFound));
        sessions.begin(&key("a"), 1, partitions(&[0])).ok().unwrap();
        for (epoch, expect) in [
            (2, Err(ErrorCode::InvalidShareSessionEpoch)),
            (1, Ok(())),
            (1, Err(ErrorCode::InvalidShareSessionEpoch)),
            (2, Ok(())),
        ] {
            assert_eq!(fetch(epoch), expect, "{epoch}");
        }
        for (epoch, expect) in [
            (0, Err(ErrorCode::InvalidShareSessionEpoch)),
            (3, Ok(())),
            (3, Err(ErrorCode::InvalidShareSessionEpoch)),
            (-1, Ok(())),
            (4, Ok(())),
        ] {
            assert_eq!(sessions.acknowledge(&key("a"), epoch, 1), expect, "{epoch}");
        }
        sessions.end(&key("a"));
        assert_eq!(fetch(5), Err(ErrorCode::ShareSessionNotFound));
        assert_eq!(next_epoch(i32::MAX), 1);
    }

    #[test]
    fn partitions_come_and_go_and_are_counted() {
        let sessions = ShareSessions::new(10);
        sessions
            .begin(&key("a"), 1, partitions(&[0, 1]))
            .ok()
            .unwrap();
        let ticket = sessions
            .proceed(&key("a"), 1, 1, partitions(&[1, 2]), &partitions(&[0, 9]))
            .ok()
            .unwrap();
        assert_eq!(*ticket.partitions, partitions(&[1, 2]));
        assert_eq!(sessions.sessions.lock().partitions, 2);
        sessions.begin(&key("a"), 1, partitions(&[5])).ok().unwrap();
        assert_eq!(sessions.sessions.lock().partitions, 1);
        assert!(!ticket.is_open(), "another session took its place");
        sessions.end(&key("a"));
        assert_eq!(sessions.sessions.lock().partitions, 0);
        assert!(sessions.sessions.lock().by_connection.is_empty());
    }

    #[test]
    fn no_more_sessions_than_slots() {
        let sessions = ShareSessions::new(1);
        let begin = |member| {
            sessions
                .begin(&key(member), 1, partitions(&[0]))
                .map(|_| ())
        };
        assert_eq!(begin("a"), Ok(()));
        assert_eq!(begin("b"), Err(ErrorCode::ShareSessionLimitReached));
        assert_eq!(begin("a"), Ok(()), "in place of its own");
        sessions.end(&key("a"));
        assert_eq!(begin("b"), Ok(()));
    }

    #[test]
    fn a_session_ends_with_the_connection_that_used_it_last() {
        let sessions = ShareSessions::new(10);
        sessions.begin(&key("a"), 1, partitions(&[0])).ok().unwrap();
        sessions.begin(&key("b"), 1, partitions(&[0])).ok().unwrap();
        let ticket = sessions.proceed(&key("b"), 1, 2, partitions(&[]), &partitions(&[]));
        assert_eq!(sessions.end_of_connection(1), [key("a")]);
        assert!(ticket.as_ref().is_ok_and(SessionTicket::is_open));
        assert_eq!(sessions.end_of_connection(1), []);
        assert_eq!(sessions.end_of_connection(2), [key("b")]);
        assert!(!ticket.is_ok_and(|ticket| ticket.is_open()));
        assert_eq!(sessions.len(), 0);
    }
}
