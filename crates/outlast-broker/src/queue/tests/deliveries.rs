//! Receiving, acknowledging, releasing and renewing.

use super::*;

const MS: fn(u64) -> Duration = Duration::from_millis;

#[test]
fn messages_go_to_one_worker_at_a_time() {
    let mut h = Harness::new();
    h.scan_plain(10);
    assert_eq!(h.acquire("a", 3), [(0, 1), (1, 1), (2, 1)]);
    assert_eq!(h.acquire("b", 2), [(3, 1), (4, 1)]);
    assert_eq!(h.acquire_from("a", range(7, 8), 9), [(7, 1), (8, 1)]);
    assert_eq!(h.acquire("b", 9), [(5, 1), (6, 1), (9, 1)]);
    assert_eq!(h.acquire("c", 9), []);
    assert_eq!(
        h.state(7),
        MessageState::Acquired {
            delivery_count: 1,
            worker: Worker::from("a"),
            deadline: Timestamp(T0 + 30_000),
        }
    );
    let held: Vec<_> = h.queue().workers().into_iter().collect();
    assert_eq!(held, [(&Worker::from("a"), 5), (&Worker::from("b"), 5)]);
}

#[test]
fn no_more_than_the_locks_allow_are_in_flight() {
    let mut h = Harness::with(QueueSettings {
        max_locks: 3,
        ..QueueSettings::default()
    });
    h.scan_plain(10);
    assert_eq!(h.acquire("a", 9).len(), 3);
    assert_eq!(h.acquire("b", 9), []);
    let plan = h.plan(5);
    assert_eq!((plan.redeliver, plan.wants_scan), (vec![], false));
    h.was_woken();
    h.acknowledge("a", range(1, 1), Verb::Accept).unwrap();
    assert!(h.was_woken(), "there is room again");
    h.acknowledge("a", range(2, 2), Verb::Accept).unwrap();
    assert!(!h.was_woken(), "there was room before");
    assert_eq!(h.acquire("b", 9), [(3, 1), (4, 1)]);
}

#[test]
fn who_receives_says_whether_there_is_more() {
    let mut h = Harness::new();
    h.scan_plain(4);
    assert!(!h.was_woken());
    h.acquire("a", 3);
    assert!(h.was_woken());
    h.acquire("a", 3);
    assert!(!h.was_woken());
}

#[test]
fn each_verb_does_what_it_says() {
    let waiting = |delivery_count, after: i64| MessageState::Delayed {
        delivery_count,
        until: Timestamp(T0 + after),
    };
    let ready = |delivery_count| MessageState::Ready { delivery_count };
    let renewed = |after| MessageState::Acquired {
        delivery_count: 1,
        worker: Worker::from("a"),
        deadline: Timestamp(T0 + after),
    };
    let release = |delay, counts| Verb::Release { delay, counts };
    let rejected = MessageState::Dying {
        delivery_count: 1,
        reason: DeadReason::Rejected,
    };
    for (verb, expect) in [
        (Verb::Accept, MessageState::Done),
        (Verb::Gap, MessageState::Done),
        (Verb::Reject, rejected),
        (release(None, true), waiting(1, 1_000)),
        (release(Some(MS(77)), true), waiting(1, 77)),
        (release(Some(MS(0)), true), ready(1)),
        (release(Some(MS(77)), false), waiting(0, 77)),
        // Given back untouched: there is nothing to wait for.
        (release(None, false), ready(0)),
        (Verb::Renew { lock: None }, renewed(30_000)),
        (Verb::Renew { lock: Some(MS(1)) }, renewed(1)),
    ] {
        let mut h = Harness::new();
        h.scan_plain(3);
        let (id, worker) = (queue_id(0), Worker::from("a"));
        let lock = Some(MS(10_000));
        h.run(|q, turn| q.acquire(&id, &worker, &[range(0, 2)], 3, lock, turn));
        assert_eq!(h.acknowledge("a", range(1, 1), verb), Ok(()), "{verb:?}");
        assert_eq!(h.state(1), expect, "{verb:?}");
        for neighbour in [0, 2] {
            assert_eq!(h.state(neighbour), renewed(10_000), "{verb:?}");
        }
    }
}

#[test]
fn a_range_is_acknowledged_as_a_whole_or_not_at_all() {
    let mut h = Harness::new();
    h.scan_plain(10);
    h.acquire_from("a", range(0, 3), 9);
    h.acquire_from("b", range(4, 5), 9);
    h.acknowledge("a", range(1, 1), Verb::Accept).unwrap();
    for offsets in [(0, 1), (2, 4), (3, 5), (4, 5), (6, 7), (100, 200)] {
        let before = h.numbers();
        let offsets = range(offsets.0, offsets.1);
        assert_eq!(
            h.acknowledge("a", offsets, Verb::Accept),
            Err(AckError::NotHeld),
            "{offsets:?}"
        );
        assert_eq!(h.numbers(), before);
    }
    h.acknowledge("a", range(2, 3), Verb::Accept).unwrap();
    assert_eq!(
        h.acknowledge_at(9, "a", range(0, 0), Verb::Accept),
        Err(AckError::UnknownQueue)
    );
}

#[test]
fn a_lock_that_is_over_is_a_failed_try() {
    let mut h = Harness::new();
    h.scan_plain(2);
    h.acquire("a", 1);
    h.pass(29_999);
    assert!(matches!(h.state(0), MessageState::Acquired { .. }));
    h.pass(1);
    assert_eq!(
        h.acknowledge("a", range(0, 0), Verb::Accept),
        Err(AckError::NotHeld)
    );
    assert_eq!(h.acquire("b", 1), [(1, 1)]);
    h.was_woken();
    h.pass(999);
    assert!(!h.was_woken());
    h.pass(1);
    assert!(h.was_woken());
    assert_eq!(h.acquire("b", 1), [(0, 2)]);
}

#[test]
fn the_worker_keeps_what_it_renews_in_time() {
    let mut h = Harness::new();
    h.scan_plain(1);
    h.acquire("a", 1);
    for _ in 0..3 {
        h.pass(29_000);
        h.acknowledge("a", range(0, 0), Verb::Renew { lock: None })
            .unwrap();
    }
    h.pass(29_000);
    assert_eq!(h.acknowledge("a", range(0, 0), Verb::Accept), Ok(()));
    assert_eq!(h.numbers().start, Offset(1));
}

#[test]
fn a_worker_that_dies_holds_nothing_in_any_queue() {
    let mut h = Harness::new();
    h.run(|q, turn| q.open(&queue_id(1), Offset(0), turn));
    h.scan_plain(4);
    let messages = [Scanned::plain(Offset(0))];
    let (from, to) = (Offset(0), Offset(1));
    h.run(|q, turn| q.scanned(&queue_id(1), from, to, &messages, turn));
    h.acquire("a", 2);
    h.acquire("b", 1);
    h.acquire_at(1, "a", range(0, 9), 1);
    let worker = Worker::from("a");
    assert_eq!(h.run(|q, turn| q.release_worker(GROUP, &worker, turn)), 3);
    let failed = MessageState::Delayed {
        delivery_count: 1,
        until: Timestamp(T0 + 1_000),
    };
    assert_eq!((h.state(0), h.state(1)), (failed.clone(), failed.clone()));
    assert!(matches!(h.state(2), MessageState::Acquired { .. }));
    let other = h.queues.queue(&queue_id(1)).unwrap();
    assert_eq!(other.state(Offset(0)), failed);
    assert_eq!(h.run(|q, turn| q.release_worker(GROUP, &worker, turn)), 0);
    assert_eq!(h.run(|q, turn| q.release_worker("none", &worker, turn)), 0);
}

#[test]
fn messages_that_fail_together_come_back_apart() {
    let mut h = Harness::with(QueueSettings::default());
    h.scan_plain(100);
    h.acquire("a", 100);
    h.acknowledge("a", range(0, 99), release()).unwrap();
    let mut moments = BTreeSet::new();
    for offset in 0..100 {
        match h.state(offset) {
            MessageState::Delayed { until, .. } => {
                assert!((T0..=T0 + 1_000).contains(&until.0));
                moments.insert(until);
            }
            MessageState::Ready { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(moments.len() > 80, "{moments:?}");
}

#[test]
fn a_new_limit_or_policy_holds_from_the_next_failure_on() {
    let mut h = Harness::new();
    h.scan_plain(1);
    for count in 1..=3 {
        assert_eq!(h.acquire("a", 1), [(0, count)]);
        h.acknowledge("a", range(0, 0), release()).unwrap();
        h.pass(1_000);
    }
    h.settings.delivery_limit = 2;
    // It waits already, and is handed out once more.
    assert_eq!(h.acquire("a", 1), [(0, 4)]);
    h.acknowledge("a", range(0, 0), release()).unwrap();
    assert_eq!(h.dying()[0].reason, DeadReason::Limit);
}
