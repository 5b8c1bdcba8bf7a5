use bytes::BytesMut;
use outlast_records::{
    BatchBuilder, Compression, EndTxnMarker, NewRecord, Offset, ProducerEpoch, ProducerId,
    Sequence, Timestamp,
};

use super::*;

fn batch(base: i64, values: &[&str], compression: Compression) -> BatchBuilder {
    let mut builder = BatchBuilder::new(compression).base_offset(Offset(base));
    for value in values {
        builder.append(NewRecord {
            value: Some(value.as_bytes()),
            ..NewRecord::default()
        });
    }
    builder
}

fn plain(base: i64, values: &[&str]) -> Bytes {
    let built = batch(base, values, Compression::None).build();
    built.unwrap().into_bytes()
}

fn transactional(base: i64, producer: i64, values: &[&str]) -> Bytes {
    let builder = batch(base, values, Compression::None)
        .producer(ProducerId(producer), ProducerEpoch(0), Sequence(0))
        .transactional();
    builder.build().unwrap().into_bytes()
}

fn marker(offset: i64, producer: i64, commit: bool) -> Bytes {
    let marker = EndTxnMarker {
        commit,
        coordinator_epoch: 0,
    };
    let mut marker =
        BatchBuilder::end_txn_marker(marker, ProducerId(producer), ProducerEpoch(0), Timestamp(0));
    marker.assign(Offset(offset), Default::default());
    marker.into_bytes()
}

fn fetched(from: i64, batches: &[Bytes], aborted: Option<Vec<(i64, i64)>>) -> Fetched {
    let mut bytes = BytesMut::new();
    batches.iter().for_each(|b| bytes.extend_from_slice(b));
    let batches = whole_batches(bytes.freeze(), true).unwrap();
    let next_offset = batches.last().map_or(from, |(h, _)| h.next_offset().0);
    Fetched {
        partition: Arc::new(TopicPartition::new("t", 0)),
        from,
        next_offset,
        high_watermark: next_offset,
        log_start_offset: 0,
        batches,
        aborted,
        generation: 1,
    }
}

/// `offset:value …`
fn shown(fetched: &Fetched) -> String {
    let one = |record: Result<Record, ClientError>| {
        let record = record.unwrap();
        let value = record.value.unwrap_or_default();
        format!("{}:{}", record.offset, String::from_utf8_lossy(&value))
    };
    fetched.records().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn records_before_the_wanted_offset_are_left_out() {
    let batches = [plain(0, &["a", "b", "c"]), plain(3, &["d"])];
    let all = fetched(0, &batches, None);
    assert_eq!(shown(&all), "0:a 1:b 2:c 3:d");
    assert_eq!(all.record_count(), 4);
    let from_two = fetched(2, &batches, None);
    assert_eq!(shown(&from_two), "2:c 3:d");
    assert_eq!(from_two.record_count(), 2);
    assert_eq!(from_two.next_offset, 4);
}

#[test]
fn compressed_batches_are_opened() {
    let compressed = batch(5, &["a", "b"], Compression::Lz4).build().unwrap();
    let fetched = fetched(6, &[compressed.into_bytes()], None);
    assert_eq!(shown(&fetched), "6:b");
}

#[test]
fn aborted_transactions_are_left_out_when_asked_for() {
    let batches = [
        transactional(0, 1, &["a1"]),
        transactional(1, 2, &["a2"]),
        marker(2, 1, false),
        transactional(3, 1, &["b1"]),
        marker(4, 2, true),
        marker(5, 1, true),
        plain(6, &["x"]),
    ];
    let uncommitted = fetched(0, &batches, None);
    assert_eq!(shown(&uncommitted), "0:a1 1:a2 3:b1 6:x");
    // Producer 1 aborted its first transaction and committed its second.
    let committed = fetched(0, &batches, Some(vec![(1, 0)]));
    assert_eq!(shown(&committed), "1:a2 3:b1 6:x");
}

#[test]
fn a_batch_that_is_cut_off_waits_for_the_next_fetch() {
    let mut bytes = BytesMut::new();
    bytes.extend_from_slice(&plain(0, &["a"]));
    let next = plain(1, &["b"]);
    bytes.extend_from_slice(&next[..next.len() - 1]);
    let batches = whole_batches(bytes.freeze(), true).unwrap();
    assert_eq!(batches.len(), 1);
}

#[test]
fn a_damaged_batch_is_noticed() {
    let mut bytes = BytesMut::from(&plain(0, &["a"])[..]);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    assert!(whole_batches(bytes.clone().freeze(), true).is_err());
    assert!(whole_batches(bytes.freeze(), false).is_ok());
}
