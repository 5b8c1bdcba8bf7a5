//! Looking at groups, and deleting them or some of their offsets.

use std::collections::BTreeSet;

use bytes::Bytes;
use outlast_protocol::messages::delete_groups::DeletableGroupResult;
use outlast_protocol::messages::describe_groups::{DescribedGroup, DescribedGroupMember};
use outlast_protocol::messages::list_groups::ListedGroup;
use outlast_protocol::messages::offset_delete::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use outlast_protocol::messages::{ListGroupsRequest, OffsetDeleteRequest, OffsetDeleteResponse};
use outlast_protocol::{ErrorCode, Str};
use outlast_records::Timestamp;
use uuid::Uuid;

use super::{CLASSIC_GROUP_TYPE, Effects, Group, GroupId, GroupState, Groups, InstanceId, Member};

/// From this version on a group that doesn't exist is an error. Before, it is described as dead.
const FIRST_DESCRIBE_VERSION_WITH_NOT_FOUND: i16 = 6;

impl Groups {
    pub fn describe(&self, name: &Str, version: i16) -> DescribedGroup {
        match self.groups.get(&GroupId::new(name)) {
            Some(group) => DescribedGroup {
                group_id: name.clone(),
                group_state: Str::from(group.state().name()),
                protocol_type: group.protocol_type().cloned().unwrap_or_default(),
                protocol_data: stable_protocol(group).cloned().unwrap_or_default(),
                members: group.members().map(|m| described(group, m)).collect(),
                ..DescribedGroup::default()
            },
            None if version >= FIRST_DESCRIBE_VERSION_WITH_NOT_FOUND => DescribedGroup {
                group_id: name.clone(),
                group_state: Str::from(GroupState::Dead.name()),
                error_code: ErrorCode::GroupIdNotFound.code(),
                error_message: Some(Str::from(format!("There is no group {}.", &**name))),
                ..DescribedGroup::default()
            },
            None => DescribedGroup {
                group_id: name.clone(),
                group_state: Str::from(GroupState::Dead.name()),
                ..DescribedGroup::default()
            },
        }
    }

    pub fn list(&self, request: &ListGroupsRequest) -> Vec<ListedGroup> {
        let mut groups = self.list_classic(request);
        groups.extend(self.share_list(request));
        groups
    }

    fn list_classic(&self, request: &ListGroupsRequest) -> Vec<ListedGroup> {
        if !matches(&request.types_filter, CLASSIC_GROUP_TYPE) {
            return Vec::new();
        }
        self.groups
            .values()
            .filter(|group| matches(&request.states_filter, group.state().name()))
            .map(|group| ListedGroup {
                group_id: group.id.wire(),
                protocol_type: group.protocol_type().cloned().unwrap_or_default(),
                group_state: Str::from(group.state().name()),
                group_type: Str::from(CLASSIC_GROUP_TYPE),
            })
            .collect()
    }

    /// Share groups go with [`share_delete`](Groups::share_delete).
    pub fn delete(&mut self, name: &Str, now: Timestamp, fx: &mut Effects) -> DeletableGroupResult {
        let id = GroupId::new(name);
        let error = match self.groups.get(&id).map(Group::state) {
            None => ErrorCode::GroupIdNotFound,
            Some(GroupState::Empty) => {
                self.delete_group(&id, now, fx);
                ErrorCode::None
            }
            Some(_) => ErrorCode::NonEmptyGroup,
        };
        DeletableGroupResult {
            group_id: name.clone(),
            error_code: error.code(),
        }
    }

    /// Topics that the group's consumers are subscribed to keep their offsets.
    pub fn delete_offsets(
        &mut self,
        request: &OffsetDeleteRequest,
        now: Timestamp,
        fx: &mut Effects,
    ) -> OffsetDeleteResponse {
        let error = |error: ErrorCode| OffsetDeleteResponse {
            error_code: error.code(),
            ..OffsetDeleteResponse::default()
        };
        if request.group_id.is_empty() {
            return error(ErrorCode::InvalidGroupId);
        }
        let id = GroupId::new(&request.group_id);
        let Some(group) = self.groups.get(&id) else {
            return error(ErrorCode::GroupIdNotFound);
        };
        // Members of other protocols may use any topic: only they know.
        if group.state() != GroupState::Empty && !group.uses_consumer_protocol() {
            return error(ErrorCode::NonEmptyGroup);
        }
        let kept: BTreeSet<Str> = request
            .topics
            .iter()
            .filter(|topic| group.is_subscribed_to(&topic.name))
            .map(|topic| topic.name.clone())
            .collect();
        let mut response = OffsetDeleteResponse::default();
        for topic in &request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for partition in &topic.partitions {
                let index = partition.partition_index;
                let error = if kept.contains(&topic.name) {
                    ErrorCode::GroupSubscribedToTopic
                } else {
                    self.delete_offset(&id, &topic.name, index, now, fx);
                    ErrorCode::None
                };
                partitions.push(OffsetDeleteResponsePartition {
                    partition_index: index,
                    error_code: error.code(),
                });
            }
            response.topics.push(OffsetDeleteResponseTopic {
                name: topic.name.clone(),
                partitions,
            });
        }
        response
    }

    /// Offsets of a deleted topic go with it. Those for another topic of the same name stay.
    pub fn topic_deleted(&mut self, name: &Str, id: Uuid, now: Timestamp, fx: &mut Effects) {
        let mut gone = Vec::new();
        for group in self.groups.values() {
            for (partition, committed) in group.offsets.topic(name) {
                if committed.is_of(id) {
                    gone.push((group.id.clone(), partition));
                }
            }
        }
        gone.extend(self.pending.of_topic(name, id));
        for (group, partition) in gone {
            self.write_offset(&group, name, partition, None, now, fx);
        }
    }

    fn delete_offset(
        &mut self,
        group: &GroupId,
        topic: &Str,
        partition: i32,
        now: Timestamp,
        fx: &mut Effects,
    ) {
        let existing = self.groups.get(group);
        if existing.is_some_and(|g| g.offsets.get(topic, partition).is_some()) {
            self.write_offset(group, topic, partition, None, now, fx);
        }
    }
}

/// Filters compare without regard to case; an empty one lets everything through.
pub(super) fn matches(filter: &[Str], value: &str) -> bool {
    filter.is_empty() || filter.iter().any(|f| f.trim().eq_ignore_ascii_case(value))
}

/// The metadata of members is only told when everybody agrees on it.
fn stable_protocol(group: &Group) -> Option<&Str> {
    group
        .protocol_name()
        .filter(|_| group.state() == GroupState::Stable)
}

fn described(group: &Group, member: &Member) -> DescribedGroupMember {
    DescribedGroupMember {
        member_id: member.id.wire(),
        group_instance_id: member.instance.as_ref().map(InstanceId::wire),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        member_metadata: match stable_protocol(group) {
            Some(protocol) => member.metadata(Some(protocol)),
            None => Bytes::new(),
        },
        member_assignment: member.assignment.clone(),
    }
}
