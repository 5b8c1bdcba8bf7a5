//! What queues cost: changes by the run and not by the message, and a bounded number of bytes.

use super::*;

#[test]
fn a_delivery_of_many_messages_is_one_change_and_so_is_its_acknowledgement() {
    let mut h = Harness::new();
    h.scan_plain(100_000);
    assert_eq!(h.records, []);
    for round in 0..4 {
        let first = round * 500;
        let (id, worker) = (queue_id(0), Worker::from("a"));
        let held = [range(0, 99_999)];
        h.run(|q, turn| q.acquire(&id, &worker, &held, 500, None, turn));
        assert_eq!(changes(&h), 1);
        h.acknowledge("a", range(first, first + 499), Verb::Accept)
            .unwrap();
        assert_eq!(changes(&h), 1);
        assert_eq!(h.queue().runs.len(), 1, "and the state stays small");
    }
    // Singly, and in any order.
    h.acquire("a", 500);
    for offset in (2_000..2_500).rev() {
        h.acknowledge("a", range(offset, offset), Verb::Accept)
            .unwrap();
    }
    assert_eq!(h.queue().runs.len(), 1);
    assert_eq!(h.log.last().unwrap().1.as_ref().unwrap().len(), 23);
}

#[test]
fn a_lock_names_a_new_timer_only_when_it_must() {
    let mut h = Harness::new();
    h.scan_plain(1_000);
    let mut named = 0;
    for offset in 0..1_000 {
        h.timers.clear();
        h.acquire("a", 1);
        h.acknowledge("a", range(offset, offset), Verb::Accept)
            .unwrap();
        named += h.timers.len();
        h.now.0 += 1;
    }
    assert_eq!(named, 1);
}

#[test]
fn a_million_scheduled_messages_take_less_than_20_megabytes() {
    const MILLION: i64 = 1_000_000;
    let mut h = Harness::new();
    for first in (0..MILLION).step_by(50_000) {
        let to = first + 50_000;
        let messages: Vec<_> = (first..to)
            .map(|offset| Scanned {
                due: Some(Timestamp(T0 + 1 + offset * 7_919 % 86_400_000)),
                ..Scanned::plain(Offset(offset))
            })
            .collect();
        let (from, to) = (Offset(first), Offset(to));
        h.run_unchecked(|q, turn| q.scanned(&queue_id(0), from, to, &messages, turn));
    }
    assert_eq!(h.queue().runs.len(), 1);
    assert_eq!(h.numbers().delayed, MILLION as u64);
    assert!(h.queue().derived.scheduled.bytes() < 20_000_000);
    // Nothing of it is in the log, and a plan doesn't look at each.
    assert_eq!(h.log.len(), 1);
    assert!(h.plan(500).redeliver.is_empty());
}

fn changes(h: &Harness) -> usize {
    let changes = h.records.iter().map(|record| match record {
        QueueRecord::State { changes, .. } => changes.len(),
        _ => 1,
    });
    changes.sum()
}
