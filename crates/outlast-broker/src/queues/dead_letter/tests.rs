use outlast_records::{Compression, RecordHeader, RecordSet, records};

use super::*;
use crate::queue::{Attempts, Worker};

const PARTITION: PartitionId = PartitionId {
    topic: uuid::Uuid::from_u128(1),
    index: 0,
};

fn dying(reason: DeadReason) -> DyingMessage {
    DyingMessage {
        offset: Offset(7),
        reason,
        delivery_count: 5,
        tried: Some(Attempts {
            first: Timestamp(100),
            last: Timestamp(200),
            last_worker: Worker::from("w 1"),
        }),
    }
}

/// The dead letter of a message with these headers.
fn bury(headers: &[(&str, &str)], copy: bool) -> Record {
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_bytes(), Some(value.as_bytes())))
        .collect();
    let mut batch = BatchBuilder::new(Compression::None).base_offset(Offset(7));
    batch.append(NewRecord {
        timestamp: Timestamp(50),
        key: Some(b"key"),
        value: Some(b"value"),
        headers: &headers,
    });
    let stored = batch.build().unwrap();
    let set = RecordSet::decode(stored.bytes(), 1 << 20).unwrap();
    let original = set.iter().next().unwrap().unwrap();
    let dying = dying(DeadReason::Limit);
    let story = Story {
        topic: "t",
        partition: 3,
        group: "g",
        died: Timestamp(300),
        dying: &dying,
        detail: Some("it hurt"),
    };
    let mut batch = BatchBuilder::new(Compression::None).as_new_as(Timestamp(300));
    story.append(Some(&original), copy, &mut batch);
    let batch = batch.build().unwrap();
    assert_eq!(batch.header().max_timestamp, Timestamp(300));
    only_record(batch.into_bytes())
}

fn redrive(letter: &DeadLetter) -> Record {
    let mut batch = BatchBuilder::new(Compression::None);
    letter.append_redriven(Timestamp(400), &mut batch);
    only_record(batch.build().unwrap().into_bytes())
}

fn only_record(batch: Bytes) -> Record {
    records(&batch, 1 << 20).unwrap().next().unwrap().unwrap()
}

fn header_list(record: &Record) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let pair = |header: &RecordHeader| {
        let value = header.value.as_deref().unwrap_or_default();
        (text(&header.key), text(value))
    };
    record.headers.iter().map(pair).collect()
}

#[test]
fn a_story_is_read_as_it_was_written() {
    let record = bury(&[("mine", "1")], true);
    assert_eq!(record.key.as_deref(), Some(&b"key"[..]));
    assert_eq!(record.timestamp, Timestamp(50));
    let letter = DeadLetter::read(PARTITION, record).unwrap();
    assert_eq!(
        (letter.died, letter.reason),
        (Timestamp(300), DeadReason::Limit)
    );
    assert_eq!((&*letter.topic, letter.topic_partition), ("t", 3));
    assert_eq!((letter.topic_offset, letter.deliveries), (Offset(7), 5));
    assert_eq!(letter.first_tried, Some(Timestamp(100)));
    assert_eq!(letter.last_tried, Some(Timestamp(200)));
    assert_eq!(letter.last_worker.as_deref(), Some("w 1"));
    assert!(letter.message.ends_with(": it hurt"), "{}", letter.message);
    assert_eq!(letter.redrives, 0);
}

#[test]
fn without_its_content_a_letter_still_tells_its_story() {
    let record = bury(&[("mine", "1")], false);
    assert_eq!((&record.key, &record.value), (&None, &None));
    assert!(record.headers.iter().all(|h| &h.key[..] != b"mine"));
    assert!(DeadLetter::read(PARTITION, record).is_some());
}

#[test]
fn other_records_are_no_dead_letters() {
    assert!(DeadLetter::read(PARTITION, Record::default()).is_none());
    let mut record = bury(&[], true);
    for header in &mut record.headers {
        if &header.key[..] == b"outlast-dead-reason" {
            header.value = Some(Bytes::from_static(b"boredom"));
        }
    }
    assert!(DeadLetter::read(PARTITION, record).is_none());
}

#[test]
fn what_is_redriven_is_the_message_again_with_a_history() {
    let given = [
        ("mine", "1"),
        ("outlast-delay-ms", "5000"),
        ("outlast-ttl-ms", "60000"),
        ("outlast-redrive-count", "2"),
        ("outlast-redrive-group", "g"),
        ("outlast-history", "before"),
    ];
    let letter = DeadLetter::read(PARTITION, bury(&given, true)).unwrap();
    assert_eq!(letter.redrives, 2);
    let record = redrive(&letter);
    assert_eq!(record.value.as_deref(), Some(&b"value"[..]));
    assert_eq!(record.timestamp, Timestamp(400));
    let history = "limit group=g deliveries=5 died=300 first-tried=100 last-tried=200 worker=w 1";
    let expect = [
        ("mine", "1"),
        ("outlast-ttl-ms", "60000"),
        ("outlast-history", "before"),
        ("outlast-history", history),
        ("outlast-redrive-count", "3"),
        ("outlast-redrive-group", "g"),
        ("outlast-delay-ms", "0"),
    ];
    let expect = expect.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(header_list(&record), expect);
}

#[test]
fn a_dead_letter_that_died_as_one_is_itself_again() {
    let inner = bury(&[("mine", "1")], true);
    let inner_headers = header_list(&inner);
    let given: Vec<_> = inner_headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let outer = DeadLetter::read(PARTITION, bury(&given, true)).unwrap();
    let headers = header_list(&redrive(&outer));
    assert_eq!(headers[..given.len()], inner_headers[..]);
}
