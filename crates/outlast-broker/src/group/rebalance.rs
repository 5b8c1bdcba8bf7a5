//! The two phases of a rebalance, and the timers that keep both from waiting for the dead.
//!
//! Join phase: every member's JoinGroup is parked until all have joined again or the longest
//! rebalance timeout has passed; then those who are missing are dropped (static members stay until
//! their session ends), the generation counts up and everybody gets its reply. Sync phase: members
//! wait for the leader's assignment, again no longer than the rebalance timeout.

use std::time::Duration;

use bytes::Bytes;
use outlast_protocol::messages::{JoinGroupResponse, SyncGroupResponse};
use outlast_protocol::{ErrorCode, Str};
use outlast_records::Timestamp;
use tracing::{debug, info};

use super::config::NEW_MEMBER_JOIN_TIMEOUT;
use super::member::{Member, millis};
use super::records::group_metadata_value;
use super::{
    Effects, GenerationId, Group, GroupConfig, GroupRecord, GroupState, MemberId, RequestToken,
    TimerEvent, TimerKey, detached,
};

/// The least time to wait for somebody to join when nobody has. A rebalance timeout of nothing must
/// not make a timer that never rests.
const NOBODY_JOINED_WAIT: Duration = Duration::from_secs(1);

/// One command's turn at one group.
pub(super) struct Turn<'a> {
    pub config: &'a GroupConfig,
    pub group: &'a mut Group,
    pub now: Timestamp,
    pub fx: &'a mut Effects,
}

impl Turn<'_> {
    /// Membership or metadata changed: begin a rebalance, or see whether the one that is under way
    /// has all it waited for.
    pub(super) fn rebalance_or_complete_join(&mut self, reason: &str) {
        if self.group.state().can_rebalance() {
            self.prepare_rebalance(reason);
        } else {
            self.maybe_complete_join();
        }
    }

    pub(super) fn prepare_rebalance(&mut self, reason: &str) {
        if self.group.state() == GroupState::CompletingRebalance {
            self.drop_assignments(ErrorCode::RebalanceInProgress);
        }
        self.group.pending_syncs.clear();
        let first = self.group.state() == GroupState::Empty;
        self.group.enter(GroupState::PreparingRebalance, self.now);
        info!(
            group = %self.group.id,
            generation = %self.group.generation(),
            reason,
            "the group rebalances"
        );
        if first {
            self.begin_initial_delay();
        } else if self.group.has_all_joined() {
            self.complete_join();
        } else {
            self.start_join_timer();
        }
    }

    /// Ends the join phase if nobody is missing. The first join phase of a group ends by its delay.
    pub(super) fn maybe_complete_join(&mut self) {
        if self.group.state() == GroupState::PreparingRebalance
            && self.group.previous_state != GroupState::Empty
            && self.group.has_all_joined()
        {
            self.complete_join();
        }
    }

    /// Ends the join phase with those who have joined.
    pub(super) fn complete_join(&mut self) {
        if self.group.state() != GroupState::PreparingRebalance {
            return;
        }
        self.fx.cancel(self.join_key());
        self.drop_dynamic_members_that_did_not_join();
        if !self.group.elect_joined_leader() && self.group.member_count() > 0 {
            // Only static members are left and none of them is here. Wait on: either one joins, or
            // their sessions end and the group becomes empty.
            let after = millis(self.group.rebalance_timeout_ms()).max(NOBODY_JOINED_WAIT);
            self.fx.start(self.join_key(), after, TimerEvent::JoinDue);
            return;
        }
        self.group.begin_generation(self.now);
        info!(
            group = %self.group.id,
            generation = %self.group.generation(),
            members = self.group.member_count(),
            protocol = self.group.protocol_name().map(|n| &**n),
            "the join phase is over"
        );
        if self.group.state() == GroupState::Empty {
            self.record_metadata();
        } else {
            self.answer_joins();
            let after = millis(self.group.rebalance_timeout_ms());
            let generation = self.group.generation();
            let key = TimerKey::Sync(self.group.id.clone());
            self.fx
                .start(key, after, TimerEvent::SyncDue { generation });
        }
    }

    /// A step of the initial delay is over: wait on if somebody arrived meanwhile.
    pub(super) fn initial_join_due(&mut self, delay: Duration, remaining: Duration) {
        if self.group.state() != GroupState::PreparingRebalance {
            return;
        }
        if !self.group.new_member_added || remaining.is_zero() {
            self.complete_join();
            return;
        }
        self.group.new_member_added = false;
        let next = self.config.initial_rebalance_delay().min(remaining);
        let event = TimerEvent::InitialJoinDue {
            delay: next,
            remaining: remaining.saturating_sub(delay),
        };
        self.fx.start(self.join_key(), next, event);
    }

    /// Members that have not sent SyncGroup in time are dropped, and the rest rebalances. Nothing
    /// cancels this timer: when all have sent it, or a new generation has begun, it does nothing.
    pub(super) fn sync_due(&mut self, generation: GenerationId) {
        let waiting = matches!(
            self.group.state(),
            GroupState::CompletingRebalance | GroupState::Stable
        );
        if generation != self.group.generation() || !waiting || self.group.pending_syncs.is_empty()
        {
            return;
        }
        for member in std::mem::take(&mut self.group.pending_syncs) {
            info!(group = %self.group.id, %member, "dropped: it sent no SyncGroup in time");
            self.fx.cancel(self.member_key(&member));
            self.group.remove_member(&member);
        }
        self.prepare_rebalance("members didn't sync in time");
    }

    /// A member has not been heard of for its session timeout.
    pub(super) fn session_expired(&mut self, id: &MemberId) {
        if self.group.pending_joins.contains(id) {
            debug!(group = %self.group.id, member = %id, "an id that was given out was never used");
            self.group.remove_member(id);
            self.complete_join_if_all_are_there();
            return;
        }
        let Some(member) = self.group.member(id) else {
            return;
        };
        if member.session_is_held() {
            return;
        }
        info!(group = %self.group.id, member = %id, "dropped: its session timed out");
        self.refuse_parked_requests(id);
        self.group.remove_member(id);
        match self.group.state() {
            GroupState::Stable | GroupState::CompletingRebalance => {
                self.prepare_rebalance("a member's session timed out")
            }
            GroupState::PreparingRebalance => self.complete_join_if_all_are_there(),
            GroupState::Empty | GroupState::Dead => {}
        }
    }

    pub(super) fn loaded(&mut self) {
        for id in self.group.member_ids() {
            self.restart_session(&id);
        }
        if self.group.member_count() > self.config.group_max_size {
            self.prepare_rebalance("the group has more members than group.max.size allows");
        }
    }

    /// The member was heard of.
    pub(super) fn restart_session(&mut self, id: &MemberId) {
        if let Some(member) = self.group.member(id) {
            let timeout = member.session_timeout();
            self.start_session(id, timeout);
        }
    }

    pub(super) fn start_session(&mut self, id: &MemberId, timeout: Duration) {
        self.fx
            .start(self.member_key(id), timeout, TimerEvent::SessionExpired);
    }

    /// Takes a member in and parks its join.
    pub(super) fn add_member(&mut self, member: Member, protocol_type: &Str, reason: &str) {
        if self.group.state() == GroupState::PreparingRebalance
            && self.group.previous_state == GroupState::Empty
        {
            self.group.new_member_added = true;
        }
        if self.group.member_count() == 0 {
            self.group.protocol_type = Some(detached(protocol_type));
        }
        let id = member.id.clone();
        self.group.insert_member(member);
        self.start_session(&id, NEW_MEMBER_JOIN_TIMEOUT);
        self.rebalance_or_complete_join(reason);
    }

    /// Answers what a member waits for with an error that makes it join again, before it is removed.
    pub(super) fn refuse_parked_requests(&mut self, id: &MemberId) {
        if let Some(token) = self.group.set_awaiting_join(id, None) {
            let response = join_error(&MemberId::default(), ErrorCode::UnknownMemberId);
            self.fx.join_reply(token, response);
        }
        if let Some(token) = self.group.set_awaiting_sync(id, None) {
            self.fx
                .sync_reply(token, sync_error(ErrorCode::UnknownMemberId));
        }
    }

    /// Parks a join. A request that this member had parked before is answered: nobody may be left
    /// on that connection, but if there is, it must not wait for ever.
    pub(super) fn park_join(&mut self, id: &MemberId, token: RequestToken) {
        if let Some(before) = self.group.set_awaiting_join(id, Some(token)) {
            self.fx
                .join_reply(before, join_error(id, ErrorCode::RebalanceInProgress));
        }
    }

    pub(super) fn park_sync(&mut self, id: &MemberId, token: RequestToken) {
        if let Some(before) = self.group.set_awaiting_sync(id, Some(token)) {
            self.fx
                .sync_reply(before, sync_error(ErrorCode::RebalanceInProgress));
        }
    }

    /// Writes down the group as it is now.
    pub(super) fn record_metadata(&mut self) {
        let value = group_metadata_value(self.group);
        self.group.recorded = Some(value.clone());
        self.fx.records.push(GroupRecord::Metadata {
            group: self.group.id.clone(),
            value: Some(value),
        });
    }

    /// What a member gets that has nothing to wait for.
    pub(super) fn join_response(&self, id: &MemberId, with_members: bool) -> JoinGroupResponse {
        JoinGroupResponse {
            generation_id: self.group.generation().0,
            protocol_type: self.group.protocol_type().cloned(),
            protocol_name: self.group.protocol_name().cloned(),
            leader: self.group.leader().map(MemberId::wire).unwrap_or_default(),
            member_id: id.wire(),
            members: if with_members {
                self.group.join_members()
            } else {
                Vec::new()
            },
            ..JoinGroupResponse::default()
        }
    }

    pub(super) fn member_key(&self, id: &MemberId) -> TimerKey {
        TimerKey::Member(self.group.id.clone(), id.clone())
    }

    pub(super) fn join_key(&self) -> TimerKey {
        TimerKey::Join(self.group.id.clone())
    }

    fn begin_initial_delay(&mut self) {
        let delay = self.config.initial_rebalance_delay();
        if delay.is_zero() {
            self.complete_join();
            return;
        }
        let remaining = millis(self.group.rebalance_timeout_ms()).saturating_sub(delay);
        let event = TimerEvent::InitialJoinDue { delay, remaining };
        self.fx.start(self.join_key(), delay, event);
    }

    fn start_join_timer(&mut self) {
        let after = millis(self.group.rebalance_timeout_ms());
        self.fx.start(self.join_key(), after, TimerEvent::JoinDue);
    }

    /// Unlike [`Turn::maybe_complete_join`] this also ends the first join phase early: those who
    /// are left have nobody to wait for.
    fn complete_join_if_all_are_there(&mut self) {
        if self.group.state() == GroupState::PreparingRebalance && self.group.has_all_joined() {
            self.complete_join();
        }
    }

    fn drop_dynamic_members_that_did_not_join(&mut self) {
        let missing: Vec<MemberId> = self
            .group
            .members()
            .filter(|m| m.awaiting_join.is_none() && !m.is_static())
            .map(|m| m.id.clone())
            .collect();
        for member in missing {
            info!(group = %self.group.id, %member, "dropped: it didn't join again in time");
            self.fx.cancel(self.member_key(&member));
            self.group.remove_member(&member);
        }
    }

    fn answer_joins(&mut self) {
        for id in self.group.member_ids() {
            if let Some(token) = self.group.set_awaiting_join(&id, None) {
                let response = self.join_response(&id, self.group.is_leader(&id));
                self.fx.join_reply(token, response);
            }
            self.restart_session(&id);
            self.group.no_longer_new(&id);
            self.group.pending_syncs.insert(id);
        }
    }

    fn drop_assignments(&mut self, error: ErrorCode) {
        for id in self.group.member_ids() {
            self.group.set_assignment(&id, Bytes::new());
            if let Some(token) = self.group.set_awaiting_sync(&id, None) {
                self.fx.sync_reply(token, sync_error(error));
                self.restart_session(&id);
            }
        }
    }
}

pub(crate) fn join_error(id: &MemberId, error: ErrorCode) -> JoinGroupResponse {
    JoinGroupResponse {
        error_code: error.code(),
        member_id: id.wire(),
        // Versions before 7 can't say null.
        protocol_name: Some(Str::default()),
        ..JoinGroupResponse::default()
    }
}

pub(crate) fn sync_error(error: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse {
        error_code: error.code(),
        ..SyncGroupResponse::default()
    }
}
