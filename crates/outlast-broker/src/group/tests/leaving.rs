//! LeaveGroup.

use super::*;

#[test]
fn a_member_that_leaves_makes_the_others_rebalance() {
    let mut h = Harness::new();
    let ids = h.stable(2);
    let leader = h.group().leader().unwrap().clone();
    let other = ids.iter().find(|id| **id != leader).unwrap();
    let left = h.leave(&[(leader.as_str(), None)]);
    assert_eq!(code(left.members[0].error_code), ErrorCode::None);
    assert_eq!(h.state(), GroupState::PreparingRebalance);
    assert!(h.group().is_leader(other), "leadership passes on");
    let joined = h.join(join_as(other));
    assert_eq!(h.joined(joined).members.len(), 1);
}

#[test]
fn the_last_member_leaves_an_empty_group_with_its_offsets() {
    let mut h = Harness::new();
    let ids = h.stable(1);
    let request = commit_as(&ids[0], h.generation(), 5);
    h.commit(request);
    h.leave(&[(ids[0].as_str(), None)]);
    assert_eq!(h.state(), GroupState::Empty);
    h.restart();
    assert_eq!(
        (h.state(), h.committed(TOPIC, 0)),
        (GroupState::Empty, Some(5))
    );
}

#[test]
fn several_leave_at_once_each_with_its_own_error() {
    let mut h = Harness::new();
    h.join(static_join("a"));
    let a = h.group().static_member(&"a".into()).unwrap().clone();
    h.leader_sync(&a);
    let asked = h.join(join_request());
    let pending = h.joined(asked).member_id.clone();
    let left = h.leave(&[
        ("unknown", None),
        ("", Some("unknown")),
        ("", None),
        ("other", Some("a")),
        (&pending, None),
        ("", Some("a")),
        // It is gone by now.
        (a.as_str(), None),
    ]);
    let errors: Vec<ErrorCode> = left.members.iter().map(|m| code(m.error_code)).collect();
    let unknown = ErrorCode::UnknownMemberId;
    assert_eq!(
        errors,
        [
            unknown,
            unknown,
            unknown,
            ErrorCode::FencedInstanceId,
            ErrorCode::None,
            ErrorCode::None,
            unknown
        ]
    );
    assert_eq!(h.state(), GroupState::Empty);
}

#[test]
fn giving_back_an_unused_id_disturbs_nobody() {
    let mut h = Harness::new();
    h.stable(1);
    let asked = h.join(join_request());
    let pending = h.joined(asked).member_id.clone();
    h.leave(&[(&pending, None)]);
    assert_eq!(h.state(), GroupState::Stable);
}

#[test]
fn a_parked_join_of_a_leaving_member_is_answered() {
    let mut h = Harness::new();
    let ids = h.stable(1);
    let (second, parked) = h.new_member();
    h.leave(&[(second.as_str(), None)]);
    assert_eq!(
        code(h.joined(parked).error_code),
        ErrorCode::UnknownMemberId
    );
    assert!(h.has_member(&ids[0]));
}

#[test]
fn a_parked_sync_of_a_leaving_member_is_answered() {
    let mut h = Harness::new();
    let ids = h.stable(2);
    h.join(join_as(&h.group().leader().unwrap().clone()));
    h.rejoin(&ids);
    let leader = h.group().leader().unwrap().clone();
    let follower = ids.iter().find(|id| **id != leader).unwrap();
    let parked = h.sync(h.sync_request(follower));
    h.leave(&[(follower.as_str(), None)]);
    assert_eq!(
        code(h.synced(parked).error_code),
        ErrorCode::UnknownMemberId
    );
}

#[test]
fn a_leave_may_be_what_the_join_phase_waited_for() {
    let mut h = Harness::new();
    let ids = h.stable(2);
    let (_, parked) = h.new_member();
    h.rejoin(&ids[..1]);
    assert!(h.is_parked(parked));
    h.leave(&[(ids[1].as_str(), None)]);
    assert_eq!(code(h.joined(parked).error_code), ErrorCode::None);
    assert_eq!(h.group().member_count(), 2);
}

#[test]
fn versions_before_3_name_one_member_and_have_one_error() {
    let mut h = Harness::new();
    let ids = h.stable(1);
    let mut leave = |group: &str, member: &str| {
        let request = LeaveGroupRequest {
            group_id: Str::from(group),
            member_id: Str::from(member),
            ..LeaveGroupRequest::default()
        };
        let response = h.run(|groups, now, fx| groups.leave(&request, 2, now, fx));
        assert!(response.members.is_empty());
        code(response.error_code)
    };
    assert_eq!(leave("", "m"), ErrorCode::InvalidGroupId);
    assert_eq!(leave("other", "m"), ErrorCode::UnknownMemberId);
    assert_eq!(leave(GROUP, "m"), ErrorCode::UnknownMemberId);
    assert_eq!(leave(GROUP, ids[0].as_str()), ErrorCode::None);
}
