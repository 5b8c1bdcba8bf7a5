//! DescribeGroups, ListGroups, DeleteGroups, OffsetDelete and deleted topics.

use outlast_protocol::messages::offset_delete::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use outlast_protocol::messages::{ListGroupsRequest, OffsetDeleteRequest};

use super::*;

#[test]
fn a_group_is_described_with_its_members() {
    let mut h = Harness::new();
    let ids = h.stable(1);
    let described = h.groups.describe(&GROUP.into(), 6);
    assert_eq!(
        (described.error_code, &*described.group_state),
        (0, "Stable")
    );
    assert_eq!(
        (&*described.protocol_type, &*described.protocol_data),
        ("consumer", "range")
    );
    let member = &described.members[0];
    assert_eq!(
        (&*member.member_id, &*member.client_id),
        (ids[0].as_str(), "client")
    );
    assert_eq!(&*member.client_host, "/127.0.0.1");
    assert_eq!(member.member_assignment, ids[0].as_str().as_bytes());
    assert_eq!(member.member_metadata, protocol("range", &[TOPIC]).metadata);

    // While they don't agree on a protocol, there is none to tell of.
    h.join(join_as(&ids[0]));
    let described = h.groups.describe(&GROUP.into(), 6);
    assert_eq!(
        (&*described.group_state, &*described.protocol_data),
        ("CompletingRebalance", "")
    );
    assert!(described.members[0].member_metadata.is_empty());
}

#[test]
fn a_group_that_does_not_exist_is_dead() {
    let h = Harness::new();
    for (version, error) in [(5, ErrorCode::None), (6, ErrorCode::GroupIdNotFound)] {
        let described = h.groups.describe(&"other".into(), version);
        assert_eq!(code(described.error_code), error);
        assert_eq!(
            (&*described.group_state, described.error_message.is_some()),
            ("Dead", version == 6)
        );
    }
}

#[test]
fn groups_are_listed_by_state_and_type() {
    let mut h = Harness::new();
    h.stable(1);
    let simple = OffsetCommitRequest {
        group_id: "simple".into(),
        ..commit_request(1)
    };
    h.commit(simple);
    for (states, types, expect) in [
        (&[][..], &[][..], &[GROUP, "simple"][..]),
        (&["Stable"], &[], &[GROUP]),
        (&[" sTABLE "], &["classic"], &[GROUP]),
        (
            &["Stable", "Empty"],
            &["Consumer", "CLASSIC"],
            &[GROUP, "simple"],
        ),
        (&["Dead"], &[], &[]),
        (&[], &["Consumer"], &[]),
    ] {
        let filter = |names: &[&str]| names.iter().map(|n| Str::from(*n)).collect();
        let request = ListGroupsRequest {
            states_filter: filter(states),
            types_filter: filter(types),
        };
        let listed = h.groups.list(&request);
        let names: Vec<&str> = listed.iter().map(|g| &*g.group_id).collect();
        assert_eq!(names, expect, "{states:?} {types:?}");
    }
    let listed = h.groups.list(&ListGroupsRequest::default());
    assert_eq!(
        (
            &*listed[0].group_state,
            &*listed[0].group_type,
            &*listed[0].protocol_type
        ),
        ("Stable", "classic", "consumer")
    );
    assert_eq!(
        (&*listed[1].group_state, &*listed[1].protocol_type),
        ("Empty", "")
    );
}

#[test]
fn only_an_empty_group_can_be_deleted() {
    let mut h = Harness::new();
    let ids = h.stable(1);
    let request = commit_as(&ids[0], h.generation(), 1);
    h.commit(request);
    let delete = |h: &mut Harness| {
        code(
            h.run(|groups, now, fx| groups.delete(&GROUP.into(), now, fx))
                .error_code,
        )
    };
    assert_eq!(delete(&mut h), ErrorCode::NonEmptyGroup);
    h.leave(&[(ids[0].as_str(), None)]);
    h.join(join_request());
    assert_eq!(delete(&mut h), ErrorCode::None);
    assert!(h.groups.is_empty());
    let waits_for_a_member = |key: &TimerKey| matches!(key, TimerKey::Member(..));
    assert!(!h.timers.keys().any(waits_for_a_member));
    assert_eq!(delete(&mut h), ErrorCode::GroupIdNotFound);
    h.restart();
    assert!(h.groups.is_empty(), "its offsets are gone for good");
}

fn delete_offsets(h: &mut Harness, topic: &str) -> Result<ErrorCode, ErrorCode> {
    let request = OffsetDeleteRequest {
        group_id: GROUP.into(),
        topics: vec![OffsetDeleteRequestTopic {
            name: topic.into(),
            partitions: vec![OffsetDeleteRequestPartition { partition_index: 0 }],
        }],
    };
    let response = h.run(|groups, now, fx| groups.delete_offsets(&request, now, fx));
    match code(response.error_code) {
        ErrorCode::None => Ok(code(response.topics[0].partitions[0].error_code)),
        error => Err(error),
    }
}

#[test]
fn offsets_can_be_deleted_for_topics_that_nobody_reads() {
    let mut h = Harness::new();
    assert_eq!(
        delete_offsets(&mut h, TOPIC),
        Err(ErrorCode::GroupIdNotFound)
    );
    for topic in [TOPIC, "other"] {
        h.commit(commit_to(topic, 0, 1));
    }
    let ids = h.stable(1);
    assert_eq!(
        delete_offsets(&mut h, TOPIC),
        Ok(ErrorCode::GroupSubscribedToTopic)
    );
    assert_eq!(delete_offsets(&mut h, "other"), Ok(ErrorCode::None));
    assert_eq!(
        delete_offsets(&mut h, "never committed"),
        Ok(ErrorCode::None)
    );
    assert_eq!(
        (h.committed(TOPIC, 0), h.committed("other", 0)),
        (Some(1), None)
    );
    h.leave(&[(ids[0].as_str(), None)]);
    assert_eq!(delete_offsets(&mut h, TOPIC), Ok(ErrorCode::None));
    assert_eq!(h.committed(TOPIC, 0), None);
}

#[test]
fn members_of_another_protocol_keep_all_offsets() {
    let mut h = Harness::new();
    h.commit(commit_request(1));
    h.join(JoinGroupRequest {
        protocol_type: "connect".into(),
        ..static_join("a")
    });
    assert_eq!(delete_offsets(&mut h, TOPIC), Err(ErrorCode::NonEmptyGroup));
}

#[test]
fn a_deleted_topics_offsets_go_and_its_namesakes_stay() {
    let mut h = Harness::new();
    h.commit(commit_to(TOPIC, 0, 1));
    h.commit(commit_to("other", 0, 1));
    h.run(|groups, now, fx| groups.topic_deleted(&TOPIC.into(), Uuid::from_u128(8), now, fx));
    assert_eq!(h.committed(TOPIC, 0), Some(1));
    h.run(|groups, now, fx| groups.topic_deleted(&TOPIC.into(), TOPIC_ID, now, fx));
    assert_eq!(
        (h.committed(TOPIC, 0), h.committed("other", 0)),
        (None, Some(1))
    );
}
