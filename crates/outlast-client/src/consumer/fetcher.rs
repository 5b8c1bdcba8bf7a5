//! Fetches ahead in the background: one long poll a broker at a time, within a fetch session, for the partitions
//! that have room in the buffer. Finds starting offsets, follows leaders, and starts over where it must.

mod answers;
mod driver;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outlast_protocol::Str;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::fetched::Fetched;
use super::{ConsumerConfig, Start};
use crate::cluster::Client;
use crate::error::ClientError;
use crate::metadata::TopicPartition;
use crate::offsets::OffsetSpec;

/// The caller's end. Dropping it ends the task.
#[derive(Debug)]
pub(super) struct Fetcher {
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    config: ConsumerConfig,
    state: Mutex<State>,
    /// Something changed that the task should look at.
    wake: Notify,
    /// Something is there for the caller.
    ready: Notify,
}

#[derive(Debug, Default)]
struct State {
    partitions: BTreeMap<TopicPartition, Reading>,
    next_generation: u64,
    completed: VecDeque<Fetched>,
    buffered: usize,
    errors: VecDeque<ClientError>,
}

/// Where the fetching of one partition stands.
#[derive(Debug)]
struct Reading {
    partition: Arc<TopicPartition>,
    name_on_wire: Str,
    place: Place,
    /// Changes with every assignment: what was fetched for an older one is dropped.
    generation: u64,
    buffered: usize,
    failures: u32,
    not_before: Option<Instant>,
    /// Since when it has no leader that is known.
    leaderless_since: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    At(i64),
    /// To be asked for.
    Unknown(OffsetSpec),
    /// Being asked for.
    Asking,
}

impl Fetcher {
    pub fn new(client: Client, config: ConsumerConfig) -> Self {
        let shared = Arc::new(Shared {
            config,
            state: Mutex::default(),
            wake: Notify::new(),
            ready: Notify::new(),
        });
        let task = tokio::spawn(driver::run(client, Arc::clone(&shared))).abort_handle();
        Self { shared, task }
    }

    /// Begins to read these, beside those that are read already.
    pub fn assign(&self, partitions: impl IntoIterator<Item = (TopicPartition, Start)>) {
        let mut state = self.shared.lock();
        for (tp, start) in partitions {
            state.next_generation += 1;
            let reading = Reading {
                partition: Arc::new(tp.clone()),
                name_on_wire: Str::from(tp.topic.as_str()),
                place: start.spec().map_or_else(Place::Unknown, Place::At),
                generation: state.next_generation,
                buffered: 0,
                failures: 0,
                not_before: None,
                leaderless_since: None,
            };
            state.partitions.insert(tp, reading);
        }
        drop(state);
        self.shared.wake.notify_one();
    }

    /// Stops reading these. Nothing of them is handed out any more.
    pub fn revoke<'a>(&self, partitions: impl IntoIterator<Item = &'a TopicPartition>) {
        let mut state = self.shared.lock();
        for tp in partitions {
            state.partitions.remove(tp);
        }
    }

    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.shared.lock().partitions.keys().cloned().collect()
    }

    /// Waits for the next batches.
    pub async fn next(&self) -> Result<Fetched, ClientError> {
        loop {
            if let Some(result) = self.take() {
                return result;
            }
            self.shared.ready.notified().await;
        }
    }

    fn take(&self) -> Option<Result<Fetched, ClientError>> {
        let mut state = self.shared.lock();
        if let Some(error) = state.errors.pop_front() {
            return Some(Err(error));
        }
        while let Some(fetched) = state.completed.pop_front() {
            let bytes = fetched.bytes();
            state.buffered = state.buffered.saturating_sub(bytes);
            let Some(reading) = state
                .partitions
                .get_mut(&*fetched.partition)
                .filter(|reading| reading.generation == fetched.generation)
            else {
                continue;
            };
            reading.buffered = reading.buffered.saturating_sub(bytes);
            drop(state);
            self.shared.wake.notify_one();
            return Some(Ok(fetched));
        }
        None
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A partition fetches ahead while it has less than this in the buffer.
    fn partition_budget(&self) -> usize {
        usize::try_from(self.config.partition_max_bytes)
            .unwrap_or(0)
            .saturating_mul(2)
    }
}
