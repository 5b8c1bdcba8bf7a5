//! Fetches ahead in the background: one long poll a broker at a time, within a fetch session, for the partitions
//! that have room in the buffer. Finds starting offsets, follows leaders, and starts over where it must.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use outlast_protocol::messages::fetch::PartitionData;
use outlast_protocol::messages::{FetchRequest, FetchResponse};
use outlast_protocol::{ErrorCode, Str};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::debug;

use super::fetched::{Fetched, whole_batches};
use super::session::{FetchFrom, FetchKey, FetchSession};
use super::{ConsumerConfig, OutOfRange, Start};
use crate::cluster::{Client, Lane};
use crate::error::{ClientError, known_code};
use crate::metadata::{BrokerId, Metadata, TopicPartition};
use crate::offsets::{ListedOffset, OffsetSpec, PerPartition};

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
        let task = tokio::spawn(run(client, Arc::clone(&shared))).abort_handle();
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

enum Event {
    Fetched {
        broker: BrokerId,
        session: FetchSession,
        /// The generation and offset of what was asked.
        asked: HashMap<TopicPartition, (u64, i64)>,
        metadata: Arc<Metadata>,
        result: Result<FetchResponse, ClientError>,
    },
    Located {
        asked: Vec<(TopicPartition, OffsetSpec, u64)>,
        result: Result<PerPartition<ListedOffset>, ClientError>,
    },
    Refreshed(Result<(), ClientError>),
}

struct Driver {
    client: Client,
    shared: Arc<Shared>,
    /// `None` while a fetch holds the session.
    sessions: HashMap<BrokerId, Option<FetchSession>>,
    broker_not_before: HashMap<BrokerId, (u32, Instant)>,
    stale: bool,
    refreshing: bool,
    refresh_after: Instant,
    events: FuturesUnordered<BoxFuture<'static, Event>>,
}

/// While one partition's buffer is full, the others' long poll is kept this short, so that it can be fetched again
/// soon after the caller took something.
const SHORT_WAIT: Duration = Duration::from_millis(5);
const IDLE: Duration = Duration::from_secs(1);

async fn run(client: Client, shared: Arc<Shared>) {
    let mut driver = Driver {
        client,
        shared: Arc::clone(&shared),
        sessions: HashMap::new(),
        broker_not_before: HashMap::new(),
        stale: false,
        refreshing: false,
        refresh_after: Instant::now(),
        events: FuturesUnordered::new(),
    };
    loop {
        let look_again = driver.start_what_is_due();
        tokio::select! {
            Some(event) = driver.events.next(), if !driver.events.is_empty() => driver.handle(event),
            () = shared.wake.notified() => {}
            () = tokio::time::sleep_until(look_again) => {}
        }
    }
}

/// What is to be asked of one broker.
#[derive(Default)]
struct Plan {
    wanted: BTreeMap<FetchKey, FetchFrom>,
    asked: HashMap<TopicPartition, (u64, i64)>,
    /// Some partition would be asked for, were its buffer not full.
    crowded: bool,
}

impl Driver {
    fn start_what_is_due(&mut self) -> Instant {
        let now = Instant::now();
        let mut look_again = now + IDLE;
        let metadata = self.client.metadata();
        let mut plans: BTreeMap<BrokerId, Plan> = BTreeMap::new();
        let mut to_locate = Vec::new();
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        let full = state.buffered >= self.shared.config.buffer_bytes;
        for (tp, reading) in &mut state.partitions {
            if let Some(when) = reading.not_before.filter(|when| *when > now) {
                look_again = look_again.min(when);
                continue;
            }
            let info = metadata.partition(&tp.topic, tp.partition);
            let Some((leader, info)) = info.and_then(|info| Some((info.leader?, info))) else {
                self.stale = true;
                continue;
            };
            match reading.place {
                Place::Asking => {}
                Place::Unknown(spec) => {
                    reading.place = Place::Asking;
                    to_locate.push((tp.clone(), spec, reading.generation));
                }
                Place::At(offset) => {
                    let plan = plans.entry(leader).or_default();
                    if full || reading.buffered >= self.shared.partition_budget() {
                        plan.crowded = true;
                        continue;
                    }
                    let topic_id = metadata.topic(&tp.topic).map(|topic| topic.id);
                    let key = FetchKey {
                        topic: reading.name_on_wire.clone(),
                        topic_id: topic_id.unwrap_or_default(),
                        partition: tp.partition,
                    };
                    let from = FetchFrom {
                        offset,
                        leader_epoch: info.leader_epoch,
                        max_bytes: self.shared.config.partition_max_bytes,
                    };
                    plan.wanted.insert(key, from);
                    plan.asked.insert(tp.clone(), (reading.generation, offset));
                }
            }
        }
        drop(state);
        for (broker, plan) in plans {
            let pause = self.broker_not_before.get(&broker).map(|(_, when)| *when);
            if let Some(when) = pause.filter(|when| *when > now) {
                look_again = look_again.min(when);
                continue;
            }
            self.start_fetch(broker, plan, &metadata);
        }
        if !to_locate.is_empty() {
            self.start_locating(to_locate);
        }
        self.refresh_if_stale(now, &mut look_again);
        look_again
    }

    fn start_fetch(&mut self, broker: BrokerId, plan: Plan, metadata: &Arc<Metadata>) {
        if plan.wanted.is_empty() {
            return;
        }
        let slot = self
            .sessions
            .entry(broker)
            .or_insert_with(|| Some(FetchSession::default()));
        let Some(mut session) = slot.take() else {
            return;
        };
        let config = &self.shared.config;
        let wait = if plan.crowded {
            config.max_wait.min(SHORT_WAIT)
        } else {
            config.max_wait
        };
        let mut request = FetchRequest {
            max_wait_ms: i32::try_from(wait.as_millis()).unwrap_or(i32::MAX),
            min_bytes: config.min_bytes,
            max_bytes: config.max_bytes,
            isolation_level: i8::from(config.read_committed),
            ..Default::default()
        };
        let has_ids = plan.wanted.keys().all(|key| !key.topic_id.is_nil());
        // Version 13 and later know only topic ids.
        let cap = if has_ids { i16::MAX } else { 12 };
        session.describe(plan.wanted, &mut request);
        let client = self.client.clone();
        let metadata = Arc::clone(metadata);
        self.events.push(Box::pin(async move {
            let result = async {
                let connection = client.connection(broker, Lane::Fetch).await?;
                let patience = client.config().request_timeout + wait;
                connection
                    .start(&request, cap)?
                    .response_within(patience)
                    .await
            }
            .await;
            Event::Fetched {
                broker,
                session,
                asked: plan.asked,
                metadata,
                result,
            }
        }));
    }

    fn start_locating(&mut self, asked: Vec<(TopicPartition, OffsetSpec, u64)>) {
        let client = self.client.clone();
        self.events.push(Box::pin(async move {
            let specs: Vec<_> = asked
                .iter()
                .map(|(tp, spec, _)| (tp.clone(), *spec))
                .collect();
            let result = client.list_offsets_once(&specs).await;
            Event::Located { asked, result }
        }));
    }

    fn refresh_if_stale(&mut self, now: Instant, look_again: &mut Instant) {
        let aged = self.client.metadata_age() > self.client.config().metadata_max_age;
        if self.refreshing || !(self.stale || aged) {
            return;
        }
        if self.refresh_after > now {
            *look_again = (*look_again).min(self.refresh_after);
            return;
        }
        self.refreshing = true;
        self.stale = false;
        let client = self.client.clone();
        let topics: BTreeSet<String> = self
            .shared
            .lock()
            .partitions
            .keys()
            .map(|tp| tp.topic.clone())
            .collect();
        self.events.push(Box::pin(async move {
            let names = topics.iter().map(String::as_str);
            let refreshed = client.refresh_topics(names, false).await;
            Event::Refreshed(refreshed.map(|_| ()))
        }));
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Refreshed(result) => {
                self.refreshing = false;
                self.refresh_after = Instant::now() + self.client.config().backoff.jittered(2);
                if let Err(error) = result {
                    debug!(%error, "cannot refresh metadata");
                    self.stale = true;
                }
            }
            Event::Located { asked, result } => self.handle_located(asked, &result),
            Event::Fetched {
                broker,
                session,
                asked,
                metadata,
                result,
            } => {
                let session = self.handle_fetched(broker, session, &asked, &metadata, result);
                self.sessions.insert(broker, Some(session));
            }
        }
    }

    fn handle_located(
        &mut self,
        asked: Vec<(TopicPartition, OffsetSpec, u64)>,
        result: &Result<PerPartition<ListedOffset>, ClientError>,
    ) {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        let State {
            partitions, errors, ..
        } = &mut *state;
        for (tp, spec, generation) in asked {
            let Some(reading) = partitions
                .get_mut(&tp)
                .filter(|reading| reading.generation == generation)
            else {
                continue;
            };
            let found = match result {
                Ok(found) => found.get(&tp).cloned(),
                Err(error) => Some(Err(error.clone())),
            };
            match found {
                Some(Ok(ListedOffset {
                    offset: Some(offset),
                    ..
                })) => {
                    reading.place = Place::At(offset);
                    reading.failures = 0;
                }
                // No record is that young: begin at the end.
                Some(Ok(_)) => reading.place = Place::Unknown(OffsetSpec::Latest),
                Some(Err(error)) => {
                    reading.place = Place::Unknown(spec);
                    self.stale = true;
                    back_off(reading, &self.client);
                    if !error.retriable() {
                        errors.push_back(error);
                    }
                }
                None => reading.place = Place::Unknown(spec),
            }
        }
        drop(state);
        self.shared.ready.notify_one();
    }

    fn handle_fetched(
        &mut self,
        broker: BrokerId,
        mut session: FetchSession,
        asked: &HashMap<TopicPartition, (u64, i64)>,
        metadata: &Metadata,
        result: Result<FetchResponse, ClientError>,
    ) -> FetchSession {
        let response = result.and_then(|response| {
            let context = || format!("fetching from broker {}", broker.0);
            ClientError::check(response.error_code, context, None).map(|()| response)
        });
        let response = match response {
            Ok(response) => response,
            Err(error) => {
                session.reset();
                self.stale = true;
                if error.code().is_some_and(FetchSession::is_lost) {
                    return session;
                }
                debug!(broker = broker.0, %error, "a fetch failed");
                let failures = self
                    .broker_not_before
                    .get(&broker)
                    .map_or(1, |(n, _)| n + 1);
                let pause = self.client.config().backoff.jittered(failures);
                self.broker_not_before
                    .insert(broker, (failures, Instant::now() + pause));
                if !error.retriable() {
                    self.shared.lock().errors.push_back(error);
                    self.shared.ready.notify_one();
                }
                return session;
            }
        };
        self.broker_not_before.remove(&broker);
        session.answered(response.session_id);
        for topic in response.responses {
            let name = if topic.topic.is_empty() {
                metadata.topic_name(topic.topic_id).unwrap_or_default()
            } else {
                &*topic.topic
            };
            for data in topic.partitions {
                let tp = TopicPartition::new(name, data.partition_index);
                if let Some((generation, offset)) = asked.get(&tp) {
                    self.handle_partition(&tp, *generation, *offset, data);
                }
            }
        }
        session
    }

    fn handle_partition(
        &mut self,
        tp: &TopicPartition,
        generation: u64,
        asked_offset: i64,
        data: PartitionData,
    ) {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        let Some(reading) = state
            .partitions
            .get_mut(tp)
            .filter(|reading| reading.generation == generation)
        else {
            return;
        };
        if data.error_code != 0 {
            let error = self.handle_error(tp, reading, &data);
            state.errors.extend(error);
            drop(state);
            shared.ready.notify_one();
            return;
        }
        reading.failures = 0;
        let Some(records) = data.records.filter(|records| !records.is_empty()) else {
            return;
        };
        let broken = |reason: String| ClientError::Records {
            topic: tp.topic.clone(),
            partition: tp.partition,
            offset: asked_offset,
            reason,
        };
        let size = records.len();
        let batches = whole_batches(records.into_bytes(), shared.config.check_crcs)
            .map_err(|e| broken(e.to_string()))
            .and_then(|batches| {
                let last = batches.last().map(|(header, _)| header.next_offset().0);
                last.map(|next| (batches, next)).ok_or_else(|| {
                    broken(format!(
                        "its batch is larger than the {size} bytes that were sent"
                    ))
                })
            });
        let (batches, next_offset) = match batches {
            Ok(found) => found,
            Err(error) => {
                back_off(reading, &self.client);
                state.errors.push_back(error);
                drop(state);
                shared.ready.notify_one();
                return;
            }
        };
        let next_offset = next_offset.max(asked_offset);
        reading.place = Place::At(next_offset);
        let fetched = Fetched {
            partition: Arc::clone(&reading.partition),
            from: asked_offset,
            next_offset,
            high_watermark: data.high_watermark,
            log_start_offset: data.log_start_offset,
            batches,
            aborted: data
                .aborted_transactions
                .filter(|_| shared.config.read_committed)
                .map(|list| {
                    list.iter()
                        .map(|t| (t.producer_id, t.first_offset))
                        .collect()
                }),
            generation,
        };
        let bytes = fetched.bytes();
        reading.buffered += bytes;
        state.buffered += bytes;
        state.completed.push_back(fetched);
        drop(state);
        shared.ready.notify_one();
    }

    /// Decides how to go on after an error of one partition. Returns it if the caller must know.
    fn handle_error(
        &mut self,
        tp: &TopicPartition,
        reading: &mut Reading,
        data: &PartitionData,
    ) -> Option<ClientError> {
        let code = known_code(data.error_code);
        let context = match reading.place {
            Place::At(offset) => format!("fetching {tp} at offset {offset}"),
            _ => format!("fetching {tp}"),
        };
        let error = ClientError::broker(code, context, None);
        debug!(%error, "a partition cannot be fetched");
        if code == ErrorCode::OffsetOutOfRange {
            let spec = match self.shared.config.out_of_range {
                OutOfRange::Earliest => OffsetSpec::Earliest,
                OutOfRange::Latest => OffsetSpec::Latest,
                OutOfRange::Fail => {
                    back_off(reading, &self.client);
                    return Some(error);
                }
            };
            reading.place = Place::Unknown(spec);
            return None;
        }
        back_off(reading, &self.client);
        self.stale = true;
        (!error.retriable()).then_some(error)
    }
}

fn back_off(reading: &mut Reading, client: &Client) {
    reading.failures += 1;
    let pause = client.config().backoff.jittered(reading.failures);
    reading.not_before = Some(Instant::now() + pause);
}
