//! Heartbeats and sessions.

use super::*;

#[test]
fn heartbeats_keep_a_member_alive_and_silence_ends_its_session() {
    let mut h = Harness::new();
    let ids = h.stable(2);
    for _ in 0..5 {
        h.pass(i64::from(SESSION_MS) - 1);
        assert!(ids.iter().all(|id| h.heartbeat(id) == ErrorCode::None));
    }
    h.pass(i64::from(SESSION_MS) - 1);
    assert_eq!(h.heartbeat(&ids[0]), ErrorCode::None);
    h.pass(1);
    assert!(!h.has_member(&ids[1]));
    assert_eq!(h.state(), GroupState::PreparingRebalance);
    assert_eq!(h.heartbeat(&ids[0]), ErrorCode::RebalanceInProgress);
}

#[test]
fn the_last_members_silence_empties_the_group() {
    let mut h = Harness::new();
    h.stable(1);
    h.pass(i64::from(SESSION_MS));
    assert_eq!((h.state(), h.generation()), (GroupState::Empty, 2));
    assert_eq!(h.group().leader(), None);
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut h = Harness::new();
    assert_eq!(
        h.heartbeat_with(&"m".into(), None, 1),
        ErrorCode::UnknownMemberId
    );
    let ids = h.stable(1);
    let generation = h.generation();
    for (id, generation, expect) in [
        (&ids[0], generation, ErrorCode::None),
        (&ids[0], generation - 1, ErrorCode::IllegalGeneration),
        (&ids[0], generation + 1, ErrorCode::IllegalGeneration),
        (&"unknown".into(), generation, ErrorCode::UnknownMemberId),
    ] {
        assert_eq!(h.heartbeat_with(id, None, generation), expect);
    }
    let request = HeartbeatRequest::default();
    let response = h.run(|groups, now, fx| groups.heartbeat(&request, now, fx));
    assert_eq!(code(response.error_code), ErrorCode::InvalidGroupId);
}

#[test]
fn a_member_whose_join_is_parked_needs_no_heartbeats() {
    let mut h = Harness::new();
    let ids = h.stable(2);
    let leader = h.group().leader().unwrap().clone();
    let parked = h.join(join_as(&leader));
    h.pass(i64::from(SESSION_MS) - 1);
    let other = ids.iter().find(|id| **id != leader).unwrap();
    h.heartbeat(other);
    h.pass(i64::from(SESSION_MS) - 1);
    assert!(h.is_parked(parked) && h.has_member(&leader));
}

#[test]
fn a_new_member_that_nobody_hears_of_is_dropped_after_five_minutes() {
    let mut h = Harness::new();
    let request = JoinGroupRequest {
        rebalance_timeout_ms: 600_000,
        ..static_join("a")
    };
    let joined = h.join(request);
    let id = MemberId::new(&h.joined(joined).member_id);
    h.leader_sync(&id);
    let (new, parked) = h.new_member();
    for _ in 0..30 {
        assert_eq!(h.heartbeat(&id), ErrorCode::RebalanceInProgress);
        assert!(h.is_parked(parked) && h.has_member(&new));
        h.pass(9_999);
    }
    h.heartbeat(&id);
    h.pass(30);
    assert_eq!(
        code(h.joined(parked).error_code),
        ErrorCode::UnknownMemberId
    );
    assert!(!h.has_member(&new));
}

#[test]
fn the_session_begins_with_the_join_reply() {
    let mut h = Harness::new();
    let ids = h.stable(1);
    let (new, _) = h.new_member();
    h.rejoin(&ids);
    h.leader_sync(&ids[0]);
    h.pass(i64::from(SESSION_MS) - 1);
    h.heartbeat(&ids[0]);
    assert!(h.has_member(&new));
    h.pass(1);
    assert!(
        !h.has_member(&new),
        "it got its reply and was never heard of again"
    );
}

#[test]
fn a_commit_keeps_a_member_alive() {
    let mut h = Harness::new();
    let ids = h.stable(1);
    for offset in 0..3 {
        h.pass(i64::from(SESSION_MS) - 1);
        let request = commit_as(&ids[0], h.generation(), offset);
        assert_eq!(h.commit(request), ErrorCode::None);
    }
    assert!(h.has_member(&ids[0]));
}

#[test]
fn after_a_restart_members_have_a_session_timeout_to_show_themselves() {
    let mut h = Harness::new();
    let ids = h.stable(2);
    let generation = h.generation();
    h.pass(i64::from(SESSION_MS) - 1);
    h.restart();
    assert_eq!(
        (h.state(), h.generation()),
        (GroupState::Stable, generation)
    );
    h.pass(i64::from(SESSION_MS) - 1);
    assert_eq!(h.heartbeat(&ids[0]), ErrorCode::None);
    h.pass(1);
    assert!(h.has_member(&ids[0]) && !h.has_member(&ids[1]));
}
