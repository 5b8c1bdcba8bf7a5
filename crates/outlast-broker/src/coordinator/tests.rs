//! The shell over a real store in a temporary directory. The store has no threads: it writes when the
//! test says so, and tokio's clock stands still until the test moves it.

mod durability;
mod failures;
mod requests;

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use outlast_protocol::messages::join_group::JoinGroupRequestProtocol;
use outlast_protocol::messages::offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use outlast_protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, OffsetCommitRequest, OffsetFetchRequest,
    SyncGroupRequest,
};
use outlast_protocol::{ErrorCode, Str};
use outlast_records::Timestamp;
use outlast_storage::{DiskIo, Io, StoreOptions};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;

const GROUP: &str = "group";
const OFFSETS_TOPIC: TopicFacts = TopicFacts {
    id: Uuid::from_u128(50),
    partitions: 50,
};
const TOPIC_ID: Uuid = Uuid::from_u128(7);

#[derive(Clone)]
struct TestClock(Arc<AtomicI64>);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

/// `topic` with three partitions.
struct OneTopic;

impl TopicLookup for OneTopic {
    fn by_name(&self, name: &str) -> Option<TopicFacts> {
        (name == "topic").then_some(TopicFacts {
            id: TOPIC_ID,
            partitions: 3,
        })
    }

    fn name_of(&self, id: Uuid) -> Option<Str> {
        (id == TOPIC_ID).then(|| Str::from("topic"))
    }
}

/// What a process has.
struct Process {
    store: Store,
    groups: Arc<GroupCoordinator>,
}

impl Process {
    fn start(dir: &Path) -> Process {
        Process::with(dir, Arc::new(DiskIo), GroupConfig::default())
    }

    fn with(dir: &Path, io: Arc<dyn Io>, config: GroupConfig) -> Process {
        let clock: Arc<dyn Clock> = Arc::new(TestClock(Arc::new(AtomicI64::new(1_000_000))));
        let options = StoreOptions {
            threads: false,
            wal_file_bytes: 64 * 1024,
            ..StoreOptions::default()
        };
        let (store, _) = Store::open(io, Arc::clone(&clock), dir, options).unwrap();
        let random = Random::new(Some(1));
        let groups = GroupCoordinator::open(
            store.clone(),
            clock,
            random,
            config,
            Arc::new(OneTopic),
            OFFSETS_TOPIC,
        );
        Process {
            store,
            groups: Arc::new(groups),
        }
    }

    /// Its sudden death: what the store was not told to write is lost.
    async fn die(self) {
        self.groups.shutdown();
        calm().await;
    }

    /// Begins a request without waiting for its reply.
    async fn begin<F, R>(&self, request: impl FnOnce(Arc<GroupCoordinator>) -> F) -> JoinHandle<R>
    where
        F: Future<Output = R> + Send + 'static,
        R: Send + 'static,
    {
        let task = tokio::spawn(request(Arc::clone(&self.groups)));
        calm().await;
        task
    }

    /// A request and its reply, with the store writing meanwhile.
    async fn call<F, R>(&self, request: impl FnOnce(Arc<GroupCoordinator>) -> F) -> R
    where
        F: Future<Output = R> + Send + 'static,
        R: Send + 'static,
    {
        let task = self.begin(request).await;
        self.write().await;
        assert!(
            task.is_finished(),
            "no reply although everything is written"
        );
        task.await.unwrap()
    }

    /// Lets the store write all that waits, and everybody hear of it.
    async fn write(&self) {
        while self.store.step_writer() {
            calm().await;
        }
        calm().await;
    }

    async fn commit(&self, offset: i64) -> ErrorCode {
        let response = self
            .call(
                move |groups| async move { groups.offset_commit(commit_request(offset), 9).await },
            )
            .await;
        code(response.topics[0].partitions[0].error_code)
    }

    async fn committed(&self) -> i64 {
        let request = OffsetFetchRequest {
            group_id: GROUP.into(),
            topics: None,
            ..OffsetFetchRequest::default()
        };
        let response = self
            .call(|groups| async move { groups.offset_fetch(request, 7).await })
            .await;
        assert_eq!(code(response.error_code), ErrorCode::None);
        response
            .topics
            .first()
            .map_or(-1, |topic| topic.partitions[0].committed_offset)
    }

    async fn join(&self, request: JoinGroupRequest) -> JoinGroupResponse {
        self.call(|groups| async move { groups.join_group(&client(), request, 9).await })
            .await
    }

    /// A group with one static member, stable.
    async fn stable(&self) -> JoinGroupResponse {
        let joined = self.join(static_join("a")).await;
        assert_eq!(code(joined.error_code), ErrorCode::None);
        let request = sync_request(&joined);
        let synced = self
            .call(|groups| async move { groups.sync_group(request, 5).await })
            .await;
        assert_eq!(code(synced.error_code), ErrorCode::None);
        joined
    }

    async fn heartbeat(&self, member: &JoinGroupResponse) -> ErrorCode {
        let request = heartbeat_request(member);
        code(
            self.call(|groups| async move { groups.heartbeat(request).await })
                .await
                .error_code,
        )
    }

    fn state(&self) -> Option<GroupState> {
        let summaries = self.groups.summaries();
        let group = summaries.iter().find(|group| &*group.group_id == GROUP);
        group.map(|group| group.state)
    }

    fn shard(&self) -> &Arc<Shard> {
        self.groups.shard(GROUP)
    }
}

/// Lets every task run until it can't go on. The clock doesn't move: this one is never idle.
async fn calm() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

fn data_dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn code(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap()
}

fn client() -> GroupClient {
    GroupClient {
        id: "client".into(),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
    }
}

fn join_request() -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: GROUP.into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".into(),
            ..JoinGroupRequestProtocol::default()
        }],
        ..JoinGroupRequest::default()
    }
}

fn static_join(instance: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_instance_id: Some(instance.into()),
        ..join_request()
    }
}

fn sync_request(member: &JoinGroupResponse) -> SyncGroupRequest {
    SyncGroupRequest {
        group_id: GROUP.into(),
        generation_id: member.generation_id,
        member_id: member.member_id.clone(),
        protocol_type: member.protocol_type.clone(),
        protocol_name: member.protocol_name.clone(),
        ..SyncGroupRequest::default()
    }
}

fn heartbeat_request(member: &JoinGroupResponse) -> HeartbeatRequest {
    HeartbeatRequest {
        group_id: GROUP.into(),
        generation_id: member.generation_id,
        member_id: member.member_id.clone(),
        ..HeartbeatRequest::default()
    }
}

fn commit_request(offset: i64) -> OffsetCommitRequest {
    OffsetCommitRequest {
        group_id: GROUP.into(),
        topics: vec![OffsetCommitRequestTopic {
            name: "topic".into(),
            partitions: vec![commit_partition(0, offset)],
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    }
}

fn commit_partition(index: i32, offset: i64) -> OffsetCommitRequestPartition {
    OffsetCommitRequestPartition {
        partition_index: index,
        committed_offset: offset,
        ..OffsetCommitRequestPartition::default()
    }
}
