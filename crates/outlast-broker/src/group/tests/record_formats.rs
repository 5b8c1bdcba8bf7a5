//! The records as they are in the log: Kafka's bytes, and what older and newer ones become.

use super::*;
use outlast_protocol::records::group::{GroupMetadataValue, MemberMetadata, OffsetCommitValue};

#[test]
fn records_have_kafkas_bytes() {
    let offset = GroupRecord::Offset {
        group: "g".into(),
        topic: "t".into(),
        partition: 3,
        value: Some(OffsetCommitValue {
            offset: 5,
            leader_epoch: 1,
            metadata: "m".into(),
            commit_timestamp: 9,
            expire_timestamp: -1,
            topic_id: Uuid::nil(),
        }),
    };
    let (key, value) = offset.encode().unwrap();
    assert_eq!(&key[..], b"\0\x01\0\x01g\0\x01t\0\0\0\x03");
    // Version 4: compact strings, and no tagged field as the topic id is nil.
    assert_eq!(
        value.as_deref(),
        Some(&b"\0\x04\0\0\0\0\0\0\0\x05\0\0\0\x01\x02m\0\0\0\0\0\0\0\x09\0"[..])
    );

    let group = GroupRecord::Metadata {
        group: "g".into(),
        value: Some(GroupMetadataValue::default()),
    };
    let (key, value) = group.encode().unwrap();
    assert_eq!(&key[..], b"\0\x02\0\x01g");
    assert_eq!(
        value.as_deref(),
        Some(&b"\0\x03\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0"[..])
    );
}

#[test]
fn an_expiry_is_kept_by_the_version_that_has_it() {
    let value = OffsetCommitValue {
        offset: 1,
        expire_timestamp: 77,
        ..OffsetCommitValue::default()
    };
    let record = GroupRecord::Offset {
        group: "g".into(),
        topic: "t".into(),
        partition: 0,
        value: Some(value),
    };
    let (key, value) = record.encode().unwrap();
    assert_eq!(&value.as_ref().unwrap()[..2], b"\0\x01");
    assert_eq!(GroupRecord::decode(Some(key), value).unwrap(), record);
}

#[test]
fn offset_keys_of_old_are_read() {
    let decoded = GroupRecord::decode(
        Some(Bytes::from_static(b"\0\0\0\x01g\0\x01t\0\0\0\x03")),
        None,
    );
    assert!(matches!(
        decoded,
        Ok(GroupRecord::Offset {
            partition: 3,
            value: None,
            ..
        })
    ));
}

#[test]
fn what_cannot_be_read_is_an_error_and_not_a_loss() {
    type Stored = Option<&'static [u8]>;
    let cases: &[(Stored, Stored)] = &[
        (None, None),
        (Some(b"\0\x01\0\x05g"), None),
        (Some(b"\0\x02\0\x01g"), Some(b"")),
        (Some(b"\0\x02\0\x01g"), Some(b"\0\x63")),
    ];
    for (key, value) in cases {
        let decoded =
            GroupRecord::decode(key.map(Bytes::from_static), value.map(Bytes::from_static));
        assert!(decoded.is_err(), "{key:?} {value:?}");
    }
}

#[test]
fn records_of_unknown_kinds_stay_until_they_are_deleted() {
    let key = Bytes::from_static(b"\0\x63something");
    let mut groups = Groups::new(Arc::new(GroupConfig::default()));
    let put = GroupRecord::decode(Some(key.clone()), Some(Bytes::from_static(b"new"))).unwrap();
    groups.replay(put.clone(), BEGIN);
    assert_eq!(groups.snapshot().collect::<Vec<_>>(), [put]);
    groups.replay(GroupRecord::decode(Some(key), None).unwrap(), BEGIN);
    assert_eq!(groups.snapshot().count(), 0);
}

#[test]
fn records_of_other_writers_make_a_consistent_group() {
    let member = |id: &str, rebalance_timeout| MemberMetadata {
        member_id: id.into(),
        client_id: "c".into(),
        client_host: "/h".into(),
        session_timeout: 6_000,
        rebalance_timeout,
        ..MemberMetadata::default()
    };
    let value = GroupMetadataValue {
        protocol_type: "consumer".into(),
        generation: 4,
        protocol: Some("range".into()),
        leader: Some("nobody".into()),
        members: vec![member("a", -1), member("b", 1), member("a", 2)],
        ..GroupMetadataValue::default()
    };
    let mut groups = Groups::new(Arc::new(GroupConfig::default()));
    groups.replay(
        GroupRecord::Metadata {
            group: "g".into(),
            value: Some(value),
        },
        BEGIN,
    );
    let group = groups.group("g").unwrap();
    group.assert_consistent();
    assert_eq!(
        (group.state(), group.generation()),
        (GroupState::Stable, GenerationId(4))
    );
    assert_eq!(group.leader(), Some(&"a".into()), "somebody must lead");
    assert_eq!(group.member_count(), 2);
}

#[test]
fn a_metadata_tombstone_leaves_offsets_that_were_not_deleted() {
    let mut h = Harness::new();
    let ids = h.stable(1);
    let request = commit_as(&ids[0], h.generation(), 5);
    h.commit(request);
    let tombstone = GroupRecord::Metadata {
        group: GROUP.into(),
        value: None,
    };
    h.groups.replay(tombstone, h.now);
    assert_eq!(
        (h.state(), h.committed(TOPIC, 0)),
        (GroupState::Empty, Some(5))
    );
    assert_eq!(h.group().protocol_type(), None);
}
