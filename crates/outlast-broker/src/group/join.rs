//! JoinGroup: who gets in, who must come back with an id, and who can be answered at once.

use outlast_protocol::messages::JoinGroupRequest;
use outlast_protocol::{ErrorCode, Str};
use outlast_records::Timestamp;
use uuid::Uuid;

use super::member::{Member, member_protocols, millis};
use super::rebalance::{Turn, join_error};
use super::records::empty_group_metadata_value;
use super::{
    Effects, GroupId, GroupRecord, GroupState, Groups, InstanceId, MAX_NAME_BYTES, MemberId,
    RequestToken, detached, validate_member,
};

/// From this version on, a dynamic member gets its id first and joins with it (KIP-394), so that a
/// client that gives up and tries again doesn't leave a member behind each time.
const FIRST_VERSION_WITH_MEMBER_ID_REQUIRED: i16 = 4;

/// A JoinGroup and all that it needs to be decided.
#[derive(Debug)]
pub struct Join {
    pub token: RequestToken,
    pub version: i16,
    pub client_id: Str,
    /// Kafka's form: a slash and the address.
    pub client_host: Str,
    /// Makes the id of the member that this request may create.
    pub fresh: Uuid,
    pub request: JoinGroupRequest,
}

impl Groups {
    /// The reply comes through [`Effects`], now or when the join phase ends.
    pub fn join(&mut self, mut join: Join, now: Timestamp, fx: &mut Effects) {
        let request = &mut join.request;
        // Version 0 has no rebalance timeout; its session timeout stands for both.
        if request.rebalance_timeout_ms < 0 {
            request.rebalance_timeout_ms = request.session_timeout_ms;
        }
        if let Err(error) = self.check_join(&join) {
            let id = MemberId::new(&join.request.member_id);
            fx.join_reply(join.token, join_error(&id, error));
            return;
        }
        let group_id = GroupId::new(&join.request.group_id);
        let member_id = MemberId::new(&join.request.member_id);
        if self.share_groups.contains_key(&group_id) {
            let error = ErrorCode::InconsistentGroupProtocol;
            fx.join_reply(join.token, join_error(&MemberId::default(), error));
            return;
        }
        let exists = self.groups.contains_key(&group_id);
        if !exists && !member_id.is_empty() {
            fx.join_reply(
                join.token,
                join_error(&member_id, ErrorCode::UnknownMemberId),
            );
            return;
        }

        let mut turn = self.turn_or_new(&group_id, now, fx);
        turn.join(&join, &member_id);
        // A group that somebody has been told an id for exists, even if nobody has joined yet; one
        // whose only request was refused does not.
        let group = turn.group;
        if group.member_count() == 0 && group.pending_joins.is_empty() && !exists {
            self.groups.remove(&group_id);
        } else if group.recorded.is_none() {
            let value = empty_group_metadata_value(group);
            group.recorded = Some(value.clone());
            fx.records.push(GroupRecord::Metadata {
                group: group_id,
                value: Some(value),
            });
        }
    }

    fn check_join(&self, join: &Join) -> Result<(), ErrorCode> {
        let request = &join.request;
        let config = &self.config;
        let allowed = config.group_min_session_timeout_ms..=config.group_max_session_timeout_ms;
        let instance = request.group_instance_id.as_ref();
        let names = [&join.client_id, &request.protocol_type]
            .into_iter()
            .chain(instance)
            .chain(request.protocols.iter().map(|p| &p.name));
        if request.group_id.is_empty() || request.group_id.len() > MAX_NAME_BYTES {
            Err(ErrorCode::InvalidGroupId)
        } else if !allowed.contains(&request.session_timeout_ms) {
            Err(ErrorCode::InvalidSessionTimeout)
        } else if names.into_iter().any(|name| name.len() > MAX_NAME_BYTES) {
            Err(ErrorCode::InvalidRequest)
        } else {
            Ok(())
        }
    }
}

impl Turn<'_> {
    fn join(&mut self, join: &Join, member_id: &MemberId) {
        let request = &join.request;
        if !self.has_room_for(member_id) {
            self.refuse_parked_requests(member_id);
            self.group.remove_member(member_id);
            self.fx.cancel(self.member_key(member_id));
            self.refuse(join, &MemberId::default(), ErrorCode::GroupMaxSizeReached);
            self.maybe_complete_join();
        } else if !self
            .group
            .can_take(&request.protocol_type, &request.protocols)
        {
            self.refuse(join, member_id, ErrorCode::InconsistentGroupProtocol);
        } else if member_id.is_empty() {
            self.join_anew(join);
        } else if self.group.pending_joins.contains(member_id) {
            if request.group_instance_id.is_some() {
                // Ids are only given in advance to dynamic members.
                self.refuse(join, member_id, ErrorCode::UnknownMemberId);
            } else {
                self.add_member_for(join, member_id.clone());
            }
        } else {
            self.join_again(join, member_id);
        }
    }

    /// A client without a member id: a new member, or a static one that restarted.
    fn join_anew(&mut self, join: &Join) {
        let request = &join.request;
        let Some(instance) = request.group_instance_id.as_ref() else {
            let id = MemberId::from(format!("{}-{}", &*join.client_id, join.fresh).as_str());
            if join.version < FIRST_VERSION_WITH_MEMBER_ID_REQUIRED {
                self.add_member_for(join, id);
            } else {
                self.group.pending_joins.insert(id.clone());
                self.start_session(&id, millis(request.session_timeout_ms));
                self.refuse(join, &id, ErrorCode::MemberIdRequired);
            }
            return;
        };
        let id = MemberId::from(format!("{}-{}", &**instance, join.fresh).as_str());
        match self.group.static_member(&InstanceId::new(instance)) {
            Some(old) => {
                let old = old.clone();
                self.replace_static_member(join, &old, id);
            }
            None => self.add_member_for(join, id),
        }
    }

    fn join_again(&mut self, join: &Join, id: &MemberId) {
        let request = &join.request;
        let instance = request.group_instance_id.as_ref().map(InstanceId::new);
        if let Err(error) = validate_member(self.group, id, instance.as_ref()) {
            self.refuse(join, id, error);
            return;
        }
        let same_metadata = self
            .group
            .member(id)
            .is_some_and(|m| m.protocols == member_protocols(&request.protocols));
        let leads = self.group.is_leader(id);
        match self.group.state() {
            GroupState::PreparingRebalance => self.rejoin(join, id, "a member joined again"),
            // It may not have got the reply to its first join; give it again.
            GroupState::CompletingRebalance if same_metadata => {
                let response = self.join_response(id, leads);
                self.fx.join_reply(join.token, response);
            }
            // The leader may have seen a change that its metadata doesn't show: new partitions.
            GroupState::Stable if leads => self.rejoin(join, id, "the leader joined again"),
            // Nothing changed: SyncGroup will give it its assignment.
            GroupState::Stable if same_metadata => {
                let response = self.join_response(id, false);
                self.fx.join_reply(join.token, response);
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.rejoin(join, id, "a member's metadata changed")
            }
            GroupState::Empty | GroupState::Dead => {
                self.refuse(join, id, ErrorCode::UnknownMemberId)
            }
        }
    }

    fn rejoin(&mut self, join: &Join, id: &MemberId, reason: &str) {
        self.update_member(join, id);
        self.park_join(id, join.token);
        self.rebalance_or_complete_join(reason);
    }

    /// Takes over what the request says about the member.
    pub(super) fn update_member(&mut self, join: &Join, id: &MemberId) {
        let request = &join.request;
        self.group
            .set_protocols(id, member_protocols(&request.protocols));
        self.group
            .set_timeouts(id, request.rebalance_timeout_ms, request.session_timeout_ms);
    }

    fn add_member_for(&mut self, join: &Join, id: MemberId) {
        let request = &join.request;
        let member = Member {
            id,
            instance: request.group_instance_id.as_ref().map(InstanceId::new),
            client_id: detached(&join.client_id),
            client_host: detached(&join.client_host),
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            protocols: member_protocols(&request.protocols),
            assignment: bytes::Bytes::new(),
            awaiting_join: Some(join.token),
            awaiting_sync: None,
            is_new: true,
        };
        self.add_member(member, &request.protocol_type, "a member joined");
    }

    /// Whether `group.max.size` leaves room. In the join phase those count who have joined, so that
    /// a group over its size loses the members that come last.
    fn has_room_for(&self, id: &MemberId) -> bool {
        let member = self.group.member(id);
        match self.group.state() {
            GroupState::Empty | GroupState::Dead => true,
            GroupState::PreparingRebalance => {
                member.is_some_and(|m| m.awaiting_join.is_some())
                    || self.group.awaiting_joins() < self.config.group_max_size
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                member.is_some() || self.group.member_count() < self.config.group_max_size
            }
        }
    }

    fn refuse(&mut self, join: &Join, id: &MemberId, error: ErrorCode) {
        self.fx.join_reply(join.token, join_error(id, error));
    }
}
