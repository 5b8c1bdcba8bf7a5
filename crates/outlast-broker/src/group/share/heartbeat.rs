//! ShareGroupHeartbeat: a member joins (epoch 0), shows that it lives, learns its partitions, or leaves (epoch −1); and
//! what becomes of one that is silent.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher as _;
use std::time::Duration;

use outlast_protocol::messages::share_group_heartbeat::{
    Assignment as WireAssignment, TopicPartitions,
};
use outlast_protocol::messages::{ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse};
use outlast_protocol::records::{ShareGroupMetadataValue, ShareGroupTargetAssignmentMetadataValue};
use outlast_protocol::{ErrorCode, Str};
use outlast_records::Timestamp;
use twox_hash::XxHash3_64;
use uuid::Uuid;

use super::records::{by_topic, target_record};
use super::{Assignment, ShareGroup, ShareMember, ShareRecord, assignor};
use crate::error::ApiError;
use crate::group::{
    Departure, Effects, GroupConfig, GroupId, GroupRecord, Groups, MAX_NAME_BYTES, MemberId,
    TimerEvent, TimerKey, detached,
};
use crate::group_config::ShareSettings;

const JOIN: i32 = 0;
const LEAVE: i32 = -1;

/// The longest subscription in bytes of topic names. A record must have room for it.
const MAX_SUBSCRIPTION_BYTES: usize = 256 * 1024;

/// After a restart every member has this long to show itself: the built-in session timeout, for what is configured for a
/// group isn't known before somebody asks. A member must be heard of more often than that whatever is configured.
const SESSION_AFTER_RESTART: Duration = Duration::from_secs(45);

/// A topic as members subscribe to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribedTopic {
    pub id: Uuid,
    pub partitions: i32,
}

/// A ShareGroupHeartbeat and all that it needs to be decided.
pub struct ShareHeartbeat<'a> {
    pub request: &'a ShareGroupHeartbeatRequest,
    pub client_id: &'a Str,
    /// Kafka's form: a slash and the address.
    pub client_host: &'a Str,
    pub settings: &'a ShareSettings,
    /// The topics that there are at this moment.
    pub topics: &'a (dyn Fn(&str) -> Option<SubscribedTopic> + Sync),
}

impl Groups {
    pub fn share_heartbeat(
        &mut self,
        heartbeat: &ShareHeartbeat<'_>,
        now: Timestamp,
        fx: &mut Effects,
    ) -> Result<ShareGroupHeartbeatResponse, ApiError> {
        let request = heartbeat.request;
        check(request)?;
        let id = GroupId::new(&request.group_id);
        let member = MemberId::new(&request.member_id);
        if self.groups.contains_key(&id) {
            let message = format!("group {id} is not a share group");
            return Err(ApiError::new(ErrorCode::GroupIdNotFound, message));
        }
        if request.member_epoch != JOIN && !self.share_groups.contains_key(&id) {
            let message = format!("there is no share group {id}");
            return Err(ApiError::new(ErrorCode::GroupIdNotFound, message));
        }
        let config = self.config.clone();
        let group = self
            .share_groups
            .entry(id.clone())
            .or_insert_with(|| ShareGroup::new(id));
        let mut turn = ShareTurn {
            config: &config,
            group,
            now,
            fx,
        };
        if request.member_epoch == LEAVE {
            turn.leave(&member)
        } else {
            turn.heartbeat(heartbeat, &member)
        }
    }

    /// A group without members, for its queues: for those who work without being members, and for offsets that are set
    /// before anybody joins.
    pub fn share_create(&mut self, name: &Str, fx: &mut Effects) -> Result<(), ErrorCode> {
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(ErrorCode::InvalidGroupId);
        }
        let id = GroupId::new(name);
        if self.groups.contains_key(&id) {
            return Err(ErrorCode::GroupIdNotFound);
        }
        if !self.share_groups.contains_key(&id) {
            let record = ShareRecord::Group(Some(ShareGroupMetadataValue::default()));
            self.apply_share(&id, &record);
            fx.records.push(GroupRecord::Share { group: id, record });
        }
        Ok(())
    }

    pub(in crate::group) fn share_session_expired(
        &mut self,
        id: &GroupId,
        member: &MemberId,
        now: Timestamp,
        fx: &mut Effects,
    ) {
        let config = self.config.clone();
        let Some(group) = self.share_groups.get_mut(id) else {
            return;
        };
        if group.member(member).is_some() {
            tracing::info!(group = %id, %member, "a share group member was not heard of for too long");
            let mut turn = ShareTurn {
                config: &config,
                group,
                now,
                fx,
            };
            turn.remove_member(member, false);
        }
    }

    pub(in crate::group) fn share_loaded(&self, fx: &mut Effects) {
        for group in self.share_groups.values() {
            for member in group.members.keys() {
                let key = TimerKey::Member(group.id.clone(), member.clone());
                fx.start(key, SESSION_AFTER_RESTART, TimerEvent::SessionExpired);
            }
        }
    }
}

/// The rules that need no group. The member id has been checked by the handler.
fn check(request: &ShareGroupHeartbeatRequest) -> Result<(), ApiError> {
    let invalid = |message: &str| Err(ApiError::new(ErrorCode::InvalidRequest, message));
    let topics = request.subscribed_topic_names.as_deref();
    let bytes: usize = topics
        .unwrap_or_default()
        .iter()
        .map(|name| name.len() + 3)
        .sum();
    let rack = request.rack_id.as_ref();
    if request.group_id.trim().is_empty() {
        invalid("the group id must not be empty")
    } else if request.group_id.len() > MAX_NAME_BYTES {
        Err(ErrorCode::InvalidGroupId.into())
    } else if rack.is_some_and(|rack| rack.trim().is_empty() || rack.len() > MAX_NAME_BYTES) {
        invalid("a rack id must not be empty or longer than 32,000 bytes")
    } else if request.member_epoch < LEAVE {
        invalid("the member epoch is less than -1")
    } else if request.member_epoch == JOIN && topics.is_none_or(<[Str]>::is_empty) {
        invalid("a member names the topics that it subscribes to when it joins")
    } else if bytes > MAX_SUBSCRIPTION_BYTES {
        invalid("the names of the subscribed topics are more than 262,144 bytes long")
    } else {
        Ok(())
    }
}

/// One group during one command.
struct ShareTurn<'a> {
    config: &'a GroupConfig,
    group: &'a mut ShareGroup,
    now: Timestamp,
    fx: &'a mut Effects,
}

impl ShareTurn<'_> {
    fn heartbeat(
        &mut self,
        heartbeat: &ShareHeartbeat<'_>,
        id: &MemberId,
    ) -> Result<ShareGroupHeartbeatResponse, ApiError> {
        let request = heartbeat.request;
        self.admit(id, request.member_epoch)?;
        let before = self.group.member(id).cloned();
        let resubscribed = self.update_member(heartbeat, id);
        let topics = self.subscribed_topics(heartbeat.topics);
        let hash = metadata_hash(&topics);
        let bumped = resubscribed || hash != self.group.metadata_hash;
        if bumped {
            self.bump_epoch(hash);
        }
        self.assign_if_due(&topics, heartbeat.settings);
        self.reconcile(id, bumped, &topics);
        self.start_session(id, heartbeat.settings.session_timeout);

        let after = self.group.member(id).ok_or(ErrorCode::UnknownMemberId)?;
        // A member that sends a full request may have forgotten what it had. One with an older epoch has not heard what
        // it was told last.
        let asks = request.subscribed_topic_names.is_some() || request.member_epoch != after.epoch;
        let had = before.map(|before| before.assigned).unwrap_or_default();
        Ok(ShareGroupHeartbeatResponse {
            member_id: Some(id.wire()),
            member_epoch: after.epoch,
            heartbeat_interval_ms: millis(self.next_heartbeat(heartbeat.settings)),
            assignment: (asks || had != after.assigned).then(|| wire(&after.assigned)),
            ..ShareGroupHeartbeatResponse::default()
        })
    }

    fn leave(&mut self, id: &MemberId) -> Result<ShareGroupHeartbeatResponse, ApiError> {
        if self.group.member(id).is_none() {
            return Err(self.unknown_member(id));
        }
        self.remove_member(id, true);
        Ok(ShareGroupHeartbeatResponse {
            member_id: Some(id.wire()),
            member_epoch: LEAVE,
            ..ShareGroupHeartbeatResponse::default()
        })
    }

    /// Whether the member may be in the group with this epoch.
    fn admit(&self, id: &MemberId, epoch: i32) -> Result<(), ApiError> {
        let member = self.group.member(id);
        let most = self.config.share_group_max_size;
        if member.is_none() && self.group.members.len() >= most {
            let message = format!("group {} has {most} members already", self.group.id);
            return Err(ApiError::new(ErrorCode::GroupMaxSizeReached, message));
        }
        match member {
            // Somebody who starts anew, whatever we remember of it.
            _ if epoch == JOIN => Ok(()),
            None => Err(self.unknown_member(id)),
            // With the previous epoch the answer with the newer one was lost.
            Some(member) if epoch == member.epoch || epoch == member.previous_epoch => Ok(()),
            Some(member) => {
                let current = member.epoch;
                let message =
                    format!("member {id} has epoch {current}, not {epoch}: it must join again");
                Err(ApiError::new(ErrorCode::FencedMemberEpoch, message))
            }
        }
    }

    fn unknown_member(&self, id: &MemberId) -> ApiError {
        let message = format!("{id} is not a member of group {}", self.group.id);
        ApiError::new(ErrorCode::UnknownMemberId, message)
    }

    /// Takes over what the request says. Whether the member is new or subscribes to other topics than before.
    fn update_member(&mut self, heartbeat: &ShareHeartbeat<'_>, id: &MemberId) -> bool {
        let request = heartbeat.request;
        let before = self.group.member(id);
        let mut member = before
            .cloned()
            .unwrap_or_else(|| ShareMember::new(id.clone()));
        if let Some(rack) = &request.rack_id {
            member.rack = Some(detached(rack));
        }
        member.client_id = detached(heartbeat.client_id);
        member.client_host = detached(heartbeat.client_host);
        if let Some(topics) = &request.subscribed_topic_names {
            member.topics = topics.iter().map(detached).collect();
        }
        let resubscribed = before.is_none_or(|before| before.topics != member.topics);
        if before != Some(&member) {
            self.emit(member.record());
        }
        resubscribed
    }

    /// The topics that anybody subscribes to and that exist.
    fn subscribed_topics(
        &self,
        lookup: &dyn Fn(&str) -> Option<SubscribedTopic>,
    ) -> BTreeMap<Str, SubscribedTopic> {
        let members = self.group.members.values();
        let names: BTreeSet<&Str> = members.flat_map(|member| &member.topics).collect();
        names
            .into_iter()
            .filter_map(|name| Some((name.clone(), lookup(name)?)))
            .collect()
    }

    fn bump_epoch(&mut self, metadata_hash: i64) {
        // A group that has lived through 2³¹ changes starts over; −1 must never be reached.
        let epoch = self.group.epoch.checked_add(1).unwrap_or(1);
        self.emit(ShareRecord::Group(Some(ShareGroupMetadataValue {
            epoch,
            metadata_hash,
        })));
    }

    fn assign_if_due(&mut self, topics: &BTreeMap<Str, SubscribedTopic>, settings: &ShareSettings) {
        if self.group.target_epoch == self.group.epoch || !self.until_assignment(settings).is_zero()
        {
            return;
        }
        let members = self
            .group
            .members
            .values()
            .map(|member| (member.id.clone(), topic_ids(member, topics)))
            .collect();
        let partitions = topics
            .values()
            .map(|topic| (topic.id, topic.partitions))
            .collect();
        let target = assignor::assign(&members, &partitions, &self.group.target);
        for (member, assignment) in &target {
            if self.group.target.get(member) != Some(assignment) {
                self.emit(target_record(member, assignment));
            }
        }
        let epoch = self.group.epoch;
        self.emit(ShareRecord::Target(Some(
            ShareGroupTargetAssignmentMetadataValue {
                assignment_epoch: epoch,
                assignment_timestamp: self.now.0,
            },
        )));
    }

    /// How long the next assignment has to wait. A wall clock that went back makes nobody wait.
    fn until_assignment(&self, settings: &ShareSettings) -> Duration {
        let Some(since) = self.group.target_since else {
            return Duration::ZERO;
        };
        match u64::try_from(self.now.0.saturating_sub(since.0)) {
            Ok(passed) => settings
                .assignment_interval
                .saturating_sub(Duration::from_millis(passed)),
            Err(_) => Duration::ZERO,
        }
    }

    /// A member that waits for an assignment comes back when it may be made.
    fn next_heartbeat(&self, settings: &ShareSettings) -> Duration {
        if self.group.target_epoch == self.group.epoch {
            return settings.heartbeat_interval;
        }
        self.until_assignment(settings)
            .max(Duration::from_millis(1))
            .min(settings.heartbeat_interval)
    }

    /// Brings the member to the target, less the topics that it has left since.
    fn reconcile(
        &mut self,
        id: &MemberId,
        resubscribed: bool,
        topics: &BTreeMap<Str, SubscribedTopic>,
    ) {
        let target_epoch = self.group.target_epoch;
        let Some(before) = self.group.member(id) else {
            return;
        };
        if before.epoch == target_epoch && !resubscribed {
            return;
        }
        let mut member = before.clone();
        let subscribed = topic_ids(before, topics);
        member.assigned = self.group.target_of(id);
        member
            .assigned
            .retain(|topic, _| subscribed.contains(topic));
        if member.epoch != target_epoch {
            member.previous_epoch = member.epoch;
            member.epoch = target_epoch;
        }
        if member != *before {
            let record = member.assignment_record();
            self.emit(record);
        }
    }

    /// The assignment without the member is made when one of the others is next heard of.
    fn remove_member(&mut self, id: &MemberId, left: bool) {
        self.emit(ShareRecord::MemberAssignment(id.clone(), None));
        self.emit(ShareRecord::MemberTarget(id.clone(), None));
        self.emit(ShareRecord::Member(id.clone(), None));
        self.bump_epoch(self.group.metadata_hash);
        let key = TimerKey::Member(self.group.id.clone(), id.clone());
        self.fx.cancel(key);
        self.fx.departed.push(Departure {
            group: self.group.id.clone(),
            member: id.clone(),
            left,
        });
    }

    fn start_session(&mut self, id: &MemberId, timeout: Duration) {
        let key = TimerKey::Member(self.group.id.clone(), id.clone());
        self.fx.start(key, timeout, TimerEvent::SessionExpired);
    }

    fn emit(&mut self, record: ShareRecord) {
        self.group.apply(&record);
        self.fx.records.push(GroupRecord::Share {
            group: self.group.id.clone(),
            record,
        });
    }
}

fn topic_ids(member: &ShareMember, topics: &BTreeMap<Str, SubscribedTopic>) -> BTreeSet<Uuid> {
    let known = member.topics.iter().filter_map(|name| topics.get(name));
    known.map(|topic| topic.id).collect()
}

/// Tells whether the topics are the same as before, also after a restart.
fn metadata_hash(topics: &BTreeMap<Str, SubscribedTopic>) -> i64 {
    if topics.is_empty() {
        return 0;
    }
    let mut hasher = XxHash3_64::new();
    for (name, topic) in topics {
        hasher.write(&(name.len() as u64).to_be_bytes());
        hasher.write(name.as_bytes());
        hasher.write(topic.id.as_bytes());
        hasher.write(&topic.partitions.to_be_bytes());
    }
    hasher.finish() as i64
}

fn wire(assignment: &Assignment) -> WireAssignment {
    WireAssignment {
        topic_partitions: by_topic(assignment)
            .map(|(topic_id, partitions)| TopicPartitions {
                topic_id,
                partitions,
            })
            .collect(),
    }
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
