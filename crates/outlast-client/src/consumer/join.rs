//! One round of joining a group by the classic protocol: JoinGroup, the assignment if this member leads, SyncGroup.
//! Runs as a task of its own, so that it is never cut off half-way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use outlast_protocol::messages::join_group::{JoinGroupRequestProtocol, JoinGroupResponseMember};
use outlast_protocol::messages::sync_group::SyncGroupRequestAssignment;
use outlast_protocol::messages::{JoinGroupRequest, JoinGroupResponse, SyncGroupRequest};
use outlast_protocol::records::consumer_protocol as wire;
use outlast_protocol::{ErrorCode, Message, Str};
use tracing::debug;

use super::Start;
use super::assignor::Member;
use super::group::GroupConfig;
use crate::cluster::{Client, CoordinatorKind, Lane};
use crate::connection::Connection;
use crate::error::{ClientError, known_code};
use crate::metadata::TopicPartition;
use crate::offsets::Committer;

/// The version of the subscription and assignment bytes that members write.
const SUBSCRIPTION_VERSION: i16 = 3;
const ASSIGNMENT_VERSION: i16 = 3;
const PROTOCOL_TYPE: &str = "consumer";

/// What a member knows when it joins.
#[derive(Clone, Debug)]
pub(super) struct Joining {
    pub client: Client,
    pub config: Arc<GroupConfig>,
    pub topics: Vec<String>,
    pub committer: Committer,
    pub owned: BTreeSet<TopicPartition>,
    /// To commit before giving anything up.
    pub processed: BTreeMap<TopicPartition, i64>,
}

/// What it knows afterwards.
#[derive(Debug)]
pub(super) struct Joined {
    pub committer: Committer,
    pub assigned: BTreeSet<TopicPartition>,
    /// Where to begin with those that are new.
    pub added: Vec<(TopicPartition, Start)>,
    /// The group had forgotten this member, so that what it owned may be with others by now.
    pub forgotten: bool,
    /// For the leader: how many partitions it saw, so that it notices when there are more.
    pub leads: Option<BTreeMap<String, i32>>,
}

impl Joining {
    pub async fn run(mut self) -> Result<Joined, ClientError> {
        self.commit().await;
        let mut forgotten = false;
        let mut failures = 0;
        loop {
            match self.round().await {
                Ok(Round::Done { assigned, leads }) => {
                    let added = self.starts(&assigned).await?;
                    return Ok(Joined {
                        committer: self.committer,
                        assigned,
                        added,
                        forgotten,
                        leads,
                    });
                }
                Ok(Round::Again) => {}
                Ok(Round::Forgotten) => {
                    forgotten = true;
                    self.owned.clear();
                    self.committer.member_id.clear();
                    self.committer.generation = -1;
                }
                Err(error) if error.retriable() => {
                    failures += 1;
                    self.client.doubt_coordinator(&self.config.group_id, &error);
                    let pause = self.client.config().backoff.jittered(failures);
                    debug!(%error, ?pause, "joining the group again");
                    tokio::time::sleep(pause).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Best effort: what can't be committed is read again by the next owner.
    async fn commit(&self) {
        if self.processed.is_empty() || self.committer.member_id.is_empty() {
            return;
        }
        let group = &self.config.group_id;
        let committed = self
            .client
            .commit_offsets(group, &self.committer, &self.processed)
            .await;
        if let Err(error) = committed {
            debug!(%error, "cannot commit before the rebalance");
        }
    }

    async fn round(&mut self) -> Result<Round, ClientError> {
        let coordinator = self
            .client
            .coordinator(CoordinatorKind::Group, &self.config.group_id)
            .await?;
        let connection = self.client.connection(coordinator, Lane::Group).await?;
        let joined = connection
            .request_patiently(&self.join_request()?, self.config.max_poll_interval)
            .await?;
        match known_code(joined.error_code) {
            ErrorCode::None => {}
            ErrorCode::MemberIdRequired => {
                self.committer.member_id = joined.member_id.to_string();
                return Ok(Round::Again);
            }
            ErrorCode::UnknownMemberId => return Ok(Round::Forgotten),
            ErrorCode::RebalanceInProgress => return Ok(Round::Again),
            code => {
                let context = format!("joining group '{}'", self.config.group_id);
                return Err(ClientError::broker(code, context, None));
            }
        }
        self.committer.member_id = joined.member_id.to_string();
        self.committer.generation = joined.generation_id;
        let leads = joined.leader == joined.member_id;
        let counts = if leads {
            Some(self.partition_counts(&joined.members).await?)
        } else {
            None
        };
        let assignments = match &counts {
            // A static leader that came back finds its old assignment still valid (KIP-814).
            Some(_) if joined.skip_assignment => Vec::new(),
            Some(counts) => self.assign(&joined.members, counts)?,
            None => Vec::new(),
        };
        self.sync(&connection, &joined, assignments, counts).await
    }

    fn join_request(&self) -> Result<JoinGroupRequest, ClientError> {
        let subscription = wire::ConsumerProtocolSubscription {
            topics: self.topics.iter().map(|t| Str::from(t.as_str())).collect(),
            owned_partitions: by_topic(&self.owned),
            generation_id: if self.owned.is_empty() {
                -1
            } else {
                self.committer.generation
            },
            ..Default::default()
        };
        Ok(JoinGroupRequest {
            group_id: Str::from(self.config.group_id.as_str()),
            session_timeout_ms: millis(self.config.session_timeout),
            rebalance_timeout_ms: millis(self.config.max_poll_interval),
            member_id: Str::from(self.committer.member_id.as_str()),
            group_instance_id: self.config.instance_id.as_deref().map(Str::from),
            protocol_type: Str::from(PROTOCOL_TYPE),
            protocols: vec![JoinGroupRequestProtocol {
                name: Str::from(self.config.assignor.name()),
                metadata: subscription
                    .to_versioned_bytes(SUBSCRIPTION_VERSION)
                    .map_err(|e| ClientError::invalid(e.to_string()))?,
            }],
            ..Default::default()
        })
    }

    async fn partition_counts(
        &self,
        members: &[JoinGroupResponseMember],
    ) -> Result<BTreeMap<String, i32>, ClientError> {
        let mut topics = BTreeSet::new();
        for member in members {
            topics.extend(subscription(member)?.topics);
        }
        let topics: Vec<String> = topics.iter().map(|t| t.to_string()).collect();
        partition_counts(&self.client, &topics).await
    }

    fn assign(
        &self,
        members: &[JoinGroupResponseMember],
        counts: &BTreeMap<String, i32>,
    ) -> Result<Vec<SyncGroupRequestAssignment>, ClientError> {
        let members = members
            .iter()
            .map(|member| {
                let subscription = subscription(member)?;
                Ok(Member {
                    id: member.member_id.to_string(),
                    instance_id: member.group_instance_id.as_deref().map(str::to_owned),
                    topics: subscription.topics.iter().map(|t| t.to_string()).collect(),
                    owned: flatten(&subscription.owned_partitions),
                    generation: subscription.generation_id,
                })
            })
            .collect::<Result<Vec<_>, ClientError>>()?;
        self.config
            .assignor
            .assign(&members, counts)
            .into_iter()
            .map(|(member_id, partitions)| {
                let assignment = wire::ConsumerProtocolAssignment {
                    assigned_partitions: by_topic(&partitions.into_iter().collect()),
                    ..Default::default()
                };
                Ok(SyncGroupRequestAssignment {
                    member_id: Str::from(member_id),
                    assignment: assignment
                        .to_versioned_bytes(ASSIGNMENT_VERSION)
                        .map_err(|e| ClientError::invalid(e.to_string()))?,
                })
            })
            .collect()
    }

    async fn sync(
        &self,
        connection: &Connection,
        joined: &JoinGroupResponse,
        assignments: Vec<SyncGroupRequestAssignment>,
        leads: Option<BTreeMap<String, i32>>,
    ) -> Result<Round, ClientError> {
        let request = SyncGroupRequest {
            group_id: Str::from(self.config.group_id.as_str()),
            generation_id: joined.generation_id,
            member_id: joined.member_id.clone(),
            group_instance_id: self.config.instance_id.as_deref().map(Str::from),
            protocol_type: Some(Str::from(PROTOCOL_TYPE)),
            protocol_name: Some(Str::from(self.config.assignor.name())),
            assignments,
        };
        let synced = connection
            .request_patiently(&request, self.config.max_poll_interval)
            .await?;
        match known_code(synced.error_code) {
            ErrorCode::None => {}
            ErrorCode::RebalanceInProgress => return Ok(Round::Again),
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => {
                return Ok(Round::Forgotten);
            }
            code => {
                let context = format!("syncing with group '{}'", self.config.group_id);
                return Err(ClientError::broker(code, context, None));
            }
        }
        let assigned = if synced.assignment.is_empty() {
            BTreeSet::new()
        } else {
            let assignment =
                wire::ConsumerProtocolAssignment::from_versioned_bytes(synced.assignment)
                    .map_err(|e| ClientError::malformed("the group's leader", e))?;
            flatten(&assignment.assigned_partitions)
                .into_iter()
                .collect()
        };
        Ok(Round::Done { assigned, leads })
    }

    /// Where each partition that is new here begins: at the group's commit, or as configured without one.
    async fn starts(
        &self,
        assigned: &BTreeSet<TopicPartition>,
    ) -> Result<Vec<(TopicPartition, Start)>, ClientError> {
        let added: Vec<TopicPartition> = assigned.difference(&self.owned).cloned().collect();
        if added.is_empty() {
            return Ok(Vec::new());
        }
        let group = &self.config.group_id;
        let committed = self.client.committed_offsets(group, Some(&added)).await?;
        let topics: BTreeSet<&str> = added.iter().map(|tp| tp.topic.as_str()).collect();
        self.client.refresh_topics(topics, false).await?;
        let start = |tp: TopicPartition| {
            let offset = committed.get(&tp).map(|committed| committed.offset);
            let start = offset.map_or(self.config.start, Start::Offset);
            (tp, start)
        };
        Ok(added.into_iter().map(start).collect())
    }
}

enum Round {
    Done {
        assigned: BTreeSet<TopicPartition>,
        leads: Option<BTreeMap<String, i32>>,
    },
    Again,
    Forgotten,
}

/// How many partitions each of the topics has, of those that exist.
pub(super) async fn partition_counts(
    client: &Client,
    topics: &[String],
) -> Result<BTreeMap<String, i32>, ClientError> {
    client
        .refresh_topics(topics.iter().map(String::as_str), false)
        .await?;
    let metadata = client.metadata();
    let count = |name: &String| {
        let partitions = metadata.topic(name)?.partitions.len();
        Some((name.clone(), i32::try_from(partitions).ok()?))
    };
    Ok(topics.iter().filter_map(count).collect())
}

pub(super) fn millis(duration: std::time::Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

fn subscription(
    member: &JoinGroupResponseMember,
) -> Result<wire::ConsumerProtocolSubscription, ClientError> {
    wire::ConsumerProtocolSubscription::from_versioned_bytes(member.metadata.clone()).map_err(|e| {
        ClientError::malformed(format!("member '{}' of the group", member.member_id), e)
    })
}

fn by_topic(partitions: &BTreeSet<TopicPartition>) -> Vec<wire::TopicPartition> {
    let mut topics: Vec<wire::TopicPartition> = Vec::new();
    for tp in partitions {
        match topics.last_mut().filter(|last| *last.topic == *tp.topic) {
            Some(last) => last.partitions.push(tp.partition),
            None => topics.push(wire::TopicPartition {
                topic: Str::from(tp.topic.as_str()),
                partitions: vec![tp.partition],
            }),
        }
    }
    topics
}

fn flatten(topics: &[wire::TopicPartition]) -> Vec<TopicPartition> {
    let partitions = |topic: &wire::TopicPartition| -> Vec<TopicPartition> {
        let of = |partition: &i32| TopicPartition::new(&*topic.topic, *partition);
        topic.partitions.iter().map(of).collect()
    };
    topics.iter().flat_map(partitions).collect()
}
