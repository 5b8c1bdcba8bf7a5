//! The state of one classic group and the bookkeeping that keeps its parts consistent.
//!
//! Nothing here decides anything: when to rebalance and what to answer is in `join`, `rebalance`,
//! `sync` and their neighbours. Membership changes only through the methods of this file, because
//! four indexes follow it: static members, votes per protocol, parked joins and the leader.

use std::collections::{BTreeMap, BTreeSet};

use outlast_protocol::Str;
use outlast_protocol::messages::join_group::{JoinGroupRequestProtocol, JoinGroupResponseMember};
use outlast_protocol::records::group::GroupMetadataValue;
use outlast_records::Timestamp;

use super::member::{Member, MemberProtocol};
use super::offsets::Offsets;
use super::subscription::{CONSUMER_PROTOCOL_TYPE, subscribed_topics};
use super::{GenerationId, GroupId, InstanceId, MemberId, RequestToken};

#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub enum GroupState {
    /// No members. The group exists for its committed offsets, or because somebody is joining.
    Empty,
    /// The join phase: joins are parked until every member has joined or time is up.
    PreparingRebalance,
    /// Members know the generation and wait for the leader's assignment.
    CompletingRebalance,
    Stable,
    /// Never held by a group here: it is how a group that doesn't exist is described.
    Dead,
}

impl GroupState {
    /// The name in DescribeGroups and ListGroups.
    pub fn name(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Stable => "Stable",
            GroupState::Dead => "Dead",
        }
    }

    pub(super) fn can_rebalance(self) -> bool {
        match self {
            GroupState::Empty | GroupState::CompletingRebalance | GroupState::Stable => true,
            GroupState::PreparingRebalance | GroupState::Dead => false,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Group {
    pub(super) id: GroupId,
    state: GroupState,
    pub(super) previous_state: GroupState,
    /// When the group entered its state; none for a group from an old record without it.
    state_since: Option<Timestamp>,
    generation: GenerationId,
    pub(super) protocol_type: Option<Str>,
    protocol_name: Option<Str>,
    /// A member of the group, whenever there are members.
    leader: Option<MemberId>,
    members: BTreeMap<MemberId, Member>,
    static_members: BTreeMap<InstanceId, MemberId>,
    /// How many members support each protocol.
    supporters: BTreeMap<Str, usize>,
    awaiting_joins: usize,
    /// Ids that were given out (KIP-394) and have not joined yet.
    pub(super) pending_joins: BTreeSet<MemberId>,
    /// Members of this generation that have not sent SyncGroup yet.
    pub(super) pending_syncs: BTreeSet<MemberId>,
    /// Known for a consumer group in a generation whose metadata could be read.
    subscribed_topics: Option<BTreeSet<Str>>,
    /// A member joined during the initial delay, which is then extended.
    pub(super) new_member_added: bool,
    pub(super) offsets: Offsets,
    /// The newest record of this group, durable or on its way; what a restart would bring back.
    pub(super) recorded: Option<GroupMetadataValue>,
}

impl Group {
    pub(super) fn new(id: GroupId, now: Timestamp) -> Group {
        Group {
            id,
            state: GroupState::Empty,
            previous_state: GroupState::Dead,
            state_since: Some(now),
            generation: GenerationId(0),
            protocol_type: None,
            protocol_name: None,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            supporters: BTreeMap::new(),
            awaiting_joins: 0,
            pending_joins: BTreeSet::new(),
            pending_syncs: BTreeSet::new(),
            subscribed_topics: None,
            new_member_added: false,
            offsets: Offsets::default(),
            recorded: None,
        }
    }

    pub fn id(&self) -> &GroupId {
        &self.id
    }

    pub fn state(&self) -> GroupState {
        self.state
    }

    pub fn generation(&self) -> GenerationId {
        self.generation
    }

    pub fn protocol_type(&self) -> Option<&Str> {
        self.protocol_type.as_ref()
    }

    pub fn protocol_name(&self) -> Option<&Str> {
        self.protocol_name.as_ref()
    }

    pub fn leader(&self) -> Option<&MemberId> {
        self.leader.as_ref()
    }

    pub fn is_leader(&self, member: &MemberId) -> bool {
        self.leader.as_ref() == Some(member)
    }

    pub fn members(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.members.values()
    }

    pub fn member_count(&self) -> usize {
        self.members.len()
    }

    pub fn member(&self, id: &MemberId) -> Option<&Member> {
        self.members.get(id)
    }

    pub fn static_member(&self, instance: &InstanceId) -> Option<&MemberId> {
        self.static_members.get(instance)
    }

    pub fn offsets(&self) -> &Offsets {
        &self.offsets
    }

    pub(super) fn state_since(&self) -> Option<Timestamp> {
        self.state_since
    }

    pub(super) fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL_TYPE)
    }

    pub(super) fn knows_subscription(&self) -> bool {
        self.subscribed_topics.is_some()
    }

    /// A consumer group whose topics are not known (yet) counts as subscribed to all of them: that
    /// protects its offsets from deletion and expiry.
    pub(super) fn is_subscribed_to(&self, topic: &Str) -> bool {
        match &self.subscribed_topics {
            Some(topics) => topics.contains(topic),
            None => self.uses_consumer_protocol(),
        }
    }

    pub(super) fn enter(&mut self, state: GroupState, now: Timestamp) {
        debug_assert!(
            matches!(
                (self.state, state),
                (GroupState::PreparingRebalance, GroupState::Empty)
                    | (
                        GroupState::PreparingRebalance,
                        GroupState::CompletingRebalance
                    )
                    | (GroupState::CompletingRebalance, GroupState::Stable)
                    | (
                        GroupState::Empty | GroupState::CompletingRebalance | GroupState::Stable,
                        GroupState::PreparingRebalance
                    )
            ),
            "{} can't follow {} in group {}",
            state.name(),
            self.state.name(),
            self.id
        );
        self.previous_state = self.state;
        self.state = state;
        self.state_since = Some(now);
    }

    pub(super) fn insert_member(&mut self, member: Member) {
        debug_assert!(!self.members.contains_key(&member.id));
        if self.members.is_empty() {
            self.supporters.clear();
        }
        if let Some(instance) = &member.instance {
            self.static_members
                .insert(instance.clone(), member.id.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(member.id.clone());
        }
        self.count_protocols(&member.protocols);
        self.awaiting_joins += usize::from(member.awaiting_join.is_some());
        self.pending_joins.remove(&member.id);
        self.members.insert(member.id.clone(), member);
    }

    /// Forgets a member, or an id that was given out and has not joined. Leadership passes on.
    pub(super) fn remove_member(&mut self, id: &MemberId) -> Option<Member> {
        let removed = self.members.remove(id);
        if let Some(member) = &removed {
            self.uncount_protocols(&member.protocols);
            self.awaiting_joins -= usize::from(member.awaiting_join.is_some());
            if let Some(instance) = &member.instance {
                self.static_members.remove(instance);
            }
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.pending_joins.remove(id);
        self.pending_syncs.remove(id);
        removed
    }

    /// Gives a static member a new id and returns what waited under the old one.
    pub(super) fn rename_member(
        &mut self,
        old: &MemberId,
        new: MemberId,
    ) -> (Option<RequestToken>, Option<RequestToken>) {
        let Some(mut member) = self.members.remove(old) else {
            return (None, None);
        };
        let join = member.awaiting_join.take();
        let sync = member.awaiting_sync.take();
        self.awaiting_joins -= usize::from(join.is_some());
        member.id = new.clone();
        member.is_new = false;
        if let Some(instance) = &member.instance {
            self.static_members.insert(instance.clone(), new.clone());
        }
        if self.is_leader(old) {
            self.leader = Some(new.clone());
        }
        self.pending_syncs.remove(old);
        self.members.insert(new, member);
        (join, sync)
    }

    pub(super) fn set_protocols(&mut self, id: &MemberId, protocols: Vec<MemberProtocol>) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        let old = std::mem::replace(&mut member.protocols, protocols.clone());
        self.uncount_protocols(&old);
        self.count_protocols(&protocols);
    }

    pub(super) fn set_timeouts(&mut self, id: &MemberId, rebalance_ms: i32, session_ms: i32) {
        if let Some(member) = self.members.get_mut(id) {
            member.rebalance_timeout_ms = rebalance_ms;
            member.session_timeout_ms = session_ms;
        }
    }

    /// Parks or unparks a member's join; returns the request that was parked before.
    pub(super) fn set_awaiting_join(
        &mut self,
        id: &MemberId,
        token: Option<RequestToken>,
    ) -> Option<RequestToken> {
        let member = self.members.get_mut(id)?;
        let before = std::mem::replace(&mut member.awaiting_join, token);
        self.awaiting_joins += usize::from(token.is_some());
        self.awaiting_joins -= usize::from(before.is_some());
        before
    }

    pub(super) fn set_awaiting_sync(
        &mut self,
        id: &MemberId,
        token: Option<RequestToken>,
    ) -> Option<RequestToken> {
        let member = self.members.get_mut(id)?;
        std::mem::replace(&mut member.awaiting_sync, token)
    }

    pub(super) fn set_assignment(&mut self, id: &MemberId, assignment: bytes::Bytes) {
        if let Some(member) = self.members.get_mut(id) {
            member.assignment = assignment;
        }
    }

    pub(super) fn no_longer_new(&mut self, id: &MemberId) {
        if let Some(member) = self.members.get_mut(id) {
            member.is_new = false;
        }
    }

    pub(super) fn member_ids(&self) -> Vec<MemberId> {
        self.members.keys().cloned().collect()
    }

    pub(super) fn awaiting_joins(&self) -> usize {
        self.awaiting_joins
    }

    pub(super) fn has_all_joined(&self) -> bool {
        self.awaiting_joins == self.members.len() && self.pending_joins.is_empty()
    }

    /// The longest rebalance timeout of any member.
    pub(super) fn rebalance_timeout_ms(&self) -> i32 {
        self.members
            .values()
            .map(|m| m.rebalance_timeout_ms)
            .max()
            .unwrap_or(0)
    }

    /// Whether a member that offers these protocols can be in the group: some protocol must be
    /// supported by everybody.
    pub(super) fn can_take(
        &self,
        protocol_type: &Str,
        offered: &[JoinGroupRequestProtocol],
    ) -> bool {
        if self.state == GroupState::Empty {
            return !protocol_type.is_empty() && !offered.is_empty();
        }
        self.protocol_type.as_ref() == Some(protocol_type)
            && offered
                .iter()
                .any(|p| self.supporters.get(&p.name) == Some(&self.members.len()))
    }

    /// The protocol of the next generation: among those that all members support, the one that most
    /// members prefer. Equal votes go to the first by name, so that the choice can be repeated.
    pub(super) fn select_protocol(&self) -> Option<Str> {
        let everybody = self.members.len();
        let candidates: BTreeSet<&Str> = self
            .supporters
            .iter()
            .filter(|(_, count)| **count == everybody)
            .map(|(name, _)| name)
            .collect();
        let mut votes: BTreeMap<&Str, usize> = BTreeMap::new();
        for vote in self.members.values().filter_map(|m| m.vote(&candidates)) {
            *votes.entry(vote).or_default() += 1;
        }
        let mut elected: Option<(&Str, usize)> = None;
        for (name, count) in votes {
            if elected.is_none_or(|(_, most)| count > most) {
                elected = Some((name, count));
            }
        }
        elected.map(|(name, _)| name.clone())
    }

    /// If the leader has not joined again, leadership goes to a member that has. False if nobody
    /// has, so that there is no generation to begin.
    pub(super) fn elect_joined_leader(&mut self) -> bool {
        let joined = |m: &&Member| m.awaiting_join.is_some();
        let leader = self.leader.as_ref().and_then(|id| self.members.get(id));
        if leader.as_ref().is_some_and(joined) {
            return true;
        }
        match self.members.values().find(joined) {
            Some(member) => {
                self.leader = Some(member.id.clone());
                true
            }
            None => false,
        }
    }

    /// Begins the next generation with the members that there are: none make the group empty.
    pub(super) fn begin_generation(&mut self, now: Timestamp) {
        // A group that has lived through 2³¹ generations starts over; −1 must never be reached.
        self.generation = GenerationId(self.generation.0.checked_add(1).unwrap_or(0));
        self.protocol_name = self.select_protocol();
        self.refresh_subscription();
        self.pending_syncs.clear();
        let next = if self.members.is_empty() {
            GroupState::Empty
        } else {
            GroupState::CompletingRebalance
        };
        self.enter(next, now);
    }

    /// The members as the leader gets them in its join reply.
    pub(super) fn join_members(&self) -> Vec<JoinGroupResponseMember> {
        self.members
            .values()
            .map(|member| JoinGroupResponseMember {
                member_id: member.id.wire(),
                group_instance_id: member.instance.as_ref().map(InstanceId::wire),
                metadata: member.metadata(self.protocol_name.as_ref()),
            })
            .collect()
    }

    /// Takes over what a record says, keeping the offsets.
    pub(super) fn restore(&mut self, value: GroupMetadataValue, members: Vec<Member>) {
        self.members.clear();
        self.static_members.clear();
        self.supporters.clear();
        self.awaiting_joins = 0;
        self.pending_joins.clear();
        self.pending_syncs.clear();
        self.new_member_added = false;
        self.leader = value.leader.as_ref().map(MemberId::new);
        for member in members {
            // No record of ours names anybody twice, but the log is bytes from outside.
            let instance = member.instance.as_ref();
            let twice = self.members.contains_key(&member.id)
                || instance.is_some_and(|i| self.static_members.contains_key(i));
            if !twice {
                self.insert_member(member);
            }
        }
        // A record that names a leader who is no member would leave the group without one.
        let known = |id: &MemberId| self.members.contains_key(id);
        if !self.leader.as_ref().is_some_and(known) {
            self.leader = self.members.keys().next().cloned();
        }
        self.state = if self.members.is_empty() {
            GroupState::Empty
        } else {
            GroupState::Stable
        };
        self.previous_state = GroupState::Dead;
        self.generation = GenerationId(value.generation);
        self.protocol_type = Some(value.protocol_type.clone()).filter(|t| !t.is_empty());
        self.protocol_name = value.protocol.clone();
        self.state_since = Some(Timestamp(value.current_state_timestamp)).filter(|t| t.0 != -1);
        self.refresh_subscription();
        self.recorded = Some(value);
    }

    /// Learns the topics from the members' metadata. With no members that is no topics at all, which
    /// lets the offsets of a group that everybody left be deleted.
    fn refresh_subscription(&mut self) {
        self.subscribed_topics = self.read_subscription();
    }

    fn read_subscription(&self) -> Option<BTreeSet<Str>> {
        if !self.uses_consumer_protocol() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol_name.as_ref()?;
        let mut all = BTreeSet::new();
        for member in self.members.values() {
            all.append(&mut subscribed_topics(member.metadata(Some(protocol)))?);
        }
        Some(all)
    }

    fn count_protocols(&mut self, protocols: &[MemberProtocol]) {
        for protocol in protocols {
            *self.supporters.entry(protocol.name.clone()).or_default() += 1;
        }
    }

    fn uncount_protocols(&mut self, protocols: &[MemberProtocol]) {
        for protocol in protocols {
            if let Some(count) = self.supporters.get_mut(&protocol.name) {
                *count -= 1;
                if *count == 0 {
                    self.supporters.remove(&protocol.name);
                }
            }
        }
    }

    /// Recomputes every index and compares: for tests.
    #[cfg(test)]
    pub(super) fn assert_consistent(&self) {
        let awaiting = self.members.values().filter(|m| m.awaiting_join.is_some());
        assert_eq!(awaiting.count(), self.awaiting_joins);
        let mut supporters: BTreeMap<Str, usize> = BTreeMap::new();
        for protocol in self.members.values().flat_map(|m| &m.protocols) {
            *supporters.entry(protocol.name.clone()).or_default() += 1;
        }
        assert_eq!(supporters, self.supporters);
        let mut instances = BTreeMap::new();
        for member in self.members.values() {
            if let Some(instance) = &member.instance {
                assert!(
                    instances
                        .insert(instance.clone(), member.id.clone())
                        .is_none()
                );
            }
        }
        assert_eq!(instances, self.static_members);
        match &self.leader {
            Some(leader) => assert!(self.members.contains_key(leader), "leader is a member"),
            None => assert!(self.members.is_empty(), "members without a leader"),
        }
        assert!(
            self.pending_syncs
                .iter()
                .all(|id| self.members.contains_key(id))
        );
        assert!(
            self.pending_joins
                .iter()
                .all(|id| !self.members.contains_key(id))
        );
        if self.state == GroupState::Empty {
            assert!(self.members.is_empty());
        }
        if self.state == GroupState::Stable || self.state == GroupState::CompletingRebalance {
            assert!(
                self.awaiting_joins == 0,
                "join parked in {}",
                self.state.name()
            );
        }
    }
}
