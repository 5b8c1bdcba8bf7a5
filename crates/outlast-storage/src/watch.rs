//! Waiting for news from many logs at once, without asking each of them.
//!
//! A long poll makes one [`Watcher`], and each of its logs marks it, by a number of the poll's choice, when the high
//! watermark or the log start moved. The poll then looks at those logs only: a fetch session over a thousand
//! partitions costs what has changed, not a thousand look-ups.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::partition::PartitionLog;

/// One waiting party. Dropping it ends all its watches.
#[derive(Default)]
pub struct Watcher {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    state: Mutex<Marks>,
}

#[derive(Default)]
struct Marks {
    marked: HashSet<u64>,
    waker: Option<Waker>,
}

impl Watcher {
    pub fn new() -> Watcher {
        Watcher::default()
    }

    /// From now on, news of `log` marks this watcher with `token`. News from before are not reported: watch first, then
    /// look.
    pub fn watch(&self, log: &PartitionLog, token: u64) {
        log.lock().watchers.add(&self.inner, token);
    }

    /// Ends the watch of one log.
    pub fn unwatch(&self, log: &PartitionLog) {
        log.lock().watchers.remove(&self.inner);
    }

    /// The tokens of the logs that had news since the last call, in no order; clears them.
    pub fn take_marked(&self) -> Vec<u64> {
        self.inner.state.lock().marked.drain().collect()
    }

    /// Resolves when at least one log is marked. One task at a time may wait.
    pub fn marked(&self) -> Marked<'_> {
        Marked(self)
    }
}

/// See [`Watcher::marked`].
#[must_use]
pub struct Marked<'a>(&'a Watcher);

impl Future for Marked<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut marks = self.0.inner.state.lock();
        if !marks.marked.is_empty() {
            marks.waker = None;
            return Poll::Ready(());
        }
        match &mut marks.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

/// Who watches one log.
#[derive(Default)]
pub(crate) struct Watchers(Vec<(Weak<Inner>, u64)>);

/// Wakers that are owed a call once all logs of an entry have their news.
#[derive(Default)]
pub(crate) struct Woken(Vec<Waker>);

impl Watchers {
    fn add(&mut self, inner: &Arc<Inner>, token: u64) {
        self.remove(inner);
        self.0.push((Arc::downgrade(inner), token));
    }

    fn remove(&mut self, inner: &Arc<Inner>) {
        self.0.retain(|(known, _)| {
            known.strong_count() > 0 && !std::ptr::eq(known.as_ptr(), Arc::as_ptr(inner))
        });
    }

    pub(crate) fn wake(&mut self, woken: &mut Woken) {
        self.0.retain(|(watcher, token)| {
            let Some(watcher) = watcher.upgrade() else {
                return false;
            };
            let mut marks = watcher.state.lock();
            marks.marked.insert(*token);
            woken.0.extend(marks.waker.take());
            true
        });
    }
}

impl Woken {
    pub(crate) fn wake(self) {
        for waker in self.0 {
            waker.wake();
        }
    }
}
