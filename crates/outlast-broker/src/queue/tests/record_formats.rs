//! The bytes of records: they are read by every later version.

use outlast_protocol::records::queue::{QueueChange, QueueStateKey, QueueStateValue};
use outlast_protocol::records::{QueueLedgerKey, QueueLedgerValue, RecordKey};
use outlast_protocol::{Message, Str};

use super::*;

fn story() -> Story {
    Story {
        count: 3,
        first: Timestamp(10),
        last: Timestamp(20),
        worker: Worker::from("w"),
    }
}

fn state(begins_at: Option<i64>, changes: Vec<Change>) -> QueueRecord {
    let topic = Uuid::from_u128(0x0102);
    QueueRecord::State {
        id: QueueId::new("g", PartitionId { topic, index: 5 }),
        begins_at: begins_at.map(Offset),
        changes,
    }
}

fn change(to: Recorded) -> Change {
    Change::new(range(1, 2), to)
}

#[test]
fn records_come_back_as_they_were() {
    let until = Timestamp(99);
    let deadline = until;
    let reason = DeadReason::Undecodable;
    let with_ids = Change {
        ids: vec![Some(5), None],
        ..change(Recorded::Acquired {
            story: story(),
            deadline,
        })
    };
    let other = Story {
        worker: Worker::from("v"),
        count: 0,
        ..story()
    };
    let group = GroupId::from("g");
    let id = QueueId::new("g", PartitionId::default());
    for record in [
        state(Some(0), vec![]),
        state(Some(7), vec![change(Recorded::Done)]),
        state(None, vec![with_ids]),
        state(
            None,
            vec![
                change(Recorded::Retry(story())),
                change(Recorded::Retry(other.clone())),
                change(Recorded::Waiting {
                    story: story(),
                    until,
                }),
                change(Recorded::Dying {
                    reason,
                    story: None,
                }),
                change(Recorded::Dying {
                    reason: DeadReason::Limit,
                    story: Some(other),
                }),
            ],
        ),
        QueueRecord::Deleted { id },
        QueueRecord::Ledger {
            group: group.clone(),
            kept: 3,
            processed: vec![(Timestamp(1), vec![1, u128::MAX]), (Timestamp(2), vec![2])],
        },
        QueueRecord::LedgerDeleted { group },
    ] {
        let (key, value) = record.encode().unwrap();
        let read = QueueRecord::decode(Some(key), value).unwrap();
        assert_eq!(read, record);
    }
}

#[test]
fn the_bytes_of_an_acquisition() {
    let to = Recorded::Acquired {
        story: story(),
        deadline: Timestamp(0x1234),
    };
    let (key, value) = state(None, vec![change(to)]).encode().unwrap();
    assert_eq!(
        &key[..],
        b"\0\x64\0\x01g\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x02\0\0\0\x05"
    );
    let mut expect = Vec::new();
    expect.extend_from_slice(b"\0\0\x02\x02w\x02");
    expect.extend_from_slice(b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\x02");
    expect.extend_from_slice(b"\x05\0\x02\0\x03\x01\x08\0\0\0\0\0\0\x12\x34");
    expect.extend_from_slice(b"\x02\x08\0\0\0\0\0\0\0\x0a\x03\x08\0\0\0\0\0\0\0\x14");
    expect.extend_from_slice(b"\x04\x04\0\0\0\0\0");
    assert_eq!(&value.unwrap()[..], &expect[..]);
}

#[test]
fn the_bytes_of_an_acceptance() {
    let (_, value) = state(None, vec![change(Recorded::Done)]).encode().unwrap();
    assert_eq!(
        &value.unwrap()[..],
        b"\0\0\x01\x02\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\x04\0\0"
    );
}

#[test]
fn what_makes_no_sense_is_an_error() {
    let key = QueueStateKey::default().to_key_bytes().unwrap();
    let good = QueueChange {
        first_offset: 1,
        last_offset: 2,
        state: 1,
        worker: 0,
        ..QueueChange::default()
    };
    let check = |change: QueueChange, expect: &str| {
        let value = QueueStateValue {
            workers: vec![Str::from("w")],
            changes: vec![change],
            ..QueueStateValue::default()
        };
        let value = value.to_versioned_bytes(0).unwrap();
        let read = QueueRecord::decode(Some(key.clone()), Some(value));
        let message = read.map_or_else(|error| error.to_string(), |_| "fine".to_owned());
        assert_eq!(message, expect);
    };
    let change = |f: fn(&mut QueueChange)| {
        let mut change = good.clone();
        f(&mut change);
        change
    };
    check(good.clone(), "fine");
    check(
        change(|c| c.last_offset = 0),
        "the offsets 1 to 0 are no range",
    );
    check(
        change(|c| c.first_offset = -1),
        "the offsets -1 to 2 are no range",
    );
    check(
        change(|c| c.last_offset = i64::MAX),
        "the offsets 1 to 9223372036854775807 are no range",
    );
    check(change(|c| c.state = 0), "nobody knows the state 0");
    check(change(|c| c.worker = 1), "there is no worker 1");
    check(change(|c| c.worker = -1), "there is no worker -1");
    check(
        change(|c| (c.state, c.reason) = (3, 4)),
        "nobody knows the reason 4",
    );
    check(
        change(|c| (c.state, c.ids) = (2, vec![Uuid::nil()])),
        "1 ids for 2 messages",
    );
    assert!(QueueRecord::decode(None, None).is_err());
    assert!(QueueRecord::decode(Some(key.slice(..4)), None).is_err());
    assert!(QueueRecord::decode(Some(key), Some(Bytes::from_static(b"\0\x09"))).is_err());
}

#[test]
fn records_of_other_kinds_are_kept() {
    let key = Bytes::from_static(b"\0\x01 of Kafka");
    let value = Some(Bytes::from_static(b"whatever"));
    let read = |value| QueueRecord::decode(Some(key.clone()), value).unwrap();
    let mut queues = Queues::new();
    queues.replay(read(value.clone()));
    let snapshot: Vec<_> = queues.snapshot().map(|r| r.encode().unwrap()).collect();
    assert_eq!(snapshot, [(key.clone(), value)]);
    queues.replay(read(None));
    assert_eq!(queues.snapshot().count(), 0);
}

#[test]
fn a_long_state_takes_several_records() {
    let mut h = Harness::new();
    let many = 10_000;
    // Every other offset is a gap.
    let messages: Vec<_> = (0..many).map(|at| Scanned::plain(Offset(at * 2))).collect();
    let (id, to) = (queue_id(0), Offset(many * 2));
    h.run_unchecked(|q, turn| q.scanned(&id, Offset(0), to, &messages, turn));
    assert!(h.records.len() > 2);
    h.check();
    assert!(h.queues.snapshot().count() > 2);
    h.rewrite();
}

#[test]
fn a_ledger_forgets_in_a_replay_what_it_had_forgotten() {
    let key = QueueLedgerKey {
        group_id: Str::from("g"),
    };
    let key = key.to_key_bytes().unwrap();
    assert_eq!(&key[..], b"\0\x65\0\x01g");
    let mut queues = Queues::new();
    for (kept, id) in [(0, 1), (1, 2), (1, 1)] {
        queues.replay(QueueRecord::Ledger {
            group: GroupId::from("g"),
            kept,
            processed: vec![(Timestamp(id as i64), vec![id])],
        });
    }
    let group = &queues.groups[&GroupId::from("g")];
    let left: Vec<_> = group.ledger.iter().map(|(_, id)| id).collect();
    assert_eq!(left, [2, 1]);
    let (_, value) = queues.snapshot().next().unwrap().encode().unwrap();
    let value = QueueLedgerValue::from_versioned_bytes(value.unwrap()).unwrap();
    assert_eq!((value.kept, value.processed.len()), (0, 2));
}
