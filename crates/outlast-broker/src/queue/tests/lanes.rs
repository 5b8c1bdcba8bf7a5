//! Key order: one message of a key at a time, different keys side by side.

use super::*;

fn keyed(offset: i64, lane: u64) -> Scanned {
    Scanned {
        lane: Some(lane),
        ..Scanned::plain(Offset(offset))
    }
}

fn in_order() -> Harness {
    let mut h = Harness::new();
    h.settings.order = QueueOrder::Key;
    h
}

#[test]
fn the_next_of_a_key_comes_when_the_one_before_is_done() {
    let mut h = in_order();
    let free = Scanned::plain(Offset(3));
    h.scan(
        6,
        &[
            keyed(0, 1),
            keyed(1, 1),
            keyed(2, 2),
            free,
            keyed(4, 1),
            keyed(5, 2),
        ],
    );
    assert_eq!(h.plan(9).redeliver, [range(0, 0), range(2, 3)]);
    assert_eq!(h.acquire("a", 9), [(0, 1), (2, 1), (3, 1)]);
    assert_eq!(h.acquire("b", 9), []);
    h.was_woken();
    h.acknowledge("a", range(2, 2), Verb::Accept).unwrap();
    assert!(h.was_woken());
    assert_eq!(h.acquire("b", 9), [(5, 1)]);
    h.acknowledge("a", range(0, 0), Verb::Accept).unwrap();
    assert_eq!(h.acquire("b", 9), [(1, 1)]);
}

#[test]
fn a_message_that_fails_stays_before_those_that_follow() {
    let mut h = in_order();
    h.settings.delivery_limit = 2;
    h.scan(2, &[keyed(0, 1), keyed(1, 1)]);
    for count in [1, 2] {
        assert_eq!(h.acquire("a", 9), [(0, count)]);
        h.acknowledge("a", range(0, 0), release()).unwrap();
        assert_eq!(h.acquire("b", 9), []);
        h.pass(1_000);
    }
    // It is dead, but not yet in the dead-letter topic: what follows waits for that.
    assert_eq!(h.acquire("b", 9), []);
    h.run(|q, turn| q.buried(&queue_id(0), range(0, 0), turn));
    assert_eq!(h.acquire("b", 9), [(1, 1)]);
}

#[test]
fn a_scheduled_message_holds_back_those_of_its_key() {
    let mut h = in_order();
    let due = Some(Timestamp(T0 + 100));
    h.scan(2, &[Scanned { due, ..keyed(0, 1) }, keyed(1, 1)]);
    assert_eq!(h.acquire("a", 9), []);
    h.pass(100);
    assert_eq!(h.acquire("a", 9), [(0, 1)]);
}

#[test]
fn a_message_that_goes_without_delivery_lets_the_next_one_pass() {
    let mut h = in_order();
    let id = queue_id(0);
    h.scan(4, &[keyed(0, 1), keyed(1, 1), keyed(2, 1), keyed(3, 1)]);
    h.run(|q, turn| q.settle(&id, range(0, 0), turn));
    // Out of the middle.
    h.run(|q, turn| q.settle(&id, range(2, 2), turn));
    assert_eq!(h.acquire("a", 9), [(1, 1)]);
    h.acknowledge("a", range(1, 1), Verb::Accept).unwrap();
    assert_eq!(h.acquire("a", 9), [(3, 1)]);
}

#[test]
fn the_order_survives_a_restart() {
    let mut h = in_order();
    let messages = [keyed(0, 1), keyed(1, 1), keyed(2, 2)];
    h.scan(3, &messages);
    assert_eq!(h.acquire("a", 9), [(0, 1), (2, 1)]);
    h.restart();
    h.scan(3, &messages);
    assert_eq!(h.acquire("b", 9), []);
    h.acknowledge("a", range(0, 0), Verb::Accept).unwrap();
    assert_eq!(h.acquire("b", 9), [(1, 1)]);
}

#[test]
fn a_group_may_turn_to_key_order_and_back() {
    let mut h = Harness::new();
    let messages = [keyed(0, 1), keyed(1, 1), keyed(2, 1)];
    h.scan(3, &messages);
    h.acquire("a", 1);
    h.settings.order = QueueOrder::Key;
    assert_eq!(h.plan(9).scan_from, Offset(0), "it looks again");
    h.scan(3, &messages);
    assert_eq!(h.acquire("b", 9), []);
    h.settings.order = QueueOrder::None;
    h.plan(9);
    h.scan(3, &messages);
    assert_eq!(h.acquire("b", 9), [(1, 1), (2, 1)]);
}

#[test]
fn the_queue_looks_ahead_only_so_far() {
    const MANY: i64 = 256 * 1024;
    let mut h = in_order();
    let messages: Vec<_> = (0..MANY).map(|at| keyed(at, 1)).collect();
    let id = queue_id(0);
    let worker = Worker::from("a");
    let last = MANY as usize - 1;
    let (from, to) = (Offset(0), Offset(MANY - 1));
    h.run_unchecked(|q, turn| q.scanned(&id, from, to, &messages[..last], turn));
    let wants_scan = |h: &mut Harness| {
        let plan = h.run_unchecked(|q, turn| q.plan(&id, 9, turn));
        plan.unwrap().wants_scan
    };
    assert!(wants_scan(&mut h));
    h.run_unchecked(|q, turn| q.scanned(&id, to, Offset(MANY), &messages[last..], turn));
    assert!(!wants_scan(&mut h));
    let held = [range(0, MANY)];
    h.run_unchecked(|q, turn| q.acquire(&id, &worker, &held, 9, None, turn));
    h.was_woken();
    h.run_unchecked(|q, turn| q.acknowledge(&id, &worker, range(0, 0), Verb::Accept, turn))
        .unwrap();
    assert!(h.was_woken(), "there is room to scan again");
    assert!(wants_scan(&mut h));
}
