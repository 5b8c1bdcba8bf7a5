//! Static members: replacement without a rebalance, and fencing (KIP-345, KIP-814).

use super::*;

/// A stable group of static members with these instance ids.
fn stable(h: &mut Harness, instances: &[&str]) -> Vec<MemberId> {
    let mut ids: Vec<MemberId> = Vec::new();
    for instance in instances {
        h.join(static_join(instance));
        for (id, instance) in ids.iter().zip(instances) {
            h.join(JoinGroupRequest {
                member_id: id.wire(),
                ..static_join(instance)
            });
        }
        let id = h
            .group()
            .static_member(&InstanceId::from(*instance))
            .unwrap();
        ids.push(id.clone());
        h.sync_all(&ids);
    }
    assert_eq!(h.state(), GroupState::Stable);
    ids
}

#[test]
fn a_static_member_that_restarts_takes_its_place_without_a_rebalance() {
    let mut h = Harness::new();
    let ids = stable(&mut h, &["a", "b"]);
    let generation = h.generation();
    let assignment = h.group().member(&ids[1]).unwrap().assignment.clone();

    let token = h.join(static_join("b"));
    let response = h.joined(token).clone();
    let new = MemberId::new(&response.member_id);
    assert_ne!(new, ids[1]);
    assert_eq!(
        (code(response.error_code), response.generation_id),
        (ErrorCode::None, generation)
    );
    assert_eq!(
        (h.state(), h.generation()),
        (GroupState::Stable, generation)
    );
    assert_eq!(
        h.heartbeat(&ids[0]),
        ErrorCode::None,
        "the others notice nothing"
    );

    let synced = h.sync(h.sync_request(&new));
    assert_eq!(
        h.synced(synced).assignment,
        assignment,
        "it has what it had"
    );
    h.restart();
    assert!(
        h.has_member(&new) && !h.has_member(&ids[1]),
        "the new id is durable"
    );
}

#[test]
fn the_predecessor_is_fenced_everywhere() {
    let mut h = Harness::new();
    let ids = stable(&mut h, &["a", "b"]);
    h.join(static_join("b"));
    let old = &ids[1];
    let generation = h.generation();
    let fenced = ErrorCode::FencedInstanceId;

    assert_eq!(h.heartbeat_with(old, Some("b"), generation), fenced);
    let request = SyncGroupRequest {
        group_instance_id: Some("b".into()),
        ..h.sync_request(old)
    };
    let synced = h.sync(request);
    assert_eq!(code(h.synced(synced).error_code), fenced);
    let request = JoinGroupRequest {
        member_id: old.wire(),
        ..static_join("b")
    };
    assert_eq!(h.join_error(request), fenced);
    let request = OffsetCommitRequest {
        group_instance_id: Some("b".into()),
        ..commit_as(old, generation, 1)
    };
    assert_eq!(h.commit(request), fenced);
    let left = h.leave(&[(old.as_str(), Some("b"))]);
    assert_eq!(code(left.members[0].error_code), fenced);
    // Without its instance id it is just unknown.
    assert_eq!(h.heartbeat(old), ErrorCode::UnknownMemberId);
    // An instance that nobody has.
    assert_eq!(
        h.heartbeat_with(old, Some("c"), generation),
        ErrorCode::UnknownMemberId
    );
}

#[test]
fn a_leader_that_restarts_is_told_not_to_assign() {
    for (version, skips, sees, leads) in [(9, true, 2, true), (8, false, 0, false)] {
        let mut h = Harness::new();
        let ids = stable(&mut h, &["a", "b"]);
        let leader = h.group().leader().unwrap().clone();
        let instance = if leader == ids[0] { "a" } else { "b" };
        let token = h.join_version(static_join(instance), version);
        let response = h.joined(token).clone();
        assert_eq!(response.skip_assignment, skips, "version {version}");
        assert_eq!(response.members.len(), sees, "version {version}");
        // Before, the way not to assign was not to know that one leads.
        assert_eq!(
            response.leader == response.member_id,
            leads,
            "version {version}"
        );
        assert!(h.group().is_leader(&MemberId::new(&response.member_id)));
    }
}

#[test]
fn requests_parked_by_the_predecessor_are_fenced() {
    // Its join.
    let mut h = Harness::new();
    let ids = stable(&mut h, &["a", "b"]);
    let leader = h.group().leader().unwrap().clone();
    let instance = if leader == ids[0] { "a" } else { "b" };
    let parked = h.join(JoinGroupRequest {
        member_id: leader.wire(),
        ..static_join(instance)
    });
    assert!(h.is_parked(parked));
    let successor = h.join(static_join(instance));
    assert_eq!(
        code(h.joined(parked).error_code),
        ErrorCode::FencedInstanceId
    );
    assert!(h.is_parked(successor), "the rebalance goes on with it");

    // Its sync.
    let mut h = Harness::new();
    let ids = stable(&mut h, &["a", "b"]);
    let leader = h.group().leader().unwrap().clone();
    let (follower, instance) = if leader == ids[0] {
        (&ids[1], "b")
    } else {
        (&ids[0], "a")
    };
    let leading = if instance == "a" { "b" } else { "a" };
    h.join(JoinGroupRequest {
        member_id: leader.wire(),
        ..static_join(leading)
    });
    h.join(JoinGroupRequest {
        member_id: follower.wire(),
        ..static_join(instance)
    });
    assert_eq!(h.state(), GroupState::CompletingRebalance);
    let parked = h.sync(h.sync_request(follower));
    assert!(h.is_parked(parked));
    let successor = h.join(static_join(instance));
    assert_eq!(
        code(h.synced(parked).error_code),
        ErrorCode::FencedInstanceId
    );
    // The leader may be assigning to the old id, so it begins again.
    assert!(h.is_parked(successor));
    assert_eq!(h.state(), GroupState::PreparingRebalance);
}

#[test]
fn a_restart_with_another_protocol_makes_a_rebalance() {
    let mut h = Harness::new();
    let both = |instance| JoinGroupRequest {
        protocols: vec![protocol("range", &[TOPIC]), protocol("sticky", &[TOPIC])],
        ..static_join(instance)
    };
    let joined = h.join(both("a"));
    let id = MemberId::new(&h.joined(joined).member_id);
    h.leader_sync(&id);
    let generation = h.generation();
    // Still in the group, but no longer for what was elected.
    let request = JoinGroupRequest {
        protocols: vec![protocol("sticky", &[TOPIC])],
        ..static_join("a")
    };
    let joined = h.join(request);
    assert_eq!(h.joined(joined).generation_id, generation + 1);
    assert_eq!(h.joined(joined).protocol_name.as_deref(), Some("sticky"));
}

#[test]
fn a_static_member_may_be_away_for_its_session_timeout() {
    let mut h = Harness::new();
    let ids = stable(&mut h, &["a", "b"]);
    h.pass(i64::from(SESSION_MS) - 1);
    assert_eq!(h.heartbeat(&ids[0]), ErrorCode::None);
    assert_eq!(h.state(), GroupState::Stable);
    h.pass(1);
    assert_eq!(h.state(), GroupState::PreparingRebalance);
    assert!(!h.has_member(&ids[1]));
}

#[test]
fn an_absent_static_member_stays_through_a_rebalance() {
    let mut h = Harness::new();
    let request = |instance| JoinGroupRequest {
        rebalance_timeout_ms: 20_000,
        session_timeout_ms: 60_000,
        ..static_join(instance)
    };
    let first = h.join(request("a"));
    let a = MemberId::new(&h.joined(first).member_id);
    h.leader_sync(&a);
    let second = h.join(request("b"));
    h.pass(20_000);
    // The absent member is still in, and who is there leads.
    assert_eq!(h.joined(second).members.len(), 2);
    assert!(h.has_member(&a));
    assert_eq!(h.joined(second).leader, h.joined(second).member_id);
}
