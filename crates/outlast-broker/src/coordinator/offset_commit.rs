//! OffsetCommit and OffsetDelete: which of the partitions exist, and then to the group.

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::offset_commit::{
    OffsetCommitRequestTopic, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use outlast_protocol::messages::offset_delete::{
    OffsetDeleteRequestTopic, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use outlast_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse,
};

use super::{GroupCoordinator, TopicFacts, run};
use crate::group::commit_error;

/// From this version on topics are named by their ids (KIP-848).
const FIRST_VERSION_WITH_TOPIC_IDS: i16 = 10;

impl GroupCoordinator {
    pub async fn offset_commit(
        &self,
        mut request: OffsetCommitRequest,
        version: i16,
    ) -> OffsetCommitResponse {
        let asked = std::mem::take(&mut request.topics);
        let mut answers = Vec::with_capacity(asked.len());
        for mut topic in asked {
            let facts = self.resolve(&mut topic, version);
            let mut answer = OffsetCommitResponseTopic {
                name: topic.name.clone(),
                topic_id: topic.topic_id,
                partitions: Vec::with_capacity(topic.partitions.len()),
            };
            topic.partitions.retain(|partition| {
                let error = check_partition(facts, partition.partition_index).err();
                answer.partitions.push(OffsetCommitResponsePartition {
                    partition_index: partition.partition_index,
                    error_code: error.map_or(0, ErrorCode::code),
                });
                error.is_none()
            });
            answers.push(answer);
            if !topic.partitions.is_empty() {
                request.topics.push(topic);
            }
        }
        if !request.topics.is_empty() {
            let committed = self.commit_existing(&request, version).await;
            fill_in(&mut answers, committed);
        }
        OffsetCommitResponse {
            topics: answers,
            ..OffsetCommitResponse::default()
        }
    }

    pub async fn offset_delete(&self, mut request: OffsetDeleteRequest) -> OffsetDeleteResponse {
        let asked = std::mem::take(&mut request.topics);
        let mut unknown = Vec::new();
        for topic in asked {
            let facts = self.topics.by_name(&topic.name);
            let facts = facts.ok_or(ErrorCode::UnknownTopicOrPartition);
            let (known, others): (Vec<_>, Vec<_>) = topic
                .partitions
                .into_iter()
                .partition(|p| check_partition(facts, p.partition_index).is_ok());
            if !others.is_empty() {
                let partition = |index| OffsetDeleteResponsePartition {
                    partition_index: index,
                    error_code: ErrorCode::UnknownTopicOrPartition.code(),
                };
                unknown.push(OffsetDeleteResponseTopic {
                    name: topic.name.clone(),
                    partitions: others
                        .iter()
                        .map(|p| partition(p.partition_index))
                        .collect(),
                });
            }
            if !known.is_empty() {
                request.topics.push(OffsetDeleteRequestTopic {
                    name: topic.name,
                    partitions: known,
                });
            }
        }
        let shard = self.shard(&request.group_id);
        let deleted = run(shard, |groups, now, fx| {
            groups.delete_offsets(&request, now, fx)
        });
        let mut response = deleted.await.unwrap_or_else(|error| OffsetDeleteResponse {
            error_code: error.code().code(),
            ..OffsetDeleteResponse::default()
        });
        // An error of the whole is all that there is to say.
        if response.error_code == ErrorCode::None.code() {
            merge(&mut response.topics, unknown);
        }
        response
    }

    /// Gives the topic the name or id that the request didn't have to say.
    fn resolve(
        &self,
        topic: &mut OffsetCommitRequestTopic,
        version: i16,
    ) -> Result<TopicFacts, ErrorCode> {
        if version >= FIRST_VERSION_WITH_TOPIC_IDS {
            let name = self.topics.name_of(topic.topic_id);
            topic.name = name.ok_or(ErrorCode::UnknownTopicId)?;
        }
        let facts = self.topics.by_name(&topic.name);
        let facts = facts.ok_or(ErrorCode::UnknownTopicOrPartition)?;
        topic.topic_id = facts.id;
        Ok(facts)
    }

    async fn commit_existing(
        &self,
        request: &OffsetCommitRequest,
        version: i16,
    ) -> OffsetCommitResponse {
        let shard = self.shard(&request.group_id);
        run(shard, |groups, now, fx| {
            groups.commit(request, version, now, fx)
        })
        .await
        .unwrap_or_else(|error| commit_error(request, error.code()))
    }
}

pub(super) fn check_partition(
    facts: Result<TopicFacts, ErrorCode>,
    index: i32,
) -> Result<(), ErrorCode> {
    if (0..facts?.partitions).contains(&index) {
        Ok(())
    } else {
        Err(ErrorCode::UnknownTopicOrPartition)
    }
}

/// Puts the group's answers in the places that have no error yet, in order.
fn fill_in(answers: &mut [OffsetCommitResponseTopic], committed: OffsetCommitResponse) {
    let mut committed = committed.topics.into_iter().flat_map(|t| t.partitions);
    let open = answers
        .iter_mut()
        .flat_map(|topic| &mut topic.partitions)
        .filter(|partition| partition.error_code == ErrorCode::None.code());
    for (answer, committed) in open.zip(&mut committed) {
        debug_assert_eq!(answer.partition_index, committed.partition_index);
        answer.error_code = committed.error_code;
    }
}

/// Clients may read the topics into a map: one entry a topic.
fn merge(topics: &mut Vec<OffsetDeleteResponseTopic>, others: Vec<OffsetDeleteResponseTopic>) {
    for other in others {
        match topics.iter_mut().find(|topic| topic.name == other.name) {
            Some(topic) => topic.partitions.extend(other.partitions),
            None => topics.push(other),
        }
    }
}
