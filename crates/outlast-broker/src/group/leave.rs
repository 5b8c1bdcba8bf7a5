//! LeaveGroup: members that go, and static members that an administrator removes by instance id.

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::leave_group::{MemberIdentity, MemberResponse};
use outlast_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};
use outlast_records::Timestamp;

use super::rebalance::Turn;
use super::{Effects, GroupId, GroupState, Groups, InstanceId, MemberId, validate_member};

/// From this version on a request names several members, each with its own error (KIP-345).
const FIRST_VERSION_WITH_MEMBERS: i16 = 3;

impl Groups {
    pub fn leave(
        &mut self,
        request: &LeaveGroupRequest,
        version: i16,
        now: Timestamp,
        fx: &mut Effects,
    ) -> LeaveGroupResponse {
        if request.group_id.is_empty() {
            return LeaveGroupResponse {
                error_code: ErrorCode::InvalidGroupId.code(),
                ..LeaveGroupResponse::default()
            };
        }
        let single;
        let leaving = if version >= FIRST_VERSION_WITH_MEMBERS {
            &request.members
        } else {
            single = vec![MemberIdentity {
                member_id: request.member_id.clone(),
                ..MemberIdentity::default()
            }];
            &single
        };
        let errors: Vec<ErrorCode> = match self.turn(&GroupId::new(&request.group_id), now, fx) {
            Some(mut turn) => turn.leave(leaving),
            None => vec![ErrorCode::UnknownMemberId; leaving.len()],
        };
        if version < FIRST_VERSION_WITH_MEMBERS {
            return LeaveGroupResponse {
                error_code: errors.first().map_or(0, |e| e.code()),
                ..LeaveGroupResponse::default()
            };
        }
        let members = leaving.iter().zip(errors);
        LeaveGroupResponse {
            members: members
                .map(|(member, error)| MemberResponse {
                    member_id: member.member_id.clone(),
                    group_instance_id: member.group_instance_id.clone(),
                    error_code: error.code(),
                })
                .collect(),
            ..LeaveGroupResponse::default()
        }
    }
}

impl Turn<'_> {
    fn leave(&mut self, leaving: &[MemberIdentity]) -> Vec<ErrorCode> {
        let members_before = self.group.member_count();
        let errors: Vec<ErrorCode> = leaving
            .iter()
            .map(|member| match self.remove_leaving(member) {
                Ok(()) => ErrorCode::None,
                Err(error) => error,
            })
            .collect();
        // Giving back an id that was never used changes nothing for the others.
        let members_left = self.group.member_count() < members_before;
        match self.group.state() {
            GroupState::Stable | GroupState::CompletingRebalance if members_left => {
                self.prepare_rebalance("members left")
            }
            GroupState::PreparingRebalance => self.maybe_complete_join(),
            _ => {}
        }
        errors
    }

    fn remove_leaving(&mut self, leaving: &MemberIdentity) -> Result<(), ErrorCode> {
        let instance = leaving.group_instance_id.as_ref().map(InstanceId::new);
        let named = MemberId::new(&leaving.member_id);
        let id = if named.is_empty() {
            instance
                .and_then(|instance| self.group.static_member(&instance).cloned())
                .ok_or(ErrorCode::UnknownMemberId)?
        } else {
            if !self.group.pending_joins.contains(&named) {
                validate_member(self.group, &named, instance.as_ref())?;
            }
            named
        };
        self.fx.cancel(self.member_key(&id));
        self.refuse_parked_requests(&id);
        self.group.remove_member(&id);
        Ok(())
    }
}
