//! Deduplication on consume: the ledger of processed ids, and equal ids in flight.

use super::*;

fn with_id(offset: i64, id: u128) -> Scanned {
    Scanned {
        id: Some(id),
        ..Scanned::plain(Offset(offset))
    }
}

fn deduplicating() -> Harness {
    let mut h = Harness::new();
    h.settings.dedupe = Some(ConsumeDedupe {
        header: "id".into(),
        window: Duration::from_secs(10),
        max_ids: 3,
    });
    h
}

/// Receives and accepts whatever is there.
fn work_off(h: &mut Harness) -> Vec<i64> {
    let acquired = h.acquire("a", 100);
    for (offset, _) in &acquired {
        let range = range(*offset, *offset);
        h.acknowledge("a", range, Verb::Accept).unwrap();
    }
    acquired.iter().map(|(offset, _)| *offset).collect()
}

#[test]
fn an_id_is_processed_once() {
    let mut h = deduplicating();
    h.scan(
        3,
        &[
            with_id(0, 7),
            Scanned::plain(Offset(1)),
            Scanned::plain(Offset(2)),
        ],
    );
    assert_eq!(work_off(&mut h), [0, 1, 2]);
    h.scan(5, &[with_id(3, 7), with_id(4, 8)]);
    assert_eq!(h.state(3), MessageState::Done);
    assert_eq!(work_off(&mut h), [4]);
    assert_eq!(h.queues.ledger_len(GROUP), 2);
}

#[test]
fn a_message_that_was_seen_before_its_twin_was_processed_is_not_delivered() {
    let mut h = deduplicating();
    h.scan(3, &[with_id(0, 7), with_id(1, 7), with_id(2, 8)]);
    assert_eq!(h.acquire_from("a", range(0, 0), 1), [(0, 1)]);
    h.acknowledge("a", range(0, 0), Verb::Accept).unwrap();
    assert_eq!(h.acquire("a", 1), [(2, 1)]);
    assert_eq!(h.state(1), MessageState::Done);
}

#[test]
fn a_failed_message_leaves_its_id_free() {
    for verb in [release(), Verb::Reject, Verb::Gap, not_now(5_000)] {
        let mut h = deduplicating();
        h.scan(2, &[with_id(0, 7), with_id(1, 7)]);
        assert_eq!(h.acquire("a", 9), [(0, 1)]);
        assert_eq!(h.acquire("b", 9), [], "one is in a hand");
        h.was_woken();
        h.acknowledge("a", range(0, 0), verb).unwrap();
        assert!(h.was_woken(), "{verb:?}");
        assert_eq!(h.acquire("b", 9), [(1, 1)], "{verb:?}");
    }
}

#[test]
fn who_waited_for_an_id_that_was_accepted_is_done() {
    let mut h = deduplicating();
    h.run(|q, turn| q.open(&queue_id(1), Offset(0), turn));
    h.scan(1, &[with_id(0, 7)]);
    let (from, to) = (Offset(0), Offset(2));
    let messages = [with_id(0, 7), with_id(1, 8)];
    h.run(|q, turn| q.scanned(&queue_id(1), from, to, &messages, turn));
    assert_eq!(h.acquire("a", 9), [(0, 1)]);
    // In another queue of the group.
    assert_eq!(h.acquire_at(1, "b", range(0, 9), 9), [(1, 1)]);
    assert_eq!(h.queues.numbers(&queue_id(1)).unwrap().ready, 1);
    h.acknowledge("a", range(0, 0), Verb::Accept).unwrap();
    let other = h.queues.queue(&queue_id(1)).unwrap();
    assert_eq!(other.state(Offset(0)), MessageState::Done);
    // And the change is recorded with the acceptance.
    assert_eq!(h.records.len(), 3);
}

#[test]
fn an_id_is_forgotten_after_the_window_or_when_there_are_too_many() {
    let mut h = deduplicating();
    h.scan(1, &[with_id(0, 7)]);
    work_off(&mut h);
    h.pass(9_999);
    h.scan(2, &[with_id(1, 7)]);
    assert!(work_off(&mut h).is_empty());
    h.pass(1);
    h.scan(3, &[with_id(2, 7)]);
    assert_eq!(work_off(&mut h), [2]);

    h.scan(6, &[with_id(3, 1), with_id(4, 2), with_id(5, 3)]);
    assert_eq!(work_off(&mut h), [3, 4, 5]);
    assert_eq!(h.queues.ledger_len(GROUP), 3);
    h.scan(8, &[with_id(6, 7), with_id(7, 2)]);
    assert_eq!(work_off(&mut h), [6], "7 was the oldest of four");
}

#[test]
fn what_was_processed_survives_a_restart_and_a_rewrite() {
    let mut h = deduplicating();
    h.scan(3, &[with_id(0, 7), with_id(1, 8), with_id(2, 9)]);
    assert_eq!(h.acquire("a", 2), [(0, 1), (1, 1)]);
    h.acknowledge("a", range(0, 0), Verb::Accept).unwrap();
    for rewrite in [false, true] {
        let mut h = h.clone();
        if rewrite {
            h.rewrite();
        }
        h.restart();
        // The worker comes with its acknowledgement before anything was scanned.
        h.acknowledge("a", range(1, 1), Verb::Accept).unwrap();
        h.scan(
            6,
            &[with_id(2, 9), with_id(3, 7), with_id(4, 8), with_id(5, 10)],
        );
        assert_eq!(work_off(&mut h), [2, 5]);
    }
}

#[test]
fn after_a_restart_an_id_in_a_hand_still_keeps_others_waiting() {
    let mut h = deduplicating();
    h.scan(1, &[with_id(0, 7)]);
    h.acquire("a", 1);
    h.restart();
    h.scan(2, &[with_id(0, 7), with_id(1, 7)]);
    assert_eq!(h.acquire("b", 9), []);
    h.pass(30_000);
    assert_eq!(h.acquire("b", 9), [(1, 1)]);
}

#[test]
fn a_processed_message_does_not_expire() {
    let mut h = deduplicating();
    let expires = Some(Timestamp(T0 + 100));
    h.scan(
        2,
        &[
            with_id(0, 7),
            Scanned {
                expires,
                ..with_id(1, 7)
            },
        ],
    );
    assert_eq!(h.acquire("a", 1), [(0, 1)]);
    h.acknowledge("a", range(0, 0), Verb::Accept).unwrap();
    h.pass(100);
    assert_eq!((h.dying(), h.state(1)), (vec![], MessageState::Done));
}

#[test]
fn turned_off_the_ledger_is_forgotten() {
    let mut h = deduplicating();
    h.scan(1, &[with_id(0, 7)]);
    work_off(&mut h);
    let dedupe = h.settings.dedupe.take();
    h.plan(1);
    assert_eq!(h.queues.ledger_len(GROUP), 0);
    h.settings.dedupe = dedupe;
    h.plan(1);
    h.scan(2, &[with_id(1, 7)]);
    assert_eq!(work_off(&mut h), [1]);
}

#[test]
fn a_queue_that_goes_lets_go_of_its_ids() {
    for reset in [false, true] {
        let mut h = deduplicating();
        h.run(|q, turn| q.open(&queue_id(1), Offset(0), turn));
        h.scan(1, &[with_id(0, 7)]);
        let messages = [with_id(0, 7)];
        let (from, to) = (Offset(0), Offset(1));
        h.run(|q, turn| q.scanned(&queue_id(1), from, to, &messages, turn));
        assert_eq!(h.acquire("a", 9), [(0, 1)]);
        assert_eq!(h.acquire_at(1, "b", range(0, 9), 9), []);
        match reset {
            true => h.run(|q, turn| q.reset(&queue_id(0), Offset(5), turn)),
            false => assert!(h.run(|q, turn| q.delete(&queue_id(0), turn))),
        }
        assert!(h.woken.contains(&queue_id(1)));
        assert_eq!(h.acquire_at(1, "b", range(0, 9), 9), [(0, 1)]);
    }
}
