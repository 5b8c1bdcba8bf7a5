//! Heartbeat: keeps a member's session alive and tells it that a rebalance has begun.

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::{HeartbeatRequest, HeartbeatResponse};
use outlast_records::Timestamp;

use super::{
    Effects, GenerationId, GroupId, GroupState, Groups, InstanceId, MemberId, validate_member,
};

impl Groups {
    pub fn heartbeat(
        &mut self,
        request: &HeartbeatRequest,
        now: Timestamp,
        fx: &mut Effects,
    ) -> HeartbeatResponse {
        let error = match self.heartbeat_or_error(request, now, fx) {
            Ok(()) => ErrorCode::None,
            Err(error) => error,
        };
        HeartbeatResponse {
            error_code: error.code(),
            ..HeartbeatResponse::default()
        }
    }

    fn heartbeat_or_error(
        &mut self,
        request: &HeartbeatRequest,
        now: Timestamp,
        fx: &mut Effects,
    ) -> Result<(), ErrorCode> {
        if request.group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let mut turn = self
            .turn(&GroupId::new(&request.group_id), now, fx)
            .ok_or(ErrorCode::UnknownMemberId)?;
        let id = MemberId::new(&request.member_id);
        let instance = request.group_instance_id.as_ref().map(InstanceId::new);
        validate_member(turn.group, &id, instance.as_ref())?;
        if GenerationId(request.generation_id) != turn.group.generation() {
            return Err(ErrorCode::IllegalGeneration);
        }
        match turn.group.state() {
            GroupState::Empty | GroupState::Dead => Err(ErrorCode::UnknownMemberId),
            GroupState::PreparingRebalance => {
                turn.restart_session(&id);
                Err(ErrorCode::RebalanceInProgress)
            }
            // Members begin to send heartbeats once they have their join reply.
            GroupState::CompletingRebalance | GroupState::Stable => {
                turn.restart_session(&id);
                Ok(())
            }
        }
    }
}
