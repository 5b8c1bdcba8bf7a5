//! What a broker and a client pay for a batch: checking it, patching it, iterating and building it.
//! `cargo bench -p outlast-records`

use bytes::BytesMut;
use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use outlast_records::{
    BatchBuilder, CheckedBatch, Compression, LeaderEpoch, NewRecord, Offset, ProduceRules,
    RecordSet, Timestamp, check_produced, crc32c, records,
};

const BATCH_BYTES: usize = 16 * 1024;
const LIMIT: usize = 1 << 20;
const RULES: ProduceRules = ProduceRules {
    max_batch_bytes: LIMIT,
    max_decompressed_bytes: LIMIT,
    keys_required: false,
    log_append_time: false,
    now: Timestamp(0),
    timestamp_before_max_ms: i64::MAX,
    timestamp_after_max_ms: i64::MAX,
};

fn main() {
    divan::main();
}

/// A batch of about 16 KiB (a Java producer's default) of records with a value of `value_bytes`.
fn batch(codec: Compression, value_bytes: usize) -> CheckedBatch {
    let value: Vec<u8> = (0..value_bytes)
        .map(|i| (i * i / 7 % 61) as u8 + b' ')
        .collect();
    let mut builder = BatchBuilder::new(codec);
    for i in 0..BATCH_BYTES / value_bytes {
        let key = i.to_be_bytes();
        builder.append(NewRecord {
            timestamp: Timestamp(i as i64),
            key: Some(&key),
            value: Some(&value),
            headers: &[],
        });
    }
    builder.build().expect("a batch")
}

#[divan::bench(args = [64, 1024, 16 * 1024, 1024 * 1024])]
fn checksum(bencher: Bencher, size: usize) {
    let bytes = vec![7u8; size];
    bencher
        .counter(BytesCount::new(size))
        .bench(|| crc32c(black_box(&bytes)));
}

#[divan::bench(args = [100, 1024])]
fn check_a_produced_batch(bencher: Bencher, value_bytes: usize) {
    let batch = batch(Compression::None, value_bytes);
    bencher
        .counter(BytesCount::new(batch.size()))
        .with_inputs(|| BytesMut::from(batch.bytes()))
        .bench_values(|bytes| check_produced(bytes, &RULES));
}

#[divan::bench]
fn assign(bencher: Bencher) {
    let mut batch = batch(Compression::None, 1024);
    bencher.bench_local(|| batch.assign(black_box(Offset(9)), LeaderEpoch(1)));
}

#[divan::bench]
fn stamp_with_log_append_time(bencher: Bencher) {
    let mut batch = batch(Compression::None, 1024);
    bencher
        .counter(BytesCount::new(batch.size()))
        .bench_local(|| batch.set_log_append_time(black_box(Timestamp(9))));
}

#[divan::bench(args = Compression::ALL)]
fn iterate_lent_records(bencher: Bencher, codec: Compression) {
    let batch = batch(codec, 100);
    bencher.counter(BytesCount::new(BATCH_BYTES)).bench(|| {
        let set = RecordSet::decode(black_box(batch.bytes()), LIMIT).expect("records");
        set.iter()
            .map(|r| r.expect("record").value.map_or(0, <[u8]>::len))
            .sum::<usize>()
    });
}

#[divan::bench]
fn iterate_owned_records(bencher: Bencher) {
    let batch = batch(Compression::None, 100).into_bytes();
    bencher.counter(BytesCount::new(BATCH_BYTES)).bench(|| {
        records(black_box(&batch), LIMIT)
            .expect("records")
            .filter(Result::is_ok)
            .count()
    });
}

#[divan::bench(args = Compression::ALL)]
fn build(bencher: Bencher, codec: Compression) {
    bencher
        .counter(BytesCount::new(BATCH_BYTES))
        .bench(|| batch(black_box(codec), 100));
}
