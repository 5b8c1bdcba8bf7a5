//! The join phase and its timers.

use super::*;

fn delayed(ms: u32) -> Harness {
    Harness::with(GroupConfig {
        group_initial_rebalance_delay_ms: ms,
        ..GroupConfig::default()
    })
}

#[test]
fn the_first_rebalance_waits_for_more_members_when_told_to() {
    let mut h = delayed(3_000);
    let (_, first) = h.new_member();
    h.pass(2_999);
    assert!(h.is_parked(first));
    let (_, second) = h.new_member();
    // Somebody came, so another step begins when the first is over.
    h.pass(1);
    assert!(h.is_parked(first));
    h.pass(2_999);
    assert!(h.is_parked(second));
    h.pass(1);
    assert_eq!(h.joined(first).generation_id, 1);
    assert_eq!(h.joined(second).generation_id, 1);
    assert_eq!(h.group().member_count(), 2);
}

#[test]
fn the_first_rebalance_waits_no_longer_than_the_rebalance_timeout() {
    let mut h = delayed(3_000);
    let request = |instance: &str| JoinGroupRequest {
        rebalance_timeout_ms: 7_000,
        ..static_join(instance)
    };
    let first = h.join(request("0"));
    for second in 1..7 {
        h.pass(1_000);
        h.join(request(&second.to_string()));
    }
    h.pass(999);
    assert!(h.is_parked(first));
    h.pass(1);
    assert_eq!(h.joined(first).members.len(), 7);
}

#[test]
fn the_first_rebalance_ends_early_when_nobody_is_left_to_join() {
    let mut h = delayed(3_000);
    let asked = h.join(join_request());
    let (id, joined) = h.new_member();
    h.pass(2_000);
    assert!(h.is_parked(joined));
    // The one who only asked for an id leaves; a delay is a delay, though.
    let unused = h.joined(asked).member_id.clone();
    h.leave(&[(&unused, None)]);
    assert!(h.is_parked(joined));
    h.pass(1_000);
    assert_eq!(h.joined(joined).member_id, id.wire());
}

#[test]
fn members_that_do_not_join_again_in_time_are_dropped() {
    let mut h = Harness::new();
    let ids = h.stable(3);
    let leader = h.group().leader().unwrap().clone();
    let others: Vec<&MemberId> = ids.iter().filter(|id| **id != leader).collect();
    let joined = h.join(join_as(others[0]));
    assert!(h.is_parked(joined) || h.state() == GroupState::Stable);
    // A follower with nothing new was answered at once; make it a rebalance.
    let changed = JoinGroupRequest {
        protocols: vec![protocol("range", &["x"])],
        ..join_as(others[0])
    };
    let joined = h.join(changed);
    assert!(h.is_parked(joined));
    let heartbeats = |h: &mut Harness| {
        // They live but don't join.
        assert_eq!(h.heartbeat(&leader), ErrorCode::RebalanceInProgress);
        assert_eq!(h.heartbeat(others[1]), ErrorCode::RebalanceInProgress);
    };
    for _ in 0..6 {
        heartbeats(&mut h);
        h.pass(9_000);
    }
    heartbeats(&mut h);
    h.pass(5_999);
    assert!(h.is_parked(joined));
    h.pass(1);
    let response = h.joined(joined);
    assert_eq!(response.leader, others[0].wire(), "who joined leads");
    assert_eq!(response.members.len(), 1);
    assert!(!h.has_member(&leader) && !h.has_member(others[1]));
}

#[test]
fn a_rebalance_ends_as_soon_as_everybody_has_joined() {
    let mut h = Harness::new();
    let ids = h.stable(2);
    let (_, third) = h.new_member();
    assert!(h.is_parked(third));
    let tokens = h.rejoin(&ids);
    assert_eq!(h.joined(third).generation_id, h.generation());
    assert!(tokens.iter().all(|token| !h.is_parked(*token)));
}

#[test]
fn a_rebalance_waits_for_ids_that_were_given_out() {
    let mut h = Harness::new();
    let ids = h.stable(1);
    let (_, second) = h.new_member();
    let asked = h.join(join_request());
    h.rejoin(&ids);
    assert!(h.is_parked(second), "the third may be on its way");
    let third = MemberId::new(&h.joined(asked).member_id);
    h.join(join_as(&third));
    assert_eq!(h.joined(second).generation_id, h.generation());
    assert_eq!(h.group().member_count(), 3);
}

#[test]
fn a_rebalance_does_not_wait_for_an_id_whose_session_is_over() {
    let mut h = Harness::new();
    let ids = h.stable(1);
    let (_, second) = h.new_member();
    h.join(join_request());
    h.rejoin(&ids);
    assert!(h.is_parked(second));
    h.pass(i64::from(SESSION_MS));
    assert_eq!(h.joined(second).generation_id, h.generation());
}

#[test]
fn the_generation_counts_every_join_phase() {
    let mut h = Harness::new();
    for (members, generation) in [(1, 1), (2, 2)] {
        let mut h = Harness::new();
        h.stable(members);
        assert_eq!(h.generation(), generation);
    }
    let ids = h.stable(1);
    h.leave(&[(ids[0].as_str(), None)]);
    assert_eq!((h.state(), h.generation()), (GroupState::Empty, 2));
    h.restart();
    assert_eq!((h.state(), h.generation()), (GroupState::Empty, 2));
    h.stable(1);
    assert_eq!(h.generation(), 3);
}

#[test]
fn absent_static_members_keep_a_rebalance_waiting_but_not_spinning() {
    let mut h = Harness::new();
    let request = JoinGroupRequest {
        rebalance_timeout_ms: 0,
        ..static_join("a")
    };
    let joined = h.join(request);
    let id = MemberId::new(&h.joined(joined).member_id);
    h.leader_sync(&id);
    // A dynamic member comes and goes: now only the static one is expected.
    let request = JoinGroupRequest {
        rebalance_timeout_ms: 0,
        ..join_request()
    };
    let asked = h.join(request.clone());
    let second = MemberId::new(&h.joined(asked).member_id);
    h.join(JoinGroupRequest {
        member_id: second.wire(),
        ..request
    });
    h.leave(&[(second.as_str(), None)]);
    assert_eq!(h.state(), GroupState::PreparingRebalance);
    let fired = h.fired;
    h.pass(5_000);
    assert!(
        h.fired - fired < 10,
        "timers fired {} times",
        h.fired - fired
    );
    assert_eq!(h.state(), GroupState::PreparingRebalance);
    // Its session ends.
    h.pass(i64::from(SESSION_MS));
    assert_eq!(h.state(), GroupState::Empty);
}

#[test]
fn a_rebalance_under_way_is_forgotten_by_a_restart() {
    let mut h = Harness::new();
    let ids = h.stable(2);
    let generation = h.generation();
    h.new_member();
    h.rejoin(&ids);
    assert_eq!(h.generation(), generation + 1);
    h.restart();
    assert_eq!(
        (h.state(), h.generation()),
        (GroupState::Stable, generation)
    );
    assert!(ids.iter().all(|id| h.heartbeat(id) == ErrorCode::None));
}
