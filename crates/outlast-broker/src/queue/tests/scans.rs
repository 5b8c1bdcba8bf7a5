//! What the queue makes of the log, and how far it looks.

use super::*;

fn at(offset: i64) -> Scanned {
    Scanned::plain(Offset(offset))
}

#[test]
fn each_kind_of_message_gets_its_state() {
    let ready = MessageState::Ready { delivery_count: 0 };
    let dying = |reason| MessageState::Dying {
        delivery_count: 0,
        reason,
    };
    let time = |ms: i64| Some(Timestamp(T0 + ms));
    let due = |ms| Scanned {
        due: time(ms),
        ..at(0)
    };
    let expires = |ms| Scanned {
        expires: time(ms),
        ..at(0)
    };
    let skip = Scanned {
        skip: true,
        ..at(0)
    };
    let undecodable = Scanned {
        undecodable: true,
        ..at(0)
    };
    for (message, expect) in [
        (at(0), ready.clone()),
        (due(0), ready.clone()),
        (due(1), MessageState::Scheduled),
        (expires(1), ready.clone()),
        (expires(0), dying(DeadReason::Expired)),
        (undecodable, dying(DeadReason::Undecodable)),
        (skip, MessageState::Done),
        // Who isn't meant doesn't judge.
        (
            Scanned {
                skip: true,
                ..undecodable
            },
            MessageState::Done,
        ),
        (
            Scanned {
                skip: true,
                ..expires(-1)
            },
            MessageState::Done,
        ),
        (
            Scanned {
                undecodable: true,
                ..due(1)
            },
            dying(DeadReason::Undecodable),
        ),
        (
            Scanned {
                due: time(5),
                ..expires(-1)
            },
            dying(DeadReason::Expired),
        ),
        // Neither matters here.
        (
            Scanned {
                lane: Some(1),
                id: Some(1),
                ..at(0)
            },
            ready,
        ),
    ] {
        let mut h = Harness::new();
        h.scan(1, &[message]);
        assert_eq!(h.state(0), expect, "{message:?}");
    }
}

#[test]
fn offsets_without_a_message_are_done() {
    let mut h = Harness::new();
    h.scan(10, &[at(2), at(3), at(7)]);
    let numbers = h.numbers();
    assert_eq!((numbers.start, numbers.scanned_to), (Offset(2), Offset(10)));
    assert_eq!((numbers.ready, numbers.done), (3, 5));
    assert_eq!(h.acquire("a", 9), [(2, 1), (3, 1), (7, 1)]);
}

#[test]
fn a_scan_counts_only_where_the_last_one_ended() {
    let mut h = Harness::new();
    h.scan_plain(5);
    let id = queue_id(0);
    let all: Vec<_> = (0..20).map(at).collect();
    for (from, to, expect) in [
        // A hole before it; nothing new; two scans at once.
        (6, 10, 5),
        (0, 5, 5),
        (0, 4, 5),
        (3, 8, 8),
        (3, 8, 8),
        (8, 8, 8),
        (9, 8, 8),
    ] {
        let messages = &all[from.min(to)..to];
        let (from, to) = (Offset(from as i64), Offset(to as i64));
        h.run(|q, turn| q.scanned(&id, from, to, messages, turn));
        assert_eq!(h.numbers().scanned_to, Offset(expect), "{from} {to}");
        assert_eq!(h.numbers().ready, expect as u64);
    }
}

#[test]
fn only_what_was_scanned_is_delivered() {
    let mut h = Harness::new();
    h.scan_plain(5);
    assert_eq!(h.acquire_from("a", range(3, 9), 9), [(3, 1), (4, 1)]);
}

#[test]
fn a_plan_asks_for_a_scan_when_too_little_is_there() {
    let mut h = Harness::new();
    let plan = h.plan(4);
    assert_eq!((plan.redeliver, plan.wants_scan), (vec![], true));
    h.scan_plain(10);
    h.acquire_from("a", range(2, 6), 9);
    for (wanted, redeliver, wants_scan) in [
        (0, vec![], false),
        (1, vec![range(0, 0)], false),
        (3, vec![range(0, 1), range(7, 7)], false),
        (5, vec![range(0, 1), range(7, 9)], false),
        (6, vec![range(0, 1), range(7, 9)], true),
        (LOOK_AHEAD, vec![], true),
    ] {
        let plan = h.plan(wanted);
        assert_eq!(plan.redeliver, redeliver, "{wanted}");
        assert_eq!(plan.wants_scan, wants_scan, "{wanted}");
        assert_eq!(plan.scan_from, Offset(10));
    }
}

#[test]
fn a_queue_begins_where_it_is_told() {
    let mut h = Harness::empty(QueueSettings::default());
    let id = queue_id(0);
    assert_eq!(h.run(|q, turn| q.plan(&id, 1, turn)), None);
    assert!(h.run(|q, turn| q.open(&id, Offset(70), turn)));
    assert!(!h.run(|q, turn| q.open(&id, Offset(80), turn)));
    assert_eq!(h.plan(1).scan_from, Offset(70));
    h.scan_plain(75);
    h.acquire("a", 2);
    assert_eq!(h.timers.len(), 1);
    h.run(|q, turn| q.reset(&id, Offset(60), turn));
    assert!(h.timers.is_empty(), "there is no lock any more");
    assert_eq!(h.numbers().start, Offset(60));
    assert_eq!(
        h.acknowledge("a", range(70, 71), Verb::Accept),
        Err(AckError::NotHeld)
    );
    assert_eq!(h.state(70), MessageState::Unseen);
    h.scan_plain(61);
    h.acquire("a", 1);
    assert!(h.run(|q, turn| q.delete(&id, turn)));
    assert!(h.timers.is_empty());
    assert!(!h.run(|q, turn| q.delete(&id, turn)));
    assert!(h.queues.queue(&id).is_none());
}

#[test]
fn a_group_is_deleted_with_all_its_queues() {
    let mut h = Harness::new();
    h.run(|q, turn| q.open(&queue_id(1), Offset(0), turn));
    h.scan_plain(2);
    h.acquire("a", 1);
    assert_eq!(h.timers.len(), 1);
    assert!(h.run(|q, turn| q.delete_group(GROUP, turn.fx)));
    assert!(!h.run(|q, turn| q.delete_group(GROUP, turn.fx)));
    assert_eq!(h.queues.iter().count(), 0);
    assert!(h.timers.is_empty());
}

#[test]
fn states_cover_a_range_without_holes() {
    let mut h = Harness::new();
    h.scan_plain(6);
    h.acquire_from("a", range(0, 3), 9);
    h.acknowledge("a", range(0, 1), Verb::Accept).unwrap();
    let states: Vec<_> = h.queue().states(range(1, 8)).collect();
    let ranges: Vec<_> = states.iter().map(|(range, _)| *range).collect();
    assert_eq!(ranges, [range(1, 1), range(2, 3), range(4, 5), range(6, 8)]);
    assert_eq!(states[0].1, MessageState::Done);
    assert!(matches!(states[1].1, MessageState::Acquired { .. }));
    assert_eq!(states[2].1, MessageState::Ready { delivery_count: 0 });
    assert_eq!(states[3].1, MessageState::Unseen);
}

#[test]
fn a_log_that_begins_later_takes_everything_before_along() {
    let mut h = Harness::new();
    h.scan_plain(6);
    h.acquire_from("a", range(1, 3), 9);
    let id = queue_id(0);
    h.run(|q, turn| q.log_start_moved(&id, Offset(3), turn));
    assert_eq!(h.numbers().start, Offset(3));
    assert_eq!(
        h.acknowledge("a", range(2, 2), Verb::Accept),
        Err(AckError::NotHeld)
    );
    assert_eq!(h.acknowledge("a", range(3, 3), Verb::Accept), Ok(()));
    h.run(|q, turn| q.log_start_moved(&id, Offset(1), turn));
    assert_eq!(h.numbers().start, Offset(4));
    // Beyond what was scanned.
    h.run(|q, turn| q.log_start_moved(&id, Offset(90), turn));
    assert_eq!(h.plan(1).scan_from, Offset(90));
}
