//! What the engine itself costs: an append up to its sync, and a read from memory and from files.
//!
//! `cargo bench -p outlast-storage`. Set `OUTLAST_BENCH_DIR` to a directory on the disk that is to be measured.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::BytesMut;
use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use outlast_records::{
    BatchBuilder, Compression, LeaderEpoch, NewRecord, Offset, PartitionId, Timestamp,
    split_batches,
};
use outlast_storage::{AppendSection, DiskIo, Store, StoreOptions, SystemClock};

fn main() {
    divan::main();
}

fn open(options: StoreOptions) -> (tempfile::TempDir, Store) {
    let under =
        std::env::var_os("OUTLAST_BENCH_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from);
    let dir = tempfile::tempdir_in(under).expect("a directory to write in");
    let (store, _) =
        Store::open(Arc::new(DiskIo), Arc::new(SystemClock), dir.path(), options).expect("open");
    (dir, store)
}

fn id(index: usize) -> PartitionId {
    PartitionId {
        topic: uuid::Uuid::from_u128(1),
        index: index as i32,
    }
}

/// A batch of about `bytes`, as it comes from a client.
fn batch(bytes: usize) -> BytesMut {
    let mut builder = BatchBuilder::new(Compression::None);
    let value = vec![b'x'; bytes.min(1024)];
    for _ in 0..bytes.div_ceil(1024) {
        builder.append(NewRecord {
            timestamp: Timestamp(1),
            value: Some(&value),
            ..NewRecord::default()
        });
    }
    BytesMut::from(&builder.build().expect("batch").into_bytes()[..])
}

fn sections(store: &Store, partitions: usize, batch: &BytesMut) -> Vec<AppendSection> {
    (0..partitions)
        .map(|index| AppendSection {
            log: store.log(id(index)),
            batches: split_batches(batch.clone(), usize::MAX).expect("batch"),
            leader_epoch: LeaderEpoch(0),
        })
        .collect()
}

/// One append of batches of so many bytes for so many partitions: written, synced, acknowledged.
#[divan::bench(args = [(1, 100), (1, 16 << 10), (1, 1 << 20), (1000, 1 << 10), (16, 64 << 10)])]
fn durable_append(bencher: Bencher, (partitions, bytes): (usize, usize)) {
    let (_dir, store) = open(StoreOptions::default());
    let batch = batch(bytes);
    bencher
        .counter(BytesCount::new(partitions * batch.len()))
        .with_inputs(|| sections(&store, partitions, &batch))
        .bench_values(|sections| store.append(sections).durable.wait().expect("durable"));
}

/// The same without the disk: what happens under the lock.
#[divan::bench(args = [(1, 16 << 10), (1000, 1 << 10)])]
fn place_and_queue(bencher: Bencher, (partitions, bytes): (usize, usize)) {
    let (_dir, store) = open(StoreOptions {
        threads: false,
        ..StoreOptions::default()
    });
    let batch = batch(bytes);
    bencher
        .counter(BytesCount::new(partitions * batch.len()))
        .with_inputs(|| {
            // So that the queue does not grow without bounds.
            while store.step_writer() {}
            sections(&store, partitions, &batch)
        })
        .bench_local_values(|sections| store.append(sections));
}

/// One fetch of up to a mebibyte, at the end of the log (cached) or from its files.
#[divan::bench(args = [true, false])]
fn fetch(bencher: Bencher, cached: bool) {
    let tail_cache_bytes = if cached { 64 << 20 } else { 0 };
    let (_dir, store) = open(StoreOptions {
        tail_cache_bytes,
        ..StoreOptions::default()
    });
    let batch = batch(16 << 10);
    for _ in 0..1_000 {
        drop(store.append(sections(&store, 1, &batch)).durable);
    }
    store
        .append(sections(&store, 1, &batch))
        .durable
        .wait()
        .expect("durable");
    let log = store.log(id(0));
    bencher
        .counter(BytesCount::new(1usize << 20))
        .bench_local(|| {
            log.read(black_box(Offset(5_000)), Offset(i64::MAX), 1 << 20)
                .expect("read")
        });
}
