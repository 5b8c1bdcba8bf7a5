//! Joining, staying, being fenced, leaving.

use super::*;

#[test]
fn a_member_joins_and_has_its_partitions_at_once() {
    let mut h = Harness::new();
    let joined = h.heartbeat(join("a", &["t", "missing"])).unwrap();
    assert_eq!((joined.member_epoch, told(&joined)), (1, Some(4)));
    assert_eq!(joined.heartbeat_interval_ms, 5_000);
    assert_eq!(joined.member_id.as_deref(), Some("a"));
    let beat = h.beat("a").unwrap();
    assert_eq!((beat.member_epoch, told(&beat)), (1, None));
}

#[test]
fn who_may_send_a_heartbeat() {
    let mut h = Harness::new();
    assert_eq!(h.heartbeat(beat("a", 1)), Err(ErrorCode::GroupIdNotFound));
    assert_eq!(h.heartbeat(beat("a", -1)), Err(ErrorCode::GroupIdNotFound));
    h.heartbeat(join("a", &["t"])).unwrap();
    h.pass(INTERVAL_MS);
    // The group's epoch is 2 after this, and the member's is.
    h.heartbeat(ShareGroupHeartbeatRequest {
        subscribed_topic_names: Some(vec!["u".into()]),
        ..beat("a", 1)
    })
    .unwrap();
    for (member, epoch, expect) in [
        ("a", 2, None),
        ("a", 1, None),
        ("a", 3, Some(ErrorCode::FencedMemberEpoch)),
        ("a", -2, Some(ErrorCode::InvalidRequest)),
        ("b", 1, Some(ErrorCode::UnknownMemberId)),
        ("b", -1, Some(ErrorCode::UnknownMemberId)),
    ] {
        let answer = h.heartbeat(beat(member, epoch));
        assert_eq!(answer.err(), expect, "{member} {epoch}");
    }
    h.pass(INTERVAL_MS);
    h.heartbeat(ShareGroupHeartbeatRequest {
        subscribed_topic_names: Some(vec!["t".into()]),
        ..beat("a", 2)
    })
    .unwrap();
    assert_eq!(
        h.heartbeat(beat("a", 1)),
        Err(ErrorCode::FencedMemberEpoch),
        "two behind"
    );
}

#[test]
fn a_request_that_makes_no_sense_leaves_no_group_behind() {
    let empty = |text: &str| Some(Str::from(text));
    for (what, request, expect) in [
        ("no topics", join("a", &[]), ErrorCode::InvalidRequest),
        ("null topics", beat("a", 0), ErrorCode::InvalidRequest),
        (
            "no group id",
            ShareGroupHeartbeatRequest {
                group_id: " ".into(),
                ..join("a", &["t"])
            },
            ErrorCode::InvalidRequest,
        ),
        (
            "a long group id",
            ShareGroupHeartbeatRequest {
                group_id: "g".repeat(40_000).into(),
                ..join("a", &["t"])
            },
            ErrorCode::InvalidGroupId,
        ),
        (
            "an empty rack",
            ShareGroupHeartbeatRequest {
                rack_id: empty(""),
                ..join("a", &["t"])
            },
            ErrorCode::InvalidRequest,
        ),
        (
            "a subscription without end",
            join("a", &[&"x".repeat(300_000)]),
            ErrorCode::InvalidRequest,
        ),
    ] {
        let mut h = Harness::new();
        assert_eq!(h.heartbeat(request), Err(expect), "{what}");
        assert_eq!(h.groups.share_groups().count(), 0, "{what}");
    }
}

#[test]
fn joining_again_tells_everything_again() {
    let mut h = Harness::new();
    h.heartbeat(join("a", &["t"])).unwrap();
    let again = h.heartbeat(join("a", &["t"])).unwrap();
    assert_eq!((again.member_epoch, told(&again)), (1, Some(4)));
    assert_eq!(h.epochs(), (1, 1), "nothing has changed");
}

#[test]
fn a_member_whose_answer_was_lost_is_told_again() {
    let mut h = Harness::new();
    h.heartbeat(join("a", &["t"])).unwrap();
    h.pass(INTERVAL_MS);
    h.heartbeat(join("b", &["t"])).unwrap();
    for _ in 0..2 {
        let answer = h.heartbeat(beat("a", 1)).unwrap();
        assert_eq!((answer.member_epoch, told(&answer)), (2, Some(2)));
    }
    assert_eq!(told(&h.heartbeat(beat("a", 2)).unwrap()), None);
}

#[test]
fn a_member_that_leaves_is_gone_at_once() {
    let mut h = Harness::new();
    h.heartbeat(join("a", &["t"])).unwrap();
    h.heartbeat(join("b", &["t"])).unwrap();
    let left = h.heartbeat(beat("a", -1)).unwrap();
    assert_eq!((left.member_epoch, left.heartbeat_interval_ms), (-1, 0));
    assert!(!h.has_member("a"));
    assert_eq!(h.departed, ["a"]);
    h.pass(INTERVAL_MS);
    assert_eq!(told(&h.beat("b").unwrap()), Some(4), "it has all now");
    h.heartbeat(beat("b", -1)).unwrap();
    assert_eq!(h.group().state(), ShareGroupState::Empty);
    assert!(h.timers.is_empty(), "{:?}", h.timers);
    h.run(|groups, now, fx| groups.expire(now, fx));
    assert_eq!(h.group().state().name(), "Empty", "its queues fill up");
}

#[test]
fn silence_ends_a_session() {
    let mut h = Harness::new();
    h.heartbeat(join("a", &["t"])).unwrap();
    h.heartbeat(join("b", &["t"])).unwrap();
    for _ in 0..5 {
        h.pass(SESSION_MS - 1);
        h.beat("a").unwrap();
        assert!(h.has_member("b") == (h.now.0 == 1_000_000_000 + SESSION_MS - 1));
    }
    assert_eq!(h.departed, ["b"]);
    assert_eq!(h.heartbeat(beat("b", 1)), Err(ErrorCode::UnknownMemberId));
    assert_eq!(h.load("a"), 4);
}

#[test]
fn after_a_restart_members_are_what_they_were_and_must_show_themselves() {
    let mut h = Harness::new();
    h.heartbeat(join("a", &["t"])).unwrap();
    h.heartbeat(join("b", &["t"])).unwrap();
    h.pass(SESSION_MS - 1);
    let before = h.group().clone();
    h.restart();
    assert_eq!(*h.group(), before);
    h.pass(SESSION_MS - 1);
    h.beat("a").unwrap();
    assert!(h.has_member("b"));
    h.pass(1);
    assert!(h.has_member("a") && !h.has_member("b"));
}

#[test]
fn a_group_takes_so_many_members_and_no_more() {
    let mut h = Harness::with(GroupConfig {
        share_group_max_size: 2,
        ..GroupConfig::default()
    });
    h.heartbeat(join("a", &["t"])).unwrap();
    h.heartbeat(join("b", &["t"])).unwrap();
    let refused = h.heartbeat(join("c", &["t"]));
    assert_eq!(refused, Err(ErrorCode::GroupMaxSizeReached));
    h.heartbeat(join("b", &["t"])).unwrap();
    h.heartbeat(beat("a", -1)).unwrap();
    h.heartbeat(join("c", &["t"])).unwrap();
}

#[test]
fn what_a_member_is_described_as() {
    let mut h = Harness::new();
    h.heartbeat(ShareGroupHeartbeatRequest {
        rack_id: Some("r1".into()),
        ..join("a", &["u", "t"])
    })
    .unwrap();
    let name = |id: Uuid| (id == Uuid::from_u128(1)).then(|| Str::from("t"));
    let described = h.groups.share_describe(&GROUP.into(), &name);
    assert_eq!(
        (
            &*described.group_state,
            described.group_epoch,
            described.assignment_epoch
        ),
        ("Stable", 1, 1)
    );
    assert_eq!(&*described.assignor_name, "simple");
    let member = &described.members[0];
    assert_eq!(
        (
            &*member.client_id,
            &*member.client_host,
            member.member_epoch
        ),
        ("client", "/127.0.0.1", 1)
    );
    assert_eq!(member.rack_id.as_deref(), Some("r1"));
    assert_eq!(member.subscribed_topic_names, ["t", "u"]);
    let topics = &member.assignment.topic_partitions;
    assert_eq!(topics.len(), 1, "a topic that is gone is left out");
    assert_eq!(
        (&*topics[0].topic_name, &topics[0].partitions[..]),
        ("t", &[0, 1, 2, 3][..])
    );
}
