//! OffsetCommit: who may commit in which state of the group, and what is kept.

use outlast_protocol::messages::offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use outlast_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};
use outlast_protocol::{ErrorCode, Str};
use outlast_records::{LeaderEpoch, Offset, Timestamp};
use uuid::Uuid;

use super::rebalance::Turn;
use super::{
    CommittedOffset, Effects, GenerationId, Group, GroupId, GroupState, Groups, InstanceId,
    MAX_NAME_BYTES, MemberId, validate_member,
};

/// From this version on a member of a group that doesn't exist is told so. Before, its generation
/// was called illegal.
const FIRST_VERSION_WITH_GROUP_ID_NOT_FOUND: i16 = 9;

impl Groups {
    /// Every topic of the request has both its name and its id: the caller has resolved them.
    pub fn commit(
        &mut self,
        request: &OffsetCommitRequest,
        version: i16,
        now: Timestamp,
        fx: &mut Effects,
    ) -> OffsetCommitResponse {
        let group_id = GroupId::new(&request.group_id);
        if let Err(error) = self.admit_commit(&group_id, request, version, now, fx) {
            return commit_error(request, error);
        }
        let expires_at = match request.retention_time_ms {
            -1 => None,
            retention => Some(Timestamp(now.0.saturating_add(retention))),
        };
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            let name = super::detached(&topic.name);
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for partition in &topic.partitions {
                let error = if self.metadata_too_long(partition.committed_metadata.as_ref()) {
                    ErrorCode::OffsetMetadataTooLarge
                } else {
                    let committed = committed_offset(partition, topic.topic_id, now, expires_at);
                    let value = Some(committed.to_value());
                    let index = partition.partition_index;
                    self.write_offset(&group_id, &name, index, value, now, fx);
                    ErrorCode::None
                };
                partitions.push(OffsetCommitResponsePartition {
                    partition_index: partition.partition_index,
                    error_code: error.code(),
                });
            }
            topics.push(OffsetCommitResponseTopic {
                name: topic.name.clone(),
                topic_id: topic.topic_id,
                partitions,
            });
        }
        OffsetCommitResponse {
            topics,
            ..OffsetCommitResponse::default()
        }
    }

    fn admit_commit(
        &mut self,
        id: &GroupId,
        request: &OffsetCommitRequest,
        version: i16,
        now: Timestamp,
        fx: &mut Effects,
    ) -> Result<(), ErrorCode> {
        if request.group_id.len() > MAX_NAME_BYTES {
            return Err(ErrorCode::InvalidGroupId);
        }
        // What a share group has done is in its queues.
        if self.share_groups.contains_key(id) {
            return Err(ErrorCode::GroupIdNotFound);
        }
        let generation = GenerationId(request.generation_id_or_member_epoch);
        let Some(mut turn) = self.turn(id, now, fx) else {
            return match generation.0 {
                // An administrator, or a consumer that uses Kafka for its offsets alone.
                ..0 => Ok(()),
                _ if version >= FIRST_VERSION_WITH_GROUP_ID_NOT_FOUND => {
                    Err(ErrorCode::GroupIdNotFound)
                }
                _ => Err(ErrorCode::IllegalGeneration),
            };
        };
        let member = MemberId::new(&request.member_id);
        let instance = request.group_instance_id.as_ref().map(InstanceId::new);
        check_commit(turn.group, generation, &member, instance.as_ref())?;
        turn.committed_by(&member);
        Ok(())
    }

    pub(super) fn metadata_too_long(&self, metadata: Option<&Str>) -> bool {
        let most = self.config.offset_metadata_max_bytes;
        // No string has more UTF-16 code units than UTF-8 bytes.
        metadata.is_some_and(|m| m.len() > most && m.encode_utf16().count() > most)
    }
}

impl Turn<'_> {
    /// A commit shows that the member lives, except while it should wait for its assignment.
    fn committed_by(&mut self, member: &MemberId) {
        if matches!(
            self.group.state(),
            GroupState::Stable | GroupState::PreparingRebalance
        ) {
            self.restart_session(member);
        }
    }
}

fn check_commit(
    group: &Group,
    generation: GenerationId,
    member: &MemberId,
    instance: Option<&InstanceId>,
) -> Result<(), ErrorCode> {
    if generation.0 < 0 && group.state() == GroupState::Empty {
        return Ok(());
    }
    if generation.0 < 0 && member.is_empty() && instance.is_none() {
        // From outside of the group, whose members' offsets these are.
        return Err(ErrorCode::UnknownMemberId);
    }
    validate_member(group, member, instance)?;
    if generation != group.generation() {
        return Err(ErrorCode::IllegalGeneration);
    }
    if group.state() == GroupState::CompletingRebalance {
        // The member is up to date but has no assignment yet: what it had is no longer its own.
        return Err(ErrorCode::RebalanceInProgress);
    }
    Ok(())
}

fn committed_offset(
    partition: &OffsetCommitRequestPartition,
    topic_id: Uuid,
    now: Timestamp,
    expires_at: Option<Timestamp>,
) -> CommittedOffset {
    CommittedOffset {
        offset: Offset(partition.committed_offset),
        leader_epoch: LeaderEpoch(partition.committed_leader_epoch),
        metadata: partition.committed_metadata.clone().unwrap_or_default(),
        committed_at: now,
        expires_at,
        // The record version that holds an expiry has no room for the id.
        topic_id: match expires_at {
            Some(_) => Uuid::nil(),
            None => topic_id,
        },
    }
}

/// The same error for every partition.
pub(crate) fn commit_error(
    request: &OffsetCommitRequest,
    error: ErrorCode,
) -> OffsetCommitResponse {
    OffsetCommitResponse {
        topics: request
            .topics
            .iter()
            .map(|topic| OffsetCommitResponseTopic {
                name: topic.name.clone(),
                topic_id: topic.topic_id,
                partitions: topic
                    .partitions
                    .iter()
                    .map(|partition| OffsetCommitResponsePartition {
                        partition_index: partition.partition_index,
                        error_code: error.code(),
                    })
                    .collect(),
            })
            .collect(),
        ..OffsetCommitResponse::default()
    }
}
