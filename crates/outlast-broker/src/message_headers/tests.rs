use outlast_records::{
    BatchBuilder, Compression, EndTxnMarker, NewRecord, ProducerEpoch, ProducerId,
};
use proptest::prelude::*;

use super::*;

const PUBLISHED: i64 = 1_000_000;

const RULES: WalkRules<'static> = WalkRules {
    delay_ms: 0,
    ttl_ms: None,
    group: "workers",
    id_header: None,
    lanes: false,
    now: Timestamp(5_000_000),
    max_decompressed: 1 << 20,
};

type Headers<'a> = &'a [(&'a str, Option<&'a str>)];

fn batch(compression: Compression, records: &[Headers<'_>]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(compression);
    for headers in records {
        let headers: Vec<_> = headers
            .iter()
            .map(|(key, value)| (key.as_bytes(), value.map(str::as_bytes)))
            .collect();
        builder.append(NewRecord {
            timestamp: Timestamp(PUBLISHED),
            key: Some(b"key"),
            value: Some(b"value"),
            headers: &headers,
        });
    }
    let mut batch = builder.build().unwrap();
    batch.assign(Offset(10), outlast_records::LeaderEpoch(0));
    batch.bytes().to_vec()
}

fn walked(bytes: &[u8], rules: &WalkRules<'_>) -> Vec<QueueMessage> {
    let mut messages = Vec::new();
    walk(bytes, rules, |message| messages.push(message)).unwrap();
    messages
}

fn one(headers: Headers<'_>, rules: &WalkRules<'_>) -> QueueMessage {
    walked(&batch(Compression::None, &[headers]), rules)[0]
}

#[test]
fn when_a_message_is_due_and_when_it_expires() {
    let topic = WalkRules {
        delay_ms: 100,
        ttl_ms: Some(1_000),
        ..RULES
    };
    let late = Some("2000000");
    for (headers, rules, due, expires) in [
        (&[][..], RULES, None, None),
        (&[], topic, Some(100), Some(1_100)),
        (&[(DELAY_MS, Some("7"))], RULES, Some(7), None),
        (&[(DELAY_MS, Some("7"))], topic, Some(7), Some(1_007)),
        (&[(DELAY_MS, Some("0"))], topic, None, Some(1_000)),
        (&[(TTL_MS, Some("3"))], RULES, None, Some(3)),
        (&[(TTL_MS, Some("-1"))], topic, Some(100), None),
        (&[(TTL_MS, Some("0"))], topic, Some(100), Some(100)),
        (
            &[(DELIVER_AT, late)],
            topic,
            Some(1_000_000),
            Some(1_001_000),
        ),
        (
            &[(DELAY_MS, Some("7")), (DELIVER_AT, late)],
            RULES,
            Some(1_000_000),
            None,
        ),
        // In the past: due already; the time to live counts from its publication.
        (
            &[(DELIVER_AT, Some("5")), (TTL_MS, Some("3"))],
            RULES,
            Some(5 - PUBLISHED),
            Some(3),
        ),
        (
            &[(DELAY_MS, Some("7")), (DELAY_MS, Some(" 8 "))],
            RULES,
            Some(8),
            None,
        ),
        (&[("outlast-unheard-of", Some("x"))], RULES, None, None),
    ] {
        let message = one(headers, &rules);
        let at = |ms: Option<i64>| ms.map(|ms| Timestamp(PUBLISHED + ms));
        assert_eq!(
            (message.due, message.expires, message.undecodable),
            (at(due), at(expires), None),
            "{headers:?}"
        );
        assert_eq!(message.offset, Offset(10));
    }
}

#[test]
fn times_beyond_all_time_do_not_overflow() {
    let most = i64::MAX.to_string();
    let message = one(&[(DELAY_MS, Some(&most)), (TTL_MS, Some(&most))], &RULES);
    assert_eq!(
        (message.due, message.expires),
        (Some(Timestamp(i64::MAX)), Some(Timestamp(i64::MAX)))
    );
}

#[test]
fn a_wrong_value_is_undecodable_by_name() {
    for (headers, name) in [
        (&[(DELIVER_AT, Some("tomorrow"))][..], DELIVER_AT),
        (&[(DELIVER_AT, Some("-1"))], DELIVER_AT),
        (&[(DELIVER_AT, None)], DELIVER_AT),
        (&[(DELAY_MS, Some("1.5"))], DELAY_MS),
        (&[(DELAY_MS, Some(""))], DELAY_MS),
        (&[(DELAY_MS, Some("99999999999999999999"))], DELAY_MS),
        (&[(TTL_MS, Some("-2"))], TTL_MS),
        (&[(TTL_MS, Some("x")), (DELAY_MS, Some("y"))], TTL_MS),
    ] {
        let message = one(headers, &RULES);
        assert_eq!(
            message.undecodable,
            Some(Undecodable::Header(name)),
            "{headers:?}"
        );
    }
    let bytes = [0xff_u8, 0xfe];
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(NewRecord {
        headers: &[(TTL_MS.as_bytes(), Some(&bytes))],
        ..Default::default()
    });
    let batch = builder.build().unwrap();
    let message = walked(batch.bytes(), &RULES)[0];
    assert_eq!(message.undecodable, Some(Undecodable::Header(TTL_MS)));
}

#[test]
fn without_a_timestamp_time_counts_from_now() {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(NewRecord {
        timestamp: Timestamp::NONE,
        headers: &[(DELAY_MS.as_bytes(), Some(b"5"))],
        ..Default::default()
    });
    let message = walked(builder.build().unwrap().bytes(), &RULES)[0];
    assert_eq!(message.due, Some(Timestamp(RULES.now.0 + 5)));
}

#[test]
fn only_the_group_that_it_was_redriven_for_gets_it() {
    for (group, skip) in [("workers", false), ("others", true), ("", true)] {
        let message = one(&[(REDRIVE_GROUP, Some(group))], &RULES);
        assert_eq!(message.skip, skip, "{group:?}");
    }
    assert!(one(&[(REDRIVE_GROUP, None)], &RULES).skip);
    assert!(!one(&[], &RULES).skip);
}

#[test]
fn ids_and_lanes_are_hashes_of_what_they_name_where_somebody_asks() {
    let asked = WalkRules {
        id_header: Some("order-id"),
        lanes: true,
        ..RULES
    };
    let headers: Headers<'_> = &[("order-id", Some("a")), ("order-id", Some("b"))];
    let message = one(headers, &asked);
    assert_eq!(message.id, Some(id_hash(b"b")));
    assert_eq!(message.lane, one(&[], &asked).lane);
    assert!(message.lane.is_some());
    assert_eq!(one(headers, &RULES).id, None);
    assert_eq!(one(headers, &RULES).lane, None);
    assert_eq!(one(&[("order-id", None)], &asked).id, None);
}

/// Ids are stored by their hashes: these may never change.
#[test]
fn golden_id_hash() {
    assert_eq!(id_hash(b""), 0x99aa_06d3_0147_98d8_6001_c324_468d_497f);
}

#[test]
fn compressed_batches_are_walked_like_others() {
    let records: [Headers<'_>; 3] = [&[], &[(DELAY_MS, Some("7"))], &[]];
    let plain = walked(&batch(Compression::None, &records), &RULES);
    assert_eq!(plain.len(), 3);
    for codec in Compression::ALL {
        assert_eq!(walked(&batch(codec, &records), &RULES), plain, "{codec:?}");
    }
}

#[test]
fn markers_are_no_messages() {
    let marker = EndTxnMarker {
        commit: true,
        coordinator_epoch: 0,
    };
    let batch = BatchBuilder::end_txn_marker(marker, ProducerId(1), ProducerEpoch(0), Timestamp(1));
    assert!(walked(batch.bytes(), &RULES).is_empty());
}

#[test]
fn what_cannot_be_decompressed_is_one_undecodable_message() {
    let mut bytes = batch(Compression::Zstd, &[&[], &[]]);
    bytes[outlast_records::HEADER_SIZE] ^= 0xff;
    let message = walked(&bytes, &RULES);
    assert_eq!(message.len(), 1);
    assert_eq!(message[0].offset, Offset(10));
    assert_eq!(message[0].undecodable, Some(Undecodable::Records));
    let tight = WalkRules {
        max_decompressed: 3,
        ..RULES
    };
    assert_eq!(walked(&batch(Compression::Lz4, &[&[]]), &tight).len(), 1);
}

proptest! {
    /// Whatever a producer stored: offsets rise, lie in the batch, and nothing panics.
    #[test]
    fn any_bytes_can_be_walked(
        flips in proptest::collection::vec((61_usize..200, any::<u8>()), 0..6),
        codec in 0_u8..2,
    ) {
        let records: [Headers<'_>; 4] = [&[], &[(DELAY_MS, Some("7"))], &[(TTL_MS, None)], &[]];
        let mut bytes = batch(Compression::from_id(codec).unwrap(), &records);
        for (at, value) in flips {
            let len = bytes.len();
            bytes[at.min(len - 1)] = value;
        }
        let messages = walked(&bytes, &RULES);
        prop_assert!(messages.windows(2).all(|pair| pair[0].offset < pair[1].offset));
        prop_assert!(messages.iter().all(|message| (10..14).contains(&message.offset.0)));
        prop_assert!(!messages.is_empty());
    }
}

#[test]
fn the_headers_of_a_dead_letter_have_had_their_time() {
    let headers = [
        (TTL_MS, Some("1")),
        (DELAY_MS, Some("never")),
        (REDRIVE_GROUP, Some("others")),
        (DEAD_REASON, Some("expired")),
    ];
    let letter = one(&headers, &RULES);
    assert_eq!((letter.due, letter.expires), (None, None));
    assert_eq!((letter.skip, letter.undecodable), (false, None));
    assert!(one(&headers[..3], &RULES).undecodable.is_some());
}
