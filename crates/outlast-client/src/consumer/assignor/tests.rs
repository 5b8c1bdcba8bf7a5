use super::*;

fn member(id: &str, topics: &[&str], owned: &[(&str, i32)], generation: i32) -> Member {
    Member {
        id: id.to_owned(),
        instance_id: None,
        topics: topics.iter().map(|t| (*t).to_owned()).collect(),
        owned: owned
            .iter()
            .map(|(t, p)| TopicPartition::new(*t, *p))
            .collect(),
        generation,
    }
}

fn counts(topics: &[(&str, i32)]) -> BTreeMap<String, i32> {
    topics.iter().map(|(t, c)| ((*t).to_owned(), *c)).collect()
}

/// One line: `a=t0,t1 b=t2`.
fn shown(assignment: &HashMap<String, Vec<TopicPartition>>) -> String {
    let mut lines: Vec<String> = assignment
        .iter()
        .map(|(member, partitions)| {
            let mut partitions: Vec<String> = partitions
                .iter()
                .map(|tp| format!("{}{}", tp.topic, tp.partition))
                .collect();
            partitions.sort();
            format!("{member}={}", partitions.join(","))
        })
        .collect();
    lines.sort();
    lines.join(" ")
}

#[test]
fn range_gives_neighbours_and_the_rest_to_the_first() {
    let check = |members: &[Member], topics: &[(&str, i32)], expect: &str| {
        let assignment = Assignor::Range.assign(members, &counts(topics));
        assert_eq!(shown(&assignment), expect);
    };
    let a = member("a", &["t"], &[], -1);
    let b = member("b", &["t", "u"], &[], -1);
    check(&[a.clone(), b.clone()], &[("t", 3)], "a=t0,t1 b=t2");
    check(&[b.clone(), a.clone()], &[("t", 3)], "a=t0,t1 b=t2");
    check(
        &[a.clone(), b.clone()],
        &[("t", 1), ("u", 2)],
        "a=t0 b=u0,u1",
    );
    let fixed = Member {
        instance_id: Some("z".to_owned()),
        ..b
    };
    check(&[a, fixed], &[("t", 3)], "a=t2 b=t0,t1");
}

#[test]
fn cooperative_moves_as_little_as_possible_and_in_two_rounds() {
    let check = |members: &[Member], topics: &[(&str, i32)], expect: &str| {
        let assignment = Assignor::CooperativeSticky.assign(members, &counts(topics));
        assert_eq!(shown(&assignment), expect);
    };
    let alone = member("a", &["t"], &[], -1);
    check(&[alone], &[("t", 4)], "a=t0,t1,t2,t3");

    // A second member comes: two partitions are taken from the first, but not yet given to the second.
    let a = member("a", &["t"], &[("t", 0), ("t", 1), ("t", 2), ("t", 3)], 1);
    let b = member("b", &["t"], &[], -1);
    check(&[a, b], &[("t", 4)], "a=t0,t1 b=");

    // After the first let go, they are free.
    let a = member("a", &["t"], &[("t", 0), ("t", 1)], 2);
    let b = member("b", &["t"], &[], 2);
    check(&[a.clone(), b], &[("t", 4)], "a=t0,t1 b=t2,t3");

    // A member leaves: nobody else's partitions move.
    let c = member("c", &["t"], &[("t", 4)], 3);
    check(&[a, c], &[("t", 5)], "a=t0,t1,t3 c=t2,t4");
}

#[test]
fn a_stale_claim_loses_and_a_tie_is_nobodys() {
    let topics = counts(&[("t", 1)]);
    let stale = member("a", &["t"], &[("t", 0)], 1);
    let fresh = member("b", &["t"], &[("t", 0)], 2);
    let owners = valid_owners(&[stale.clone(), fresh.clone()], &topics);
    assert_eq!(owners[&TopicPartition::new("t", 0)], "b");
    let tie = member("c", &["t"], &[("t", 0)], 2);
    assert!(valid_owners(&[stale, fresh, tie], &topics).is_empty());
    let unsubscribed = member("d", &["u"], &[("t", 0)], 9);
    assert!(valid_owners(&[unsubscribed], &topics).is_empty());
}

/// Every partition has at most one reader, who subscribed to it, and no move would even things out.
#[test]
fn random_groups_are_balanced() {
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..300 {
        let topics = ["t", "u", "v"];
        let partition_counts = counts(&topics.map(|t| (t, random.i32(0..9))));
        let members: Vec<Member> = (0..random.usize(1..7))
            .map(|i| {
                let mut subscribed: Vec<&str> = topics.to_vec();
                subscribed.retain(|_| random.u8(..) < 180);
                let owned: Vec<(&str, i32)> = (0..random.usize(0..8))
                    .map(|_| (topics[random.usize(..3)], random.i32(0..10)))
                    .collect();
                member(&format!("m{i}"), &subscribed, &owned, random.i32(-1..3))
            })
            .collect();
        let owners = valid_owners(&members, &partition_counts);
        let assignment = balance(&members, &partition_counts, &owners);
        let mut seen = BTreeSet::new();
        for member in &members {
            for tp in &assignment[&member.id] {
                assert!(member.topics.contains(&tp.topic), "round {round}");
                assert!(seen.insert(tp.clone()), "round {round}: {tp} twice");
            }
        }
        let wanted: i32 = partition_counts
            .iter()
            .filter(|(topic, _)| members.iter().any(|m| m.topics.contains(topic)))
            .map(|(_, count)| count)
            .sum();
        assert_eq!(seen.len() as i32, wanted, "round {round}");
        for a in &members {
            for b in &members {
                let movable = assignment[&a.id]
                    .iter()
                    .any(|tp| b.topics.contains(&tp.topic));
                let gap = assignment[&a.id]
                    .len()
                    .saturating_sub(assignment[&b.id].len());
                assert!(!movable || gap < 2, "round {round}: {}", shown(&assignment));
            }
        }
    }
}
