//! When an assignment is made, and whom it reaches when; how partitions are shared out.

use proptest::prelude::*;

use super::*;
use crate::group::share::assignor::assign;

#[test]
fn a_second_member_waits_out_the_assignment_interval() {
    let mut h = Harness::new();
    h.heartbeat(join("a", &["t"])).unwrap();
    h.pass(400);
    let joined = h.heartbeat(join("b", &["t"])).unwrap();
    assert_eq!((joined.member_epoch, told(&joined)), (1, Some(0)));
    assert_eq!(
        joined.heartbeat_interval_ms, 600,
        "it is asked to come when there is one"
    );
    assert_eq!(h.epochs(), (2, 1));
    h.pass(600);
    let beat = h.beat("b").unwrap();
    assert_eq!(
        (beat.member_epoch, told(&beat), beat.heartbeat_interval_ms),
        (2, Some(2), 5_000)
    );
    let beat = h.beat("a").unwrap();
    assert_eq!((beat.member_epoch, told(&beat)), (2, Some(2)));
}

#[test]
fn without_an_interval_everybody_is_assigned_at_once() {
    let mut h = Harness::new();
    h.settings.assignment_interval = Duration::ZERO;
    for (member, load) in [("a", 4), ("b", 2), ("c", 1)] {
        let joined = h.heartbeat(join(member, &["t"])).unwrap();
        assert_eq!(told(&joined), Some(load), "{member}");
    }
}

#[test]
fn a_clock_that_goes_back_makes_nobody_wait() {
    let mut h = Harness::new();
    h.heartbeat(join("a", &["t"])).unwrap();
    h.now.0 -= 3_600_000;
    let joined = h.heartbeat(join("b", &["t"])).unwrap();
    assert_eq!((joined.member_epoch, told(&joined)), (2, Some(2)));
}

#[test]
fn topics_that_come_grow_and_go_are_noticed_with_the_next_heartbeat() {
    let mut h = Harness::new();
    h.heartbeat(join("a", &["t", "new"])).unwrap();
    h.pass(INTERVAL_MS);
    assert_eq!(told(&h.beat("a").unwrap()), None);
    h.topics.insert("new", topic(9, 3));
    assert_eq!(told(&h.beat("a").unwrap()), Some(7));
    h.pass(INTERVAL_MS);
    h.topics.insert("t", topic(1, 5));
    assert_eq!(told(&h.beat("a").unwrap()), Some(8));
    h.pass(INTERVAL_MS);
    // Another topic of the same name.
    h.topics.insert("new", topic(10, 3));
    assert_eq!(told(&h.beat("a").unwrap()), Some(8));
    assert!(h.member("a").assigned.contains_key(&Uuid::from_u128(10)));
    h.pass(INTERVAL_MS);
    h.topics.remove("t");
    assert_eq!(told(&h.beat("a").unwrap()), Some(3));
    assert_eq!(h.epochs(), (5, 5));
}

#[test]
fn a_topic_that_a_member_leaves_is_taken_from_it_before_the_next_assignment() {
    let mut h = Harness::new();
    h.heartbeat(join("a", &["t", "u"])).unwrap();
    let left = h
        .heartbeat(ShareGroupHeartbeatRequest {
            subscribed_topic_names: Some(vec!["u".into()]),
            ..beat("a", 1)
        })
        .unwrap();
    assert_eq!((left.member_epoch, told(&left)), (1, Some(2)));
    assert_eq!(h.epochs(), (2, 1));
}

#[test]
fn more_members_than_partitions_share_them() {
    let mut h = Harness::new();
    h.settings.assignment_interval = Duration::ZERO;
    for index in 0..10 {
        h.heartbeat(join(&format!("m{index}"), &["t"])).unwrap();
    }
    let loads: Vec<usize> = (0..10)
        .map(|index| {
            let member = format!("m{index}");
            h.beat(&member).unwrap();
            h.load(&member)
        })
        .collect();
    assert!(loads.iter().all(|load| (1..=2).contains(load)), "{loads:?}");
    assert!(
        (10..=12).contains(&loads.iter().sum::<usize>()),
        "{loads:?}"
    );
}

fn id(index: usize) -> MemberId {
    MemberId::from(format!("m{index:02}").as_str())
}

/// Members with their topics, topics with their partitions.
fn world() -> impl Strategy<Value = (Vec<BTreeSet<u128>>, BTreeMap<u128, i32>)> {
    let topics = prop::collection::btree_map(0..4u128, 0..7i32, 0..4);
    let subscription = prop_oneof![
        Just(BTreeSet::from([0, 1, 2, 3])),
        prop::collection::btree_set(0..4u128, 0..4),
    ];
    (prop::collection::vec(subscription, 1..12), topics)
}

proptest! {
    #[test]
    fn everybody_has_a_fair_share(worlds in prop::collection::vec(world(), 1..4)) {
        let mut current = BTreeMap::new();
        for (members, topics) in worlds {
            let partitions: BTreeMap<Uuid, i32> =
                topics.iter().map(|(id, count)| (Uuid::from_u128(*id), *count)).collect();
            let members: BTreeMap<MemberId, BTreeSet<Uuid>> = members
                .iter()
                .enumerate()
                .map(|(index, topics)| {
                    let known = topics.iter().map(|id| Uuid::from_u128(*id));
                    (id(index), known.filter(|id| partitions.contains_key(id)).collect())
                })
                .collect();
            let result = assign(&members, &partitions, &current);
            check(&members, &partitions, &result);
            let again = assign(&members, &partitions, &result);
            prop_assert_eq!(&again, &result, "what is fair stays");
            current = result;
        }
    }
}

fn check(
    members: &BTreeMap<MemberId, BTreeSet<Uuid>>,
    partitions: &BTreeMap<Uuid, i32>,
    result: &BTreeMap<MemberId, Assignment>,
) {
    assert!(result.keys().eq(members.keys()));
    let mut holders: BTreeMap<(Uuid, i32), usize> = BTreeMap::new();
    for (member, assignment) in result {
        for (topic, indexes) in assignment {
            assert!(
                members[member].contains(topic),
                "only what it subscribes to"
            );
            assert!(!indexes.is_empty());
            for index in indexes {
                assert!(*index < partitions[topic]);
                *holders.entry((*topic, *index)).or_default() += 1;
            }
        }
    }
    for (topic, count) in partitions {
        let subscribers = members
            .values()
            .filter(|topics| topics.contains(topic))
            .count();
        for index in 0..*count {
            let holders = holders.get(&(*topic, index)).copied().unwrap_or(0);
            assert_eq!(holders == 0, subscribers == 0, "{topic}-{index}");
        }
    }
    let first = members.values().next();
    if members.values().all(|topics| Some(topics) == first) && !holders.is_empty() {
        let sharing = members.len().div_ceil(holders.len());
        assert!(
            holders.values().all(|count| *count <= sharing),
            "{holders:?}"
        );
        let loads = result
            .values()
            .map(|a| a.values().map(BTreeSet::len).sum::<usize>());
        let most = (holders.len() * sharing).div_ceil(members.len());
        let loads: Vec<usize> = loads.collect();
        assert!(
            loads
                .iter()
                .all(|load| (1..=most).contains(load) || holders.len() < loads.len() && *load == 0),
            "{loads:?}"
        );
    }
}
