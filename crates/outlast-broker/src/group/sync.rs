//! SyncGroup: the leader brings the assignment, everybody takes theirs.

use std::collections::HashMap;

use bytes::Bytes;
use outlast_protocol::messages::{SyncGroupRequest, SyncGroupResponse};
use outlast_protocol::{ErrorCode, Str};
use outlast_records::Timestamp;

use super::rebalance::{Turn, sync_error};
use super::{
    Effects, GenerationId, Group, GroupId, GroupState, Groups, InstanceId, MemberId, RequestToken,
    validate_member,
};

/// From this version on a request must name the protocol type and the protocol (KIP-559).
const FIRST_VERSION_WITH_PROTOCOL: i16 = 5;

impl Groups {
    /// The reply comes through [`Effects`], now or when the leader has sent the assignment.
    pub fn sync(
        &mut self,
        token: RequestToken,
        request: &SyncGroupRequest,
        version: i16,
        now: Timestamp,
        fx: &mut Effects,
    ) {
        let error = self.sync_or_error(token, request, version, now, fx).err();
        if let Some(error) = error {
            fx.sync_reply(token, sync_error(error));
        }
    }

    fn sync_or_error(
        &mut self,
        token: RequestToken,
        request: &SyncGroupRequest,
        version: i16,
        now: Timestamp,
        fx: &mut Effects,
    ) -> Result<(), ErrorCode> {
        let named = request.protocol_type.is_some() && request.protocol_name.is_some();
        if version >= FIRST_VERSION_WITH_PROTOCOL && !named {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        if request.group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let mut turn = self
            .turn(&GroupId::new(&request.group_id), now, fx)
            .ok_or(ErrorCode::UnknownMemberId)?;
        turn.sync(token, request)
    }
}

impl Turn<'_> {
    fn sync(&mut self, token: RequestToken, request: &SyncGroupRequest) -> Result<(), ErrorCode> {
        let id = MemberId::new(&request.member_id);
        check_sync(self.group, &id, request)?;
        match self.group.state() {
            GroupState::Empty | GroupState::Dead => Err(ErrorCode::UnknownMemberId),
            GroupState::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
            GroupState::CompletingRebalance => {
                self.park_sync(&id, token);
                self.group.pending_syncs.remove(&id);
                if self.group.is_leader(&id) {
                    self.assign(request);
                }
                Ok(())
            }
            GroupState::Stable => {
                self.group.pending_syncs.remove(&id);
                let response = self.assignment_of(&id);
                self.fx.sync_reply(token, response);
                Ok(())
            }
        }
    }

    /// The leader's assignment ends the rebalance. A member that it forgot gets an empty one.
    fn assign(&mut self, request: &SyncGroupRequest) {
        let mut assignments: HashMap<&str, &Bytes> = request
            .assignments
            .iter()
            .map(|a| (&*a.member_id, &a.assignment))
            .collect();
        let members = self.group.member_ids();
        for id in &members {
            let assignment = assignments.remove(id.as_str());
            let assignment = assignment.map(|a| Bytes::copy_from_slice(a));
            self.group
                .set_assignment(id, assignment.unwrap_or_default());
        }
        // Recorded with the time of the join phase's end, as the state that the members were told.
        self.record_metadata();
        self.group.enter(GroupState::Stable, self.now);
        for id in members {
            if let Some(token) = self.group.set_awaiting_sync(&id, None) {
                let response = self.assignment_of(&id);
                self.fx.sync_reply(token, response);
                self.restart_session(&id);
            }
        }
    }

    fn assignment_of(&self, id: &MemberId) -> SyncGroupResponse {
        SyncGroupResponse {
            protocol_type: self.group.protocol_type().cloned(),
            protocol_name: self.group.protocol_name().cloned(),
            assignment: self
                .group
                .member(id)
                .map(|m| m.assignment.clone())
                .unwrap_or_default(),
            ..SyncGroupResponse::default()
        }
    }
}

fn check_sync(group: &Group, id: &MemberId, request: &SyncGroupRequest) -> Result<(), ErrorCode> {
    if group.state() == GroupState::Empty {
        return Err(ErrorCode::UnknownMemberId);
    }
    let instance = request.group_instance_id.as_ref().map(InstanceId::new);
    validate_member(group, id, instance.as_ref())?;
    if GenerationId(request.generation_id) != group.generation() {
        return Err(ErrorCode::IllegalGeneration);
    }
    let differs = |named: &Option<Str>, of_group: Option<&Str>| match (named, of_group) {
        (Some(named), Some(of_group)) => named != of_group,
        _ => false,
    };
    if differs(&request.protocol_type, group.protocol_type())
        || differs(&request.protocol_name, group.protocol_name())
    {
        return Err(ErrorCode::InconsistentGroupProtocol);
    }
    Ok(())
}
