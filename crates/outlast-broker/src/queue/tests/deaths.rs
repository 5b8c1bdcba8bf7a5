//! How messages die, what is told of them, and how they are buried, redriven and purged.

use super::*;

#[test]
fn a_message_that_failed_too_often_dies_with_its_story() {
    let mut h = Harness::new();
    h.settings.delivery_limit = 3;
    h.scan_plain(1);
    for (worker, count) in [("a", 1), ("b", 2)] {
        assert_eq!(h.acquire(worker, 1), [(0, count)]);
        h.acknowledge(worker, range(0, 0), release()).unwrap();
        h.pass(1_000);
        assert_eq!(h.dying(), []);
    }
    assert_eq!(h.acquire("c", 1), [(0, 3)]);
    // The last failure is a time-out.
    h.pass(30_000);
    let story = DyingMessage {
        offset: Offset(0),
        reason: DeadReason::Limit,
        delivery_count: 3,
        tried: Some(Attempts {
            first: Timestamp(T0),
            last: Timestamp(T0 + 2_000),
            last_worker: Worker::from("c"),
        }),
    };
    assert_eq!(h.dying(), std::slice::from_ref(&story));
    assert_eq!(h.numbers().start, Offset(0), "held back until it is moved");
    assert_eq!(h.acquire("a", 1), []);
    // The story survives, and the new process hears of it.
    h.restart();
    assert_eq!(h.dying(), [story]);
    assert!(h.dying.contains(&queue_id(0)));
    h.run(|q, turn| q.buried(&queue_id(0), range(0, 0), turn));
    assert_eq!(h.numbers().start, Offset(1));
    assert_eq!(h.dying(), []);
}

#[test]
fn a_delivery_that_is_taken_back_never_leads_to_death() {
    let mut h = Harness::new();
    h.settings.delivery_limit = 1;
    h.scan_plain(1);
    for _ in 0..10 {
        assert_eq!(h.acquire("a", 1), [(0, 1)]);
        h.acknowledge("a", range(0, 0), not_now(10)).unwrap();
        h.pass(10);
    }
    assert_eq!(h.acquire("a", 1), [(0, 1)]);
    h.acknowledge("a", range(0, 0), release()).unwrap();
    assert_eq!(h.dying().len(), 1);
}

#[test]
fn only_the_dying_are_buried() {
    let mut h = Harness::new();
    h.scan_plain(6);
    h.acquire_from("a", range(1, 4), 9);
    h.acknowledge("a", range(2, 3), Verb::Reject).unwrap();
    h.run(|q, turn| q.buried(&queue_id(0), range(0, 9), turn));
    let numbers = h.numbers();
    assert_eq!((numbers.ready, numbers.in_flight, numbers.done), (2, 2, 2));
    h.run(|q, turn| q.buried(&queue_id(0), range(0, 9), turn));
    assert_eq!(h.records, []);
}

#[test]
fn the_dying_are_listed_in_order_up_to_a_maximum() {
    let mut h = Harness::new();
    h.scan_plain(6);
    h.acquire("a", 6);
    for first in [4, 0, 1] {
        h.acknowledge("a", range(first, first), Verb::Reject)
            .unwrap();
    }
    let offsets = |max| -> Vec<i64> {
        let dying = h.queues.dying(&queue_id(0), max);
        dying.iter().map(|d| d.offset.0).collect()
    };
    assert_eq!(offsets(9), [0, 1, 4]);
    assert_eq!(offsets(2), [0, 1]);
    assert_eq!(h.queues.dying(&queue_id(5), 9), []);
}

#[test]
fn without_dead_letters_death_is_the_end() {
    let mut h = Harness::new();
    h.settings.dead_letters = false;
    h.settings.delivery_limit = 1;
    let undecodable = Scanned {
        undecodable: true,
        ..Scanned::plain(Offset(0))
    };
    h.scan(
        3,
        &[
            undecodable,
            Scanned::plain(Offset(1)),
            Scanned::plain(Offset(2)),
        ],
    );
    h.acquire("a", 2);
    h.acknowledge("a", range(1, 1), release()).unwrap();
    h.acknowledge("a", range(2, 2), Verb::Reject).unwrap();
    assert_eq!((h.numbers().start, h.dying()), (Offset(3), vec![]));
}

#[test]
fn a_purge_takes_what_nobody_holds() {
    let mut h = Harness::new();
    let later = Scanned {
        due: Some(Timestamp(T0 + 100)),
        ..Scanned::plain(Offset(7))
    };
    let messages: Vec<_> = (0..7).map(|at| Scanned::plain(Offset(at))).collect();
    h.scan(8, &[&messages[..], &[later]].concat());
    h.acquire_from("a", range(1, 4), 9);
    h.acknowledge("a", range(1, 1), Verb::Accept).unwrap();
    h.acknowledge("a", range(2, 2), Verb::Reject).unwrap();
    h.acknowledge("a", range(3, 3), release()).unwrap();
    // Up to an end of the log that lies beyond the scan.
    let settled = h.run(|q, turn| q.settle(&queue_id(0), range(0, 11), turn));
    assert_eq!(settled, [range(0, 0), range(3, 3), range(5, 11)]);
    assert_eq!((h.numbers().start, h.numbers().in_flight), (Offset(2), 1));
    let again = h.run(|q, turn| q.settle(&queue_id(0), range(0, 11), turn));
    assert_eq!(again, []);
    h.acknowledge("a", range(4, 4), Verb::Accept).unwrap();
    h.run(|q, turn| q.buried(&queue_id(0), range(2, 2), turn));
    assert_eq!(h.plan(1).scan_from, Offset(12));
}

#[test]
fn reasons_have_names_and_places() {
    for (place, reason) in DeadReason::ALL.into_iter().enumerate() {
        assert_eq!(reason.index(), place);
        assert_eq!(DeadReason::from_name(reason.name()), Some(reason));
    }
    assert_eq!(DeadReason::from_name("bored"), None);
}
