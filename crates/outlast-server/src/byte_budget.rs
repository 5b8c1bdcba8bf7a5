//! Back-pressure by bytes: how much of all clients' requests may be in memory at a time.
//!
//! A frame takes its whole length in one step, so that two half-read frames can never wait for each other. Frames
//! wait in the order in which they asked; meanwhile their bytes stay in the sockets and TCP slows the senders down.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

#[derive(Clone, Debug)]
pub(crate) struct ByteBudget {
    bytes: Arc<Semaphore>,
    capacity: usize,
}

/// Bytes that are taken from the budget until this is dropped.
#[derive(Debug)]
pub(crate) struct BytePermit {
    _permit: OwnedSemaphorePermit,
}

impl ByteBudget {
    pub(crate) fn new(capacity: usize) -> Self {
        // The semaphore counts in u32 per permit; 4 GiB of requests at a time is more than anybody wants.
        let capacity = capacity.min(u32::MAX as usize);
        Self {
            bytes: Arc::new(Semaphore::new(capacity)),
            capacity,
        }
    }

    pub(crate) fn try_take(&self, bytes: usize) -> Option<BytePermit> {
        let permit = Arc::clone(&self.bytes).try_acquire_many_owned(self.clamp(bytes));
        permit.ok().map(|permit| BytePermit { _permit: permit })
    }

    pub(crate) fn take(&self, bytes: usize) -> impl Future<Output = BytePermit> + Send + 'static {
        let (semaphore, wanted) = (Arc::clone(&self.bytes), self.clamp(bytes));
        async move {
            match semaphore.acquire_many_owned(wanted).await {
                Ok(permit) => BytePermit { _permit: permit },
                Err(_) => unreachable!("the budget's semaphore is never closed"),
            }
        }
    }

    /// Bytes of requests that are in memory now.
    pub(crate) fn used(&self) -> usize {
        self.capacity - self.bytes.available_permits().min(self.capacity)
    }

    /// A frame larger than the whole budget takes all of it: it waits until it is alone, and is then served.
    fn clamp(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.min(self.capacity)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_come_back_and_a_giant_waits_until_it_is_alone() {
        let budget = ByteBudget::new(100);
        let small = budget.try_take(60).expect("room for 60 of 100");
        assert_eq!(budget.used(), 60);
        assert!(budget.try_take(41).is_none());
        let mut giant = Box::pin(budget.take(1_000));
        assert!(futures_util::poll!(giant.as_mut()).is_pending());
        drop(small);
        let permit = giant.await;
        assert_eq!(budget.used(), 100);
        drop(permit);
        assert_eq!(budget.used(), 0);
    }
}
