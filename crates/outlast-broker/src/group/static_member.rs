//! A static member that restarted takes its old place without a rebalance (KIP-345, KIP-814).
//!
//! It comes with its instance id and no member id. It gets a new member id, and whoever still uses
//! the old one is fenced: of two processes with one instance id the later wins.

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::JoinGroupResponse;

use super::join::Join;
use super::rebalance::{Turn, join_error, sync_error};
use super::{GroupState, MemberId};

/// From this version on a leader can be told that it leads and yet must not assign anew (KIP-814).
/// Before, it was told that its predecessor leads, so that it wouldn't try.
const FIRST_VERSION_WITH_SKIP_ASSIGNMENT: i16 = 9;

impl Turn<'_> {
    pub(super) fn replace_static_member(&mut self, join: &Join, old: &MemberId, new: MemberId) {
        let old_leader = self.group.leader().cloned();
        let (parked_join, parked_sync) = self.group.rename_member(old, new.clone());
        if let Some(token) = parked_join {
            self.fx
                .join_reply(token, join_error(old, ErrorCode::FencedInstanceId));
        }
        if let Some(token) = parked_sync {
            self.fx
                .sync_reply(token, sync_error(ErrorCode::FencedInstanceId));
        }
        self.fx.cancel(self.member_key(old));
        self.update_member(join, &new);
        self.restart_session(&new);

        match self.group.state() {
            GroupState::Stable => {
                let unchanged = self.group.select_protocol().as_ref() == self.group.protocol_name();
                if unchanged {
                    self.record_metadata();
                    let response = self.replacement_response(join.version, &new, old_leader);
                    self.fx.join_reply(join.token, response);
                } else {
                    self.park_join(&new, join.token);
                    self.prepare_rebalance("a static member changes the group's protocol");
                }
            }
            // The leader may be assigning to the old id at this moment, so begin again.
            GroupState::CompletingRebalance => {
                self.park_join(&new, join.token);
                self.prepare_rebalance("a static member was replaced while the leader assigned");
            }
            GroupState::PreparingRebalance => {
                self.park_join(&new, join.token);
                self.maybe_complete_join();
            }
            // There is no member to replace in an empty group.
            GroupState::Empty | GroupState::Dead => {
                self.fx
                    .join_reply(join.token, join_error(&new, ErrorCode::UnknownMemberId));
            }
        }
    }

    fn replacement_response(
        &self,
        version: i16,
        id: &MemberId,
        old_leader: Option<MemberId>,
    ) -> JoinGroupResponse {
        let leads = self.group.is_leader(id);
        if version >= FIRST_VERSION_WITH_SKIP_ASSIGNMENT {
            JoinGroupResponse {
                skip_assignment: leads,
                ..self.join_response(id, leads)
            }
        } else {
            JoinGroupResponse {
                leader: old_leader.map(|l| l.wire()).unwrap_or_default(),
                ..self.join_response(id, false)
            }
        }
    }
}
