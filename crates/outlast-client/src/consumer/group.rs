//! A consumer's membership in a classic group: when to join again, what to give up, when to commit, and the
//! heartbeats in between.
//!
//! ```text
//!           ┌────────── rebalance, forgotten, new partitions ─────────┐
//!           ▼                                                         │
//! ───► joining (task) ───► assigned, heartbeats (task) ───────────────┘
//! ```
//! [`Group::tend`] never waits: it is called at each poll and moves the state along.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use outlast_protocol::messages::leave_group::MemberIdentity;
use outlast_protocol::messages::{HeartbeatRequest, LeaveGroupRequest};
use outlast_protocol::{ErrorCode, Str};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Instant;
use tracing::{debug, info};

use super::Start;
use super::assignor::Assignor;
use super::fetcher::Fetcher;
use super::join::{Joined, Joining, partition_counts};
use crate::cluster::{Client, CoordinatorKind, Lane};
use crate::error::{ClientError, known_code};
use crate::metadata::TopicPartition;
use crate::offsets::Committer;

/// Kafka's consumer defaults.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    pub group_id: String,
    /// Makes the member static: it may restart within the session without a rebalance.
    pub instance_id: Option<String>,
    pub assignor: Assignor,
    /// Without a heartbeat for this long, the group goes on without the member.
    pub session_timeout: Duration,
    pub heartbeat_interval: Duration,
    /// A member that doesn't poll for this long leaves.
    pub max_poll_interval: Duration,
    /// How often processed offsets are committed by themselves; `None` leaves it to [`super::Consumer::commit`].
    pub auto_commit: Option<Duration>,
    /// Where to begin without a commit.
    pub start: Start,
}

impl GroupConfig {
    pub fn new(group_id: impl Into<String>) -> Self {
        Self {
            group_id: group_id.into(),
            instance_id: None,
            assignor: Assignor::default(),
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            max_poll_interval: Duration::from_secs(300),
            auto_commit: Some(Duration::from_secs(5)),
            start: Start::End,
        }
    }
}

/// What the heartbeats learnt.
#[derive(Clone, Debug, Default)]
enum Pulse {
    #[default]
    Steady,
    /// Others wait for us to join again.
    Rebalance,
    /// The group went on without us: what we own is not ours any more.
    Forgotten,
    Fatal(ClientError),
}

#[derive(Debug)]
pub(super) struct Group {
    client: Client,
    config: Arc<GroupConfig>,
    topics: Vec<String>,
    committer: Committer,
    owned: BTreeSet<TopicPartition>,
    joining: Option<JoinHandle<Result<Joined, ClientError>>>,
    joined: Option<Result<Joined, ClientError>>,
    pulse: Option<watch::Receiver<Pulse>>,
    heartbeats: Option<AbortHandle>,
    last_poll: Arc<Mutex<Instant>>,
    next_commit: Option<Instant>,
    committing: Option<JoinHandle<()>>,
}

impl Group {
    pub fn new(client: Client, config: GroupConfig, topics: Vec<String>) -> Self {
        let committer = Committer {
            instance_id: config.instance_id.clone(),
            ..Committer::outside()
        };
        Self {
            client,
            next_commit: config.auto_commit.map(|interval| Instant::now() + interval),
            config: Arc::new(config),
            topics,
            committer,
            owned: BTreeSet::new(),
            joining: None,
            joined: None,
            pulse: None,
            heartbeats: None,
            last_poll: Arc::new(Mutex::new(Instant::now())),
            committing: None,
        }
    }

    /// Moves the membership along. Returns when it wants to be called again.
    pub fn tend(
        &mut self,
        fetcher: &Fetcher,
        processed: &mut BTreeMap<TopicPartition, i64>,
    ) -> Result<Instant, ClientError> {
        let now = Instant::now();
        *self
            .last_poll
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = now;
        if let Some(joined) = self.joined.take() {
            self.adopt(joined?, fetcher, processed);
        }
        let pulse = self.pulse.as_ref().map(|pulse| pulse.borrow().clone());
        match pulse {
            None if self.joining.is_none() => self.join(fetcher, processed),
            None | Some(Pulse::Steady) => {}
            Some(Pulse::Rebalance) => self.join(fetcher, processed),
            Some(Pulse::Forgotten) => {
                info!(group = %self.config.group_id, "the group went on without this member; joining again");
                fetcher.revoke(&self.owned);
                self.owned.clear();
                processed.clear();
                self.committer.generation = -1;
                self.join(fetcher, processed);
            }
            Some(Pulse::Fatal(error)) => return Err(error),
        }
        Ok(self.auto_commit(now, processed))
    }

    /// Waits until [`Group::tend`] has something to do.
    pub async fn news(&mut self) {
        if let Some(joining) = &mut self.joining {
            let joined = joining.await;
            self.joining = None;
            self.joined = Some(joined.unwrap_or(Err(ClientError::Closed)));
            return;
        }
        let changed = match &mut self.pulse {
            Some(pulse) => pulse.changed().await.is_ok(),
            None => false,
        };
        if !changed {
            // The heartbeats have ended, and said why before.
            std::future::pending().await
        }
    }

    fn join(&mut self, fetcher: &Fetcher, processed: &mut BTreeMap<TopicPartition, i64>) {
        self.pulse = None;
        let to_commit = if self.config.auto_commit.is_some() {
            processed.clone()
        } else {
            BTreeMap::new()
        };
        if !self.config.assignor.cooperative() {
            fetcher.revoke(&self.owned);
            self.owned.clear();
            processed.clear();
        }
        let joining = Joining {
            client: self.client.clone(),
            config: Arc::clone(&self.config),
            topics: self.topics.clone(),
            committer: self.committer.clone(),
            owned: self.owned.clone(),
            processed: to_commit,
        };
        self.joining = Some(tokio::spawn(joining.run()));
    }

    fn adopt(
        &mut self,
        joined: Joined,
        fetcher: &Fetcher,
        processed: &mut BTreeMap<TopicPartition, i64>,
    ) {
        if joined.forgotten {
            fetcher.revoke(&self.owned);
            self.owned.clear();
            processed.clear();
        }
        debug!(group = %self.config.group_id, generation = joined.committer.generation, partitions = joined.assigned.len(), "joined");
        self.committer = joined.committer;
        let revoked: Vec<TopicPartition> =
            self.owned.difference(&joined.assigned).cloned().collect();
        fetcher.assign(joined.added);
        self.owned = joined.assigned;
        self.start_heartbeats(joined.leads);
        if !revoked.is_empty() {
            // Cooperative: others get these once we have let go of them and said so by joining again.
            fetcher.revoke(&revoked);
            self.join(fetcher, processed);
            processed.retain(|tp, _| !revoked.contains(tp));
        }
    }

    fn start_heartbeats(&mut self, leads: Option<BTreeMap<String, i32>>) {
        if let Some(previous) = self.heartbeats.take() {
            previous.abort();
        }
        let (tell, pulse) = watch::channel(Pulse::Steady);
        let heart = Heart {
            client: self.client.clone(),
            config: Arc::clone(&self.config),
            committer: self.committer.clone(),
            last_poll: Arc::clone(&self.last_poll),
            leads,
            topics: self.topics.clone(),
            tell,
        };
        self.heartbeats = Some(tokio::spawn(heart.beat()).abort_handle());
        self.pulse = Some(pulse);
    }

    fn auto_commit(&mut self, now: Instant, processed: &BTreeMap<TopicPartition, i64>) -> Instant {
        let Some((interval, due)) = self.config.auto_commit.zip(self.next_commit) else {
            return now + Duration::from_secs(3600);
        };
        if due > now {
            return due;
        }
        let next = now + interval;
        self.next_commit = Some(next);
        let busy = self.committing.as_ref().is_some_and(|c| !c.is_finished());
        let stable = self.joining.is_none() && !self.committer.member_id.is_empty();
        if busy || !stable || processed.is_empty() {
            return next;
        }
        let (client, config) = (self.client.clone(), Arc::clone(&self.config));
        let (committer, processed) = (self.committer.clone(), processed.clone());
        self.committing = Some(tokio::spawn(async move {
            let committed = client
                .commit_offsets(&config.group_id, &committer, &processed)
                .await;
            if let Err(error) = committed.and_then(all_fine) {
                debug!(%error, "an automatic commit failed; the next one covers it");
            }
        }));
        next
    }

    pub async fn commit(
        &mut self,
        processed: &BTreeMap<TopicPartition, i64>,
    ) -> Result<(), ClientError> {
        // An older automatic commit must not overtake this one.
        if let Some(committing) = self.committing.take() {
            let _ = committing.await;
        }
        if processed.is_empty() {
            return Ok(());
        }
        let group = &self.config.group_id;
        let committed = self
            .client
            .commit_offsets(group, &self.committer, processed)
            .await?;
        all_fine(committed)
    }

    /// Commits and says good-bye.
    pub async fn leave(
        mut self,
        processed: &BTreeMap<TopicPartition, i64>,
    ) -> Result<(), ClientError> {
        if let Some(joining) = self.joining.take() {
            joining.abort();
        }
        let committed = if self.config.auto_commit.is_some() && self.committer.generation >= 0 {
            self.commit(processed).await
        } else {
            Ok(())
        };
        if let Some(heartbeats) = self.heartbeats.take() {
            heartbeats.abort();
        }
        // A static member is expected back.
        if self.config.instance_id.is_none() && !self.committer.member_id.is_empty() {
            leave(&self.client, &self.config.group_id, &self.committer).await?;
        }
        committed
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(joining) = &self.joining {
            joining.abort();
        }
        if let Some(heartbeats) = &self.heartbeats {
            heartbeats.abort();
        }
    }
}

fn all_fine(results: crate::offsets::PerPartition<()>) -> Result<(), ClientError> {
    results.into_values().collect()
}

async fn leave(client: &Client, group: &str, committer: &Committer) -> Result<(), ClientError> {
    let coordinator = client.coordinator(CoordinatorKind::Group, group).await?;
    let connection = client.connection(coordinator, Lane::Control).await?;
    let batched = connection.versions().pick::<LeaveGroupRequest>(i16::MAX)? >= 3;
    let member_id = Str::from(committer.member_id.as_str());
    let mut request = LeaveGroupRequest {
        group_id: Str::from(group),
        ..Default::default()
    };
    if batched {
        request.members.push(MemberIdentity {
            member_id,
            reason: Some(Str::from("the consumer was closed")),
            ..Default::default()
        });
    } else {
        request.member_id = member_id;
    }
    let response = connection.request(&request).await?;
    match known_code(response.error_code) {
        // Gone already is gone as well.
        ErrorCode::None | ErrorCode::UnknownMemberId => Ok(()),
        code => {
            let context = format!("leaving group '{group}'");
            Err(ClientError::broker(code, context, None))
        }
    }
}

/// The task that keeps the membership alive.
struct Heart {
    client: Client,
    config: Arc<GroupConfig>,
    committer: Committer,
    last_poll: Arc<Mutex<Instant>>,
    leads: Option<BTreeMap<String, i32>>,
    /// What is subscribed to; some may not exist yet.
    topics: Vec<String>,
    tell: watch::Sender<Pulse>,
}

/// A topic that doesn't exist yet is looked for this often.
const MISSING_TOPIC_CHECK: Duration = Duration::from_secs(5);

impl Heart {
    async fn beat(self) {
        let mut topics_checked = Instant::now();
        loop {
            tokio::time::sleep(self.config.heartbeat_interval).await;
            let last_poll = *self
                .last_poll
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if last_poll.elapsed() > self.config.max_poll_interval {
                info!(group = %self.config.group_id, "leaving the group: no poll for {:?}", self.config.max_poll_interval);
                let _ = leave(&self.client, &self.config.group_id, &self.committer).await;
                let _ = self.tell.send(Pulse::Forgotten);
                return;
            }
            match self.once().await {
                Ok(Pulse::Steady) => {}
                Ok(Pulse::Rebalance) => {
                    self.tell.send_if_modified(|pulse| {
                        let news = matches!(pulse, Pulse::Steady);
                        *pulse = Pulse::Rebalance;
                        news
                    });
                }
                Ok(last @ (Pulse::Forgotten | Pulse::Fatal(_))) => {
                    let _ = self.tell.send(last);
                    return;
                }
                Err(error) => {
                    debug!(%error, "a heartbeat failed");
                    self.client.doubt_coordinator(&self.config.group_id, &error);
                }
            }
            if self.topics_changed(&mut topics_checked).await {
                let _ = self.tell.send(Pulse::Rebalance);
            }
        }
    }

    async fn once(&self) -> Result<Pulse, ClientError> {
        let group = &self.config.group_id;
        let coordinator = self
            .client
            .coordinator(CoordinatorKind::Group, group)
            .await?;
        let request = HeartbeatRequest {
            group_id: Str::from(group.as_str()),
            generation_id: self.committer.generation,
            member_id: Str::from(self.committer.member_id.as_str()),
            group_instance_id: self.config.instance_id.as_deref().map(Str::from),
        };
        let response = self.client.request(coordinator, &request).await?;
        Ok(match known_code(response.error_code) {
            ErrorCode::None => Pulse::Steady,
            ErrorCode::RebalanceInProgress => Pulse::Rebalance,
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => Pulse::Forgotten,
            code => {
                let context = format!("heartbeat to group '{group}'");
                let error = ClientError::broker(code, context, None);
                if error.retriable() {
                    return Err(error);
                }
                Pulse::Fatal(error)
            }
        })
    }

    /// The leader watches for topics that appear, grow or go.
    async fn topics_changed(&self, checked: &mut Instant) -> bool {
        let Some(leads) = &self.leads else {
            return false;
        };
        let missing = self.topics.iter().any(|topic| !leads.contains_key(topic));
        let interval = if missing {
            MISSING_TOPIC_CHECK
        } else {
            self.client.config().metadata_max_age
        };
        if checked.elapsed() < interval {
            return false;
        }
        *checked = Instant::now();
        // Other members may want topics that this one doesn't.
        let topics: BTreeSet<&String> = leads.keys().chain(&self.topics).collect();
        let topics: Vec<String> = topics.into_iter().cloned().collect();
        match partition_counts(&self.client, &topics).await {
            Ok(now) => now != *leads,
            Err(error) => {
                debug!(%error, "cannot look for new partitions");
                false
            }
        }
    }
}
