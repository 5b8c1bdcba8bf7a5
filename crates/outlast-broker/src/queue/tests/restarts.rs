//! What a restart finds.

use super::*;

#[test]
fn locks_counts_and_delays_are_what_they_were() {
    let mut h = Harness::new();
    h.scan_plain(8);
    h.acquire("a", 6);
    h.pass(500);
    h.acknowledge("a", range(0, 0), Verb::Accept).unwrap();
    h.acknowledge("a", range(2, 2), Verb::Accept).unwrap();
    h.acknowledge("a", range(3, 3), release()).unwrap();
    h.acknowledge("a", range(4, 4), not_now(20_000)).unwrap();
    h.acknowledge("a", range(5, 5), Verb::Reject).unwrap();
    let states: Vec<_> = (0..6).map(|offset| h.state(offset)).collect();
    for rewrite in [false, true] {
        let mut h = h.clone();
        if rewrite {
            h.rewrite();
        }
        h.restart();
        let again: Vec<_> = (0..6).map(|offset| h.state(offset)).collect();
        assert_eq!(again, states);
        // What nothing had happened to is looked up again.
        assert_eq!(h.state(6), MessageState::Unseen);
        assert_eq!(h.plan(9).scan_from, Offset(1));
        assert_eq!(h.numbers().known_ahead, 5);
        // Nothing is delivered before it is scanned, and then nothing twice.
        assert_eq!(h.acquire("b", 9), []);
        h.scan_plain(8);
        assert_eq!(h.acquire("b", 9), [(6, 1), (7, 1)]);
        h.pass(1_000);
        assert_eq!(h.acquire("b", 9), [(3, 2)]);
        // The worker that received it before the restart has it still.
        assert_eq!(h.acknowledge("a", range(1, 1), Verb::Accept), Ok(()));
        h.pass(19_000);
        assert_eq!(h.acquire("b", 9), [(4, 1)]);
    }
}

#[test]
fn what_can_be_delivered_again_must_be_scanned_again_first() {
    let mut h = Harness::new();
    h.scan_plain(2);
    h.acquire("a", 2);
    h.acknowledge("a", range(0, 1), not_now(0)).unwrap();
    h.restart();
    assert_eq!(h.acquire("a", 9), []);
    h.scan_plain(1);
    assert_eq!(h.acquire("a", 9), [(0, 1)]);
    h.scan_plain(2);
    assert_eq!(h.acquire("a", 9), [(1, 1)]);
}

#[test]
fn timers_run_again() {
    let mut h = Harness::new();
    h.scan_plain(2);
    h.acquire("a", 1);
    h.restart();
    assert_eq!(h.timers[&queue_id(0)], Timestamp(T0 + 30_000));
    h.pass(30_000);
    h.restart();
    assert_eq!(h.timers[&queue_id(0)], Timestamp(T0 + 31_000));
}

#[test]
fn a_delay_that_ran_out_while_nobody_ran_is_over() {
    let mut h = Harness::new();
    h.scan_plain(1);
    h.acquire("a", 1);
    h.acknowledge("a", range(0, 0), release()).unwrap();
    h.restart();
    h.now = Timestamp(T0 + 5_000);
    h.scan_plain(1);
    assert_eq!(h.acquire("a", 1), [(0, 2)]);
    h.restart();
    h.now = Timestamp(T0 + 500_000);
    h.scan_plain(1);
    // The lock is over, and its delay begins when that is noticed.
    assert_eq!(h.acquire("a", 1), []);
    h.pass(1_000);
    assert_eq!(h.acquire("a", 1), [(0, 3)]);
}

#[test]
fn the_scan_passes_over_what_is_known_to_be_done() {
    let mut h = Harness::new();
    h.scan_plain(1_000);
    h.acquire("a", 1_000);
    h.acknowledge("a", range(1, 899), Verb::Accept).unwrap();
    h.restart();
    assert_eq!(h.plan(1).scan_from, Offset(0));
    h.scan_plain(1);
    assert_eq!(h.plan(1).scan_from, Offset(900));
}

#[test]
fn a_message_that_is_gone_meanwhile_is_done_whatever_it_was() {
    let mut h = Harness::new();
    h.scan_plain(4);
    h.acquire("a", 3);
    h.acknowledge("a", range(0, 0), Verb::Reject).unwrap();
    h.acknowledge("a", range(1, 1), release()).unwrap();
    h.restart();
    h.scan(4, &[Scanned::plain(Offset(3))]);
    let numbers = h.numbers();
    assert_eq!((numbers.start, numbers.ready), (Offset(3), 1));
}

#[test]
fn expiry_and_schedule_are_read_again() {
    let mut h = Harness::new();
    let due = Some(Timestamp(T0 + 100));
    let expires = Some(Timestamp(T0 + 200));
    let plain = |at| Scanned::plain(Offset(at));
    let messages = [
        Scanned { due, ..plain(0) },
        Scanned {
            expires,
            ..plain(1)
        },
        Scanned {
            expires,
            ..plain(2)
        },
    ];
    h.scan(3, &messages);
    h.acquire_from("a", range(2, 2), 1);
    h.acknowledge("a", range(2, 2), not_now(1_000)).unwrap();
    h.restart();
    h.scan(3, &messages);
    assert_eq!(h.acquire("a", 9), [(1, 1)]);
    h.pass(100);
    assert_eq!(h.acquire("a", 9), [(0, 1)]);
    h.pass(100);
    assert_eq!(h.dying().len(), 1);
    assert_eq!(h.dying()[0].offset, Offset(2));
}
