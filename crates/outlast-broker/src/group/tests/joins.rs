//! Who gets into a group, and what the reply says.

use super::*;

#[test]
fn a_dynamic_member_gets_its_id_first() {
    let mut h = Harness::new();
    let asked = h.join(join_request());
    let response = h.joined(asked).clone();
    assert_eq!(code(response.error_code), ErrorCode::MemberIdRequired);
    assert!(response.member_id.starts_with("client-"));
    assert_eq!(h.state(), GroupState::Empty, "an id alone is no member");

    let joined = h.join(join_as(&MemberId::new(&response.member_id)));
    let response = h.joined(joined).clone();
    assert_eq!(code(response.error_code), ErrorCode::None);
    assert_eq!(
        (response.generation_id, &*response.leader),
        (1, &*response.member_id)
    );
    assert_eq!(response.protocol_name.as_deref(), Some("range"));
    assert_eq!(response.protocol_type.as_deref(), Some("consumer"));
    assert_eq!(response.members.len(), 1, "the leader sees the members");
    assert_eq!(h.state(), GroupState::CompletingRebalance);
}

#[test]
fn a_dynamic_member_of_an_old_version_joins_at_once() {
    for (version, expect) in [(3, ErrorCode::None), (4, ErrorCode::MemberIdRequired)] {
        let mut h = Harness::new();
        let joined = h.join_version(join_request(), version);
        assert_eq!(
            code(h.joined(joined).error_code),
            expect,
            "version {version}"
        );
    }
}

#[test]
fn a_static_member_joins_at_once() {
    let mut h = Harness::new();
    let joined = h.join(static_join("a"));
    assert_eq!(code(h.joined(joined).error_code), ErrorCode::None);
    assert!(h.joined(joined).member_id.starts_with("a-"));
    assert_eq!(
        h.joined(joined).members[0].group_instance_id.as_deref(),
        Some("a")
    );
}

#[test]
fn an_id_that_is_not_used_within_the_session_timeout_is_forgotten() {
    let mut h = Harness::new();
    let asked = h.join(join_request());
    let id = MemberId::new(&h.joined(asked).member_id);
    h.pass(i64::from(SESSION_MS));
    assert_eq!(h.join_error(join_as(&id)), ErrorCode::UnknownMemberId);
}

#[test]
fn what_can_not_join_is_refused() {
    let unknown = MemberId::from("unknown");
    type Refused = (&'static str, ErrorCode, fn(&mut JoinGroupRequest));
    let refused: &[Refused] = &[
        ("no group", ErrorCode::InvalidGroupId, |r| {
            r.group_id = Str::default()
        }),
        ("session too short", ErrorCode::InvalidSessionTimeout, |r| {
            r.session_timeout_ms = 5_999
        }),
        ("session too long", ErrorCode::InvalidSessionTimeout, |r| {
            r.session_timeout_ms = 1_800_001
        }),
        ("no protocols", ErrorCode::InconsistentGroupProtocol, |r| {
            r.protocols.clear()
        }),
        ("no type", ErrorCode::InconsistentGroupProtocol, |r| {
            r.protocol_type = Str::default()
        }),
        ("other type", ErrorCode::InconsistentGroupProtocol, |r| {
            r.protocol_type = "connect".into()
        }),
        (
            "other protocol",
            ErrorCode::InconsistentGroupProtocol,
            |r| r.protocols = vec![protocol("sticky", &[])],
        ),
    ];
    for (what, expect, change) in refused {
        let mut h = Harness::new();
        h.stable(1);
        let before = h.records.len();
        let mut request = join_request();
        change(&mut request);
        assert_eq!(h.join_error(request), *expect, "{what}");
        assert_eq!(
            (h.state(), h.records.len()),
            (GroupState::Stable, before),
            "{what}"
        );
    }
    let mut h = Harness::new();
    assert_eq!(h.join_error(join_as(&unknown)), ErrorCode::UnknownMemberId);
    h.stable(1);
    assert_eq!(h.join_error(join_as(&unknown)), ErrorCode::UnknownMemberId);
}

#[test]
fn a_refused_join_makes_no_group() {
    let mut h = Harness::new();
    let request = JoinGroupRequest {
        protocols: Vec::new(),
        ..join_request()
    };
    assert_eq!(h.join_error(request), ErrorCode::InconsistentGroupProtocol);
    assert!(h.groups.is_empty() && h.records.is_empty());
}

#[test]
fn names_that_no_record_can_hold_are_refused() {
    let long = || Str::from("x".repeat(40_000));
    let changes: &[fn(&mut JoinGroupRequest, Str)] = &[
        |r, long| r.group_id = long,
        |r, long| r.group_instance_id = Some(long),
        |r, long| r.protocol_type = long,
        |r, long| r.protocols[0].name = long,
    ];
    for change in changes {
        let mut h = Harness::new();
        let mut request = join_request();
        change(&mut request, long());
        let error = h.join_error(request);
        assert!([ErrorCode::InvalidGroupId, ErrorCode::InvalidRequest].contains(&error));
        assert!(h.groups.is_empty());
    }
}

#[test]
fn the_group_takes_no_more_members_than_allowed() {
    let mut h = Harness::with(GroupConfig {
        group_max_size: 2,
        ..GroupConfig::default()
    });
    let ids = h.stable(2);
    assert_eq!(h.join_error(join_request()), ErrorCode::GroupMaxSizeReached);
    assert_eq!(
        h.state(),
        GroupState::Stable,
        "the others are not disturbed"
    );
    // Whoever is in stays in.
    let again = h.join(join_as(&ids[1]));
    assert_ne!(
        code(h.joined(again).error_code),
        ErrorCode::GroupMaxSizeReached
    );
}

#[test]
fn a_group_over_its_size_sheds_the_members_that_come_last() {
    let mut h = Harness::new();
    let ids = h.stable(3);
    let records = std::mem::take(&mut h.records);
    let mut h = Harness::with(GroupConfig {
        group_max_size: 2,
        ..GroupConfig::default()
    });
    h.records = records;
    h.restart();
    assert_eq!(h.state(), GroupState::PreparingRebalance);
    let errors: Vec<ErrorCode> = ids
        .iter()
        .map(|id| h.join(join_as(id)))
        .collect::<Vec<_>>()
        .into_iter()
        .map(|token| code(h.joined(token).error_code))
        .collect();
    assert_eq!(
        errors,
        [
            ErrorCode::None,
            ErrorCode::None,
            ErrorCode::GroupMaxSizeReached
        ]
    );
    assert_eq!(h.group().member_count(), 2);
}

#[test]
fn the_protocol_with_the_most_votes_wins_among_those_that_all_support() {
    let cases: &[(&[&[&str]], &str)] = &[
        (
            &[
                &["range", "sticky"],
                &["sticky", "range"],
                &["sticky", "range"],
            ],
            "sticky",
        ),
        (
            &[
                &["range", "sticky"],
                &["range", "sticky"],
                &["sticky", "range"],
            ],
            "range",
        ),
        // Equal votes: by name.
        (&[&["sticky", "range"], &["range", "sticky"]], "range"),
        // Most prefer what not all support.
        (
            &[&["range", "sticky"], &["range", "sticky"], &["sticky"]],
            "sticky",
        ),
    ];
    for (offers, expect) in cases {
        let mut h = Harness::new();
        let requests: Vec<JoinGroupRequest> = offers
            .iter()
            .enumerate()
            .map(|(index, names)| JoinGroupRequest {
                protocols: names.iter().map(|name| protocol(name, &[])).collect(),
                ..static_join(&index.to_string())
            })
            .collect();
        let mut tokens: Vec<RequestToken> = requests.iter().map(|r| h.join(r.clone())).collect();
        let first = MemberId::new(&h.joined(tokens[0]).member_id);
        let again = JoinGroupRequest {
            member_id: first.wire(),
            ..requests[0].clone()
        };
        tokens[0] = h.join(again);
        for token in tokens {
            assert_eq!(
                h.joined(token).protocol_name.as_deref(),
                Some(*expect),
                "{offers:?}"
            );
        }
    }
}

#[test]
fn only_the_leader_sees_the_members() {
    let mut h = Harness::new();
    let ids = h.stable(2);
    let tokens: Vec<RequestToken> = [ids[0].clone(), ids[1].clone()]
        .iter()
        .map(|id| h.join(join_as(id)))
        .collect();
    let leader = h.group().leader().unwrap().clone();
    for (id, token) in ids.iter().zip(tokens) {
        let members = h.joined(token).members.len();
        assert_eq!(members, if *id == leader { 2 } else { 0 });
    }
}

#[test]
fn joining_again_without_a_change_gives_the_current_generation() {
    let mut h = Harness::new();
    let ids = h.stable(2);
    let leader = h.group().leader().unwrap().clone();
    let follower = ids.iter().find(|id| **id != leader).unwrap().clone();
    let generation = h.generation();

    let again = h.join(join_as(&follower));
    assert_eq!(h.joined(again).generation_id, generation);
    assert_eq!(h.state(), GroupState::Stable);

    // The same while the leader assigns: the first reply may have been lost.
    h.join(join_as(&leader));
    h.join(join_as(&follower));
    assert_eq!(h.state(), GroupState::CompletingRebalance);
    for (id, members) in [(&leader, 2), (&follower, 0)] {
        let again = h.join(join_as(id));
        assert_eq!(h.joined(again).generation_id, generation + 1);
        assert_eq!(h.joined(again).members.len(), members);
    }
    assert_eq!(h.state(), GroupState::CompletingRebalance);
}

#[test]
fn joining_again_makes_a_rebalance_when_something_may_have_changed() {
    let changed = |id: &MemberId| JoinGroupRequest {
        protocols: vec![protocol("range", &["other"])],
        ..join_as(id)
    };
    // A follower with other topics.
    let mut h = Harness::new();
    let ids = h.stable(2);
    let leader = h.group().leader().unwrap().clone();
    let follower = ids.iter().find(|id| **id != leader).unwrap().clone();
    let again = h.join(changed(&follower));
    assert!(h.is_parked(again));
    assert_eq!(h.state(), GroupState::PreparingRebalance);
    assert_eq!(h.heartbeat(&leader), ErrorCode::RebalanceInProgress);

    // The leader, for it may have seen new partitions.
    let mut h = Harness::new();
    h.stable(2);
    let leader = h.group().leader().unwrap().clone();
    let again = h.join(join_as(&leader));
    assert!(h.is_parked(again));
    assert_eq!(h.state(), GroupState::PreparingRebalance);

    // A member with other topics while the leader assigns.
    let mut h = Harness::new();
    let ids = h.stable(2);
    h.join(join_as(&h.group().leader().unwrap().clone()));
    h.rejoin(&ids);
    assert_eq!(h.state(), GroupState::CompletingRebalance);
    let again = h.join(changed(&ids[0]));
    assert!(h.is_parked(again));
    assert_eq!(h.state(), GroupState::PreparingRebalance);
}

#[test]
fn a_second_join_of_a_parked_member_answers_the_first() {
    let mut h = Harness::new();
    let ids = h.stable(2);
    let leader = h.group().leader().unwrap().clone();
    let first = h.join(join_as(&leader));
    let second = h.join(join_as(&leader));
    assert_eq!(
        code(h.joined(first).error_code),
        ErrorCode::RebalanceInProgress
    );
    assert!(h.is_parked(second));
    h.rejoin(&ids);
    assert_eq!(code(h.joined(second).error_code), ErrorCode::None);
}

#[test]
fn version_0_has_its_session_timeout_for_both() {
    let mut h = Harness::new();
    let request = JoinGroupRequest {
        rebalance_timeout_ms: -1,
        ..join_request()
    };
    let joined = h.join_version(request, 0);
    let id = MemberId::new(&h.joined(joined).member_id);
    assert_eq!(
        h.group().member(&id).unwrap().rebalance_timeout_ms,
        SESSION_MS
    );
}
