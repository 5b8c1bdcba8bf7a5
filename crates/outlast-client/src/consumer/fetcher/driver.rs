//! The task: decides what to ask of whom, keeps one fetch a broker going, and waits for whatever comes first.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use outlast_protocol::ErrorCode;
use outlast_protocol::messages::{FetchRequest, FetchResponse};
use tokio::time::Instant;
use tracing::debug;

use super::super::session::{FetchFrom, FetchKey, FetchSession};
use super::{Place, Shared, State};
use crate::cluster::{Client, Lane};
use crate::error::ClientError;
use crate::metadata::{BrokerId, Metadata, TopicPartition};
use crate::offsets::{ListedOffset, OffsetSpec, PerPartition};

pub(super) enum Event {
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

pub(super) struct Driver {
    pub(super) client: Client,
    pub(super) shared: Arc<Shared>,
    /// `None` while a fetch holds the session.
    sessions: HashMap<BrokerId, Option<FetchSession>>,
    pub(super) broker_not_before: HashMap<BrokerId, (u32, Instant)>,
    pub(super) stale: bool,
    refreshing: bool,
    refresh_after: Instant,
    events: FuturesUnordered<BoxFuture<'static, Event>>,
}

/// While one partition's buffer is full, the others' long poll is kept this short, so that it can be fetched again
/// soon after the caller took something.
const SHORT_WAIT: Duration = Duration::from_millis(5);
const IDLE: Duration = Duration::from_secs(1);

pub(super) async fn run(client: Client, shared: Arc<Shared>) {
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
        let State {
            partitions, errors, ..
        } = &mut *state;
        for (tp, reading) in partitions {
            if let Some(when) = reading.not_before.filter(|when| *when > now) {
                look_again = look_again.min(when);
                continue;
            }
            let info = metadata.partition(&tp.topic, tp.partition);
            let Some((leader, info)) = info.and_then(|info| Some((info.leader?, info))) else {
                self.stale = true;
                let since = *reading.leaderless_since.get_or_insert(now);
                if now - since > self.client.config().retry_timeout {
                    reading.leaderless_since = Some(now);
                    errors.push_back(match metadata.topic(&tp.topic) {
                        Some(_) => {
                            let code = ErrorCode::LeaderNotAvailable;
                            ClientError::broker(code, format!("fetching {tp}"), None)
                        }
                        None => ClientError::UnknownTopic(tp.topic.clone()),
                    });
                    shared.ready.notify_one();
                }
                continue;
            };
            reading.leaderless_since = None;
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
}
