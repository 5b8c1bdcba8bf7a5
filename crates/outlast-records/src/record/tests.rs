use bytes::{BufMut, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::batch::{CHECKED_START, CRC_START};
use crate::{
    Attributes, BatchBuilder, EndTxnMarker, LeaderEpoch, NewRecord, ProducerEpoch, ProducerId,
    Sequence, check_at, crc32c, split_batches,
};

const LIMIT: usize = 1 << 20;

fn bytes() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..80).prop_map(Bytes::from)
}

fn any_record() -> impl Strategy<Value = Record> {
    let header = (bytes(), proptest::option::of(bytes()))
        .prop_map(|(key, value)| RecordHeader { key, value });
    (
        any::<i64>(),
        proptest::option::of(bytes()),
        proptest::option::of(bytes()),
        proptest::collection::vec(header, 0..4),
    )
        .prop_map(|(timestamp, key, value, headers)| Record {
            offset: Offset(0),
            timestamp: Timestamp(timestamp),
            key,
            value,
            headers,
        })
}

fn append(builder: &mut BatchBuilder, delta: i32, record: &Record) {
    let headers: Vec<(&[u8], Option<&[u8]>)> = record
        .headers
        .iter()
        .map(|h| (&h.key[..], h.value.as_deref()))
        .collect();
    builder.append_at(
        delta,
        NewRecord {
            timestamp: record.timestamp,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
        },
    );
}

proptest! {
    #[test]
    fn built_batches_iterate_as_they_were_given(
        codec in prop::sample::select(&Compression::ALL[..]),
        base in 0..i64::MAX / 2,
        given in proptest::collection::vec((1..4i32, any_record()), 1..20),
    ) {
        let mut builder = BatchBuilder::new(codec).base_offset(Offset(base));
        let mut delta = -1;
        let mut expect = Vec::new();
        for (gap, record) in given {
            delta += gap;
            append(&mut builder, delta, &record);
            expect.push(Record { offset: Offset(base).plus(i64::from(delta)), ..record });
        }
        let batch = builder.build().unwrap();
        prop_assert_eq!(batch.header().last_offset(), expect.last().unwrap().offset);
        prop_assert_eq!(check_at(batch.bytes()), Ok(*batch.header()));

        let lent: Vec<RecordHeader> = RecordSet::decode(batch.bytes(), LIMIT).unwrap().iter()
            .flat_map(|r| r.unwrap().headers)
            .map(|(key, value)| RecordHeader {
                key: Bytes::copy_from_slice(key),
                value: value.map(Bytes::copy_from_slice),
            })
            .collect();
        let headers: Vec<_> = expect.iter().flat_map(|r| r.headers.clone()).collect();
        prop_assert_eq!(lent, headers);

        let owned: Vec<_> = records(&batch.into_bytes(), LIMIT).unwrap().map(Result::unwrap).collect();
        prop_assert_eq!(owned, expect);
    }

    /// The CRC is made to match, so that the damage reaches the decoders.
    #[test]
    fn mutated_bytes_never_panic(
        codec in prop::sample::select(&Compression::ALL[..]),
        given in proptest::collection::vec(any_record(), 1..5),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut builder = BatchBuilder::new(codec);
        for (delta, record) in given.iter().enumerate() {
            append(&mut builder, delta as i32, record);
        }
        let mut bytes = BytesMut::from(builder.build().unwrap().bytes());
        for (at, value) in changes {
            let at = CHECKED_START + at.index(bytes.len() - CHECKED_START);
            bytes[at] = value;
        }
        let crc = crc32c(&bytes[CHECKED_START..]);
        bytes[CRC_START..CHECKED_START].copy_from_slice(&crc.to_be_bytes());
        if let Ok(batches) = split_batches(bytes, LIMIT) {
            for batch in batches {
                if let Ok(records) = records(&batch.into_bytes(), LIMIT) {
                    prop_assert!(records.count() <= 1 + LIMIT / 7);
                }
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(given in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut framed = vec![0; 16];
        framed.push(2);
        framed.extend(given);
        let length = (framed.len() - 12) as i32;
        framed[8..12].copy_from_slice(&length.to_be_bytes());
        if let Ok(set) = RecordSet::decode(&framed, LIMIT) {
            set.iter().for_each(drop);
        }
    }
}

/// A batch whose encoded records are exactly `payload`.
fn with_payload(count: i32, payload: &[u8]) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(NewRecord::default());
    let mut bytes = BytesMut::from(&builder.build().unwrap().bytes()[..HEADER_SIZE]);
    bytes.put_slice(payload);
    let length = (bytes.len() - 12) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[57..61].copy_from_slice(&count.to_be_bytes());
    bytes.freeze()
}

#[test]
fn records_that_do_not_add_up_are_refused() {
    let check = |count: i32, payload: &[u8], expect: Option<&'static str>| {
        let last = records(&with_payload(count, payload), LIMIT)
            .unwrap()
            .last()
            .unwrap();
        match expect {
            Some(what) => assert_eq!(
                last,
                Err(InvalidRecord::Structure {
                    index: count as usize - 1,
                    what
                }
                .into())
            ),
            None => assert!(last.is_ok(), "{last:?}"),
        }
    };
    // length, attributes, timestamp delta, offset delta, key, value, headers
    check(1, &[12, 0, 0, 0, 1, 1, 0], None);
    check(1, &[], Some("length is cut short"));
    check(1, &[1], Some("length is negative"));
    check(
        1,
        &[14, 0, 0, 0, 1, 1, 0],
        Some("length is more than what is left"),
    );
    check(
        1,
        &[14, 0, 0, 0, 1, 1, 0, 0],
        Some("length is more than its fields"),
    );
    check(1, &[0], Some("attributes are cut short"));
    check(1, &[12, 0, 0, 0, 6, 1, 0], Some("key is cut short"));
    check(1, &[12, 0, 0, 0, 1, 6, 0], Some("value is cut short"));
    check(1, &[12, 0, 0, 0, 1, 1, 1], Some("header count is negative"));
    check(1, &[12, 0, 0, 0, 1, 1, 2], Some("header key is cut short"));
    check(1, &[14, 0, 0, 0, 1, 1, 2, 1], Some("header key is null"));
    check(2, &[12, 0, 0, 0, 1, 1, 0], Some("length is cut short"));
    // A header count of 2^31 - 1 costs nothing.
    check(
        1,
        &[20, 0, 0, 0, 1, 1, 0xFE, 0xFF, 0xFF, 0xFF, 0x0F],
        Some("header key is cut short"),
    );

    let trailing = records(&with_payload(1, &[12, 0, 0, 0, 1, 1, 0, 9]), LIMIT)
        .unwrap()
        .last()
        .unwrap();
    assert_eq!(trailing, Err(InvalidRecord::TrailingBytes(1).into()));
}

fn from_hex(hex: &str) -> Bytes {
    let digits: Vec<u8> = hex.chars().map(|c| c.to_digit(16).unwrap() as u8).collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// Three records from an idempotent producer as Kafka 4.3's own builder writes them.
#[test]
fn reads_what_kafka_builds() {
    let check = |codec: Compression, hex: &str| {
        let batch = split_batches(BytesMut::from(&from_hex(hex)[..]), LIMIT)
            .unwrap()
            .remove(0);
        let header = batch.header();
        assert_eq!(header.attributes.compression(), Ok(codec));
        assert_eq!(
            (
                header.producer_id,
                header.producer_epoch,
                header.base_sequence,
                header.last_sequence()
            ),
            (ProducerId(4000), ProducerEpoch(3), Sequence(7), Sequence(9))
        );
        assert_eq!(header.max_timestamp, Timestamp(1_700_000_000_005));
        let some = |text: &'static str| Some(Bytes::from(text));
        let header = |key: &'static str, value| RecordHeader {
            key: key.into(),
            value,
        };
        let record = |offset, timestamp, key, value, headers| Record {
            offset: Offset(offset),
            timestamp: Timestamp(timestamp),
            key,
            value,
            headers,
        };
        let expect = [
            record(
                0,
                1_700_000_000_000,
                some("k1"),
                some("value one value one value one"),
                vec![],
            ),
            record(
                1,
                1_700_000_000_005,
                None,
                some("v2"),
                vec![header("h", some("x")), header("n", None)],
            ),
            record(2, 1_699_999_999_999, some("k3"), None, vec![]),
        ];
        let read: Vec<_> = records(&batch.into_bytes(), LIMIT)
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(read, expect, "{codec:?}");
    };
    check(
        Compression::None,
        "000000000000000000000070ffffffff02c98c02200000000000020000018bcfe568000000018bcfe568050000000000000fa0000300000007000000034a000000046b313a76616c7565206f6e652076616c7565206f6e652076616c7565206f6e65001e000a02010476320402680278026e0110000104046b330100",
    );
    check(
        Compression::Gzip,
        "000000000000000000000073ffffffff0261638fd40001000000020000018bcfe568000000018bcfe568050000000000000fa0000300000007000000031f8b08000000000000fff362606060c936b42a4bcc294d55c8cf4b55c0c2629063e062626429336261ca60aa60ca631460606461c9366664000029c5ca483f000000",
    );
    check(
        Compression::Snappy,
        "000000000000000000000077ffffffff024f322b6a0002000000020000018bcfe568000000018bcfe568050000000000000fa00003000000070000000382534e41505059000000000100000001000000323f444a000000046b313a76616c7565206f6e65204a0a0064001e000a02010476320402680278026e0110000104046b330100",
    );
    check(
        Compression::Lz4,
        "000000000000000000000073ffffffff02d5e581400003000000020000018bcfe568000000018bcfe568050000000000000fa00003000000070000000304224d1860408233000000ff034a000000046b313a76616c7565206f6e65200a0000f00b001e000a02010476320402680278026e0110000104046b33010000000000",
    );
    check(
        Compression::Zstd,
        "000000000000000000000070ffffffff02d19ba1c20004000000020000018bcfe568000000018bcfe568050000000000000fa00003000000070000000328b52ffd00589c0100c4024a000000046b313a76616c7565206f6e6520001e000a02010476320402680278026e0110000104046b33010001009a9430010000",
    );
}

/// Every byte as Kafka 4.3 writes it, for a batch and for a commit marker.
#[test]
fn builds_what_kafka_builds() {
    let mut builder = BatchBuilder::new(Compression::None).producer(
        ProducerId(4000),
        ProducerEpoch(3),
        Sequence(7),
    );
    let record = |timestamp, key, value, headers| NewRecord {
        timestamp: Timestamp(timestamp),
        key,
        value,
        headers,
    };
    builder.append(record(
        1_700_000_000_000,
        Some(b"k1"),
        Some(b"value one value one value one"),
        &[],
    ));
    builder.append(record(
        1_700_000_000_005,
        None,
        Some(b"v2"),
        &[(b"h", Some(b"x")), (b"n", None)],
    ));
    builder.append(record(1_699_999_999_999, Some(b"k3"), None, &[]));
    assert_eq!(
        builder.build().unwrap().bytes(),
        from_hex(
            "000000000000000000000070ffffffff02c98c02200000000000020000018bcfe568000000018bcfe568050000000000000fa0000300000007000000034a000000046b313a76616c7565206f6e652076616c7565206f6e652076616c7565206f6e65001e000a02010476320402680278026e0110000104046b330100"
        )
    );

    let marker = EndTxnMarker {
        commit: true,
        coordinator_epoch: 12,
    };
    let mut batch = BatchBuilder::end_txn_marker(
        marker,
        ProducerId(4000),
        ProducerEpoch(3),
        Timestamp(1_700_000_000_000),
    );
    batch.assign(Offset(5), LeaderEpoch(9));
    assert_eq!(
        batch.bytes(),
        from_hex(
            "000000000000000500000042000000090267bf99af0030000000000000018bcfe568000000018bcfe568000000000000000fa00003ffffffff000000012000000008000000010c00000000000c00"
        )
    );
    let record = records(&batch.into_bytes(), LIMIT)
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(
        EndTxnMarker::decode(&record.key.unwrap(), &record.value.unwrap()),
        Some(marker)
    );
}

/// Kafka keeps the first record's own time as the base, and gives every record the batch's.
#[test]
fn log_append_time_is_every_records_time() {
    let stamped = from_hex(
        "00000000000000030000003cffffffff029523ac3b00080000000000000000000000050000018bcfe56b09ffffffffffffffffffffffffffff000000011400000001086c61746500",
    );
    let record = records(&stamped, LIMIT).unwrap().next().unwrap().unwrap();
    assert_eq!(
        (record.offset, record.timestamp),
        (Offset(3), Timestamp(1_700_000_000_777))
    );
}

#[test]
fn attributes_are_read_by_bit() {
    let check = |bits: i16, transactional: bool, control: bool, horizon: bool| {
        let attributes = Attributes(bits);
        assert_eq!(
            (
                attributes.is_transactional(),
                attributes.is_control(),
                attributes.has_delete_horizon()
            ),
            (transactional, control, horizon)
        );
    };
    check(0x00, false, false, false);
    check(0x10, true, false, false);
    check(0x20, false, true, false);
    check(0x40, false, false, true);
}

/// Three records as kafka-python 2.x writes them: other block sizes and frame flags than Java's.
#[test]
fn reads_what_kafka_python_builds() {
    let check = |codec: Compression, hex: &str| {
        let batch = split_batches(BytesMut::from(&from_hex(hex)[..]), LIMIT)
            .unwrap()
            .remove(0);
        assert_eq!(batch.header().attributes.compression(), Ok(codec));
        for (i, record) in records(&batch.into_bytes(), LIMIT).unwrap().enumerate() {
            let expect = Record {
                offset: Offset(i as i64),
                timestamp: Timestamp(1000 + i as i64),
                key: Some(Bytes::from(format!("k{i}"))),
                value: Some(Bytes::from("value".repeat(10))),
                headers: vec![RecordHeader {
                    key: "h".into(),
                    value: Some("x".into()),
                }],
            };
            assert_eq!(record, Ok(expect), "{codec:?}");
        }
    };
    check(
        Compression::Gzip,
        "000000000000000000000069000000000268e640c800010000000200000000000003e800000000000003eaffffffffffffffffffffffffffff000000031f8b08008aea026b02ffab61606060c93648294bcc294d25896062ca60aaa861606262c936245f3b0b0b4bb611b9da01d0cf4db0bd000000",
    );
    check(
        Compression::Snappy,
        "0000000000000000000000710000000002d1d3961500020000000200000000000003e800000000000003eaffffffffffffffffffffffffffff0000000382534e415050590000000001000000010000002cbd01307c000000046b306476616c7565b205002c02026802787c000202046b31e63f00100404046b32de3f00",
    );
    check(
        Compression::Lz4,
        "0000000000000000000000780000000002a6929fab00030000000200000000000003e800000000000003eaffffffffffffffffffffffffffff0000000304224d186840bd00000000000000eb30000000df7c000000046b306476616c756505001acf02026802787c000202046b313f00275f0404046b323f002050020268027800000000",
    );
    check(
        Compression::Zstd,
        "0000000000000000000000640000000002f2fac43300040000000200000000000003e800000000000003eaffffffffffffffffffffffffffff0000000328b52ffd20bd550100f07c000000046b306476616c756502026802787c000202046b310404046b32030085535f086722ccf205",
    );
}
