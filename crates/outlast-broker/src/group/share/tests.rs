//! Drives share groups as the coordinator does, with a clock that the test turns, and checks after every command that
//! replaying the records gives what is in memory.

mod assignments;
mod heartbeats;
mod one_type;
mod property;
mod record_formats;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::{ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse};

use super::*;
use crate::error::ApiError;
use crate::group::{Effects, GroupConfig, GroupRecord, Groups, TimerChange, TimerEvent, TimerKey};
use crate::group_config::{IsolationLevel, OffsetReset, ShareSettings};

const GROUP: &str = "workers";
const SESSION_MS: i64 = 45_000;
const INTERVAL_MS: i64 = 1_000;

struct Harness {
    groups: Groups,
    config: Arc<GroupConfig>,
    settings: ShareSettings,
    now: Timestamp,
    topics: BTreeMap<&'static str, SubscribedTopic>,
    records: Vec<GroupRecord>,
    timers: BTreeMap<TimerKey, (i64, TimerEvent)>,
    departed: Vec<String>,
}

fn topic(id: u128, partitions: i32) -> SubscribedTopic {
    SubscribedTopic {
        id: Uuid::from_u128(id),
        partitions,
    }
}

fn join(member: &str, topics: &[&str]) -> ShareGroupHeartbeatRequest {
    ShareGroupHeartbeatRequest {
        subscribed_topic_names: Some(topics.iter().map(|name| Str::from(*name)).collect()),
        ..beat(member, 0)
    }
}

fn beat(member: &str, epoch: i32) -> ShareGroupHeartbeatRequest {
    ShareGroupHeartbeatRequest {
        group_id: GROUP.into(),
        member_id: member.into(),
        member_epoch: epoch,
        ..ShareGroupHeartbeatRequest::default()
    }
}

impl Harness {
    /// Topic `t` with 4 partitions and `u` with 2.
    fn new() -> Harness {
        Harness::with(GroupConfig::default())
    }

    fn with(config: GroupConfig) -> Harness {
        let config = Arc::new(config);
        Harness {
            groups: Groups::new(Arc::clone(&config)),
            config,
            settings: ShareSettings {
                session_timeout: Duration::from_millis(SESSION_MS as u64),
                heartbeat_interval: Duration::from_secs(5),
                assignment_interval: Duration::from_millis(INTERVAL_MS as u64),
                offset_reset: OffsetReset::Latest,
                isolation_level: IsolationLevel::ReadUncommitted,
                renew_acknowledge: true,
            },
            now: Timestamp(1_000_000_000),
            topics: BTreeMap::from([("t", topic(1, 4)), ("u", topic(2, 2))]),
            records: Vec::new(),
            timers: BTreeMap::new(),
            departed: Vec::new(),
        }
    }

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
        let departed = fx.departed.iter().map(|gone| gone.member.to_string());
        self.departed.extend(departed);
        self.records.extend(fx.records);
        let replayed = self.replayed(&self.records);
        assert_eq!(
            replayed.share_groups, self.groups.share_groups,
            "a restart would lose something"
        );
        let snapshot: Vec<GroupRecord> = self.groups.snapshot().collect();
        let rewritten = self.replayed(&snapshot);
        assert_eq!(
            rewritten.share_groups, self.groups.share_groups,
            "a rewritten log would"
        );
        result
    }

    fn replayed(&self, records: &[GroupRecord]) -> Groups {
        let mut groups = Groups::new(Arc::clone(&self.config));
        for record in records {
            let (key, value) = record.encode().unwrap();
            groups.replay(GroupRecord::decode(Some(key), value).unwrap(), self.now);
        }
        groups
    }

    /// The process dies and starts again.
    fn restart(&mut self) {
        self.groups = self.replayed(&self.records);
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
                .map(|(key, timer)| (key.clone(), *timer))
            else {
                break;
            };
            self.timers.remove(&key);
            self.now = Timestamp(at.max(self.now.0));
            self.run(|groups, now, fx| groups.timer_fired(&key, event, now, fx));
        }
        self.now = Timestamp(until);
    }

    fn heartbeat(
        &mut self,
        request: ShareGroupHeartbeatRequest,
    ) -> Result<ShareGroupHeartbeatResponse, ErrorCode> {
        let topics = self.topics.clone();
        let lookup = |name: &str| topics.get(name).copied();
        let settings = self.settings.clone();
        let heartbeat = ShareHeartbeat {
            request: &request,
            client_id: &Str::from_static("client"),
            client_host: &Str::from_static("/127.0.0.1"),
            settings: &settings,
            topics: &lookup,
        };
        self.run(|groups, now, fx| groups.share_heartbeat(&heartbeat, now, fx))
            .map_err(|error: ApiError| error.code)
    }

    /// A heartbeat with the epoch that the member has.
    fn beat(&mut self, member: &str) -> Result<ShareGroupHeartbeatResponse, ErrorCode> {
        let epoch = self.member(member).epoch;
        self.heartbeat(beat(member, epoch))
    }

    fn group(&self) -> &ShareGroup {
        self.groups.share_group(GROUP).expect("the group exists")
    }

    fn member(&self, member: &str) -> &ShareMember {
        self.group()
            .member(&MemberId::from(member))
            .expect("it is a member")
    }

    fn has_member(&self, member: &str) -> bool {
        self.group().member(&MemberId::from(member)).is_some()
    }

    /// `(group epoch, target epoch)`
    fn epochs(&self) -> (i32, i32) {
        (self.group().epoch(), self.group().target_epoch())
    }

    /// How many partitions the member has been told.
    fn load(&self, member: &str) -> usize {
        self.member(member)
            .assigned
            .values()
            .map(BTreeSet::len)
            .sum()
    }
}

/// The number of partitions in an answer, none if it has no assignment.
fn told(response: &ShareGroupHeartbeatResponse) -> Option<usize> {
    let assignment = response.assignment.as_ref()?;
    let topics = assignment.topic_partitions.iter();
    Some(topics.map(|topic| topic.partitions.len()).sum())
}
