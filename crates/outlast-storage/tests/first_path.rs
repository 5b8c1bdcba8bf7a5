//! The whole way of a batch on a real disk: append, sync, read from memory and from the file, reopen.

use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use outlast_records::{
    BatchBuilder, CheckedBatch, Compression, LeaderEpoch, NewRecord, Offset, PartitionId, Timestamp,
};
use outlast_storage::{AppendSection, Clock, DiskIo, SectionOutcome, Store, StoreOptions};

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000_000)
    }
}

fn batch(values: &[&str]) -> CheckedBatch {
    let mut builder = BatchBuilder::new(Compression::None);
    for (at, value) in values.iter().enumerate() {
        builder.append(NewRecord {
            timestamp: Timestamp(1_000 + at as i64),
            value: Some(value.as_bytes()),
            ..NewRecord::default()
        });
    }
    builder.build().expect("batch")
}

fn open(dir: &Path, options: StoreOptions) -> Store {
    Store::open(Arc::new(DiskIo), Arc::new(FixedClock), dir, options)
        .expect("open")
        .0
}

fn values(store: &Store, id: PartitionId, from: i64) -> Vec<String> {
    let log = store.existing(id).expect("log");
    let mut values = Vec::new();
    let mut at = Offset(from);
    while at < log.high_watermark() {
        let found = log.read(at, Offset(i64::MAX), 1 << 20).expect("read");
        for piece in &found.batches {
            for stored in outlast_records::stored_batches(piece.clone()) {
                let (_, bytes): (_, Bytes) = stored.expect("batch");
                for record in outlast_records::records(&bytes, 1 << 20).expect("records") {
                    values.push(
                        String::from_utf8_lossy(&record.expect("record").value.unwrap_or_default())
                            .into_owned(),
                    );
                }
            }
        }
        assert!(found.next_offset > at);
        at = found.next_offset;
    }
    values
}

#[test]
fn what_was_acknowledged_is_read_after_reopening() {
    let dir = tempfile::tempdir().expect("dir");
    let ids: Vec<_> = (0..3)
        .map(|index| PartitionId {
            topic: uuid::Uuid::from_u128(9),
            index,
        })
        .collect();
    let options = StoreOptions {
        wal_file_bytes: 2_000,
        ..StoreOptions::default()
    };
    let store = open(dir.path(), options.clone());
    for round in 0..20 {
        let sections = ids
            .iter()
            .map(|id| AppendSection {
                log: store.log(*id),
                batches: vec![batch(&[
                    &format!("{}-{round}a", id.index),
                    &format!("{}-{round}b", id.index),
                ])],
                leader_epoch: LeaderEpoch(1),
            })
            .collect();
        let append = store.append(sections);
        for outcome in &append.sections {
            assert!(
                matches!(outcome, SectionOutcome::Appended { base_offset: Offset(at), .. } if *at == round * 2)
            );
        }
        append.durable.wait().expect("durable");
    }
    let expect = |id: &PartitionId| -> Vec<String> {
        (0..20)
            .flat_map(|round| {
                [
                    format!("{}-{round}a", id.index),
                    format!("{}-{round}b", id.index),
                ]
            })
            .collect()
    };
    for id in &ids {
        assert_eq!(values(&store, *id, 0), expect(id));
    }
    store.shutdown().expect("shutdown");
    drop(store);

    let store = open(
        dir.path(),
        StoreOptions {
            tail_cache_bytes: 0,
            ..options
        },
    );
    for id in &ids {
        let log = store.existing(*id).expect("log");
        assert_eq!(log.high_watermark(), Offset(40));
        assert!(
            log.read_cached(Offset(0), Offset(40), 1).is_none(),
            "nothing is cached after a start"
        );
        assert_eq!(values(&store, *id, 0), expect(id));
        assert_eq!(
            values(&store, *id, 31)[0],
            format!("{}-15a", id.index),
            "from the middle of a batch"
        );
    }
    let _ = BytesMut::new();
}

#[test]
fn one_directory_serves_one_process() {
    let dir = tempfile::tempdir().expect("dir");
    let first = open(dir.path(), StoreOptions::default());
    let second = Store::open(
        Arc::new(DiskIo),
        Arc::new(FixedClock),
        dir.path(),
        StoreOptions::default(),
    );
    let message = second.err().map(|e| e.to_string()).unwrap_or_default();
    assert!(
        message.contains(&format!("process {}", std::process::id())),
        "{message}"
    );
    drop(first);
}
