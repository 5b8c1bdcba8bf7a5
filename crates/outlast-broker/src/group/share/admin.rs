//! Looking at share groups, and deleting them.

use outlast_protocol::messages::ListGroupsRequest;
use outlast_protocol::messages::list_groups::ListedGroup;
use outlast_protocol::messages::share_group_describe::{
    Assignment as WireAssignment, DescribedGroup, Member, TopicPartitions,
};
use outlast_protocol::{ErrorCode, Str};
use uuid::Uuid;

use super::records::by_topic;
use super::{SHARE_GROUP_TYPE, ShareGroup, ShareGroupState, ShareMember, ShareRecord, assignor};
use crate::group::admin::matches;
use crate::group::{Effects, GroupId, GroupRecord, Groups};

impl Groups {
    pub fn share_group(&self, id: &str) -> Option<&ShareGroup> {
        self.share_groups.get(&GroupId::from(id))
    }

    pub fn share_groups(&self) -> impl Iterator<Item = &ShareGroup> {
        self.share_groups.values()
    }

    /// Topics that are gone are left out of the assignments.
    pub fn share_describe(
        &self,
        name: &Str,
        topic_name: &dyn Fn(Uuid) -> Option<Str>,
    ) -> DescribedGroup {
        match self.share_groups.get(&GroupId::new(name)) {
            Some(group) => DescribedGroup {
                group_id: name.clone(),
                group_state: Str::from_static(group.state().name()),
                group_epoch: group.epoch,
                assignment_epoch: group.target_epoch,
                assignor_name: Str::from_static(assignor::NAME),
                members: group
                    .members()
                    .map(|member| described(member, topic_name))
                    .collect(),
                ..DescribedGroup::default()
            },
            None => DescribedGroup {
                group_id: name.clone(),
                error_code: ErrorCode::GroupIdNotFound.code(),
                error_message: Some(self.why_no_share_group(name)),
                ..DescribedGroup::default()
            },
        }
    }

    pub(in crate::group) fn share_list(&self, request: &ListGroupsRequest) -> Vec<ListedGroup> {
        if !matches(&request.types_filter, SHARE_GROUP_TYPE) {
            return Vec::new();
        }
        self.share_groups
            .values()
            .filter(|group| matches(&request.states_filter, group.state().name()))
            .map(|group| ListedGroup {
                group_id: group.id.wire(),
                protocol_type: Str::from_static(SHARE_GROUP_TYPE),
                group_state: Str::from_static(group.state().name()),
                group_type: Str::from_static(SHARE_GROUP_TYPE),
            })
            .collect()
    }

    /// Whether there is such a group, and nobody in it: what its queues are may be changed.
    pub fn share_check_empty(&self, name: &Str) -> Result<(), (ErrorCode, Str)> {
        match self
            .share_groups
            .get(&GroupId::new(name))
            .map(ShareGroup::state)
        {
            Some(ShareGroupState::Empty) => Ok(()),
            Some(ShareGroupState::Stable) => Err((
                ErrorCode::NonEmptyGroup,
                Str::from(format!("The share group {} has members.", &**name)),
            )),
            None => Err((ErrorCode::GroupIdNotFound, self.why_no_share_group(name))),
        }
    }

    /// Its queues must be gone before: a group that is there for a moment without them is whole, queues without a group
    /// are not.
    pub fn share_delete(&mut self, name: &Str, fx: &mut Effects) -> ErrorCode {
        if let Err((code, _)) = self.share_check_empty(name) {
            return code;
        }
        let group = GroupId::new(name);
        for record in [ShareRecord::Target(None), ShareRecord::Group(None)] {
            self.apply_share(&group, &record);
            let group = group.clone();
            fx.records.push(GroupRecord::Share { group, record });
        }
        ErrorCode::None
    }

    fn why_no_share_group(&self, name: &Str) -> Str {
        let name: &str = name;
        Str::from(match self.group(name) {
            Some(_) => format!("The group {name} is not a share group."),
            None => format!("There is no share group {name}."),
        })
    }
}

fn described(member: &ShareMember, topic_name: &dyn Fn(Uuid) -> Option<Str>) -> Member {
    let assigned = by_topic(&member.assigned).filter_map(|(topic_id, partitions)| {
        Some(TopicPartitions {
            topic_id,
            topic_name: topic_name(topic_id)?,
            partitions,
        })
    });
    Member {
        member_id: member.id.wire(),
        rack_id: member.rack.clone(),
        member_epoch: member.epoch,
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        subscribed_topic_names: member.topics.iter().cloned().collect(),
        assignment: WireAssignment {
            topic_partitions: assigned.collect(),
        },
    }
}
