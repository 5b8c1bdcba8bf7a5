//! OffsetFetch: one group up to version 7, several from 8 on, topics by id from 10 on.
//!
//! An offset is shown when it is durable. With `require_stable`, one that an open transaction is about to
//! replace is not shown either.

use outlast_protocol::messages::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponseGroup,
    OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use outlast_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse};
use outlast_protocol::{ErrorCode, Str};

use super::GroupCoordinator;
use super::shard::{Shard, ShardError, Ticket};
use crate::group::{GroupId, NO_OFFSET};

const FIRST_VERSION_WITH_GROUPS: i16 = 8;
/// Before, an error of the whole is said of every partition.
const FIRST_VERSION_WITH_GROUP_ERROR: i16 = 2;
const FIRST_VERSION_WITH_TOPIC_IDS: i16 = 10;

impl GroupCoordinator {
    pub async fn offset_fetch(
        &self,
        request: OffsetFetchRequest,
        version: i16,
    ) -> OffsetFetchResponse {
        if version >= FIRST_VERSION_WITH_GROUPS {
            return OffsetFetchResponse {
                groups: self
                    .fetch_groups(request.groups, request.require_stable, version)
                    .await,
                ..OffsetFetchResponse::default()
            };
        }
        let require_stable = request.require_stable;
        let group = single_group(request);
        let mut fetched = self
            .fetch_groups(vec![group], require_stable, version)
            .await;
        fetched.pop().map(single_response).unwrap_or_default()
    }

    /// All groups are looked at before the first await, so that they show one moment.
    async fn fetch_groups(
        &self,
        groups: Vec<OffsetFetchRequestGroup>,
        require_stable: bool,
        version: i16,
    ) -> Vec<OffsetFetchResponseGroup> {
        let looks: Vec<_> = groups
            .into_iter()
            .map(|group| {
                let shard = self.shard(&group.group_id);
                let looked = self.look(shard, &group, require_stable, version);
                (shard, group, looked)
            })
            .collect();
        let mut responses = Vec::with_capacity(looks.len());
        for (shard, group, looked) in looks {
            let durable = match looked {
                Ok((topics, ticket)) => shard.durable(ticket).await.map(|()| topics),
                Err(error) => Err(error),
            };
            responses.push(match durable {
                Ok(topics) => OffsetFetchResponseGroup {
                    group_id: group.group_id,
                    topics,
                    ..OffsetFetchResponseGroup::default()
                },
                Err(error) => group_error(group, error.code(), version),
            });
        }
        responses
    }

    fn look(
        &self,
        shard: &Shard,
        group: &OffsetFetchRequestGroup,
        require_stable: bool,
        version: i16,
    ) -> Result<(Vec<OffsetFetchResponseTopics>, Ticket), ShardError> {
        let id = GroupId::new(&group.group_id);
        let Some(topics) = &group.topics else {
            let current_id = |name: &Str| Some(self.topics.by_name(name)?.id);
            let (mut topics, ticket) =
                shard.run(|groups, _, _| groups.fetch_all(&id, current_id, require_stable))?;
            if version >= FIRST_VERSION_WITH_TOPIC_IDS {
                // Without an id there is no way to say which topic.
                topics.retain(|topic| !topic.topic_id.is_nil());
            }
            return Ok((topics, ticket));
        };
        let mut known = Vec::with_capacity(topics.len());
        let mut unknown = Vec::new();
        for topic in topics {
            match self.resolve_for_fetch(topic, version) {
                Some(topic) => known.push(topic),
                None => unknown.push(topic_error(topic, ErrorCode::UnknownTopicId)),
            }
        }
        let (mut fetched, ticket) =
            shard.run(|groups, _, _| groups.fetch(&id, &known, require_stable))?;
        fetched.append(&mut unknown);
        Ok((fetched, ticket))
    }

    fn resolve_for_fetch(
        &self,
        topic: &OffsetFetchRequestTopics,
        version: i16,
    ) -> Option<OffsetFetchRequestTopics> {
        let mut topic = topic.clone();
        if version >= FIRST_VERSION_WITH_TOPIC_IDS {
            topic.name = self.topics.name_of(topic.topic_id)?;
        } else {
            // A topic that is gone may still have offsets, until they are deleted.
            let facts = self.topics.by_name(&topic.name);
            topic.topic_id = facts.map(|facts| facts.id).unwrap_or_default();
        }
        Some(topic)
    }
}

/// An old request in the form of the new ones.
fn single_group(request: OffsetFetchRequest) -> OffsetFetchRequestGroup {
    let topics = request.topics.map(|topics| {
        topics
            .into_iter()
            .map(|topic| OffsetFetchRequestTopics {
                name: topic.name,
                partition_indexes: topic.partition_indexes,
                ..OffsetFetchRequestTopics::default()
            })
            .collect()
    });
    OffsetFetchRequestGroup {
        group_id: request.group_id,
        topics,
        ..OffsetFetchRequestGroup::default()
    }
}

fn single_response(group: OffsetFetchResponseGroup) -> OffsetFetchResponse {
    let partition = |p: OffsetFetchResponsePartitions| OffsetFetchResponsePartition {
        partition_index: p.partition_index,
        committed_offset: p.committed_offset,
        committed_leader_epoch: p.committed_leader_epoch,
        metadata: p.metadata,
        error_code: p.error_code,
    };
    OffsetFetchResponse {
        topics: group
            .topics
            .into_iter()
            .map(|topic| OffsetFetchResponseTopic {
                name: topic.name,
                partitions: topic.partitions.into_iter().map(partition).collect(),
            })
            .collect(),
        error_code: group.error_code,
        ..OffsetFetchResponse::default()
    }
}

fn group_error(
    group: OffsetFetchRequestGroup,
    error: ErrorCode,
    version: i16,
) -> OffsetFetchResponseGroup {
    if version >= FIRST_VERSION_WITH_GROUP_ERROR {
        return OffsetFetchResponseGroup {
            group_id: group.group_id,
            error_code: error.code(),
            ..OffsetFetchResponseGroup::default()
        };
    }
    let topics = group.topics.unwrap_or_default();
    OffsetFetchResponseGroup {
        topics: topics
            .iter()
            .map(|topic| topic_error(topic, error))
            .collect(),
        group_id: group.group_id,
        ..OffsetFetchResponseGroup::default()
    }
}

fn topic_error(topic: &OffsetFetchRequestTopics, error: ErrorCode) -> OffsetFetchResponseTopics {
    OffsetFetchResponseTopics {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: topic
            .partition_indexes
            .iter()
            .map(|index| OffsetFetchResponsePartitions {
                partition_index: *index,
                committed_offset: NO_OFFSET,
                metadata: Some(Str::default()),
                error_code: error.code(),
                ..OffsetFetchResponsePartitions::default()
            })
            .collect(),
    }
}
