//! The task of a shard: waits for its appends, fires its timers, reads its log again.

use std::sync::Arc;
use std::time::Duration;

use outlast_storage::AppendError;
use tokio::time::{Instant, sleep_until};
use tracing::{error, warn};

use super::{InFlight, Machine, Shard, State};

const READ_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What there is to sleep for.
enum Next {
    Timers(Instant),
    Load(Instant),
    /// Nothing may be in flight while the log is read.
    Settle,
    Stop,
}

impl<M: Machine> Shard<M> {
    /// Ends when the shard is closed.
    pub async fn drive(self: Arc<Shard<M>>) {
        let mut waiting: Option<InFlight> = None;
        let mut load_at = None;
        loop {
            let next = self.next(&mut waiting, load_at);
            let (until, load) = match next {
                // However busy the shard is: what is due comes first.
                Next::Timers(at) if at <= Instant::now() => {
                    self.fire_timers();
                    continue;
                }
                Next::Timers(at) => (Some(at), false),
                Next::Load(at) => (Some(at), true),
                Next::Settle => (None, false),
                Next::Stop => return,
            };
            tokio::select! {
                biased;
                result = settled(&mut waiting) => {
                    if let Some(append) = waiting.take() {
                        self.settle(append, result).await;
                    }
                }
                () = self.wake.notified() => {}
                () = sleep_or_wait(until) => {
                    if load {
                        let loaded = Arc::clone(&self).load_elsewhere().await;
                        load_at = (!loaded).then(|| Instant::now() + READ_AGAIN_AFTER);
                    } else {
                        self.fire_timers();
                    }
                }
            }
        }
    }

    fn next(&self, waiting: &mut Option<InFlight>, load_at: Option<Instant>) -> Next {
        let mut inner = self.inner.lock();
        if waiting.is_none() {
            *waiting = inner.in_flight.pop_front();
        }
        match &inner.state {
            State::Closed => Next::Stop,
            State::Stale if waiting.is_some() => Next::Settle,
            State::Stale => Next::Load(load_at.unwrap_or_else(Instant::now)),
            State::Ready(_) => {
                let timer = inner.timers.next_deadline();
                Next::Timers(timer.map_or(inner.expire_at, |at| at.min(inner.expire_at)))
            }
        }
    }

    async fn load_elsewhere(self: Arc<Shard<M>>) -> bool {
        let shard = self;
        tokio::task::spawn_blocking(move || shard.load())
            .await
            .unwrap_or_else(|error| {
                error!(what = M::WHAT, %error, "reading a state log did not come to an end");
                false
            })
    }

    async fn settle(&self, append: InFlight, result: Result<(), AppendError>) {
        match result {
            Ok(()) => {
                let last = self.last_of_the_same_write(append);
                self.progress
                    .send_modify(|progress| progress.durable = last.number);
                // What was written shortly before a failure may tell of what was lost. Nothing may
                // be cut off because of it.
                let start = last.log_start.filter(|_| self.is_current(last.number));
                if let Some(start) = start
                    && let Err(error) = self.store.advance_log_start(self.id, start).await
                {
                    warn!(shard = self.id.index, what = M::WHAT, %error, "the state log stays long for now");
                }
            }
            Err(AppendError::Full) => {
                let mut inner = self.inner.lock();
                if matches!(inner.state, State::Ready(_)) {
                    warn!(
                        shard = self.id.index,
                        what = M::WHAT,
                        "the disk is full: changes were lost"
                    );
                    self.lose_state(&mut inner, State::Stale);
                }
            }
            Err(error @ (AppendError::Failed(_) | AppendError::ShutDown)) => {
                warn!(shard = self.id.index, what = M::WHAT, %error, "the shard is closed");
                self.close();
            }
        }
    }

    /// The store makes many appends durable at once. All that are done are announced together, for
    /// every announcement wakes everybody who waits.
    fn last_of_the_same_write(&self, mut last: InFlight) -> InFlight {
        let mut inner = self.inner.lock();
        while last.log_start.is_none()
            && let Some(next) = inner.in_flight.front()
            && let Some(Ok(())) = next.durable.outcome()
            && let Some(next) = inner.in_flight.pop_front()
        {
            last = next;
        }
        last
    }

    fn is_current(&self, append: u64) -> bool {
        let inner = self.inner.lock();
        matches!(inner.state, State::Ready(_)) && append > inner.incarnation_began_at
    }

    fn fire_timers(&self) {
        let mut inner = self.inner.lock();
        let now = Instant::now();
        while let Some((key, event)) = inner.timers.pop_due(now) {
            let fired = self.run_locked(&mut inner, &[], |machine, now, fx, _| {
                machine.timer_fired(&key, event, now, fx);
                ((), Vec::new())
            });
            if fired.is_err() {
                return;
            }
        }
        if inner.expire_at <= now {
            inner.expire_at = now + M::expiry_interval(&self.world);
            // After an error the shard loads again, and what has expired is found at the next turn.
            let _ = self.run_locked(&mut inner, &[], |machine, now, fx, _| {
                (machine.expire(now, fx), Vec::new())
            });
        }
    }
}

/// Never resolves when there is nothing to wait for.
async fn settled(waiting: &mut Option<InFlight>) -> Result<(), AppendError> {
    match waiting {
        Some(append) => (&mut append.durable).await,
        None => std::future::pending().await,
    }
}

async fn sleep_or_wait(until: Option<Instant>) {
    match until {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
