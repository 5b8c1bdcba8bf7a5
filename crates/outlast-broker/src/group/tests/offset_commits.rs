//! OffsetCommit and OffsetFetch.

use outlast_protocol::messages::offset_fetch::OffsetFetchRequestTopics;

use super::*;

/// A commit from a client that is no member.
fn outsider(offset: i64) -> OffsetCommitRequest {
    OffsetCommitRequest {
        generation_id_or_member_epoch: -1,
        ..commit_request(offset)
    }
}

#[test]
fn a_consumer_without_a_group_commits_and_makes_a_simple_group() {
    let mut h = Harness::new();
    assert_eq!(h.commit(outsider(5)), ErrorCode::None);
    assert_eq!(h.committed(TOPIC, 0), Some(5));
    assert_eq!(
        (h.state(), h.group().protocol_type()),
        (GroupState::Empty, None)
    );
    assert_eq!(
        h.commit(outsider(3)),
        ErrorCode::None,
        "offsets may go back"
    );
    h.restart();
    assert_eq!(h.committed(TOPIC, 0), Some(3));
}

#[test]
fn who_may_commit_depends_on_the_state() {
    fn in_state(state: GroupState) -> (Harness, MemberId) {
        let mut h = Harness::new();
        let ids = h.stable(2);
        let leader = h.group().leader().unwrap().clone();
        let other = ids.iter().find(|id| **id != leader).unwrap().clone();
        match state {
            GroupState::Stable => {}
            GroupState::PreparingRebalance => {
                h.join(join_as(&leader));
            }
            GroupState::CompletingRebalance => {
                h.join(join_as(&leader));
                h.join(join_as(&other));
            }
            _ => {
                h.leave(&[(ids[0].as_str(), None), (ids[1].as_str(), None)]);
            }
        }
        assert_eq!(h.state(), state);
        (h, other)
    }
    use ErrorCode::{IllegalGeneration, None as Fine, RebalanceInProgress, UnknownMemberId};
    use GroupState::{CompletingRebalance, Empty, PreparingRebalance, Stable};
    // A member of this generation, of the one before, of none (−1), a stranger of this generation,
    // an administrator.
    for (state, expect) in [
        (
            Stable,
            [
                Fine,
                IllegalGeneration,
                IllegalGeneration,
                UnknownMemberId,
                UnknownMemberId,
            ],
        ),
        (
            PreparingRebalance,
            [
                Fine,
                IllegalGeneration,
                IllegalGeneration,
                UnknownMemberId,
                UnknownMemberId,
            ],
        ),
        (
            CompletingRebalance,
            [
                RebalanceInProgress,
                IllegalGeneration,
                IllegalGeneration,
                UnknownMemberId,
                UnknownMemberId,
            ],
        ),
        (
            Empty,
            [
                UnknownMemberId,
                UnknownMemberId,
                Fine,
                UnknownMemberId,
                Fine,
            ],
        ),
    ] {
        let (h, member) = in_state(state);
        let now = h.generation();
        let requests = [
            commit_as(&member, now, 1),
            commit_as(&member, now - 1, 1),
            commit_as(&member, -1, 1),
            commit_as(&"stranger".into(), now, 1),
            outsider(1),
        ];
        for (request, expect) in requests.into_iter().zip(expect) {
            let (mut h, _) = in_state(state);
            assert_eq!(
                h.commit(request.clone()),
                expect,
                "{} {request:?}",
                state.name()
            );
        }
    }
}

#[test]
fn a_member_of_a_group_that_does_not_exist_is_told_so() {
    for (version, expect) in [
        (8, ErrorCode::IllegalGeneration),
        (9, ErrorCode::GroupIdNotFound),
    ] {
        let mut h = Harness::new();
        let request = commit_as(&"m".into(), 1, 1);
        let response = h.run(|groups, now, fx| groups.commit(&request, version, now, fx));
        assert_eq!(code(response.topics[0].partitions[0].error_code), expect);
    }
}

#[test]
fn a_static_member_commits_by_its_instance() {
    let mut h = Harness::new();
    h.join(static_join("a"));
    let id = h.group().static_member(&"a".into()).unwrap().clone();
    h.leader_sync(&id);
    for (member, instance, expect) in [
        (&id, "a", ErrorCode::None),
        (&"other".into(), "a", ErrorCode::FencedInstanceId),
        (&id, "b", ErrorCode::UnknownMemberId),
    ] {
        let request = OffsetCommitRequest {
            group_instance_id: Some(Str::from(instance)),
            ..commit_as(member, h.generation(), 1)
        };
        assert_eq!(h.commit(request), expect);
    }
}

#[test]
fn metadata_has_a_longest_length_in_utf16_units() {
    let config = GroupConfig {
        offset_metadata_max_bytes: 4,
        ..GroupConfig::default()
    };
    let fine = ErrorCode::None;
    for (metadata, expect) in [
        (None, fine),
        (Some("four"), fine),
        (Some("ääää"), fine),
        (Some("🦀🦀"), fine),
        (Some("fiver"), ErrorCode::OffsetMetadataTooLarge),
        (Some("🦀🦀🦀"), ErrorCode::OffsetMetadataTooLarge),
    ] {
        let mut h = Harness::with(config.clone());
        let mut request = outsider(1);
        request.topics[0].partitions[0].committed_metadata = metadata.map(Str::from);
        assert_eq!(h.commit(request), expect, "{metadata:?}");
        assert_eq!(h.committed(TOPIC, 0).is_some(), expect == fine);
    }
}

#[test]
fn one_bad_partition_does_not_stop_the_others() {
    let mut h = Harness::new();
    let mut request = outsider(1);
    let partition = |index, metadata: &str| OffsetCommitRequestPartition {
        partition_index: index,
        committed_offset: 9,
        committed_metadata: Some(Str::from(metadata)),
        ..OffsetCommitRequestPartition::default()
    };
    request.topics[0].partitions = vec![partition(1, &"x".repeat(5_000)), partition(2, "fine")];
    let response = h.run(|groups, now, fx| groups.commit(&request, 9, now, fx));
    let errors: Vec<_> = response.topics[0]
        .partitions
        .iter()
        .map(|p| code(p.error_code))
        .collect();
    assert_eq!(errors, [ErrorCode::OffsetMetadataTooLarge, ErrorCode::None]);
    assert_eq!(
        (h.committed(TOPIC, 1), h.committed(TOPIC, 2)),
        (None, Some(9))
    );
}

#[test]
fn a_group_id_that_no_record_can_hold_is_refused() {
    let mut h = Harness::new();
    let request = OffsetCommitRequest {
        group_id: Str::from("g".repeat(40_000)),
        ..outsider(1)
    };
    assert_eq!(h.commit(request), ErrorCode::InvalidGroupId);
}

fn fetch(h: &Harness, topic: &str, id: Uuid, partitions: &[i32]) -> Vec<(i32, i64, i32, String)> {
    let topics = [OffsetFetchRequestTopics {
        name: Str::from(topic),
        topic_id: id,
        partition_indexes: partitions.to_vec(),
    }];
    let fetched = h.groups.fetch(&GroupId::from(GROUP), &topics, true);
    fetched[0]
        .partitions
        .iter()
        .map(|p| {
            assert_eq!(p.error_code, 0);
            (
                p.partition_index,
                p.committed_offset,
                p.committed_leader_epoch,
                p.metadata.as_deref().unwrap().to_owned(),
            )
        })
        .collect()
}

#[test]
fn what_was_committed_is_fetched() {
    let mut h = Harness::new();
    assert_eq!(
        fetch(&h, TOPIC, TOPIC_ID, &[0]),
        [(0, -1, -1, String::new())]
    );
    let mut request = outsider(5);
    request.topics[0].partitions[0].committed_leader_epoch = 3;
    request.topics[0].partitions[0].committed_metadata = Some("hello".into());
    h.commit(request);
    h.commit(commit_to("second", 4, 6));
    for _ in 0..2 {
        assert_eq!(
            fetch(&h, TOPIC, TOPIC_ID, &[1, 0]),
            [(1, -1, -1, String::new()), (0, 5, 3, "hello".to_owned())]
        );
        let all = h
            .groups
            .fetch_all(&GroupId::from(GROUP), |_| Some(TOPIC_ID), true);
        let all: Vec<_> = all
            .iter()
            .map(|t| {
                (
                    &*t.name,
                    t.partitions[0].partition_index,
                    t.partitions[0].committed_offset,
                )
            })
            .collect();
        assert_eq!(all, [("second", 4, 6), (TOPIC, 0, 5)]);
        h.restart();
    }
    assert!(
        h.groups
            .fetch_all(&"other".into(), |_| None, true)
            .is_empty()
    );
}

#[test]
fn offsets_of_a_deleted_topic_are_not_shown_for_its_namesake() {
    let mut h = Harness::new();
    h.commit(outsider(5));
    let other = Uuid::from_u128(8);
    assert_eq!(fetch(&h, TOPIC, other, &[0])[0].1, -1);
    assert_eq!(fetch(&h, TOPIC, TOPIC_ID, &[0])[0].1, 5);
    assert_eq!(fetch(&h, TOPIC, Uuid::nil(), &[0])[0].1, 5);
    assert!(
        h.groups
            .fetch_all(&GroupId::from(GROUP), |_| Some(other), true)
            .is_empty()
    );
    assert_eq!(
        h.groups
            .fetch_all(&GroupId::from(GROUP), |_| None, true)
            .len(),
        1
    );
}
