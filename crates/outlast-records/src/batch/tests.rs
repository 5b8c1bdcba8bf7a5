use bytes::BytesMut;

use super::*;
use crate::{BatchBuilder, NewRecord};

fn batch(values: &[&[u8]]) -> CheckedBatch {
    let mut builder = BatchBuilder::new(Compression::None);
    for (i, value) in values.iter().enumerate() {
        builder.append(NewRecord {
            timestamp: Timestamp(1_000 + i as i64),
            value: Some(value),
            ..NewRecord::default()
        });
    }
    builder.build().unwrap()
}

fn bytes_of(batches: &[CheckedBatch]) -> BytesMut {
    batches.iter().flat_map(|b| b.bytes().to_vec()).collect()
}

#[test]
fn splits_what_was_joined() {
    let given = [batch(&[b"a"]), batch(&[b"b", b"c"]), batch(&[b""])];
    assert_eq!(split_batches(bytes_of(&given), 1000).unwrap(), given);
    assert_eq!(split_batches(BytesMut::new(), 1000).unwrap(), []);
}

#[test]
fn stored_batches_walks_a_chunk_of_a_log() {
    let given = [batch(&[b"a"]), batch(&[b"b", b"c"])];
    let chunk = bytes_of(&given).freeze();
    let walked: Vec<_> = stored_batches(chunk.clone()).map(Result::unwrap).collect();
    assert_eq!(walked.len(), 2);
    for ((header, bytes), expect) in walked.iter().zip(&given) {
        assert_eq!((header, &bytes[..]), (expect.header(), expect.bytes()));
    }
    let mut cut = stored_batches(chunk.slice(..chunk.len() - 1));
    assert!(cut.next().unwrap().is_ok());
    assert!(cut.next().unwrap().is_err());
    assert!(cut.next().is_none());
}

#[test]
fn assigning_leaves_the_checksum_alone() {
    let mut given = batch(&[b"a", b"b"]);
    let crc = given.header().crc;
    given.assign(Offset(41), LeaderEpoch(7));
    let header = check_at(given.bytes()).unwrap();
    assert_eq!(&header, given.header());
    assert_eq!(
        (header.base_offset, header.leader_epoch),
        (Offset(41), LeaderEpoch(7))
    );
    assert_eq!(
        (header.last_offset(), header.next_offset()),
        (Offset(42), Offset(43))
    );
    assert_eq!(header.crc, crc);
}

#[test]
fn log_append_time_is_stamped_and_checksummed() {
    let mut given = batch(&[b"a", b"b"]);
    given.set_log_append_time(Timestamp(5_000));
    let header = check_at(given.bytes()).unwrap();
    assert_eq!(&header, given.header());
    assert_eq!(header.max_timestamp, Timestamp(5_000));
    assert_eq!(
        header.attributes.timestamp_type(),
        TimestampType::LogAppendTime
    );
}

#[test]
fn sequences_of_a_batch_wrap() {
    let mut builder = BatchBuilder::new(Compression::None).producer(
        ProducerId(1),
        ProducerEpoch(0),
        Sequence(i32::MAX),
    );
    builder.append(NewRecord::default());
    builder.append(NewRecord::default());
    assert_eq!(
        builder.build().unwrap().header().last_sequence(),
        Sequence(0)
    );
    assert_eq!(batch(&[b"a"]).header().last_sequence(), Sequence::NONE);
}

#[test]
fn damage_is_named() {
    let good = batch(&[b"value"]);
    let check = |change: &dyn Fn(&mut BytesMut), expect: BatchError| {
        let mut bytes = BytesMut::from(good.bytes());
        change(&mut bytes);
        assert_eq!(split_batches(bytes, 100), Err(expect));
    };
    let size = good.size();
    check(
        &|b| b.truncate(16),
        Corruption::Truncated {
            needed: HEADER_SIZE,
            available: 16,
        }
        .into(),
    );
    check(
        &|b| b.truncate(size - 1),
        Corruption::Truncated {
            needed: size,
            available: size - 1,
        }
        .into(),
    );
    check(&|b| b[16] = 1, BatchError::LegacyFormat { magic: 1 });
    check(&|b| b[16] = 3, Corruption::Magic(3).into());
    check(
        &|b| b[8..12].copy_from_slice(&(-1i32).to_be_bytes()),
        Corruption::Length(-1).into(),
    );
    check(
        &|b| b[8..12].copy_from_slice(&48i32.to_be_bytes()),
        Corruption::Length(48).into(),
    );
    check(
        &|b| b.extend_from_slice(&[0; 3]),
        Corruption::Truncated {
            needed: HEADER_SIZE,
            available: 3,
        }
        .into(),
    );
    check(
        &|b| b.unsplit(BytesMut::from(batch(&[&[0; 100]]).bytes())),
        BatchError::TooLarge {
            size: batch(&[&[0; 100]]).size(),
            limit: 100,
        },
    );
    check(
        &|b| {
            b[22] |= 0b101;
            let crc = crc32c(&b[CHECKED_START..]);
            b[CRC_START..CHECKED_START].copy_from_slice(&crc.to_be_bytes());
        },
        BatchError::UnsupportedCompression { id: 5 },
    );
}

#[test]
fn a_negative_last_offset_delta_is_refused() {
    let mut bytes = BytesMut::from(batch(&[b"a"]).bytes());
    bytes[23..27].copy_from_slice(&(-2i32).to_be_bytes());
    assert_eq!(
        header_at(&bytes),
        Err(InvalidRecord::LastOffsetDelta(-2).into())
    );
}

#[test]
fn an_empty_batch_is_not_built() {
    let empty = BatchBuilder::new(Compression::None).build();
    assert!(matches!(
        empty,
        Err(BatchError::Invalid(InvalidRecord::Count { count: 0, .. }))
    ));
}

/// Base offset, leader epoch are the only bytes that may change unseen.
#[test]
fn every_flipped_bit_under_the_checksum_is_seen() {
    let good = batch(&[b"value"]);
    for at in 0..good.size() {
        for bit in 0..8 {
            let mut bytes = BytesMut::from(good.bytes());
            bytes[at] ^= 1 << bit;
            let patched = at < 8 || (EPOCH_START..MAGIC_AT).contains(&at);
            assert_eq!(check_at(&bytes).is_ok(), patched, "byte {at} bit {bit}");
        }
    }
}
