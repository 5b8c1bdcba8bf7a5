//! The records as they are in the log: Kafka's bytes.

use super::*;

#[test]
fn records_have_kafkas_bytes() {
    let mut h = Harness::new();
    h.topics.insert("t", topic(1, 1));
    h.heartbeat(ShareGroupHeartbeatRequest {
        group_id: "g".into(),
        ..join("m", &["t"])
    })
    .unwrap();
    let records: Vec<_> = h
        .records
        .iter()
        .map(|record| record.encode().unwrap())
        .collect();
    let topic_id = b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01";
    let member_key = |kind: u8| [&[0, kind][..], b"\0\x01g\0\x01m"].concat();
    let group_key = |kind: u8| [&[0, kind][..], b"\0\x01g"].concat();
    let partition = [b"\x02", &topic_id[..], b"\x02\0\0\0\0\0"].concat();
    let expected: Vec<(&str, Vec<u8>, Vec<u8>)> = vec![
        (
            "who it is",
            member_key(10),
            b"\0\0\0\x07client\x0b/127.0.0.1\x02\x02t\0".to_vec(),
        ),
        // The hash follows the epoch: not Kafka's, which a Kafka coordinator would notice and make anew.
        (
            "the group's epoch",
            group_key(11),
            b"\0\0\0\0\0\x01".to_vec(),
        ),
        (
            "its target",
            member_key(13),
            [b"\0\0", &partition[..], b"\0"].concat(),
        ),
        (
            "the target's epoch",
            group_key(12),
            b"\0\0\0\0\0\x01".to_vec(),
        ),
        (
            "what it was told",
            member_key(14),
            [b"\0\0\0\0\0\x01\0\0\0\0\0", &partition[..], b"\0"].concat(),
        ),
    ];
    assert_eq!(records.len(), expected.len());
    for ((what, key, value), (found_key, found_value)) in expected.into_iter().zip(records) {
        assert_eq!(found_key, key, "{what}");
        let found = found_value.unwrap();
        assert!(found.starts_with(&value), "{what}: {found:?}");
    }
}

#[test]
fn a_compacted_log_may_say_things_in_any_order() {
    let mut h = Harness::new();
    h.heartbeat(join("a", &["t"])).unwrap();
    h.heartbeat(join("b", &["u"])).unwrap();
    let whole = h.groups.share_groups.clone();
    let mut records: Vec<GroupRecord> = h.groups.snapshot().collect();
    for _ in 0..records.len() {
        records.rotate_left(1);
        assert_eq!(h.replayed(&records).share_groups, whole);
    }
    records.reverse();
    assert_eq!(h.replayed(&records).share_groups, whole);
}
