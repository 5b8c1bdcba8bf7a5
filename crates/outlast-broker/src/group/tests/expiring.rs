//! What goes by itself (KIP-211).

use super::*;

const RETENTION_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// Passes time without letting sessions end, and looks for what has expired.
fn expire_after(h: &mut Harness, ms: i64) {
    h.now = Timestamp(h.now.0 + ms);
    h.run(|groups, now, fx| groups.expire(now, fx));
}

#[test]
fn a_simple_groups_offsets_expire_each_from_its_commit() {
    let mut h = Harness::new();
    h.commit(commit_to(TOPIC, 0, 1));
    h.now = Timestamp(h.now.0 + 1_000);
    h.commit(commit_to(TOPIC, 1, 1));
    expire_after(&mut h, RETENTION_MS - 1_001);
    assert_eq!(
        (h.committed(TOPIC, 0), h.committed(TOPIC, 1)),
        (Some(1), Some(1))
    );
    expire_after(&mut h, 1);
    assert_eq!(
        (h.committed(TOPIC, 0), h.committed(TOPIC, 1)),
        (None, Some(1))
    );
    expire_after(&mut h, 1_000);
    assert!(h.groups.is_empty(), "the group goes with its last offset");
}

#[test]
fn an_empty_groups_offsets_expire_from_when_it_became_empty() {
    let mut h = Harness::new();
    let ids = h.stable(1);
    let request = commit_as(&ids[0], h.generation(), 1);
    h.commit(request);
    h.now = Timestamp(h.now.0 + RETENTION_MS);
    h.leave(&[(ids[0].as_str(), None)]);
    // The commit is old, but the group has only just lost its members.
    expire_after(&mut h, RETENTION_MS - 1);
    h.restart();
    assert_eq!(h.committed(TOPIC, 0), Some(1));
    expire_after(&mut h, 1);
    assert!(h.groups.is_empty());
    assert!(matches!(
        h.records.last(),
        Some(GroupRecord::Metadata { value: None, .. })
    ));
}

#[test]
fn a_stable_group_keeps_what_it_is_subscribed_to() {
    let mut h = Harness::new();
    let ids = h.stable(1);
    for topic in [TOPIC, "other"] {
        let request = OffsetCommitRequest {
            topics: commit_to(topic, 0, 1).topics,
            ..commit_as(&ids[0], h.generation(), 1)
        };
        h.commit(request);
    }
    expire_after(&mut h, RETENTION_MS);
    assert_eq!(
        (h.committed(TOPIC, 0), h.committed("other", 0)),
        (Some(1), None)
    );
}

#[test]
fn nothing_expires_while_the_subscription_is_not_known() {
    // During a rebalance, and with members of another protocol.
    let mut h = Harness::new();
    let ids = h.stable(1);
    let request = OffsetCommitRequest {
        topics: commit_to("other", 0, 1).topics,
        ..commit_as(&ids[0], h.generation(), 1)
    };
    h.commit(request);
    h.join(static_join("a"));
    assert_eq!(h.state(), GroupState::PreparingRebalance);
    expire_after(&mut h, RETENTION_MS);
    assert_eq!(h.committed("other", 0), Some(1));

    let mut h = Harness::new();
    h.commit(commit_to(TOPIC, 0, 1));
    let request = JoinGroupRequest {
        protocol_type: "connect".into(),
        ..static_join("a")
    };
    h.join(request);
    expire_after(&mut h, RETENTION_MS);
    assert_eq!(h.committed(TOPIC, 0), Some(1));
}

#[test]
fn a_retention_of_the_commits_own_comes_first() {
    let mut h = Harness::new();
    let request = OffsetCommitRequest {
        retention_time_ms: 5_000,
        ..commit_request(1)
    };
    h.commit(request);
    h.restart();
    expire_after(&mut h, 4_999);
    assert_eq!(h.committed(TOPIC, 0), Some(1));
    expire_after(&mut h, 1);
    assert_eq!(h.committed(TOPIC, 0), None);

    // Longer than the broker's.
    let request = OffsetCommitRequest {
        retention_time_ms: 2 * RETENTION_MS,
        ..commit_request(1)
    };
    h.commit(request);
    expire_after(&mut h, RETENTION_MS);
    assert_eq!(h.committed(TOPIC, 0), Some(1));
}

#[test]
fn a_new_commit_begins_a_new_retention() {
    let mut h = Harness::new();
    h.commit(commit_request(1));
    expire_after(&mut h, RETENTION_MS - 1);
    h.commit(commit_request(2));
    expire_after(&mut h, RETENTION_MS - 1);
    assert_eq!(h.committed(TOPIC, 0), Some(2));
}

#[test]
fn an_empty_group_without_offsets_goes_unless_somebody_is_joining() {
    let mut h = Harness::new();
    let ids = h.stable(1);
    h.leave(&[(ids[0].as_str(), None)]);
    let asked = h.join(join_request());
    let id = MemberId::new(&h.joined(asked).member_id);
    expire_after(&mut h, 0);
    let joined = h.join(join_as(&id));
    assert_eq!(code(h.joined(joined).error_code), ErrorCode::None);
    h.leave(&[(id.as_str(), None)]);
    expire_after(&mut h, 0);
    assert!(h.groups.is_empty());
}
