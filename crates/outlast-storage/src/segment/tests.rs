use std::path::Path;

use bytes::Bytes;
use outlast_records::{
    BatchBuilder, CheckedBatch, Compression, LeaderEpoch, NewRecord, Offset, PartitionId,
    ProducerId, Timestamp, stored_batches,
};
use proptest::prelude::*;

use super::*;
use crate::error::StorageError;

const ID: SegmentId = SegmentId {
    store_id: 0xABCD,
    segment_id: 0x1234,
    created: Timestamp(1_700_000_000_000),
};
const LIMIT: usize = 1 << 20;

fn partition(index: i32) -> PartitionId {
    PartitionId {
        index,
        ..PartitionId::default()
    }
}

/// A batch at `base` with records at these timestamps, each with a value of `bytes`.
fn batch(base: i64, epoch: i32, timestamps: &[i64], bytes: usize) -> CheckedBatch {
    let mut builder = BatchBuilder::new(Compression::None)
        .base_offset(Offset(base))
        .leader_epoch(LeaderEpoch(epoch));
    for &timestamp in timestamps {
        builder.append(NewRecord {
            timestamp: Timestamp(timestamp),
            value: Some(&vec![base as u8; bytes]),
            ..NewRecord::default()
        });
    }
    builder.build().unwrap()
}

type Given = Vec<(PartitionId, i64, Vec<CheckedBatch>, i64, PartitionState)>;

fn write(given: &Given) -> Bytes {
    let mut writer = SegmentWriter::new(Vec::new(), &ID).unwrap();
    for (id, start, batches, next, state) in given {
        let mut partition = writer.partition(*id, Offset(*start)).unwrap();
        for batch in batches {
            partition.append(batch.bytes()).unwrap();
        }
        partition.finish(Offset(*next), state.clone()).unwrap();
    }
    let (bytes, len) = writer.finish().unwrap();
    assert_eq!(bytes.len() as u64, len);
    bytes.into()
}

fn open(bytes: &Bytes) -> Result<SegmentReader<Bytes>, StorageError> {
    SegmentReader::open(bytes.clone(), Path::new("a.segment"))
}

/// Two partitions, the second with gaps as compaction leaves them, in several chunks.
fn example() -> Given {
    let state = PartitionState {
        epochs: vec![(LeaderEpoch(0), Offset(10)), (LeaderEpoch(1), Offset(13))],
        aborted: vec![AbortedTxn {
            producer_id: ProducerId(7),
            first_offset: Offset(10),
            last_offset: Offset(12),
            last_stable_offset: Offset(13),
        }],
        producers: b"opaque".to_vec(),
    };
    let first = vec![batch(10, 0, &[5, 6, 7], 20), batch(13, 1, &[9, 4], 20)];
    let second = (0..20)
        .map(|i| batch(100 + i * 10, 3, &[i * 2, i * 2 + 1], 3_000))
        .collect();
    vec![
        (partition(0), 10, first, 15, state),
        (partition(4), 95, second, 310, PartitionState::default()),
    ]
}

fn bases(read: &SegmentRead) -> Vec<i64> {
    stored_batches(read.bytes.clone())
        .map(|b| b.unwrap().0.base_offset.0)
        .collect()
}

#[test]
fn what_was_written_is_read() {
    let given = example();
    let reader = open(&write(&given)).unwrap();
    assert_eq!(reader.id().unwrap(), ID);
    assert_eq!(reader.verify().unwrap(), []);
    assert_eq!(reader.partition(partition(1)), None);
    for (id, start, batches, next, state) in &given {
        let entry = reader.partition(*id).unwrap();
        assert_eq!((entry.start, entry.next), (Offset(*start), Offset(*next)));
        let index = reader.index(entry).unwrap();
        assert_eq!(&index.state, state);
        let read = reader
            .read(entry, &index, Offset(*start), Offset(*next), LIMIT)
            .unwrap();
        let expect: Vec<u8> = batches.iter().flat_map(|b| b.bytes().to_vec()).collect();
        assert_eq!(read.bytes, expect);
    }
    assert!(
        reader
            .index(reader.partition(partition(4)).unwrap())
            .unwrap()
            .chunks
            .len()
            > 3
    );
}

#[test]
fn reads_are_bounded_by_offsets_and_bytes() {
    let reader = open(&write(&example())).unwrap();
    let entry = *reader.partition(partition(4)).unwrap();
    let index = reader.index(&entry).unwrap();
    let size = batch(0, 0, &[0, 0], 3_000).size();
    let check = |from: i64, limit: i64, max_bytes: usize, expect: &[i64], next: i64| {
        let read = reader
            .read(&entry, &index, Offset(from), Offset(limit), max_bytes)
            .unwrap();
        assert_eq!(
            (&bases(&read)[..], read.next_offset.0),
            (expect, next),
            "{from}..{limit}, {max_bytes} bytes"
        );
    };
    check(95, 310, 1, &[100], 102); // one batch, however small the room
    check(100, 310, 2 * size, &[100, 110], 112);
    check(100, 310, 2 * size - 1, &[100], 102);
    check(101, 310, 1, &[100], 102); // inside a batch: the batch
    check(102, 310, 1, &[110], 112); // in a gap: the next one
    check(100, 112, LIMIT, &[100, 110], 112);
    check(100, 111, LIMIT, &[100, 110], 112); // the batch that the limit lies in: whole, as from the write-ahead log
    check(95, 101, LIMIT, &[100], 102);
    check(95, 100, LIMIT, &[], 100);
    check(292, 310, LIMIT, &[], 310); // compacted to the end: go on after the segment
    check(292, 305, LIMIT, &[], 305);
    check(102, 110, LIMIT, &[], 110);
}

#[test]
fn records_are_found_by_time() {
    let reader = open(&write(&example())).unwrap();
    let check = |index: i32, from: i64, timestamp: i64, expect: Option<(i64, i64, i32)>| {
        let entry = reader.partition(partition(index)).unwrap();
        let loaded = reader.index(entry).unwrap();
        let found = reader
            .find_timestamp(entry, &loaded, Offset(from), Timestamp(timestamp), LIMIT)
            .unwrap();
        let expect = expect.map(|(o, t, e)| (Offset(o), Timestamp(t), LeaderEpoch(e)));
        assert_eq!(
            found, expect,
            "partition {index} from {from} at {timestamp}"
        );
    };
    check(0, 10, 0, Some((10, 5, 0)));
    check(0, 10, 6, Some((11, 6, 0)));
    check(0, 10, 8, Some((13, 9, 1)));
    check(0, 10, 10, None);
    check(0, 12, 0, Some((12, 7, 0)));
    check(4, 95, 25, Some((221, 25, 3)));
    check(4, 250, 25, Some((250, 30, 3)));
    check(4, 95, 40, None);
}

#[test]
fn the_writer_refuses_what_would_not_be_found_again() {
    let mut writer = SegmentWriter::new(Vec::new(), &ID).unwrap();
    let mut first = writer.partition(partition(3), Offset(5)).unwrap();
    let early = first.append(batch(4, 0, &[0], 1).bytes());
    assert!(matches!(early, Err(SegmentWriteError::Order { .. })));
    first.append(batch(5, 0, &[0, 0], 1).bytes()).unwrap();
    let again = first.append(batch(6, 0, &[0], 1).bytes());
    assert!(matches!(again, Err(SegmentWriteError::Order { .. })));
    let mut damaged = batch(7, 0, &[0], 1).bytes().to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(matches!(
        first.append(&damaged),
        Err(SegmentWriteError::Batch { .. })
    ));
    let short = first.finish(Offset(6), PartitionState::default());
    assert!(matches!(short, Err(SegmentWriteError::Order { .. })));

    let mut writer = SegmentWriter::new(Vec::new(), &ID).unwrap();
    let second = writer.partition(partition(3), Offset(0)).unwrap();
    second.finish(Offset(0), PartitionState::default()).unwrap();
    assert!(writer.partition(partition(3), Offset(0)).is_err());
    assert!(writer.partition(partition(2), Offset(0)).is_err());
}

/// What every check of a segment finds: an error when it is opened, or the damage of a full verification.
fn faults(bytes: &Bytes) -> Vec<String> {
    match open(bytes).and_then(|reader| reader.verify()) {
        Ok(found) => found.iter().map(ToString::to_string).collect(),
        Err(e) => vec![e.to_string()],
    }
}

#[test]
fn every_flipped_bit_is_seen() {
    let given = vec![example().remove(0)];
    let bytes = write(&given);
    assert!(faults(&bytes).is_empty());
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 1 << bit;
            assert!(!faults(&flipped.into()).is_empty(), "byte {at} bit {bit}");
        }
    }
}

#[test]
fn every_truncation_is_refused() {
    let bytes = write(&vec![example().remove(0)]);
    for len in 0..bytes.len() {
        assert!(open(&bytes.slice(..len)).is_err(), "cut to {len}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(open(&longer.into()).is_err());
}

#[test]
fn damage_in_one_partition_leaves_the_others_readable() {
    let bytes = write(&example());
    let reader = open(&bytes).unwrap();
    let (first, second) = (reader.directory[0], reader.directory[1]);
    let mut flipped = bytes.to_vec();
    flipped[first.data_position as usize + 30] ^= 1;
    let reader = open(&flipped.into()).unwrap();
    let read = |entry: &SegmentPartition| {
        let index = reader.index(entry)?;
        reader.read(entry, &index, entry.start, entry.next, LIMIT)
    };
    assert!(read(&second).is_ok());
    let Err(StorageError::Damaged { position, .. }) = read(&first) else {
        panic!("damage was not seen");
    };
    assert_eq!(position, first.data_position);
    let found = reader.verify().unwrap();
    assert!(
        found
            .iter()
            .all(|damage| damage.partition == Some(first.partition)),
        "{found:?}"
    );
}

/// Makes the checksum at the end of a structure match again.
fn seal(bytes: &mut [u8]) {
    let (body, crc) = bytes.split_at_mut(bytes.len() - 4);
    crc.copy_from_slice(&outlast_records::crc32c(body).to_le_bytes());
}

#[test]
fn a_newer_format_and_an_encrypted_one_are_refused_by_name() {
    let bytes = write(&example());
    let at = bytes.len() - 64;
    let changed = |offset: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at + offset] = 9;
        seal(&mut bytes[at..]);
        open(&bytes.into())
    };
    assert!(matches!(
        changed(4),
        Err(StorageError::NewerFormat {
            structure: "segment",
            found: 9,
            ..
        })
    ));
    assert!(matches!(
        changed(6),
        Err(StorageError::Encrypted { cipher: 9, .. })
    ));
}

/// A tail that counts 2^32 - 1 partitions, with a good checksum, allocates nothing.
#[test]
fn counts_are_held_against_what_is_there() {
    let bytes = write(&example());
    let at = bytes.len() - 64;
    let mut lie = bytes.to_vec();
    lie[at + 12..at + 16].copy_from_slice(&u32::MAX.to_le_bytes());
    seal(&mut lie[at..]);
    assert!(matches!(
        open(&lie.into()),
        Err(StorageError::Damaged { .. })
    ));
}

fn any_partition() -> impl Strategy<Value = (Vec<(i64, usize, usize)>, i64)> {
    let batch = (
        0..3i64,
        1..4usize,
        prop_oneof![0..100usize, 5_000..20_000usize],
    );
    (proptest::collection::vec(batch, 0..8), 0..5i64)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_segment_round_trips(
        given in proptest::collection::btree_map(0..50i32, any_partition(), 0..5),
        max_bytes in 1..60_000usize,
    ) {
        let given: Given = given.into_iter().map(|(index, (batches, gap))| {
            let mut next = 40;
            let batches: Vec<_> = batches.into_iter().map(|(gap, records, bytes)| {
                let batch = batch(next + gap, 0, &vec![next; records], bytes);
                next = batch.header().next_offset().0;
                batch
            }).collect();
            (partition(index), 40, batches, next + gap, PartitionState::default())
        }).collect();
        let reader = open(&write(&given)).unwrap();
        prop_assert_eq!(reader.verify().unwrap(), vec![]);
        for (id, start, batches, next, _) in &given {
            let entry = reader.partition(*id).unwrap();
            let index = reader.index(entry).unwrap();
            let mut read_back = Vec::new();
            let mut from = Offset(*start);
            while from < Offset(*next) {
                let read = reader.read(entry, &index, from, Offset(*next), max_bytes).unwrap();
                prop_assert!(read.next_offset > from);
                prop_assert!(read.bytes.len() <= max_bytes || bases(&read).len() == 1);
                read_back.extend_from_slice(&read.bytes);
                from = read.next_offset;
            }
            prop_assert_eq!(from, Offset(*next));
            let expect: Vec<u8> = batches.iter().flat_map(|b| b.bytes().to_vec()).collect();
            prop_assert!(read_back == expect);
        }
    }

    #[test]
    fn random_bytes_never_panic(given in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(open(&given.into()).is_err());
    }
}

/// The example with something changed, and every checksum made to match.
fn forge(
    change: impl FnOnce(&mut Vec<u8>, &mut Vec<SegmentPartition>, &mut Vec<PartitionIndex>),
) -> Vec<String> {
    let bytes = write(&example());
    let reader = open(&bytes).unwrap();
    let mut directory = reader.directory.clone();
    let mut indexes: Vec<_> = directory
        .iter()
        .map(|entry| reader.index(entry).unwrap())
        .collect();
    let mut out = bytes[..directory[0].index_position as usize].to_vec();
    change(&mut out, &mut directory, &mut indexes);
    for (entry, index) in directory.iter_mut().zip(&indexes) {
        let index = format::encode_index(index);
        entry.index_position +=
            out.len() as u64 - reader.partition(entry.partition).unwrap().index_position;
        entry.index_len = index.len() as u32;
        entry.index_crc = outlast_records::crc32c(&index);
        out.extend_from_slice(&index);
    }
    let encoded = format::encode_directory(&directory);
    let directory_position = out.len() as u64;
    out.extend_from_slice(&encoded);
    let total_len = (out.len() + format::TAIL_SIZE) as u64;
    out.extend(format::encode_tail(&format::Tail {
        partitions: directory.len() as u32,
        directory_position,
        directory_crc: outlast_records::crc32c(&encoded),
        segment_id: ID.segment_id,
        total_len,
    }));
    faults(&out.into())
}

/// Checksums prove that bytes are as they were written; these hold against what was written wrong.
#[test]
fn parts_that_contradict_each_other_are_seen() {
    assert_eq!(forge(|_, _, _| {}), [""; 0]);
    let check = |what: &str, found: Vec<String>| {
        assert!(
            found.iter().any(|found| found.contains(what)),
            "{what}: {found:?}"
        );
    };
    const DIRECTORY: &str = "the directory contradicts itself";
    check(
        DIRECTORY,
        forge(|_, directory, _| directory[0].data_len -= 1),
    );
    check(
        DIRECTORY,
        forge(|_, directory, _| directory[0].start = Offset(99)),
    );
    check(
        DIRECTORY,
        forge(|_, directory, _| directory[1].index_position += 1),
    );
    check(
        "does not know",
        forge(|out, directory, _| {
            out.push(0);
            directory
                .iter_mut()
                .for_each(|entry| entry.index_position -= 1);
        }),
    );
    const INDEX: &str = "index contradicts the directory";
    check(INDEX, forge(|_, _, indexes| indexes[1].chunks.swap(1, 2)));
    check(INDEX, forge(|_, _, indexes| indexes[1].chunks.truncate(0)));
    check(
        INDEX,
        forge(|_, _, indexes| {
            indexes[1].chunks.remove(0);
        }),
    );
    check(
        INDEX,
        forge(|_, directory, _| directory[1].next = Offset(200)),
    );
    check(
        "not where it belongs",
        forge(|_, _, indexes| indexes[1].chunks[1].base.0 -= 9),
    );
    check(
        "batch headers",
        forge(|_, _, indexes| indexes[1].chunks[1].batches += 1),
    );
    check(
        "the index says",
        forge(|_, _, indexes| indexes[1].chunks[1].max_timestamp.0 += 1),
    );
    check(
        "the directory says",
        forge(|_, directory, _| directory[1].max_timestamp.0 += 1),
    );
    check(
        "another segment",
        forge(|out, _, _| {
            out.splice(
                ..64,
                format::encode_header(&SegmentId {
                    segment_id: 1,
                    ..ID
                }),
            );
        }),
    );
}

#[test]
fn a_tail_with_another_length_is_refused() {
    let mut bytes = write(&example()).to_vec();
    let at = bytes.len() - 64;
    bytes[at + 48] ^= 1;
    seal(&mut bytes[at..]);
    assert!(open(&bytes.into()).is_err());
}

#[test]
fn an_index_longer_than_it_says_is_refused() {
    let mut bytes = format::encode_index(&PartitionIndex::default());
    assert_eq!(format::decode_index(&bytes), Ok(PartitionIndex::default()));
    bytes.push(0);
    assert!(format::decode_index(&bytes).is_err());
}
