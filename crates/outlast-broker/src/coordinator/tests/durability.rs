//! No reply before it is true for good, and what a restart finds.

use std::time::Duration;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_commit_is_answered_when_it_is_durable() {
    let dir = data_dir();
    let process = Process::start(dir.path());
    let commit = process
        .begin(|g| async move { g.offset_commit(commit_request(5), 9).await })
        .await;
    assert!(!commit.is_finished());
    process.write().await;
    assert!(commit.is_finished());
}

#[tokio::test(start_paused = true)]
async fn nobody_hears_of_a_commit_that_is_not_durable() {
    let dir = data_dir();
    let process = Process::start(dir.path());
    process.commit(1).await;
    let member = process.stable().await;
    let request = OffsetCommitRequest {
        member_id: member.member_id.clone(),
        generation_id_or_member_epoch: member.generation_id,
        ..commit_request(2)
    };
    process
        .begin(|g| async move { g.offset_commit(request, 9).await })
        .await;

    let fetch = OffsetFetchRequest {
        group_id: GROUP.into(),
        ..OffsetFetchRequest::default()
    };
    let fetch = process
        .begin(|g| async move { g.offset_fetch(fetch, 7).await })
        .await;
    let heartbeat = heartbeat_request(&member);
    let heartbeat = process
        .begin(|g| async move { g.heartbeat(heartbeat).await })
        .await;
    let list = process
        .begin(|g| async move { g.list_groups(Default::default()).await })
        .await;
    assert!(!fetch.is_finished() && !heartbeat.is_finished() && !list.is_finished());
    process.write().await;
    assert!(fetch.is_finished() && heartbeat.is_finished() && list.is_finished());
}

#[tokio::test(start_paused = true)]
async fn other_shards_are_not_kept_waiting() {
    let dir = data_dir();
    let process = Process::start(dir.path());
    process
        .begin(|g| async move { g.offset_commit(commit_request(5), 9).await })
        .await;
    assert_ne!(
        process.groups.partition_of(GROUP),
        process.groups.partition_of("other")
    );
    let fetch = OffsetFetchRequest {
        group_id: "other".into(),
        ..OffsetFetchRequest::default()
    };
    let fetch = process
        .begin(|g| async move { g.offset_fetch(fetch, 7).await })
        .await;
    assert!(fetch.is_finished());
}

#[tokio::test(start_paused = true)]
async fn followers_get_their_assignment_when_it_is_durable() {
    let dir = data_dir();
    let process = Process::start(dir.path());
    let leader = process.join(static_join("a")).await;
    let request = sync_request(&leader);
    let synced = process
        .begin(|g| async move { g.sync_group(request, 5).await })
        .await;
    assert!(!synced.is_finished());
    process.write().await;
    assert!(synced.is_finished());
}

#[tokio::test(start_paused = true)]
async fn commits_and_members_survive_a_sudden_death() {
    let dir = data_dir();
    let process = Process::start(dir.path());
    process.commit(5).await;
    let member = process.stable().await;
    // Not durable, and nobody was told of it.
    process
        .begin(|g| async move { g.offset_commit(commit_request(6), 9).await })
        .await;
    process.die().await;

    let process = Process::start(dir.path());
    assert_eq!(process.committed().await, 5);
    assert_eq!(process.heartbeat(&member).await, ErrorCode::None);
    assert_eq!(process.state(), Some(GroupState::Stable));
}

#[tokio::test(start_paused = true)]
async fn members_must_show_themselves_after_a_restart() {
    let dir = data_dir();
    let process = Process::start(dir.path());
    let member = process.stable().await;
    process.die().await;

    let process = Process::start(dir.path());
    tokio::time::sleep(Duration::from_millis(9_999)).await;
    assert_eq!(process.heartbeat(&member).await, ErrorCode::None);
    tokio::time::sleep(Duration::from_millis(9_999)).await;
    assert_eq!(process.state(), Some(GroupState::Stable));
    tokio::time::sleep(Duration::from_millis(1)).await;
    calm().await;
    assert_eq!(process.state(), Some(GroupState::Empty));
    process.write().await;
    assert_eq!(process.heartbeat(&member).await, ErrorCode::UnknownMemberId);
}

#[tokio::test(start_paused = true)]
async fn offsets_expire_without_anybody_asking() {
    let dir = data_dir();
    let config = GroupConfig {
        offsets_retention_minutes: 0,
        ..GroupConfig::default()
    };
    let process = Process::with(dir.path(), Arc::new(DiskIo), config);
    process.commit(5).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    calm().await;
    process.write().await;
    assert_eq!(process.state(), None);
}

/// Commits until the log has been rewritten, and gives back the last offset.
async fn commit_until_rewritten(process: &Process) -> i64 {
    for offset in 0.. {
        let mut request = commit_request(offset);
        request.topics[0].partitions = vec![commit_partition(0, offset); 1_000];
        process
            .call(|g| async move { g.offset_commit(request, 9).await })
            .await;
        let log = process.store.existing(process.shard().id).unwrap();
        if log.start_offset().0 > 0 {
            return offset;
        }
        assert!(offset < 1_000, "the log grows without end");
    }
    unreachable!()
}

#[tokio::test(start_paused = true)]
async fn a_log_that_has_become_long_is_rewritten() {
    let dir = data_dir();
    let process = Process::start(dir.path());
    let member = process.stable().await;
    process.groups.leave_group(Default::default(), 5).await;
    let commit = |offset| OffsetCommitRequest {
        member_id: member.member_id.clone(),
        generation_id_or_member_epoch: member.generation_id,
        ..commit_request(offset)
    };
    let request = commit(1);
    process
        .call(|g| async move { g.offset_commit(request, 9).await })
        .await;
    process.die().await;

    // Without members, to commit as anybody.
    let process = Process::start(dir.path());
    tokio::time::sleep(Duration::from_secs(10)).await;
    calm().await;
    let last = commit_until_rewritten(&process).await;
    let log = process.store.existing(process.shard().id).unwrap();
    let left = log.end_offset().0 - log.start_offset().0;
    assert!(
        left < 10,
        "{left} records are left of what one group and one offset need"
    );
    assert_eq!(process.committed().await, last);
    process.die().await;

    let process = Process::start(dir.path());
    assert_eq!(process.committed().await, last);
    assert_eq!(process.commit(77).await, ErrorCode::None);
    assert_eq!(process.committed().await, 77);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_says_nothing_any_more_is_emptied() {
    let dir = data_dir();
    let process = Process::start(dir.path());
    let shard = Arc::clone(process.shard());
    let before = shard.inner.lock().rewrite_at_bytes;
    process.commit(1).await;
    shard.inner.lock().log_bytes = before;
    let delete = || async {
        let request = outlast_protocol::messages::DeleteGroupsRequest {
            groups_names: vec![GROUP.into()],
        };
        process
            .call(|g| async move { g.delete_groups(request).await })
            .await
    };
    assert_eq!(code(delete().await.results[0].error_code), ErrorCode::None);
    process.write().await;
    let log = process.store.existing(shard.id).unwrap();
    assert_eq!(log.start_offset(), log.end_offset());
    assert_eq!(process.commit(2).await, ErrorCode::None);
    drop(shard);
    process.die().await;
    assert_eq!(Process::start(dir.path()).committed().await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_no_record_goes_with_fires_in_time() {
    let dir = data_dir();
    let process = Process::start(dir.path());
    // The first makes the group. When its id has run out, the driver sleeps for long.
    process.join(join_request()).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let asked = process.join(join_request()).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    calm().await;
    let request = JoinGroupRequest {
        member_id: asked.member_id,
        ..join_request()
    };
    let joined = process.join(request).await;
    assert_eq!(code(joined.error_code), ErrorCode::UnknownMemberId);
}
