//! A disk that is full, a log that can't be read, a store that stops.

use std::io::{self, IoSlice};
use std::sync::atomic::AtomicBool;

use outlast_records::{BatchBuilder, Compression, LeaderEpoch, NewRecord};
use outlast_storage::AppendSection;
use outlast_storage::io::{DirEntry, IoFile, LockGuard};

use super::*;
use crate::group::GroupRecord;

/// The disk of the machine, which can be told to be full.
#[derive(Clone)]
struct SmallDisk {
    disk: Arc<DiskIo>,
    full: Arc<AtomicBool>,
}

struct SmallFile {
    file: Arc<dyn IoFile>,
    full: Arc<AtomicBool>,
}

impl SmallDisk {
    fn new() -> SmallDisk {
        SmallDisk {
            disk: Arc::new(DiskIo),
            full: Arc::default(),
        }
    }

    fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    fn file(&self, file: Arc<dyn IoFile>) -> Arc<dyn IoFile> {
        Arc::new(SmallFile {
            file,
            full: Arc::clone(&self.full),
        })
    }
}

impl Io for SmallDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn IoFile>> {
        self.disk.create(path).map(|file| self.file(file))
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn IoFile>> {
        self.disk.open(path).map(|file| self.file(file))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.disk.list(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }
    fn lock(&self, path: &Path, note: &str) -> io::Result<Result<Box<dyn LockGuard>, String>> {
        self.disk.lock(path, note)
    }
    fn entropy(&self) -> u128 {
        self.disk.entropy()
    }
}

impl IoFile for SmallFile {
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.file.read_at(buf, position)
    }
    fn write_at(&self, bufs: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        self.file.write_at(bufs, position)
    }
    fn allocate(&self, position: u64, len: u64) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.allocate(position, len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}

/// Commits until the disk refuses.
async fn fill_up(process: &Process, disk: &SmallDisk) -> i64 {
    disk.set_full(true);
    for offset in 1..10_000 {
        match process.commit(offset).await {
            ErrorCode::None => {}
            ErrorCode::CoordinatorNotAvailable => return offset - 1,
            error => panic!("{error}"),
        }
    }
    panic!("the disk never was full");
}

/// The shard reads its log in a thread.
async fn until_loaded(process: &Process) {
    while process.shard().peek(|_| ()).is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_loses_no_commit_that_was_acknowledged() {
    let (dir, disk) = (data_dir(), SmallDisk::new());
    let process = Process::with(dir.path(), Arc::new(disk.clone()), GroupConfig::default());
    let member = process.stable().await;
    let leave = outlast_protocol::messages::LeaveGroupRequest {
        group_id: GROUP.into(),
        members: vec![outlast_protocol::messages::leave_group::MemberIdentity {
            member_id: member.member_id,
            ..Default::default()
        }],
        ..Default::default()
    };
    process
        .call(|g| async move { g.leave_group(leave, 5).await })
        .await;
    let last = fill_up(&process, &disk).await;
    until_loaded(&process).await;
    assert_eq!(process.committed().await, last, "reads go on");
    // Again and again, as clients do.
    for _ in 0..3 {
        assert_eq!(
            process.commit(last + 1).await,
            ErrorCode::CoordinatorNotAvailable
        );
        until_loaded(&process).await;
    }
    disk.set_full(false);
    assert_eq!(process.commit(last + 1).await, ErrorCode::None);
    assert_eq!(process.committed().await, last + 1);
    process.die().await;
    assert_eq!(Process::start(dir.path()).committed().await, last + 1);
}

#[tokio::test(start_paused = true)]
async fn members_of_a_stable_group_live_through_a_full_disk() {
    let (dir, disk) = (data_dir(), SmallDisk::new());
    let process = Process::with(dir.path(), Arc::new(disk.clone()), GroupConfig::default());
    let member = process.stable().await;
    // A new member waits for the first to join again.
    let asked = process.join(join_request()).await;
    let request = JoinGroupRequest {
        member_id: asked.member_id,
        ..join_request()
    };
    let parked = process
        .begin(|g| async move { g.join_group(&client(), request, 9).await })
        .await;
    assert!(!parked.is_finished());
    // Another group of the same shard fills the disk.
    let mut names = (0..).map(|n| Str::from(format!("n{n}")));
    let same_shard =
        |name: &Str| process.groups.partition_of(name) == process.groups.partition_of(GROUP);
    let neighbour = names.find(same_shard).unwrap();
    disk.set_full(true);
    loop {
        let request = OffsetCommitRequest {
            group_id: neighbour.clone(),
            ..commit_request(1)
        };
        let response = process
            .call(|g| async move { g.offset_commit(request, 9).await })
            .await;
        if response.topics[0].partitions[0].error_code != 0 {
            break;
        }
    }
    until_loaded(&process).await;
    assert!(
        parked.is_finished(),
        "whoever was parked is told to try again"
    );
    assert_eq!(
        code(parked.await.unwrap().error_code),
        ErrorCode::CoordinatorNotAvailable
    );
    assert_eq!(process.heartbeat(&member).await, ErrorCode::None);
}

/// A record as another writer would append it.
fn foreign_append(process: &Process, key: &[u8], value: Option<&[u8]>) {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(NewRecord {
        key: Some(key),
        value,
        ..NewRecord::default()
    });
    let append = process.store.append(vec![AppendSection {
        log: process.store.log(process.shard().id),
        batches: vec![builder.build().unwrap()],
        leader_epoch: LeaderEpoch(0),
    }]);
    drop(append);
}

#[tokio::test(start_paused = true)]
async fn an_append_that_lands_elsewhere_makes_the_shard_read_its_log_again() {
    let dir = data_dir();
    let process = Process::start(dir.path());
    process.commit(5).await;
    let record = GroupRecord::Offset {
        group: GROUP.into(),
        topic: "topic".into(),
        partition: 0,
        value: Some(outlast_protocol::records::group::OffsetCommitValue {
            offset: 9,
            ..Default::default()
        }),
    };
    let (key, value) = record.encode().unwrap();
    foreign_append(&process, &key, value.as_deref());
    let other = OffsetCommitRequest {
        group_id: GROUP.into(),
        ..commit_request(6)
    };
    let mut other = other;
    other.topics[0].partitions[0].partition_index = 1;
    let response = process
        .call(|g| async move { g.offset_commit(other, 9).await })
        .await;
    assert_eq!(
        code(response.topics[0].partitions[0].error_code),
        ErrorCode::CoordinatorNotAvailable
    );
    until_loaded(&process).await;
    assert_eq!(process.committed().await, 9, "what the log says counts");
    assert_eq!(process.commit(10).await, ErrorCode::None);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_read_takes_only_its_own_groups_away() {
    let dir = data_dir();
    let process = Process::start(dir.path());
    process.commit(5).await;
    // A group record of a version that is not known.
    foreign_append(&process, b"\0\x02\0\x01g", Some(b"\0\x63"));
    process.write().await;
    process.die().await;

    let process = Process::start(dir.path());
    assert_eq!(
        process.commit(6).await,
        ErrorCode::CoordinatorLoadInProgress
    );
    let fetch = OffsetFetchRequest {
        group_id: GROUP.into(),
        ..OffsetFetchRequest::default()
    };
    let response = process
        .call(|g| async move { g.offset_fetch(fetch, 7).await })
        .await;
    assert_eq!(
        code(response.error_code),
        ErrorCode::CoordinatorLoadInProgress
    );
    // Members keep quiet meanwhile.
    let beat = HeartbeatRequest {
        group_id: GROUP.into(),
        ..HeartbeatRequest::default()
    };
    let response = process
        .call(|g| async move { g.heartbeat(beat).await })
        .await;
    assert_eq!(code(response.error_code), ErrorCode::None);

    let request = OffsetCommitRequest {
        group_id: "other".into(),
        ..commit_request(1)
    };
    let response = process
        .call(|g| async move { g.offset_commit(request, 9).await })
        .await;
    assert_eq!(
        code(response.topics[0].partitions[0].error_code),
        ErrorCode::None
    );
    let listed = process
        .call(|g| async move { g.list_groups(Default::default()).await })
        .await;
    assert_eq!(
        code(listed.error_code),
        ErrorCode::CoordinatorLoadInProgress
    );
    assert_eq!(listed.groups.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn everybody_is_told_when_the_coordinator_stops() {
    let dir = data_dir();
    let process = Process::start(dir.path());
    process.stable().await;
    let asked = process.join(join_request()).await;
    let request = JoinGroupRequest {
        member_id: asked.member_id,
        ..join_request()
    };
    let parked = process
        .begin(|g| async move { g.join_group(&client(), request, 9).await })
        .await;
    let commit = process
        .begin(|g| async move { g.offset_commit(commit_request(1), 9).await })
        .await;
    process.groups.shutdown();
    calm().await;
    assert_eq!(
        code(parked.await.unwrap().error_code),
        ErrorCode::CoordinatorNotAvailable
    );
    assert!(commit.is_finished());
    assert_eq!(process.commit(2).await, ErrorCode::CoordinatorNotAvailable);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_shut_down_closes_the_groups() {
    let dir = data_dir();
    let process = Process::start(dir.path());
    process.commit(1).await;
    process.store.shutdown().unwrap();
    assert_eq!(process.commit(2).await, ErrorCode::CoordinatorNotAvailable);
}
