//! Delays, schedules and expiry.

use super::*;

fn due(offset: i64, ms: i64) -> Scanned {
    Scanned {
        due: Some(Timestamp(T0 + ms)),
        ..Scanned::plain(Offset(offset))
    }
}

fn expiring(offset: i64, ms: i64) -> Scanned {
    Scanned {
        expires: Some(Timestamp(T0 + ms)),
        ..Scanned::plain(Offset(offset))
    }
}

#[test]
fn scheduled_messages_come_at_their_time_in_any_order() {
    let mut h = Harness::new();
    h.scan(4, &[due(0, 300), due(1, 100), due(2, 200), due(3, 100)]);
    assert_eq!(h.numbers().delayed, 4);
    assert_eq!(h.timers[&queue_id(0)], Timestamp(T0 + 100));
    assert_eq!(h.acquire("a", 9), []);
    h.pass(99);
    assert_eq!(h.acquire("a", 9), []);
    assert!(!h.was_woken());
    h.pass(1);
    assert!(h.was_woken());
    assert_eq!(h.acquire("a", 9), [(1, 1), (3, 1)]);
    h.pass(100);
    assert_eq!(h.acquire("a", 9), [(2, 1)]);
    h.pass(100);
    assert_eq!(h.acquire("a", 9), [(0, 1)]);
}

#[test]
fn a_call_needs_no_timer_to_know_the_time() {
    let mut h = Harness::new();
    h.scan(1, &[due(0, 300)]);
    h.now = Timestamp(T0 + 300);
    assert_eq!(h.acquire("a", 1), [(0, 1)]);
    // The lock and the delay after it, without a timer either.
    h.now = Timestamp(T0 + 30_300);
    assert_eq!(h.acquire("a", 1), []);
    h.now = Timestamp(T0 + 31_300);
    assert_eq!(h.acquire("a", 1), [(0, 2)]);
}

#[test]
fn a_clock_that_runs_backwards_stands_still() {
    let mut h = Harness::new();
    h.scan(1, &[due(0, 300)]);
    h.now = Timestamp(T0 + 300);
    h.plan(1);
    h.now = Timestamp(T0);
    assert_eq!(h.acquire("a", 1), [(0, 1)]);
    let deadline = Timestamp(T0 + 30_300);
    assert!(matches!(h.state(0), MessageState::Acquired { deadline: d, .. } if d == deadline));
}

#[test]
fn a_message_expires_wherever_it_waits() {
    let mut h = Harness::new();
    let scheduled = Scanned {
        due: Some(Timestamp(T0 + 5_000)),
        ..expiring(0, 100)
    };
    h.scan(
        5,
        &[
            scheduled,
            expiring(1, 100),
            expiring(2, 100),
            expiring(3, 100),
            expiring(4, 101),
        ],
    );
    h.acquire_from("a", range(2, 3), 9);
    h.acknowledge("a", range(2, 2), release()).unwrap();
    h.pass(100);
    let reasons: Vec<_> = h.dying().iter().map(|d| (d.offset.0, d.reason)).collect();
    let expired = DeadReason::Expired;
    // The worker still has 3.
    assert_eq!(reasons, [(0, expired), (1, expired), (2, expired)]);
    assert_eq!(h.acquire("b", 9), [(4, 1)]);
    assert!(h.dying.contains(&queue_id(0)));
}

#[test]
fn what_expires_in_a_workers_hand_has_no_other_try() {
    for (verb, expect) in [
        (Verb::Accept, None),
        (release(), Some(DeadReason::Expired)),
        (not_now(50), Some(DeadReason::Expired)),
        (Verb::Reject, Some(DeadReason::Rejected)),
    ] {
        let mut h = Harness::new();
        h.scan(3, &[expiring(0, 100), expiring(1, 100), expiring(2, 900)]);
        h.acquire("a", 9);
        h.pass(100);
        h.acknowledge("a", range(0, 1), verb).unwrap();
        let reasons: Vec<_> = h.dying().iter().map(|dying| dying.reason).collect();
        let expect: Vec<_> = expect.into_iter().cycle().take(2).collect();
        assert_eq!(reasons, expect, "{verb:?}");
    }
    // Its lock ends.
    let mut h = Harness::new();
    h.scan(1, &[expiring(0, 100)]);
    h.acquire("a", 9);
    h.pass(30_000);
    assert_eq!(h.dying()[0].reason, DeadReason::Expired);
    assert_eq!(h.dying()[0].delivery_count, 1);
}

#[test]
fn expired_messages_can_be_dropped() {
    let mut h = Harness::new();
    h.settings.expired = ExpiredAction::Drop;
    h.scan(2, &[expiring(0, 0), expiring(1, 100)]);
    h.pass(100);
    assert_eq!(h.dying(), []);
    assert_eq!(h.numbers().start, Offset(2));
}

#[test]
fn many_messages_at_one_moment_take_several_calls_and_none_comes_too_late() {
    const MANY: i64 = 25_000;
    let mut h = Harness::new();
    // Not in a row, so that each is a stretch of its own.
    let at = |offset: i64| offset % 2 * 1_000;
    let both = |offset: i64| Scanned {
        due: Some(Timestamp(T0 + 100 + at(offset))),
        ..expiring(offset, 10_000 + at(offset))
    };
    let messages: Vec<_> = (0..MANY).map(both).collect();
    let id = queue_id(0);
    h.run_unchecked(|q, turn| q.scanned(&id, Offset(0), Offset(MANY), &messages, turn));
    h.now = Timestamp(T0 + 2_000);
    h.run_unchecked(|q, turn| q.timer_fired(&id, turn));
    let ready = h.numbers().ready;
    assert!(ready > 0 && ready < MANY as u64, "{ready}");
    // Late by far: what is not yet seen to have expired must not be delivered.
    h.now = Timestamp(T0 + 20_000);
    let worker = Worker::from("a");
    let held = [range(0, MANY)];
    let mut calls = 0;
    while h.numbers().dying < MANY as u64 {
        let acquired = h.run_unchecked(|q, turn| q.acquire(&id, &worker, &held, 10, None, turn));
        assert_eq!(acquired, []);
        calls += 1;
        let left = h.numbers().dying < MANY as u64;
        let next = h.queue().next_moment();
        assert_eq!(next.is_some_and(|at| at <= h.now), left);
    }
    assert!(calls > 1);
}

#[test]
fn times_of_messages_that_are_gone_are_forgotten() {
    const MANY: i64 = 10_000;
    let mut h = Harness::new();
    let id = queue_id(0);
    for round in 0..5 {
        let first = round * MANY;
        let year = Some(Timestamp(T0 + 365 * 86_400_000));
        let messages: Vec<_> = (first..first + MANY)
            .map(|offset| Scanned {
                due: year,
                expires: year,
                ..Scanned::plain(Offset(offset))
            })
            .collect();
        let (from, to) = (Offset(first), Offset(first + MANY));
        h.run_unchecked(|q, turn| q.scanned(&id, from, to, &messages, turn));
        let all = range(first, to.0 - 1);
        assert_eq!(h.run_unchecked(|q, turn| q.settle(&id, all, turn)), [all]);
    }
    let derived = &h.queue().derived;
    assert!(derived.scheduled.len() <= 1_024 && derived.expiring.len() <= 1_024);
}
