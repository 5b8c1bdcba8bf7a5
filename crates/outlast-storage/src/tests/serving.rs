//! Reads: from memory, from disk, by time, by epoch; and the news that long polls wait for.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use outlast_records::{LeaderEpoch, Offset, Timestamp};

use super::harness::*;
use crate::{AppendSection, ReadError, StoreOptions, Watcher};

fn cached() -> StoreOptions {
    StoreOptions {
        tail_cache_bytes: 3_000,
        ..small_files()
    }
}

#[test]
fn the_tail_is_served_from_memory_and_only_when_durable() {
    let machine = Machine::new(cached());
    let log = machine.store.log(id(0));
    let end = Offset(i64::MAX);
    assert!(
        log.read_cached(Offset(0), end, 100)
            .is_some_and(|found| found.is_empty())
    );
    let append = machine
        .store
        .append(vec![machine.section(0, vec![batch(&["a"]), batch(&["b"])])]);
    assert!(
        log.read_cached(Offset(0), end, 100)
            .is_some_and(|found| found.is_empty())
    );
    assert!(
        log.read(Offset(1), end, 100)
            .is_ok_and(|found| found.is_empty()),
        "in flight: nothing yet"
    );
    machine.store.step_writer();
    drop(append);
    let found = log.read_cached(Offset(0), end, 1).expect("cached");
    assert_eq!(
        (found.batches.len(), found.next_offset),
        (1, Offset(1)),
        "at least one batch"
    );
    let found = log.read_cached(Offset(0), end, 1_000).expect("cached");
    assert_eq!((found.batches.len(), found.next_offset), (2, Offset(2)));
    let found = log
        .read_cached(Offset(0), Offset(1), 1_000)
        .expect("cached");
    assert_eq!(
        (found.batches.len(), found.next_offset),
        (1, Offset(1)),
        "up to the limit"
    );
    assert!(matches!(
        log.read(Offset(3), end, 1),
        Err(ReadError::OutOfRange { .. })
    ));
    assert!(
        log.read(Offset(2), end, 1)
            .is_ok_and(|found| found.is_empty())
    );
}

#[test]
fn the_cache_keeps_to_its_budget_and_lets_the_oldest_go() {
    let machine = Machine::new(cached());
    for round in 0..20 {
        machine
            .append(round % 2, &[&"x".repeat(300)])
            .expect("durable");
    }
    let log = machine.store.log(id(0));
    let first_cached = (0..10).find(|at| log.read_cached(Offset(*at), Offset(10), 1).is_some());
    // Six batches of 371 bytes and 96 for the bookkeeping fit, three of them of this partition.
    assert_eq!(first_cached, Some(7));
    let used = machine.store.shared().sequencer.lock().cache.used();
    assert!(used <= 3_000 && used > 2_400, "{used}");
}

#[test]
fn a_read_crosses_files_and_keeps_its_limits() {
    let machine = Machine::new(small_files());
    let values: Vec<String> = (0..30)
        .map(|at| format!("{at:02}-{}", "x".repeat(400)))
        .collect();
    for value in &values {
        machine.append(0, &[value]).expect("durable");
        machine.append(1, &["between"]).expect("durable");
    }
    machine.store.tick();
    assert_eq!(machine.values(0), values);
    assert_eq!(
        machine.values_from(0, Offset(17)).expect("read"),
        values[17..]
    );
    let log = machine.store.log(id(0));
    let size = log.read(Offset(0), Offset(1), 1).expect("read").bytes;
    for (from, limit, max, expect) in [
        (0, 30, 1, 1),
        (0, 30, size * 3, 3),
        (5, 30, size * 20, 20),
        (5, 8, usize::MAX, 3),
        (28, 99, usize::MAX, 2),
    ] {
        let found = log.read(Offset(from), Offset(limit), max).expect("read");
        assert_eq!(
            found.next_offset,
            Offset(from + expect),
            "{from} {limit} {max}"
        );
        assert_eq!(
            found.bytes,
            found.batches.iter().map(|piece| piece.len()).sum::<usize>()
        );
    }
}

#[test]
fn records_are_found_by_time() {
    let machine = Machine::new(small_files());
    let times: [&[i64]; 6] = [&[10, 12], &[11], &[30, 20, 25], &[40], &[35], &[40, 41]];
    for times in times {
        let mut builder = outlast_records::BatchBuilder::new(outlast_records::Compression::Lz4);
        for time in times {
            builder.append(outlast_records::NewRecord {
                timestamp: Timestamp(*time),
                value: Some("x".repeat(900).as_bytes()),
                ..Default::default()
            });
        }
        let batch = builder.build().expect("batch");
        drop(
            machine
                .store
                .append(vec![machine.section(0, vec![batch])])
                .durable,
        );
        machine.store.step_writer();
        machine.append(1, &[&"x".repeat(1_200)]).expect("durable");
    }
    // In memory and in side-cars.
    for sealed in [false, true] {
        if sealed {
            machine.store.tick();
        }
        let log = machine.store.log(id(0));
        let check = |target: i64, expect: Option<(i64, i64)>| {
            let found = log.offset_for_timestamp(Timestamp(target)).expect("read");
            let expect = expect.map(|(at, time)| (Offset(at), Timestamp(time), LeaderEpoch(0)));
            assert_eq!(found, expect, "time {target}, sealed {sealed}");
        };
        check(0, Some((0, 10)));
        check(11, Some((1, 12)));
        check(13, Some((3, 30)));
        check(31, Some((6, 40)));
        check(41, Some((9, 41)));
        check(42, None);
        let newest = |log: &crate::PartitionLog| {
            log.max_timestamp()
                .expect("read")
                .map(|(at, time, _)| (at.0, time.0))
        };
        assert_eq!(newest(&log), Some((9, 41)));
    }
    // The first record that is left is in the middle of a batch.
    let log = machine.store.log(id(0));
    let newest = || {
        log.max_timestamp()
            .expect("read")
            .map(|(at, time, _)| (at.0, time.0))
    };
    drop(machine.store.advance_log_start(id(0), Offset(4)));
    machine.store.step_writer();
    assert_eq!(
        log.offset_for_timestamp(Timestamp(0)).expect("read"),
        Some((Offset(4), Timestamp(20), LeaderEpoch(0)))
    );
    assert_eq!(newest(), Some((9, 41)));
    drop(machine.store.advance_log_start(id(0), Offset(10)));
    machine.store.step_writer();
    assert_eq!(newest(), None);
    assert_eq!(log.offset_for_timestamp(Timestamp(0)).expect("read"), None);
}

#[test]
fn epochs_are_remembered() {
    let machine = Machine::new(small_files());
    for (epoch, count) in [(3, 2), (3, 1), (5, 4)] {
        let batches = (0..count).map(|_| batch(&["x"])).collect();
        let section = AppendSection {
            leader_epoch: LeaderEpoch(epoch),
            ..machine.section(0, batches)
        };
        drop(machine.store.append(vec![section]).durable);
        machine.store.step_writer();
    }
    let check = |machine: &Machine| {
        let end = |epoch| {
            machine
                .store
                .log(id(0))
                .end_offset_for_epoch(LeaderEpoch(epoch))
        };
        assert_eq!(end(2), None);
        assert_eq!(end(3), Some((LeaderEpoch(3), Offset(3))));
        assert_eq!(end(4), Some((LeaderEpoch(3), Offset(3))));
        assert_eq!(end(9), Some((LeaderEpoch(5), Offset(7))));
    };
    check(&machine);
    let machine = machine.crash(crate::io::fault::Survives::Nothing);
    check(&machine);
    machine.store.shutdown().expect("shutdown");
    check(&machine.crash(crate::io::fault::Survives::Nothing));
}

#[test]
fn a_long_poll_hears_of_the_logs_that_moved() {
    let machine = Machine::new(small_files());
    let logs: Vec<_> = (0..3).map(|index| machine.store.log(id(index))).collect();
    let watcher = Watcher::new();
    for (token, log) in (10..).zip(&logs) {
        watcher.watch(log, token);
    }
    let mut context = Context::from_waker(Waker::noop());
    let mut polled = |watcher: &Watcher| pin!(watcher.marked()).poll(&mut context);
    assert_eq!(polled(&watcher), Poll::Pending);
    drop(
        machine
            .store
            .append(vec![machine.section(1, vec![batch(&["x"])])])
            .durable,
    );
    assert_eq!(polled(&watcher), Poll::Pending, "not durable yet");
    machine.store.step_writer();
    assert_eq!(polled(&watcher), Poll::Ready(()));
    assert_eq!(watcher.take_marked(), [11]);
    assert_eq!(polled(&watcher), Poll::Pending);
    drop(machine.store.advance_log_start(id(1), Offset(1)));
    machine.store.step_writer();
    assert_eq!(watcher.take_marked(), [11]);
    watcher.unwatch(&logs[1]);
    machine.append(1, &["x"]).expect("durable");
    assert_eq!(watcher.take_marked(), [0; 0]);
    machine.append(2, &["x"]).expect("durable");
    assert_eq!(watcher.take_marked(), [12]);
}

#[test]
fn appends_beyond_the_budget_wait() {
    let machine = Machine::new(StoreOptions {
        max_in_flight_bytes: 100,
        ..small_files()
    });
    let mut context = Context::from_waker(Waker::noop());
    let first = pin!(machine.store.reserve(60)).poll(&mut context);
    let Poll::Ready(first) = first else {
        panic!("there is room")
    };
    assert_eq!(machine.store.free_append_bytes(), 40);
    let mut second = pin!(machine.store.reserve(1_000_000));
    assert!(second.as_mut().poll(&mut context).is_pending());
    drop(first);
    assert!(
        second.as_mut().poll(&mut context).is_ready(),
        "larger than the budget: alone"
    );
}
