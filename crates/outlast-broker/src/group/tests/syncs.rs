//! SyncGroup.

use super::*;

#[test]
fn the_leaders_assignment_reaches_everybody_and_is_recorded() {
    let mut h = Harness::new();
    let ids = h.stable(2);
    let (third, _) = h.new_member();
    h.rejoin(&ids);
    let everybody = [ids[0].clone(), ids[1].clone(), third];
    let leader = h.group().leader().unwrap().clone();
    let records = h.records.len();
    let mut parked = Vec::new();
    for id in everybody.iter().filter(|id| **id != leader) {
        let request = h.sync_request(id);
        parked.push((id, h.sync(request)));
    }
    assert!(parked.iter().all(|(_, token)| h.is_parked(*token)));
    assert_eq!(
        h.records.len(),
        records,
        "nothing to record before the leader has spoken"
    );
    let led = h.leader_sync(&leader);
    parked.push((&leader, led));
    for (id, token) in parked {
        let response = h.synced(token);
        assert_eq!(code(response.error_code), ErrorCode::None);
        assert_eq!(response.assignment, id.as_str().as_bytes());
        assert_eq!(response.protocol_name.as_deref(), Some("range"));
    }
    assert_eq!(
        (h.state(), h.records.len()),
        (GroupState::Stable, records + 1)
    );
}

#[test]
fn a_late_sync_gets_the_assignment_at_once() {
    let mut h = Harness::new();
    let ids = h.stable(2);
    for id in &ids {
        let token = h.sync(h.sync_request(id));
        assert_eq!(h.synced(token).assignment, id.as_str().as_bytes());
    }
}

#[test]
fn a_member_that_the_leader_forgot_gets_an_empty_assignment() {
    let mut h = Harness::new();
    let (id, _) = h.new_member();
    let token = h.sync(h.sync_request(&id));
    assert_eq!(code(h.synced(token).error_code), ErrorCode::None);
    assert!(h.synced(token).assignment.is_empty());
    assert_eq!(h.state(), GroupState::Stable);
}

#[test]
fn what_does_not_fit_the_generation_is_refused() {
    type Refused = (&'static str, ErrorCode, fn(&mut SyncGroupRequest));
    let refused: &[Refused] = &[
        ("no group", ErrorCode::InvalidGroupId, |r| {
            r.group_id = Str::default()
        }),
        ("other group", ErrorCode::UnknownMemberId, |r| {
            r.group_id = "other".into()
        }),
        ("unknown member", ErrorCode::UnknownMemberId, |r| {
            r.member_id = "other".into()
        }),
        ("old generation", ErrorCode::IllegalGeneration, |r| {
            r.generation_id -= 1
        }),
        ("future generation", ErrorCode::IllegalGeneration, |r| {
            r.generation_id += 1
        }),
        (
            "other protocol",
            ErrorCode::InconsistentGroupProtocol,
            |r| r.protocol_name = Some("sticky".into()),
        ),
        ("other type", ErrorCode::InconsistentGroupProtocol, |r| {
            r.protocol_type = Some("connect".into())
        }),
        ("no protocol", ErrorCode::InconsistentGroupProtocol, |r| {
            r.protocol_name = None
        }),
        ("no type", ErrorCode::InconsistentGroupProtocol, |r| {
            r.protocol_type = None
        }),
    ];
    for (what, expect, change) in refused {
        let mut h = Harness::new();
        let ids = h.stable(1);
        let mut request = h.sync_request(&ids[0]);
        change(&mut request);
        let token = h.sync(request);
        assert_eq!(code(h.synced(token).error_code), *expect, "{what}");
    }
}

#[test]
fn before_version_5_the_protocol_need_not_be_named() {
    let mut h = Harness::new();
    let ids = h.stable(1);
    let request = SyncGroupRequest {
        protocol_name: None,
        protocol_type: None,
        ..h.sync_request(&ids[0])
    };
    let token = h.token();
    h.run(|groups, now, fx| groups.sync(token, &request, 4, now, fx));
    assert_eq!(code(h.synced(token).error_code), ErrorCode::None);
}

#[test]
fn during_the_join_phase_a_sync_must_join() {
    let mut h = Harness::new();
    let ids = h.stable(1);
    h.new_member();
    let token = h.sync(h.sync_request(&ids[0]));
    assert_eq!(
        code(h.synced(token).error_code),
        ErrorCode::RebalanceInProgress
    );
}

#[test]
fn a_new_member_sends_those_who_wait_for_the_assignment_back_to_join() {
    let mut h = Harness::new();
    let ids = h.stable(2);
    h.join(join_as(&h.group().leader().unwrap().clone()));
    h.rejoin(&ids);
    let leader = h.group().leader().unwrap().clone();
    let follower = ids.iter().find(|id| **id != leader).unwrap();
    let parked = h.sync(h.sync_request(follower));
    h.new_member();
    assert_eq!(
        code(h.synced(parked).error_code),
        ErrorCode::RebalanceInProgress
    );
    assert_eq!(h.state(), GroupState::PreparingRebalance);
}

#[test]
fn members_that_do_not_sync_in_time_are_dropped() {
    let mut h = Harness::new();
    let ids = h.stable(2);
    h.join(join_as(&h.group().leader().unwrap().clone()));
    h.rejoin(&ids);
    let leader = h.group().leader().unwrap().clone();
    let follower = ids.iter().find(|id| **id != leader).unwrap().clone();
    let parked = h.sync(h.sync_request(&follower));
    // The leader lives, but never assigns.
    for _ in 0..6 {
        assert_eq!(h.heartbeat(&leader), ErrorCode::None);
        h.pass(9_000);
    }
    assert_eq!(h.heartbeat(&leader), ErrorCode::None);
    h.pass(5_999);
    assert!(h.is_parked(parked));
    h.pass(1);
    assert_eq!(
        code(h.synced(parked).error_code),
        ErrorCode::RebalanceInProgress
    );
    assert!(!h.has_member(&leader) && h.has_member(&follower));
    assert_eq!(h.state(), GroupState::PreparingRebalance);
    let joined = h.join(join_as(&follower));
    assert_eq!(h.joined(joined).leader, follower.wire());
}

#[test]
fn a_follower_that_never_syncs_is_dropped_from_a_stable_group() {
    let mut h = Harness::new();
    let ids = h.stable(2);
    h.join(join_as(&h.group().leader().unwrap().clone()));
    h.rejoin(&ids);
    let leader = h.group().leader().unwrap().clone();
    let follower = ids.iter().find(|id| **id != leader).unwrap().clone();
    h.leader_sync(&leader);
    assert_eq!(h.state(), GroupState::Stable);
    for _ in 0..7 {
        let _ = (h.heartbeat(&leader), h.heartbeat(&follower));
        h.pass(9_000);
    }
    assert_eq!(h.state(), GroupState::PreparingRebalance);
    assert!(!h.has_member(&follower));
}

#[test]
fn a_second_sync_of_a_waiting_member_answers_the_first() {
    let mut h = Harness::new();
    let ids = h.stable(2);
    h.join(join_as(&h.group().leader().unwrap().clone()));
    h.rejoin(&ids);
    let leader = h.group().leader().unwrap().clone();
    let follower = ids.iter().find(|id| **id != leader).unwrap().clone();
    let first = h.sync(h.sync_request(&follower));
    let second = h.sync(h.sync_request(&follower));
    assert_eq!(
        code(h.synced(first).error_code),
        ErrorCode::RebalanceInProgress
    );
    h.leader_sync(&leader);
    assert_eq!(h.synced(second).assignment, follower.as_str().as_bytes());
}
