//! Offsets by time and by group: what a partition's log begins and ends with, where a timestamp is, and what a
//! group has committed. Consumers and administration both stand on these.

use std::collections::{BTreeMap, HashMap};

use outlast_protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use outlast_protocol::messages::offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use outlast_protocol::messages::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use outlast_protocol::messages::{
    ListOffsetsRequest, OffsetCommitRequest, OffsetFetchRequest, OffsetFetchResponse,
};
use outlast_protocol::{ErrorCode, Str};

use crate::cluster::{Client, CoordinatorKind, Lane};
use crate::error::{ClientError, known_code};
use crate::metadata::{BrokerId, TopicPartition};

/// A place in a partition, by name or by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    Earliest,
    Latest,
    /// The record with the highest timestamp.
    MaxTimestamp,
    /// The first record at or after this time, in milliseconds since the Unix epoch.
    Timestamp(i64),
}

impl OffsetSpec {
    fn code(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
            Self::MaxTimestamp => -3,
            Self::Timestamp(ms) => ms,
        }
    }
}

/// An answer to an [`OffsetSpec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    /// `None` when no record is that young.
    pub offset: Option<i64>,
    pub timestamp: Option<i64>,
}

/// What a group has committed for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    pub offset: i64,
    pub leader_epoch: i32,
    pub metadata: String,
}

/// Who commits: a member in its generation, or nobody in particular (administration, or a reader without group
/// management).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committer {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub generation: i32,
}

impl Committer {
    pub fn outside() -> Self {
        Self {
            generation: -1,
            ..Self::default()
        }
    }
}

/// The last versions that name topics by name: offsets are kept by name.
const COMMIT_BY_NAME: i16 = 9;
const FETCH_BY_NAME: i16 = 9;

/// A result for each partition asked for.
pub type PerPartition<T> = HashMap<TopicPartition, Result<T, ClientError>>;

impl Client {
    /// Asks the leaders; repeats what is retriable. Every partition asked for is in the result.
    pub async fn list_offsets(
        &self,
        specs: &[(TopicPartition, OffsetSpec)],
    ) -> Result<PerPartition<ListedOffset>, ClientError> {
        let mut results: PerPartition<ListedOffset> = HashMap::new();
        let mut attempts = 0;
        loop {
            let open: Vec<_> = specs
                .iter()
                .filter(|(tp, _)| match results.get(tp) {
                    None => true,
                    Some(Err(error)) => error.retriable(),
                    Some(Ok(_)) => false,
                })
                .cloned()
                .collect();
            if open.is_empty() || attempts > 5 {
                return Ok(results);
            }
            if attempts > 0 {
                tokio::time::sleep(self.config().backoff.jittered(attempts)).await;
                let names: std::collections::BTreeSet<&str> =
                    open.iter().map(|(tp, _)| tp.topic.as_str()).collect();
                self.refresh_topics(names, false).await?;
            }
            attempts += 1;
            results.extend(self.list_offsets_once(&open).await?);
        }
    }

    pub(crate) async fn list_offsets_once(
        &self,
        specs: &[(TopicPartition, OffsetSpec)],
    ) -> Result<PerPartition<ListedOffset>, ClientError> {
        let metadata = self.metadata();
        let unknown: std::collections::BTreeSet<&str> = specs
            .iter()
            .filter(|(tp, _)| metadata.leader(&tp.topic, tp.partition).is_none())
            .map(|(tp, _)| tp.topic.as_str())
            .collect();
        if !unknown.is_empty() {
            self.refresh_topics(unknown, false).await?;
        }
        let metadata = self.metadata();
        let mut results: PerPartition<ListedOffset> = HashMap::new();
        let mut by_leader: BTreeMap<BrokerId, Vec<&(TopicPartition, OffsetSpec)>> = BTreeMap::new();
        for spec in specs {
            let tp = &spec.0;
            match metadata.leader(&tp.topic, tp.partition) {
                Some(leader) => by_leader.entry(leader).or_default().push(spec),
                None => {
                    let code = if metadata.topic(&tp.topic).is_some() {
                        ErrorCode::LeaderNotAvailable
                    } else {
                        ErrorCode::UnknownTopicOrPartition
                    };
                    let error = ClientError::broker(code, format!("offsets of {tp}"), None);
                    results.insert(tp.clone(), Err(error));
                }
            }
        }
        for (leader, specs) in by_leader {
            match self.list_offsets_at(leader, &specs).await {
                Ok(listed) => results.extend(listed),
                Err(error) => {
                    results.extend(specs.iter().map(|(tp, _)| (tp.clone(), Err(error.clone()))))
                }
            }
        }
        Ok(results)
    }

    async fn list_offsets_at(
        &self,
        leader: BrokerId,
        specs: &[&(TopicPartition, OffsetSpec)],
    ) -> Result<PerPartition<ListedOffset>, ClientError> {
        let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
        for (tp, spec) in specs {
            topics
                .entry(&tp.topic)
                .or_default()
                .push(ListOffsetsPartition {
                    partition_index: tp.partition,
                    timestamp: spec.code(),
                    ..Default::default()
                });
        }
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: topics
                .into_iter()
                .map(|(name, partitions)| ListOffsetsTopic {
                    name: Str::from(name),
                    partitions,
                })
                .collect(),
            timeout_ms: self.request_timeout_ms(),
            ..Default::default()
        };
        let response = self.request(leader, &request).await?;
        let mut results = HashMap::new();
        for topic in response.topics {
            for partition in topic.partitions {
                let tp = TopicPartition::new(&*topic.name, partition.partition_index);
                let result =
                    ClientError::check(partition.error_code, || format!("offsets of {tp}"), None)
                        .map(|()| ListedOffset {
                            offset: (partition.offset >= 0).then_some(partition.offset),
                            timestamp: (partition.timestamp >= 0).then_some(partition.timestamp),
                        });
                results.insert(tp, result);
            }
        }
        for (tp, _) in specs {
            results.entry(tp.clone()).or_insert_with(|| {
                Err(ClientError::malformed(
                    format!("broker {}", leader.0),
                    format!("it left out the offsets of {tp}"),
                ))
            });
        }
        Ok(results)
    }

    /// What a group has committed, of `partitions` or of everything. Partitions without a commit are left out.
    pub async fn committed_offsets(
        &self,
        group: &str,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<BTreeMap<TopicPartition, CommittedOffset>, ClientError> {
        self.retrying(|| async move {
            let result = self.committed_offsets_once(group, partitions).await;
            result.inspect_err(|error| self.doubt_coordinator(group, error))
        })
        .await
    }

    async fn committed_offsets_once(
        &self,
        group: &str,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<BTreeMap<TopicPartition, CommittedOffset>, ClientError> {
        let coordinator = self.coordinator(CoordinatorKind::Group, group).await?;
        let connection = self.connection(coordinator, Lane::Control).await?;
        let version = connection
            .versions()
            .pick::<OffsetFetchRequest>(FETCH_BY_NAME)?;
        let by_topic = partitions.map(|partitions| {
            let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
            for tp in partitions {
                topics.entry(&tp.topic).or_default().push(tp.partition);
            }
            topics
        });
        let mut request = OffsetFetchRequest {
            require_stable: version >= 7,
            ..Default::default()
        };
        if version >= 8 {
            request.groups.push(OffsetFetchRequestGroup {
                group_id: Str::from(group),
                topics: by_topic.map(|topics| {
                    let topic = |(name, partition_indexes)| OffsetFetchRequestTopics {
                        name: Str::from(name),
                        partition_indexes,
                        ..Default::default()
                    };
                    topics.into_iter().map(topic).collect()
                }),
                ..Default::default()
            });
        } else {
            request.group_id = Str::from(group);
            request.topics = by_topic.map(|topics| {
                let topic = |(name, partition_indexes)| OffsetFetchRequestTopic {
                    name: Str::from(name),
                    partition_indexes,
                };
                topics.into_iter().map(topic).collect()
            });
        }
        let response = connection
            .start(&request, FETCH_BY_NAME)?
            .response()
            .await?;
        committed(group, response)
    }

    /// Commits what a group has processed. A result for each partition.
    pub async fn commit_offsets(
        &self,
        group: &str,
        committer: &Committer,
        offsets: &BTreeMap<TopicPartition, i64>,
    ) -> Result<PerPartition<()>, ClientError> {
        self.retrying(|| async move {
            let result = self.commit_offsets_once(group, committer, offsets).await;
            result.inspect_err(|error| self.doubt_coordinator(group, error))
        })
        .await
    }

    async fn commit_offsets_once(
        &self,
        group: &str,
        committer: &Committer,
        offsets: &BTreeMap<TopicPartition, i64>,
    ) -> Result<PerPartition<()>, ClientError> {
        let coordinator = self.coordinator(CoordinatorKind::Group, group).await?;
        let connection = self.connection(coordinator, Lane::Control).await?;
        let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
        for (tp, offset) in offsets {
            topics
                .entry(&tp.topic)
                .or_default()
                .push(OffsetCommitRequestPartition {
                    partition_index: tp.partition,
                    committed_offset: *offset,
                    committed_metadata: Some(Str::default()),
                    ..Default::default()
                });
        }
        let request = OffsetCommitRequest {
            group_id: Str::from(group),
            generation_id_or_member_epoch: committer.generation,
            member_id: Str::from(committer.member_id.as_str()),
            group_instance_id: committer.instance_id.as_deref().map(Str::from),
            topics: topics
                .into_iter()
                .map(|(name, partitions)| OffsetCommitRequestTopic {
                    name: Str::from(name),
                    partitions,
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        };
        let response = connection
            .start(&request, COMMIT_BY_NAME)?
            .response()
            .await?;
        let mut results = HashMap::new();
        for topic in response.topics {
            for partition in topic.partitions {
                let tp = TopicPartition::new(&*topic.name, partition.partition_index);
                let result = ClientError::check(
                    partition.error_code,
                    || format!("committing {tp} for group '{group}'"),
                    None,
                );
                // The group moved or is loading: the whole commit is repeated.
                if let Err(error) = &result
                    && is_coordinator_trouble(known_code(partition.error_code))
                {
                    return Err(error.clone());
                }
                results.insert(tp, result);
            }
        }
        Ok(results)
    }

    pub(crate) fn request_timeout_ms(&self) -> i32 {
        i32::try_from(self.config().request_timeout.as_millis()).unwrap_or(i32::MAX)
    }
}

/// Errors of the coordinator as a whole that go away by themselves or by asking for the coordinator again.
pub(crate) fn is_coordinator_trouble(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::NotCoordinator
    )
}

fn committed(
    group: &str,
    response: OffsetFetchResponse,
) -> Result<BTreeMap<TopicPartition, CommittedOffset>, ClientError> {
    let context = || format!("committed offsets of group '{group}'");
    ClientError::check(response.error_code, context, None)?;
    let old = response.topics.into_iter().flat_map(|topic| {
        topic.partitions.into_iter().map(move |p| {
            let tp = TopicPartition::new(&*topic.name, p.partition_index);
            (
                tp,
                p.error_code,
                p.committed_offset,
                p.committed_leader_epoch,
                p.metadata,
            )
        })
    });
    let mut found: Vec<_> = old.collect();
    for answer in response.groups {
        ClientError::check(answer.error_code, context, None)?;
        for topic in answer.topics {
            for p in topic.partitions {
                let tp = TopicPartition::new(&*topic.name, p.partition_index);
                found.push((
                    tp,
                    p.error_code,
                    p.committed_offset,
                    p.committed_leader_epoch,
                    p.metadata,
                ));
            }
        }
    }
    let mut offsets = BTreeMap::new();
    for (tp, error_code, offset, leader_epoch, metadata) in found {
        ClientError::check(error_code, || format!("committed offset of {tp}"), None)?;
        if offset >= 0 {
            let metadata = metadata.as_deref().unwrap_or_default().to_owned();
            offsets.insert(
                tp,
                CommittedOffset {
                    offset,
                    leader_epoch,
                    metadata,
                },
            );
        }
    }
    Ok(offsets)
}
