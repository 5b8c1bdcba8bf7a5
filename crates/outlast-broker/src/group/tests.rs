//! Drives the state machine as the coordinator does, with a clock that the test turns.
//!
//! After every command the harness checks two things that must always hold: the group's indexes fit
//! together, and replaying all records written so far gives what a snapshot of the state gives.

mod administration;
mod expiring;
mod heartbeats;
mod joins;
mod leaving;
mod offset_commits;
mod property;
mod rebalances;
mod record_formats;
mod static_members;
mod syncs;
mod transactions;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use outlast_protocol::messages::join_group::JoinGroupRequestProtocol;
use outlast_protocol::messages::leave_group::MemberIdentity;
use outlast_protocol::messages::offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use outlast_protocol::messages::sync_group::SyncGroupRequestAssignment;
use outlast_protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
    OffsetCommitRequest, SyncGroupRequest, SyncGroupResponse,
};
use outlast_protocol::{ErrorCode, Str};
use outlast_records::Timestamp;
use uuid::Uuid;

use super::*;
use crate::shard::Form;

const GROUP: &str = "group";
const TOPIC: &str = "topic";
const TOPIC_ID: Uuid = Uuid::from_u128(7);
const REBALANCE_MS: i32 = 60_000;
const SESSION_MS: i32 = 10_000;
const BEGIN: Timestamp = Timestamp(1_000_000_000);

struct Harness {
    groups: Groups,
    config: Arc<GroupConfig>,
    now: Timestamp,
    issued: u64,
    records: Vec<GroupRecord>,
    joins: BTreeMap<RequestToken, JoinGroupResponse>,
    syncs: BTreeMap<RequestToken, SyncGroupResponse>,
    timers: BTreeMap<TimerKey, (i64, TimerEvent)>,
    fired: usize,
}

impl Harness {
    fn new() -> Harness {
        Harness::with(GroupConfig::default())
    }

    fn with(config: GroupConfig) -> Harness {
        let config = Arc::new(config);
        Harness {
            groups: Groups::new(Arc::clone(&config)),
            config,
            now: BEGIN,
            issued: 0,
            records: Vec::new(),
            joins: BTreeMap::new(),
            syncs: BTreeMap::new(),
            timers: BTreeMap::new(),
            fired: 0,
        }
    }

    /// Runs a command, and keeps and checks what comes of it.
    fn run<R>(&mut self, command: impl FnOnce(&mut Groups, Timestamp, &mut Effects) -> R) -> R {
        let mut fx = Effects::default();
        let result = command(&mut self.groups, self.now, &mut fx);
        for change in fx.timers {
            match change {
                TimerChange::Start { key, after, event } => {
                    let at = self.now.0 + after.as_millis() as i64;
                    self.timers.insert(key, (at, event));
                }
                TimerChange::Cancel(key) => {
                    self.timers.remove(&key);
                }
            }
        }
        for (token, reply) in fx.replies {
            let answered = match reply {
                Reply::Join(response) => self.joins.insert(token, response).is_some(),
                Reply::Sync(response) => self.syncs.insert(token, response).is_some(),
            };
            assert!(!answered, "{token:?} was answered twice");
        }
        self.records.extend(fx.records);
        self.groups.iter().for_each(Group::assert_consistent);
        assert_eq!(self.replayed(), sorted_snapshot(&self.groups));
        result
    }

    /// What a restart would make of the records.
    fn replayed(&self) -> Vec<String> {
        let mut replayed = Groups::new(Arc::clone(&self.config));
        for record in &self.records {
            if record.form() != Form::Plain {
                // What the batch around it says is added by the shard.
                replayed.replay(record.clone(), self.now);
                continue;
            }
            let (key, value) = record.encode().unwrap();
            replayed.replay(GroupRecord::decode(Some(key), value).unwrap(), self.now);
        }
        replayed.iter().for_each(Group::assert_consistent);
        sorted_snapshot(&replayed)
    }

    /// The process dies and starts again.
    fn restart(&mut self) {
        let mut restarted = Groups::new(Arc::clone(&self.config));
        for record in &self.records {
            restarted.replay(record.clone(), self.now);
        }
        self.groups = restarted;
        self.timers.clear();
        self.run(|groups, now, fx| groups.loaded(now, fx));
    }

    /// Lets time pass, firing timers as they run out.
    fn pass(&mut self, ms: i64) {
        let until = self.now.0 + ms;
        loop {
            let due = self.timers.iter().filter(|(_, (at, _))| *at <= until);
            let Some((key, (at, event))) = due
                .min_by_key(|(_, (at, _))| *at)
                .map(|(k, t)| (k.clone(), *t))
            else {
                break;
            };
            self.timers.remove(&key);
            self.fired += 1;
            self.now = Timestamp(at.max(self.now.0));
            self.run(|groups, now, fx| groups.timer_fired(&key, event, now, fx));
        }
        self.now = Timestamp(until);
    }

    fn token(&mut self) -> RequestToken {
        self.issued += 1;
        RequestToken(self.issued)
    }

    fn join(&mut self, request: JoinGroupRequest) -> RequestToken {
        self.join_version(request, 9)
    }

    fn join_version(&mut self, request: JoinGroupRequest, version: i16) -> RequestToken {
        let token = self.token();
        let join = Join {
            token,
            version,
            client_id: Str::from("client"),
            client_host: Str::from("/127.0.0.1"),
            fresh: Uuid::from_u128(u128::from(token.0)),
            request,
        };
        self.run(|groups, now, fx| groups.join(join, now, fx));
        token
    }

    /// The error of a join that is answered at once.
    fn join_error(&mut self, request: JoinGroupRequest) -> ErrorCode {
        let token = self.join(request);
        code(self.joined(token).error_code)
    }

    #[track_caller]
    fn joined(&self, token: RequestToken) -> &JoinGroupResponse {
        self.joins.get(&token).expect("the join is still parked")
    }

    fn is_parked(&self, token: RequestToken) -> bool {
        !self.joins.contains_key(&token) && !self.syncs.contains_key(&token)
    }

    /// A dynamic member asks for its id and joins with it.
    fn new_member(&mut self) -> (MemberId, RequestToken) {
        let asked = self.join(join_request());
        let response = self.joined(asked).clone();
        assert_eq!(code(response.error_code), ErrorCode::MemberIdRequired);
        let id = MemberId::new(&response.member_id);
        let joined = self.join(join_as(&id));
        (id, joined)
    }

    fn sync_request(&self, id: &MemberId) -> SyncGroupRequest {
        SyncGroupRequest {
            group_id: Str::from(GROUP),
            generation_id: self.generation(),
            member_id: id.wire(),
            protocol_type: Some(Str::from("consumer")),
            protocol_name: Some(Str::from("range")),
            ..SyncGroupRequest::default()
        }
    }

    fn sync(&mut self, request: SyncGroupRequest) -> RequestToken {
        let token = self.token();
        self.run(|groups, now, fx| groups.sync(token, &request, 5, now, fx));
        token
    }

    /// Assigns to each member its own id.
    fn leader_sync(&mut self, id: &MemberId) -> RequestToken {
        let mut request = self.sync_request(id);
        let members = self.group().members();
        request.assignments = members
            .map(|member| SyncGroupRequestAssignment {
                member_id: member.id.wire(),
                assignment: Bytes::copy_from_slice(member.id.as_str().as_bytes()),
            })
            .collect();
        self.sync(request)
    }

    #[track_caller]
    fn synced(&self, token: RequestToken) -> &SyncGroupResponse {
        self.syncs.get(&token).expect("the sync is still parked")
    }

    /// A stable group of this many dynamic members.
    fn stable(&mut self, members: usize) -> Vec<MemberId> {
        let mut ids: Vec<MemberId> = Vec::new();
        for _ in 0..members {
            ids.push(self.new_member().0);
            self.rejoin(&ids);
            self.sync_all(&ids);
        }
        assert_eq!(self.state(), GroupState::Stable);
        ids
    }

    fn rejoin(&mut self, ids: &[MemberId]) -> Vec<RequestToken> {
        let parked = |h: &Harness, id| h.group().member(id).unwrap().awaiting_join.is_some();
        let mut tokens = Vec::new();
        for id in ids {
            if self.state() == GroupState::PreparingRebalance && !parked(self, id) {
                tokens.push(self.join(join_as(id)));
            }
        }
        tokens
    }

    fn sync_all(&mut self, ids: &[MemberId]) {
        let leader = self.group().leader().unwrap().clone();
        for id in ids.iter().filter(|id| **id != leader) {
            let request = self.sync_request(id);
            self.sync(request);
        }
        self.leader_sync(&leader);
    }

    fn heartbeat(&mut self, id: &MemberId) -> ErrorCode {
        let generation = self.generation();
        self.heartbeat_with(id, None, generation)
    }

    fn heartbeat_with(
        &mut self,
        id: &MemberId,
        instance: Option<&str>,
        generation: i32,
    ) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: Str::from(GROUP),
            generation_id: generation,
            member_id: id.wire(),
            group_instance_id: instance.map(Str::from),
        };
        let response = self.run(|groups, now, fx| groups.heartbeat(&request, now, fx));
        code(response.error_code)
    }

    fn leave(&mut self, members: &[(&str, Option<&str>)]) -> LeaveGroupResponse {
        let request = LeaveGroupRequest {
            group_id: Str::from(GROUP),
            members: members
                .iter()
                .map(|(id, instance)| MemberIdentity {
                    member_id: Str::from(*id),
                    group_instance_id: instance.map(Str::from),
                    ..MemberIdentity::default()
                })
                .collect(),
            ..LeaveGroupRequest::default()
        };
        self.run(|groups, now, fx| groups.leave(&request, 5, now, fx))
    }

    /// Commits an offset of partition 0, of a group that may not exist.
    fn commit(&mut self, request: OffsetCommitRequest) -> ErrorCode {
        let response = self.run(|groups, now, fx| groups.commit(&request, 9, now, fx));
        code(response.topics[0].partitions[0].error_code)
    }

    fn committed(&self, topic: &str, partition: i32) -> Option<i64> {
        let group = self.groups.group(GROUP)?;
        Some(group.offsets().get(topic, partition)?.offset.0)
    }

    #[track_caller]
    fn group(&self) -> &Group {
        self.groups.group(GROUP).expect("there is no such group")
    }

    fn state(&self) -> GroupState {
        self.group().state()
    }

    fn generation(&self) -> i32 {
        self.group().generation().0
    }

    fn has_member(&self, id: &MemberId) -> bool {
        self.group().member(id).is_some()
    }
}

fn code(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap()
}

/// In the order of the state, as text: records have no order of their own.
fn sorted_snapshot(groups: &Groups) -> Vec<String> {
    groups
        .snapshot()
        .map(|record| format!("{record:?}"))
        .collect()
}

fn join_request() -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: Str::from(GROUP),
        session_timeout_ms: SESSION_MS,
        rebalance_timeout_ms: REBALANCE_MS,
        protocol_type: Str::from("consumer"),
        protocols: vec![protocol("range", &[TOPIC])],
        ..JoinGroupRequest::default()
    }
}

fn join_as(id: &MemberId) -> JoinGroupRequest {
    JoinGroupRequest {
        member_id: id.wire(),
        ..join_request()
    }
}

fn static_join(instance: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_instance_id: Some(Str::from(instance)),
        ..join_request()
    }
}

/// A protocol whose metadata is a subscription to these topics.
fn protocol(name: &str, topics: &[&str]) -> JoinGroupRequestProtocol {
    let mut metadata = vec![0, 0];
    metadata.extend_from_slice(&(topics.len() as i32).to_be_bytes());
    for topic in topics {
        metadata.extend_from_slice(&(topic.len() as i16).to_be_bytes());
        metadata.extend_from_slice(topic.as_bytes());
    }
    metadata.extend_from_slice(&(-1i32).to_be_bytes());
    JoinGroupRequestProtocol {
        name: Str::from(name),
        metadata: metadata.into(),
    }
}

fn commit_request(offset: i64) -> OffsetCommitRequest {
    commit_to(TOPIC, 0, offset)
}

fn commit_to(topic: &str, partition: i32, offset: i64) -> OffsetCommitRequest {
    OffsetCommitRequest {
        group_id: Str::from(GROUP),
        topics: vec![OffsetCommitRequestTopic {
            name: Str::from(topic),
            topic_id: TOPIC_ID,
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: partition,
                committed_offset: offset,
                ..OffsetCommitRequestPartition::default()
            }],
        }],
        ..OffsetCommitRequest::default()
    }
}

fn commit_as(id: &MemberId, generation: i32, offset: i64) -> OffsetCommitRequest {
    OffsetCommitRequest {
        member_id: id.wire(),
        generation_id_or_member_epoch: generation,
        ..commit_request(offset)
    }
}
