//! One partition of a coordinator's internal topic: the state that hashes to it, its log, and the promise that nobody hears
//! of a change before it is durable. Groups, queues and whatever else is a fold over records run in it ([`Machine`]).
//!
//! A command runs under the shard's lock: it changes the state and hands its records to the store, which is memory work, so
//! that commands take effect in the order in which they arrive. Its reply carries a [`Ticket`], the number of the newest
//! append at that moment, and waits until that one is durable. The state in memory is therefore ahead of the disk, but no
//! client can tell.
//!
//! A command may bring batches for other partitions ([`Shard::run_with`]): they go into the same entry of the write-ahead
//! log as its records, and a crash leaves both or none.
//!
//! When an append fails, the state in memory is worth nothing: everybody who waits gets a retriable error, and the shard
//! reads its log again. An append that is based on a lost one gives itself away by its offset.
//!
//! ```text
//!            append fails               nothing in flight any more
//!   Ready ─────────────────▶ Stale ────────────────────────────────▶ reads its log ──▶ Ready
//!     │                                                                  │ ▲
//!     └── the store is shut down or has failed ──▶ Closed           fails└─┘ later again
//! ```

mod batches;
mod driver;
mod load;
mod machine;
mod rewrite;
mod timers;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use outlast_protocol::ErrorCode;
use outlast_records::{Offset, PartitionId, Timestamp};
use outlast_storage::{AppendSection, Clock, Durable, Expected, PartitionLog, Store};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;
use tracing::error;

use load::{LoadError, Loaded, replay};
pub use machine::{Asked, Form, Machine, RequestToken, TimerChange};
use rewrite::MIN_REWRITE_BYTES;
use timers::Timers;

pub(crate) struct Shard<M: Machine> {
    pub id: PartitionId,
    pub world: Arc<M::World>,
    pub store: Store,
    pub clock: Arc<dyn Clock>,
    pub inner: Mutex<Inner<M>>,
    /// Tells the driver that there is an append to wait for, a timer earlier than the one it sleeps
    /// for, or a log to read again.
    wake: Notify,
    progress: watch::Sender<Progress>,
}

pub(crate) struct Inner<M: Machine> {
    state: State<M>,
    timers: Timers<M::TimerKey, M::TimerEvent>,
    next_token: u64,
    parked: HashMap<RequestToken, oneshot::Sender<Promised<M::Reply>>>,
    log: Option<Arc<PartitionLog>>,
    /// The number of the newest append. Counts on over reloads.
    appended: u64,
    /// How often the state was lost.
    incarnation: u64,
    /// Appends of this incarnation have higher numbers.
    incarnation_began_at: u64,
    /// Appends that the driver has not begun to wait for.
    in_flight: VecDeque<InFlight>,
    /// Where the next record lands, if everything before it makes its way to the disk.
    end: Offset,
    pub log_bytes: usize,
    pub rewrite_at_bytes: usize,
    expire_at: Instant,
    load_failed: bool,
}

enum State<M> {
    Ready(M),
    /// An append failed, or the log couldn't be read; the driver sees to it.
    Stale,
    Closed,
}

struct InFlight {
    number: u64,
    durable: Durable,
    /// Once this append is durable, the log before this offset is no longer needed.
    log_start: Option<Offset>,
}

/// How far the appends of the current incarnation are durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    incarnation: u64,
    durable: u64,
}

/// What a reply must wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    incarnation: u64,
    appended: u64,
}

/// A reply, and what it must wait for.
pub(crate) type Promised<R> = (R, Ticket);

/// Why a command was not run, or its effect may not have lasted. The client should try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShardError {
    Loading,
    Unavailable,
}

impl ShardError {
    pub fn code(self) -> ErrorCode {
        match self {
            ShardError::Loading => ErrorCode::CoordinatorLoadInProgress,
            ShardError::Unavailable => ErrorCode::CoordinatorNotAvailable,
        }
    }
}

impl<M: Machine> Shard<M> {
    /// Reads the shard's log, which may block on the disk. What can't be read is tried again by
    /// [`drive`](Shard::drive).
    pub fn open(
        id: PartitionId,
        world: Arc<M::World>,
        store: Store,
        clock: Arc<dyn Clock>,
    ) -> Shard<M> {
        let expire_at = Instant::now() + M::expiry_interval(&world);
        let shard = Shard {
            id,
            world,
            store,
            clock,
            inner: Mutex::new(Inner {
                state: State::Stale,
                timers: Timers::default(),
                next_token: 0,
                parked: HashMap::new(),
                log: None,
                appended: 0,
                incarnation: 0,
                incarnation_began_at: 0,
                in_flight: VecDeque::new(),
                end: Offset(0),
                log_bytes: 0,
                rewrite_at_bytes: MIN_REWRITE_BYTES,
                expire_at,
                load_failed: false,
            }),
            wake: Notify::new(),
            progress: watch::Sender::new(Progress::default()),
        };
        shard.load();
        shard
    }

    /// Runs a command. Its reply may leave once the ticket is [`durable`](Shard::durable).
    pub fn run<R>(
        &self,
        command: impl FnOnce(&mut M, Timestamp, &mut M::Effects) -> R,
    ) -> Result<(R, Ticket), ShardError> {
        self.run_with(|machine, now, fx| (command(machine, now, fx), Vec::new()))
    }

    /// Runs a command that brings batches for other partitions. They are appended together with its records: all or
    /// nothing. A command that writes no records must bring none.
    pub fn run_with<R>(
        &self,
        command: impl FnOnce(&mut M, Timestamp, &mut M::Effects) -> (R, Vec<AppendSection>),
    ) -> Result<(R, Ticket), ShardError> {
        let mut inner = self.inner.lock();
        let reply = self.run_locked(&mut inner, &[], |machine, now, fx, _| {
            command(machine, now, fx)
        })?;
        Ok((reply, inner.ticket()))
    }

    /// Runs a command for another shard, whose state it follows from: it is not written if what that one wrote was lost.
    pub fn run_after<R>(
        &self,
        based_on: &[Expected],
        command: impl FnOnce(&mut M, Timestamp, &mut M::Effects) -> R,
    ) -> Result<(R, Ticket), ShardError> {
        let mut inner = self.inner.lock();
        let reply = self.run_locked(&mut inner, based_on, |machine, now, fx, _| {
            (command(machine, now, fx), Vec::new())
        })?;
        Ok((reply, inner.ticket()))
    }

    /// Runs a command that appends elsewhere what follows from this shard's state, while it holds the shard. It must do so
    /// on the condition that it is given, so that nothing is written that follows from what was lost; its own records
    /// come after that, and only if nothing of it was lost.
    pub fn run_leading<R>(
        &self,
        command: impl FnOnce(&mut M, Timestamp, &mut M::Effects, &[Expected]) -> R,
    ) -> Result<(R, Ticket), ShardError> {
        let mut inner = self.inner.lock();
        let nothing_lost = [Expected::NoLossSince(self.store.losses())];
        let reply = self.run_locked(&mut inner, &nothing_lost, |machine, now, fx, state| {
            (command(machine, now, fx, state), Vec::new())
        })?;
        Ok((reply, inner.ticket()))
    }

    /// Runs a command that replies at once, and waits until its reply may leave.
    pub async fn run_durably<R>(
        &self,
        command: impl FnOnce(&mut M, Timestamp, &mut M::Effects) -> R,
    ) -> Result<R, ShardError> {
        let (reply, ticket) = self.run(command)?;
        self.durable(ticket).await?;
        Ok(reply)
    }

    /// Runs a command whose reply comes through [`Effects`], perhaps from a later command.
    pub fn park(
        &self,
        command: impl FnOnce(&mut M, RequestToken, Timestamp, &mut M::Effects),
    ) -> Result<oneshot::Receiver<Promised<M::Reply>>, ShardError> {
        let mut inner = self.inner.lock();
        let token = RequestToken(inner.next_token);
        inner.next_token += 1;
        let (sender, receiver) = oneshot::channel();
        inner.parked.insert(token, sender);
        self.run_locked(&mut inner, &[], |machine, now, fx, _| {
            command(machine, token, now, fx);
            ((), Vec::new())
        })
        .inspect_err(|_| {
            inner.parked.remove(&token);
        })?;
        Ok(receiver)
    }

    /// Looks at the state as it is, durable or not.
    pub fn peek<R>(&self, look: impl FnOnce(&M) -> R) -> Result<R, ShardError> {
        match &self.inner.lock().state {
            State::Ready(machine) => Ok(look(machine)),
            state => Err(state.error()),
        }
    }

    pub async fn durable(&self, ticket: Ticket) -> Result<(), ShardError> {
        let decided = |progress: &Progress| {
            progress.incarnation != ticket.incarnation || progress.durable >= ticket.appended
        };
        let mut progress = *self.progress.borrow();
        if !decided(&progress) {
            let mut receiver = self.progress.subscribe();
            let waited = receiver.wait_for(decided).await;
            progress = *waited.map_err(|_| ShardError::Unavailable)?;
        }
        if progress.incarnation == ticket.incarnation {
            Ok(())
        } else {
            Err(ShardError::Unavailable)
        }
    }

    /// No command is run any more, and everybody who waits is told to try again.
    pub fn close(&self) {
        self.lose_state(&mut self.inner.lock(), State::Closed);
    }

    fn run_locked<R>(
        &self,
        inner: &mut Inner<M>,
        based_on: &[Expected],
        command: impl FnOnce(&mut M, Timestamp, &mut M::Effects, &[Expected]) -> (R, Vec<AppendSection>),
    ) -> Result<R, ShardError> {
        let now = self.clock.now();
        let state = inner.log.as_ref().map(|log| Expected::End {
            log: Arc::clone(log),
            end: inner.end,
        });
        let machine = match &mut inner.state {
            State::Ready(machine) => machine,
            state => return Err(state.error()),
        };
        let mut fx = M::Effects::default();
        let (reply, others) = command(machine, now, &mut fx, state.as_slice());
        let asked = M::asked(&self.world, fx, now);
        debug_assert!(others.is_empty() || !asked.records.is_empty());
        if !asked.records.is_empty() {
            self.write(inner, asked.records, others, based_on, now)?;
        }
        if inner.set_timers(asked.timers) {
            self.wake.notify_one();
        }
        let ticket = inner.ticket();
        for (token, reply) in asked.replies {
            if let Some(waiter) = inner.parked.remove(&token) {
                // The client may have gone.
                let _ = waiter.send((reply, ticket));
            }
        }
        Ok(reply)
    }

    /// What is in memory no longer counts; `state` is what the shard is instead.
    fn lose_state(&self, inner: &mut Inner<M>, state: State<M>) {
        if matches!(inner.state, State::Closed) {
            return;
        }
        inner.state = state;
        inner.timers = Timers::default();
        // Dropping the senders is the answer.
        inner.parked.clear();
        inner.incarnation += 1;
        self.progress
            .send_modify(|progress| progress.incarnation = inner.incarnation);
        self.wake.notify_one();
    }

    /// Reads the log of a stale shard, with nothing in flight. Returns whether that is done.
    fn load(&self) -> bool {
        // Nothing changes while the shard is stale, so that the lock need not be held meanwhile.
        let log = self.store.existing(self.id);
        let read = self.read_log(log.as_deref());
        let mut inner = self.inner.lock();
        if !matches!(inner.state, State::Stale) {
            return true;
        }
        let (machine, loaded) = match read {
            Ok(read) => read,
            Err(error) => {
                if !std::mem::replace(&mut inner.load_failed, true) {
                    error!(shard = self.id.index, what = M::WHAT, %error, "a shard is not available");
                }
                return false;
            }
        };
        inner.load_failed = false;
        inner.state = State::Ready(machine);
        inner.log = log;
        inner.end = loaded.end;
        inner.log_bytes = loaded.bytes;
        inner.rewrite_at_bytes = MIN_REWRITE_BYTES;
        inner.incarnation_began_at = inner.appended;
        self.progress
            .send_modify(|progress| progress.durable = inner.appended);
        // An error makes the shard stale again, which the driver will see.
        self.run_locked(&mut inner, &[], |machine, now, fx, _| {
            (machine.loaded(now, fx), Vec::new())
        })
        .is_ok()
    }

    fn read_log(
        &self,
        log: Option<&PartitionLog>,
    ) -> Result<(M, Loaded), LoadError<M::RecordError>> {
        let mut machine = M::empty(&self.world);
        let loaded = match log {
            Some(log) => replay(log, &mut machine, self.clock.now())?,
            None => Loaded::default(),
        };
        Ok((machine, loaded))
    }
}

impl<M: Machine> Inner<M> {
    fn ticket(&self) -> Ticket {
        Ticket {
            incarnation: self.incarnation,
            appended: self.appended,
        }
    }

    /// Whether the next timer is now earlier than it was.
    fn set_timers(&mut self, changes: Vec<TimerChange<M::TimerKey, M::TimerEvent>>) -> bool {
        let before = self.timers.next_deadline();
        let now = Instant::now();
        for change in changes {
            self.timers.apply(change, now);
        }
        let after = self.timers.next_deadline();
        after.is_some_and(|after| before.is_none_or(|before| after < before))
    }
}

impl<M> State<M> {
    fn error(&self) -> ShardError {
        match self {
            State::Closed => ShardError::Unavailable,
            State::Stale | State::Ready(_) => ShardError::Loading,
        }
    }
}
