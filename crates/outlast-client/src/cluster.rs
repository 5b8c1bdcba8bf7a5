//! The client proper: finds the cluster through its bootstrap addresses, keeps the metadata fresh, holds one
//! connection a broker and purpose, and repeats what may be repeated.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use outlast_protocol::messages::find_coordinator::Coordinator;
use outlast_protocol::messages::metadata::MetadataRequestTopic;
use outlast_protocol::messages::{FindCoordinatorRequest, MetadataRequest};
use outlast_protocol::{ErrorCode, Request, Str};
use tokio::time::Instant;
use tracing::debug;

use crate::config::ClientConfig;
use crate::connection::Connection;
use crate::error::ClientError;
use crate::metadata::{BrokerId, Metadata, TopicInfo, TopicProblem};
use crate::offsets::is_coordinator_trouble;

/// Requests that wait at the broker get a connection of their own, so that they hold nobody up: answers come in
/// the order of the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Metadata, administration, offsets: answered at once.
    Control,
    Produce,
    Fetch,
    /// Joining a group waits for the other members.
    Group,
}

/// What kind of coordinator a key belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CoordinatorKind {
    Group = 0,
    Transaction = 1,
}

/// A handle on a cluster; clones share connections and metadata.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: ClientConfig,
    metadata: Mutex<(Arc<Metadata>, Instant)>,
    connections: Mutex<HashMap<(BrokerId, Lane), Arc<Slot>>>,
    coordinators: Mutex<HashMap<(CoordinatorKind, String), BrokerId>>,
}

/// One connection, opened by whoever needs it first while the others wait for it.
type Slot = tokio::sync::Mutex<Option<Connection>>;

/// How long a topic that is created by asking for it may take to appear. If it doesn't, the broker is configured not
/// to create topics.
const CREATION: Duration = Duration::from_secs(10);

impl Client {
    /// Asks the bootstrap addresses in turn and fails at once when none of them answers.
    pub async fn connect(config: ClientConfig) -> Result<Self, ClientError> {
        let client = Self(Arc::new(Inner {
            config,
            metadata: Mutex::new((Arc::new(Metadata::default()), Instant::now())),
            connections: Mutex::new(HashMap::new()),
            coordinators: Mutex::new(HashMap::new()),
        }));
        client.refresh_brokers().await?;
        Ok(client)
    }

    pub fn config(&self) -> &ClientConfig {
        &self.0.config
    }

    /// The latest snapshot. May be stale; see [`Client::refresh_topics`].
    pub fn metadata(&self) -> Arc<Metadata> {
        Arc::clone(&self.lock_metadata().0)
    }

    pub fn metadata_age(&self) -> Duration {
        self.lock_metadata().1.elapsed()
    }

    fn lock_metadata(&self) -> std::sync::MutexGuard<'_, (Arc<Metadata>, Instant)> {
        self.0
            .metadata
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection to a broker for one purpose; opened when there is none or the last one broke.
    pub async fn connection(
        &self,
        broker: BrokerId,
        lane: Lane,
    ) -> Result<Connection, ClientError> {
        let slot = {
            let mut connections = self
                .0
                .connections
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            Arc::clone(connections.entry((broker, lane)).or_default())
        };
        let mut slot = slot.lock().await;
        if let Some(connection) = slot.as_ref().filter(|c| !c.is_closed()) {
            return Ok(connection.clone());
        }
        let address = self
            .metadata()
            .brokers
            .get(&broker)
            .map(|info| info.address.clone())
            .ok_or_else(|| {
                ClientError::broker(
                    ErrorCode::LeaderNotAvailable,
                    format!("broker {} is not known", broker.0),
                    None,
                )
            })?;
        let connection = Connection::connect(&address, &self.0.config).await?;
        *slot = Some(connection.clone());
        Ok(connection)
    }

    /// A connection to any broker: a known one if possible, else by the bootstrap addresses.
    pub async fn any_connection(&self) -> Result<Connection, ClientError> {
        let mut known: Vec<BrokerId> = self.metadata().brokers.keys().copied().collect();
        fastrand::shuffle(&mut known);
        for broker in known {
            match self.connection(broker, Lane::Control).await {
                Ok(connection) => return Ok(connection),
                Err(e) => debug!(broker = broker.0, error = %e, "cannot reach broker"),
            }
        }
        self.bootstrap().await
    }

    async fn bootstrap(&self) -> Result<Connection, ClientError> {
        let mut attempts = Vec::new();
        for address in &self.0.config.bootstrap {
            match Connection::connect(address, &self.0.config).await {
                Ok(connection) => return Ok(connection),
                Err(error) => {
                    let why = match &error {
                        ClientError::Connection { source, .. } => source.to_string(),
                        other => other.to_string(),
                    };
                    attempts.push((address.to_string(), why));
                }
            }
        }
        Err(ClientError::Unreachable(attempts))
    }

    pub async fn request_any<R: Request>(&self, request: &R) -> Result<R::Response, ClientError> {
        self.any_connection().await?.request(request).await
    }

    pub async fn request<R: Request>(
        &self,
        broker: BrokerId,
        request: &R,
    ) -> Result<R::Response, ClientError> {
        self.connection(broker, Lane::Control)
            .await?
            .request(request)
            .await
    }

    /// Topic and partition administration goes to the controller, or to whoever speaks for it.
    pub async fn request_controller<R: Request>(
        &self,
        request: &R,
    ) -> Result<R::Response, ClientError> {
        let controller = self.metadata().controller;
        match controller {
            Some(controller) => self.request(controller, request).await,
            None => self.request_any(request).await,
        }
    }

    /// Repeats `attempt` with growing pauses while its error is retriable and `retry_timeout` has not passed.
    pub async fn retrying<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let deadline = Instant::now() + self.0.config.retry_timeout;
        let mut failures = 0;
        loop {
            let error = match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            failures += 1;
            let pause = self.0.config.backoff.jittered(failures);
            if !error.retriable() || Instant::now() + pause > deadline {
                return Err(error);
            }
            debug!(%error, ?pause, "trying again");
            tokio::time::sleep(pause).await;
            if error.code() == Some(ErrorCode::NotController) {
                // Best effort: the next attempt reports what is wrong.
                let _ = self.refresh_brokers().await;
            }
        }
    }

    pub async fn refresh_brokers(&self) -> Result<(), ClientError> {
        self.fetch_metadata(Some(Vec::new()), false).await?;
        Ok(())
    }

    /// Learns about every topic of the cluster.
    pub async fn refresh_all_topics(&self) -> Result<Arc<Metadata>, ClientError> {
        self.fetch_metadata(None, false).await?;
        Ok(self.metadata())
    }

    /// One request about `names`; `create` lets the broker create missing ones if it is configured so. Returns
    /// the topics that it could say nothing about.
    pub async fn refresh_topics(
        &self,
        names: impl IntoIterator<Item = &str>,
        create: bool,
    ) -> Result<Vec<TopicProblem>, ClientError> {
        let topics = names
            .into_iter()
            .map(|name| MetadataRequestTopic {
                name: Some(Str::from(name)),
                ..Default::default()
            })
            .collect();
        self.fetch_metadata(Some(topics), create).await
    }

    async fn fetch_metadata(
        &self,
        topics: Option<Vec<MetadataRequestTopic>>,
        create: bool,
    ) -> Result<Vec<TopicProblem>, ClientError> {
        let all = topics.is_none();
        let request = MetadataRequest {
            topics,
            allow_auto_topic_creation: create,
            ..Default::default()
        };
        let response = self.request_any(&request).await?;
        ClientError::check(
            response.error_code,
            || "the broker gave no metadata".to_owned(),
            None,
        )?;
        let mut current = self.lock_metadata();
        let (next, problems) = current.0.updated(&response, all);
        *current = (Arc::new(next), Instant::now());
        Ok(problems)
    }

    /// The topic with a leader for every partition. Waits for elections and, with `create`, for its creation.
    pub async fn topic(&self, name: &str, create: bool) -> Result<TopicInfo, ClientError> {
        if let Some(topic) = self.metadata().topic(name).filter(|t| t.has_all_leaders()) {
            return Ok(topic.clone());
        }
        let patience = if create { CREATION } else { Duration::ZERO };
        let give_up = Instant::now() + patience;
        self.retrying(|| async move {
            let problems = self.refresh_topics([name], create).await?;
            let metadata = self.metadata();
            if let Some(topic) = metadata.topic(name)
                && topic.has_all_leaders()
            {
                return Ok(topic.clone());
            }
            let code = problems
                .first()
                .map_or(ErrorCode::LeaderNotAvailable, |problem| problem.code);
            if code == ErrorCode::UnknownTopicOrPartition && Instant::now() >= give_up {
                return Err(ClientError::UnknownTopic(name.to_owned()));
            }
            Err(ClientError::broker(code, format!("topic '{name}'"), None))
        })
        .await
    }

    /// The broker that coordinates a group or a transactional id.
    pub async fn coordinator(
        &self,
        kind: CoordinatorKind,
        key: &str,
    ) -> Result<BrokerId, ClientError> {
        let cached = self
            .lock_coordinators()
            .get(&(kind, key.to_owned()))
            .copied();
        if let Some(broker) = cached {
            return Ok(broker);
        }
        let broker = self.retrying(|| self.find_coordinator(kind, key)).await?;
        self.lock_coordinators()
            .insert((kind, key.to_owned()), broker);
        Ok(broker)
    }

    /// Forgets who coordinates `key` if the error says, or may mean, that it is somebody else by now.
    pub(crate) fn doubt_coordinator(&self, key: &str, error: &ClientError) {
        let moved = match error.code() {
            Some(code) => is_coordinator_trouble(code),
            None => error.retriable(),
        };
        if moved {
            self.lock_coordinators().retain(|(_, k), _| k != key);
        }
    }

    fn lock_coordinators(
        &self,
    ) -> std::sync::MutexGuard<'_, HashMap<(CoordinatorKind, String), BrokerId>> {
        self.0
            .coordinators
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn find_coordinator(
        &self,
        kind: CoordinatorKind,
        key: &str,
    ) -> Result<BrokerId, ClientError> {
        let connection = self.any_connection().await?;
        let many = connection
            .versions()
            .pick::<FindCoordinatorRequest>(i16::MAX)?
            >= 4;
        let request = FindCoordinatorRequest {
            key: if many { Str::default() } else { Str::from(key) },
            key_type: kind as i8,
            coordinator_keys: if many {
                vec![Str::from(key)]
            } else {
                Vec::new()
            },
        };
        let response = connection.request(&request).await?;
        let found = if many {
            response.coordinators.into_iter().next().ok_or_else(|| {
                ClientError::malformed(connection.peer(), "no coordinator in its answer")
            })?
        } else {
            Coordinator {
                key: Str::from(key),
                node_id: response.node_id,
                host: response.host,
                port: response.port,
                error_code: response.error_code,
                error_message: response.error_message,
            }
        };
        ClientError::check(
            found.error_code,
            || format!("finding the coordinator of '{key}'"),
            found.error_message.as_deref(),
        )?;
        let broker = BrokerId(found.node_id);
        if !self.metadata().brokers.contains_key(&broker) {
            self.refresh_brokers().await?;
        }
        Ok(broker)
    }
}
