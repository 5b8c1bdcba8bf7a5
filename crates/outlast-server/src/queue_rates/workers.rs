//! Who works on a queue over HTTP: whoever waits in a receive now, or was in one a short while ago.
//!
//! A name is all that is known of an HTTP worker; one that processes what it has got is not heard of until it comes again,
//! or its lock runs out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use uuid::Uuid;

/// A worker counts for this long after its last receive, or for the group's lock duration where that is longer.
const AT_LEAST: Duration = Duration::from_secs(60);
/// Names that are kept at all; no lock is longer.
const AT_MOST: Duration = Duration::from_secs(3600);
const MAX_WORKERS: usize = 10_000;

type Queue = (String, Uuid);

#[derive(Default)]
pub(super) struct Workers(Mutex<HashMap<Queue, HashMap<String, Seen>>>);

struct Seen {
    /// Receives that run.
    now: usize,
    last: Instant,
}

/// A receive that runs.
pub(crate) struct Present {
    workers: Arc<Workers>,
    queue: Queue,
    worker: String,
}

impl Workers {
    pub(super) fn enter(self: &Arc<Self>, group: &str, topic: Uuid, worker: &str) -> Present {
        let queue = (group.to_owned(), topic);
        let mut all = self.0.lock();
        let of_queue = all.entry(queue.clone()).or_default();
        let last = Instant::now();
        if let Some(seen) = of_queue.get_mut(worker) {
            seen.now += 1;
            seen.last = last;
        } else if of_queue.len() < MAX_WORKERS {
            of_queue.insert(worker.to_owned(), Seen { now: 1, last });
        }
        Present {
            workers: Arc::clone(self),
            queue,
            worker: worker.to_owned(),
        }
    }

    pub(super) fn count(&self, group: &str, topic: Uuid, lock: Duration) -> u64 {
        let all = self.0.lock();
        let Some(of_queue) = all.get(&(group.to_owned(), topic)) else {
            return 0;
        };
        let within = lock.max(AT_LEAST);
        let active = of_queue
            .values()
            .filter(|seen| seen.now > 0 || seen.last.elapsed() <= within);
        active.count() as u64
    }

    pub(super) fn forget(&self, group: &str, topic: Uuid) {
        self.0.lock().remove(&(group.to_owned(), topic));
    }

    pub(super) fn expire(&self) {
        let mut all = self.0.lock();
        for of_queue in all.values_mut() {
            of_queue.retain(|_, seen| seen.now > 0 || seen.last.elapsed() <= AT_MOST);
        }
        all.retain(|_, of_queue| !of_queue.is_empty());
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let mut all = self.workers.0.lock();
        if let Some(of_queue) = all.get_mut(&self.queue)
            && let Some(seen) = of_queue.get_mut(&self.worker)
        {
            seen.now = seen.now.saturating_sub(1);
            seen.last = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_counts_while_it_waits_and_a_while_after() {
        let workers: Arc<Workers> = Arc::default();
        let count = |group| workers.count(group, Uuid::nil(), Duration::ZERO);
        let first = workers.enter("g", Uuid::nil(), "a");
        let again = workers.enter("g", Uuid::nil(), "a");
        let other = workers.enter("g", Uuid::nil(), "b");
        assert_eq!((count("g"), count("h")), (2, 0));
        drop((first, again, other));
        assert_eq!(count("g"), 2);
        workers.expire();
        assert_eq!(count("g"), 2);
        workers.forget("g", Uuid::nil());
        assert_eq!(count("g"), 0);
    }
}
