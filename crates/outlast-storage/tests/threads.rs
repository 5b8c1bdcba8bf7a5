//! Many threads at once on a real disk: appends to shared partitions, readers at the tail and behind, retention, and a
//! partition that comes and goes. Every reader sees every record once, in order.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use outlast_records::{
    BatchBuilder, CheckedBatch, Compression, LeaderEpoch, NewRecord, Offset, PartitionId, Timestamp,
};
use outlast_storage::{
    AppendSection, DiskIo, ReadError, Retention, SectionOutcome, Store, StoreOptions, SystemClock,
};

const PARTITIONS: i32 = 3;
const WRITERS: u32 = 4;
const ROUNDS: u32 = 150;

fn id(index: i32) -> PartitionId {
    PartitionId {
        topic: uuid::Uuid::from_u128(5),
        index,
    }
}

fn batch(writer: u32, round: u32) -> CheckedBatch {
    let mut builder = BatchBuilder::new(Compression::None);
    let value = format!(
        "{writer} {round} {}",
        "x".repeat((round % 50) as usize * 20)
    );
    builder.append(NewRecord {
        timestamp: Timestamp(1),
        value: Some(value.as_bytes()),
        ..NewRecord::default()
    });
    builder.build().expect("batch")
}

/// Reads a log from its start until `done` and the end: per writer, the rounds it found, in the order of their offsets.
fn read_all(
    store: &Store,
    partition: PartitionId,
    done: &AtomicBool,
    max_bytes: usize,
) -> HashMap<u32, Vec<u32>> {
    let log = store.log(partition);
    let mut found: HashMap<u32, Vec<u32>> = HashMap::new();
    let mut at = Offset(0);
    loop {
        let last_look = done.load(Ordering::Acquire);
        let read = match log.read(at, Offset(i64::MAX), max_bytes) {
            Ok(read) => read,
            Err(ReadError::OutOfRange { start, .. }) => {
                at = start;
                continue;
            }
            Err(e) => panic!("{e}"),
        };
        if read.is_empty() {
            std::thread::yield_now();
        }
        for piece in read.batches {
            for stored in outlast_records::stored_batches(piece) {
                let (header, bytes) = stored.expect("header");
                assert!(
                    header.base_offset >= at,
                    "{} again, after {at}",
                    header.base_offset
                );
                at = header.next_offset();
                for record in outlast_records::records(&bytes, 1 << 20).expect("records") {
                    let value = record.expect("record").value.expect("value");
                    let text = String::from_utf8(value.to_vec()).expect("text");
                    let mut numbers = text.split(' ').map_while(|word| word.parse().ok());
                    let (writer, round) = (
                        numbers.next().expect("writer"),
                        numbers.next().expect("round"),
                    );
                    found.entry(writer).or_default().push(round);
                }
            }
        }
        if last_look && at >= log.high_watermark() {
            return found;
        }
    }
}

/// Lets the readers end, also when a writer panicked.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn everything_is_read_once_and_in_order() {
    let dir = tempfile::tempdir().expect("dir");
    let options = StoreOptions {
        wal_file_bytes: 64 << 10,
        tail_cache_bytes: 32 << 10,
        l0_bytes: 256 << 10,
        l1_bytes_per_second: 1 << 30,
        max_entry_bytes: 16 << 10,
        tick_ms: 5,
        ..StoreOptions::default()
    };
    let (store, _) = Store::open(
        Arc::new(DiskIo),
        Arc::new(SystemClock),
        dir.path(),
        options.clone(),
    )
    .expect("open");
    let done = AtomicBool::new(false);
    let expect: HashMap<u32, Vec<u32>> = (0..WRITERS)
        .map(|writer| (writer, (0..ROUNDS).collect()))
        .collect();
    std::thread::scope(|scope| {
        let writing = Done(&done);
        let readers: Vec<_> = (0..PARTITIONS)
            .flat_map(|index| [(index, 1), (index, 100_000)])
            .map(|(index, max_bytes)| {
                let (store, done) = (&store, &done);
                scope.spawn(move || read_all(store, id(index), done, max_bytes))
            })
            .collect();
        let coming_and_going = scope.spawn(|| {
            for round in 0..20 {
                let passing = PartitionId {
                    topic: uuid::Uuid::from_u128(100 + round),
                    index: 0,
                };
                let log = store.log(passing);
                let section = AppendSection {
                    log,
                    batches: vec![batch(0, 0)],
                    leader_epoch: LeaderEpoch(0),
                };
                store.append(vec![section]).durable.wait().expect("durable");
                store.log(id(9)).set_retention(Retention {
                    ms: None,
                    bytes: Some(0),
                });
                store.delete_partition(passing).wait().expect("deleted");
                assert!(store.existing(passing).is_none());
            }
        });
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let store = &store;
                scope.spawn(move || {
                    let mut flying = std::collections::VecDeque::new();
                    for round in 0..ROUNDS {
                        let sections = (0..PARTITIONS).chain([9]).map(|index| AppendSection {
                            log: store.log(id(index)),
                            batches: vec![batch(writer, round)],
                            leader_epoch: LeaderEpoch(0),
                        });
                        let append = store.append(sections.collect());
                        let appended = |outcome: &SectionOutcome| {
                            matches!(outcome, SectionOutcome::Appended { .. })
                        };
                        assert!(append.sections.iter().all(appended));
                        flying.push_back(append.durable);
                        if flying.len() > 5 {
                            flying.pop_front().expect("one").wait().expect("durable");
                        }
                    }
                    for durable in flying {
                        durable.wait().expect("durable");
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().expect("writer");
        }
        coming_and_going.join().expect("coming and going");
        drop(writing);
        for reader in readers {
            let found = reader.join().expect("reader");
            assert_eq!(found, expect);
        }
    });
    store.tick();
    store.shutdown().expect("shutdown");
    drop(store);
    let (store, report) =
        Store::open(Arc::new(DiskIo), Arc::new(SystemClock), dir.path(), options).expect("open");
    assert!(
        report.damage.is_empty() && report.entries_scanned == 0,
        "{report:?}"
    );
    for index in 0..PARTITIONS {
        assert_eq!(read_all(&store, id(index), &done, 10_000), expect);
    }
    assert_eq!(store.partitions(), [id(0), id(1), id(2), id(9)]);
}
