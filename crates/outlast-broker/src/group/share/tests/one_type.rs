//! A group id is of one kind: what members of the other kind are told, and where each kind is listed.

use outlast_protocol::messages::join_group::JoinGroupRequestProtocol;
use outlast_protocol::messages::offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use outlast_protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest,
    OffsetDeleteRequest,
};

use super::*;
use crate::group::{Join, Reply, RequestToken};

fn classic_join(h: &mut Harness, group: &str) -> ErrorCode {
    let request = JoinGroupRequest {
        group_id: group.into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".into(),
            ..Default::default()
        }],
        ..JoinGroupRequest::default()
    };
    let join = Join {
        token: RequestToken(1),
        version: 9,
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        fresh: Uuid::from_u128(1),
        request,
    };
    let reply = h.run(|groups, now, fx| {
        groups.join(join, now, fx);
        fx.replies.pop()
    });
    match reply {
        Some((_, Reply::Join(response))) => ErrorCode::from_code(response.error_code).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn commit(h: &mut Harness, generation: i32) -> ErrorCode {
    let request = OffsetCommitRequest {
        group_id: GROUP.into(),
        generation_id_or_member_epoch: generation,
        topics: vec![OffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![OffsetCommitRequestPartition::default()],
            ..Default::default()
        }],
        ..Default::default()
    };
    let response = h.run(|groups, now, fx| groups.commit(&request, 8, now, fx));
    ErrorCode::from_code(response.topics[0].partitions[0].error_code).unwrap()
}

#[test]
fn classic_members_are_not_let_into_a_share_group() {
    let mut h = Harness::new();
    h.heartbeat(join("a", &["t"])).unwrap();
    assert_eq!(
        classic_join(&mut h, GROUP),
        ErrorCode::InconsistentGroupProtocol
    );
    let beat = HeartbeatRequest {
        group_id: GROUP.into(),
        member_id: "a".into(),
        ..Default::default()
    };
    let code = h
        .run(|groups, now, fx| groups.heartbeat(&beat, now, fx))
        .error_code;
    assert_eq!(code, ErrorCode::UnknownMemberId.code());
    let leave = LeaveGroupRequest {
        group_id: GROUP.into(),
        member_id: "a".into(),
        ..Default::default()
    };
    let code = h
        .run(|groups, now, fx| groups.leave(&leave, 2, now, fx))
        .error_code;
    assert_eq!(code, ErrorCode::UnknownMemberId.code());
    for generation in [-1, 0] {
        assert_eq!(commit(&mut h, generation), ErrorCode::GroupIdNotFound);
    }
    let delete = OffsetDeleteRequest {
        group_id: GROUP.into(),
        ..Default::default()
    };
    let code = h
        .run(|groups, now, fx| groups.delete_offsets(&delete, now, fx))
        .error_code;
    assert_eq!(code, ErrorCode::GroupIdNotFound.code());
    let described = h.groups.describe(&GROUP.into(), 6);
    assert_eq!(described.error_code, ErrorCode::GroupIdNotFound.code());
    assert!(h.has_member("a"));
}

#[test]
fn share_members_are_not_let_into_a_classic_group() {
    let mut h = Harness::new();
    assert_eq!(classic_join(&mut h, GROUP), ErrorCode::MemberIdRequired);
    for epoch in [0, 1, -1] {
        let request = match epoch {
            0 => join("a", &["t"]),
            _ => beat("a", epoch),
        };
        assert_eq!(
            h.heartbeat(request),
            Err(ErrorCode::GroupIdNotFound),
            "{epoch}"
        );
    }
    let created = h.run(|groups, _, fx| groups.share_create(&GROUP.into(), fx));
    assert_eq!(created, Err(ErrorCode::GroupIdNotFound));
    let described = h.groups.share_describe(&GROUP.into(), &|_| None);
    assert_eq!(described.error_code, ErrorCode::GroupIdNotFound.code());
}

#[test]
fn lists_tell_the_types_apart() {
    let mut h = Harness::new();
    h.heartbeat(join("a", &["t"])).unwrap();
    classic_join(&mut h, "classic");
    h.run(|groups, _, fx| groups.share_create(&"idle".into(), fx))
        .unwrap();
    for (types, states, expect) in [
        (&[][..], &[][..], &["classic", "idle", "workers"][..]),
        (&["share"], &[], &["idle", "workers"]),
        (&["Share", "classic"], &[], &["classic", "idle", "workers"]),
        (&["classic"], &[], &["classic"]),
        (&["consumer"], &[], &[]),
        (&["share"], &["stable"], &["workers"]),
        (&[], &["Empty"], &["classic", "idle"]),
    ] {
        let names = |names: &[&str]| names.iter().map(|name| Str::from(*name)).collect();
        let request = ListGroupsRequest {
            types_filter: names(types),
            states_filter: names(states),
        };
        let mut listed = h.groups.list(&request);
        listed.sort_by(|a, b| a.group_id.cmp(&b.group_id));
        let ids: Vec<&str> = listed.iter().map(|group| &*group.group_id).collect();
        assert_eq!(ids, expect, "{types:?} {states:?}");
        for group in listed.iter().filter(|group| &*group.group_id != "classic") {
            assert_eq!(
                (&*group.protocol_type, &*group.group_type),
                ("share", "share")
            );
        }
    }
}

#[test]
fn only_an_empty_group_is_deleted_and_then_the_name_is_free() {
    let mut h = Harness::new();
    let name = Str::from(GROUP);
    let delete = |h: &mut Harness| h.run(|groups, _, fx| groups.share_delete(&name, fx));
    assert_eq!(delete(&mut h), ErrorCode::GroupIdNotFound);
    h.heartbeat(join("a", &["t"])).unwrap();
    assert_eq!(delete(&mut h), ErrorCode::NonEmptyGroup);
    h.heartbeat(beat("a", -1)).unwrap();
    assert_eq!(delete(&mut h), ErrorCode::None);
    assert_eq!(h.groups.share_groups().count(), 0);
    assert_eq!(h.groups.snapshot().count(), 0, "nothing is left of it");
    assert_eq!(classic_join(&mut h, GROUP), ErrorCode::MemberIdRequired);
}
