//! Who waits for messages, and who is told when there may be some.
//!
//! Of those who wait for a queue one is told, not all: sixty-four workers that wait for one message would otherwise all
//! look for it. A look that leaves something behind tells the next one. What one was told of and nobody has looked at
//! since is passed on when the one who was told goes away.
//!
//! Queues are told of by the state machine (a retry is due, a lock has run out), and by the partitions' logs when records
//! become readable.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use outlast_records::PartitionId;
use outlast_storage::{PartitionLog, Watcher};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::group::GroupId;
use crate::queue::QueueId;

#[derive(Default)]
pub(super) struct Waiters {
    lines: Mutex<Lines>,
    logs: Watcher,
}

#[derive(Default)]
struct Lines {
    partitions: HashMap<PartitionId, Watched>,
    by_token: HashMap<u64, PartitionId>,
    next_token: u64,
}

/// A partition that somebody waits for.
struct Watched {
    token: u64,
    log: Arc<PartitionLog>,
    groups: HashMap<GroupId, Line>,
}

/// Those who wait for one queue, or will when they have looked.
#[derive(Default)]
struct Line {
    waiters: VecDeque<Arc<Waiter>>,
    /// How often there was news.
    news: u64,
    /// The news of this number and before have been looked at.
    looked: u64,
}

#[derive(Default)]
struct Waiter {
    told: Notify,
    /// It waits, and was not told yet. Changed under the lock of the lines only.
    waits: AtomicBool,
}

/// Somebody who waits for news of some queues of a group. See
/// [`QueueCoordinator::watch`](super::QueueCoordinator::watch).
pub struct QueueWatcher {
    waiters: Arc<Waiters>,
    waiter: Arc<Waiter>,
    queues: Vec<QueueId>,
}

impl Waiters {
    pub fn watch(
        self: &Arc<Self>,
        group: &str,
        logs: impl Iterator<Item = Arc<PartitionLog>>,
    ) -> QueueWatcher {
        let waiter = Arc::new(Waiter::default());
        let mut queues = Vec::new();
        let mut guard = self.lines.lock();
        let lines = &mut *guard;
        for log in logs {
            let id = QueueId::new(group, log.id());
            let watched = lines.partitions.entry(log.id()).or_insert_with(|| {
                let token = lines.next_token;
                lines.next_token += 1;
                lines.by_token.insert(token, log.id());
                self.logs.watch(&log, token);
                Watched {
                    token,
                    log,
                    groups: HashMap::new(),
                }
            });
            let line = watched.groups.entry(id.group.clone()).or_default();
            line.waiters.push_back(Arc::clone(&waiter));
            queues.push(id);
        }
        drop(guard);
        QueueWatcher {
            waiters: Arc::clone(self),
            waiter,
            queues,
        }
    }

    /// Something may be there in this queue.
    pub fn wake(&self, id: &QueueId) {
        if let Some(line) = self.lines.lock().line(id) {
            line.wake();
        }
    }

    /// Somebody is about to look at this queue. What comes after this call is news.
    pub fn looking(&self, id: &QueueId) {
        if let Some(line) = self.lines.lock().line(id) {
            line.looked = line.news;
        }
    }

    /// Tells of records that have become readable, for ever.
    pub async fn watch_logs(&self) {
        loop {
            self.logs.marked().await;
            let marked = self.logs.take_marked();
            let mut lines = self.lines.lock();
            for token in marked {
                let Some(id) = lines.by_token.get(&token).copied() else {
                    continue;
                };
                if let Some(watched) = lines.partitions.get_mut(&id) {
                    watched.groups.values_mut().for_each(Line::wake);
                }
            }
        }
    }
}

impl Lines {
    fn line(&mut self, id: &QueueId) -> Option<&mut Line> {
        self.partitions
            .get_mut(&id.partition)?
            .groups
            .get_mut(&id.group)
    }

    fn has_news(&mut self, queues: &[QueueId]) -> bool {
        queues
            .iter()
            .any(|id| self.line(id).is_some_and(|line| line.looked < line.news))
    }
}

impl Line {
    fn wake(&mut self) {
        self.news += 1;
        self.tell_one();
    }

    fn tell_one(&mut self) {
        let waits = |waiter: &Arc<Waiter>| waiter.waits.load(Ordering::Relaxed);
        if let Some(at) = self.waiters.iter().position(waits)
            && let Some(waiter) = self.waiters.remove(at)
        {
            waiter.waits.store(false, Ordering::Relaxed);
            waiter.told.notify_one();
            // Next time it is somebody else's turn.
            self.waiters.push_back(waiter);
        }
    }
}

impl QueueWatcher {
    /// Resolves when there may be something in one of the queues that nobody has looked at; at once when that is so
    /// already. May be dropped at any time.
    pub async fn changed(&mut self) {
        loop {
            {
                let mut lines = self.waiters.lines.lock();
                if lines.has_news(&self.queues) {
                    return;
                }
                self.waiter.waits.store(true, Ordering::Relaxed);
            }
            let mut waiting = Waiting {
                watcher: self,
                heard: false,
            };
            waiting.watcher.waiter.told.notified().await;
            waiting.heard = true;
        }
    }
}

/// While it is there, its watcher may be told.
struct Waiting<'a> {
    watcher: &'a QueueWatcher,
    heard: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let QueueWatcher {
            waiters,
            waiter,
            queues,
        } = self.watcher;
        let mut lines = waiters.lines.lock();
        let told = !waiter.waits.swap(false, Ordering::Relaxed);
        if told && !self.heard {
            // It was told, and will never know.
            for id in queues {
                if let Some(line) = lines.line(id)
                    && line.looked < line.news
                {
                    line.tell_one();
                }
            }
        }
    }
}

impl Drop for QueueWatcher {
    fn drop(&mut self) {
        let mut guard = self.waiters.lines.lock();
        let lines = &mut *guard;
        for id in &self.queues {
            let Some(watched) = lines.partitions.get_mut(&id.partition) else {
                continue;
            };
            if let Some(line) = watched.groups.get_mut(&id.group) {
                line.waiters
                    .retain(|waiter| !Arc::ptr_eq(waiter, &self.waiter));
                if line.looked < line.news {
                    line.tell_one();
                }
                if line.waiters.is_empty() {
                    watched.groups.remove(&id.group);
                }
            }
            if watched.groups.is_empty() {
                self.waiters.logs.unwatch(&watched.log);
                lines.by_token.remove(&watched.token);
                lines.partitions.remove(&id.partition);
            }
        }
    }
}
