//! The promise that an append gave and the writer keeps: resolved once its write-ahead log entry is on
//! stable storage, for everybody who waits for the same entry at once.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;

use crate::error::AppendError;

/// Resolves when what it was given for is durable, or never will be. Cheap: one reference count.
#[must_use = "nothing may be acknowledged before this resolves"]
pub struct Durable(Kind);

/// Waits for the same entry.
impl Clone for Durable {
    fn clone(&self) -> Self {
        match &self.0 {
            Kind::Ready(result) => Self::ready(result.clone()),
            Kind::Waiting { commit, .. } => Self::on(commit),
        }
    }
}

enum Kind {
    Ready(Result<(), AppendError>),
    Waiting {
        commit: Arc<Commit>,
        slot: Option<usize>,
    },
}

impl Durable {
    pub fn ready(result: Result<(), AppendError>) -> Durable {
        Durable(Kind::Ready(result))
    }

    pub(crate) fn on(commit: &Arc<Commit>) -> Durable {
        Durable(Kind::Waiting {
            commit: Arc::clone(commit),
            slot: None,
        })
    }

    /// The outcome, if there is one yet.
    pub fn outcome(&self) -> Option<Result<(), AppendError>> {
        match &self.0 {
            Kind::Ready(result) => Some(result.clone()),
            Kind::Waiting { commit, .. } => commit.outcome(),
        }
    }

    /// Blocks this thread until there is an outcome: for code outside of an async runtime.
    pub fn wait(mut self) -> Result<(), AppendError> {
        struct Unpark(std::thread::Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match Pin::new(&mut self).poll(&mut context) {
                Poll::Ready(result) => return result,
                Poll::Pending => std::thread::park(),
            }
        }
    }
}

impl Future for Durable {
    type Output = Result<(), AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Kind::Ready(result) => Poll::Ready(result.clone()),
            Kind::Waiting { commit, slot } => commit.poll(slot, context.waker()),
        }
    }
}

/// What all appends of one WAL entry share.
pub(crate) struct Commit(Mutex<CommitState>);

enum CommitState {
    Waiting(Vec<Waker>),
    Done(Result<(), AppendError>),
}

impl Commit {
    pub(crate) fn new() -> Arc<Commit> {
        Arc::new(Commit(Mutex::new(CommitState::Waiting(Vec::new()))))
    }

    /// Tells everybody who waits; the first outcome stands.
    pub(crate) fn resolve(&self, result: Result<(), AppendError>) {
        let wakers = match &mut *self.0.lock() {
            CommitState::Done(_) => return,
            state => match std::mem::replace(state, CommitState::Done(result)) {
                CommitState::Waiting(wakers) => wakers,
                CommitState::Done(_) => return,
            },
        };
        for waker in wakers {
            waker.wake();
        }
    }

    fn outcome(&self) -> Option<Result<(), AppendError>> {
        match &*self.0.lock() {
            CommitState::Waiting(_) => None,
            CommitState::Done(result) => Some(result.clone()),
        }
    }

    fn poll(&self, slot: &mut Option<usize>, waker: &Waker) -> Poll<Result<(), AppendError>> {
        match &mut *self.0.lock() {
            CommitState::Done(result) => Poll::Ready(result.clone()),
            CommitState::Waiting(wakers) => {
                match *slot {
                    Some(at) => wakers[at].clone_from(waker),
                    None => {
                        *slot = Some(wakers.len());
                        wakers.push(waker.clone());
                    }
                }
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_who_waits_for_an_entry_is_told() {
        let commit = Commit::new();
        let first = Durable::on(&commit);
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let durable = first.clone();
                std::thread::spawn(move || durable.wait())
            })
            .collect();
        assert!(Durable::on(&commit).outcome().is_none());
        commit.resolve(Err(AppendError::Full));
        commit.resolve(Ok(()));
        for thread in waiting {
            assert!(matches!(thread.join(), Ok(Err(AppendError::Full))));
        }
        assert!(matches!(
            Durable::on(&commit).wait(),
            Err(AppendError::Full)
        ));
    }
}
