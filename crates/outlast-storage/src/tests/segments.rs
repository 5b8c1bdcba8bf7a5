//! Emptying write-ahead log files into segments: nobody who reads notices, whatever happens meanwhile.

use outlast_records::{Offset, Timestamp};

use super::harness::*;
use crate::io::fault::{Op, Survives, enospc};
use crate::{ReadError, Retention, StoreOptions};

fn small_l0() -> StoreOptions {
    StoreOptions {
        l0_bytes: 9_000,
        ..small_files()
    }
}

fn count(machine: &Machine, extension: &str) -> usize {
    let of_kind = |path: &&std::path::PathBuf| path.extension().is_some_and(|e| e == extension);
    machine.disk.paths().iter().filter(of_kind).count()
}

/// Three partitions in turn, a second apart.
fn filled(options: StoreOptions) -> (Machine, Vec<Vec<String>>) {
    let machine = Machine::new(options);
    let mut values = vec![Vec::new(); 3];
    for round in 0..60 {
        let index = round % 3;
        let value = format!("{index}/{round}/{}", "x".repeat(400));
        let batch = batch_at(Timestamp(START + i64::from(round) * 1_000), &[&value]);
        drop(
            machine
                .store
                .append(vec![machine.section(index, vec![batch])])
                .durable,
        );
        machine.store.step_writer();
        values[index as usize].push(value);
    }
    (machine, values)
}

fn all(machine: &Machine) -> Vec<Vec<String>> {
    (0..3).map(|index| machine.values(index)).collect()
}

/// A queue asks for one message out of the middle of a batch. It was told that the message isn't there once the batch had
/// moved to a segment, and buried it without its content.
#[test]
fn a_limit_within_a_batch_gives_the_batch_wherever_it_lies() {
    let machine = Machine::new(small_l0());
    let value = "x".repeat(400);
    for round in 0..20 {
        let time = Timestamp(START + i64::from(round) * 1_000);
        let batch = batch_at(time, &[&value, &value, &value]);
        let section = machine.section(0, vec![batch]);
        drop(machine.store.append(vec![section]).durable);
        machine.store.step_writer();
    }
    let log = machine.store.log(id(0));
    let reads_one_by_one = || {
        for at in 0..60 {
            let found = log.read(Offset(at), Offset(at + 1), 1).expect("read");
            assert_eq!(found.next_offset, Offset(at - at % 3 + 3), "offset {at}");
        }
    };
    reads_one_by_one();
    machine.store.tick();
    assert!(count(&machine, "segment") > 0);
    reads_one_by_one();
}

#[test]
fn the_oldest_files_are_emptied_when_there_are_too_many() {
    let (machine, values) = filled(small_l0());
    assert_eq!(count(&machine, "wal"), 10);
    machine.store.tick();
    assert_eq!((count(&machine, "wal"), count(&machine, "segment")), (3, 1));
    assert_eq!(all(&machine), values);
    machine.store.tick();
    assert_eq!(count(&machine, "segment"), 1, "there is no more reason");
    let log = machine.store.log(id(1));
    let bytes: u64 = log.lock().extents.iter().map(|extent| extent.bytes).sum();
    assert_eq!(log.size_bytes(), bytes);
    // Over the border between segment and write-ahead log, from every offset.
    for from in 0..20 {
        assert_eq!(
            machine.values_from(1, Offset(from)).expect("read"),
            values[1][from as usize..]
        );
    }
    let machine = machine.crash(Survives::Nothing);
    assert!(machine.report.damage.is_empty());
    assert_eq!(all(&machine), values);
    let log = machine.store.log(id(1));
    for (round, expect) in [(0, 0), (4, 1), (30, 10), (57, 19)] {
        let found = log
            .offset_for_timestamp(Timestamp(START + round * 1_000))
            .expect("read");
        assert_eq!(
            found.map(|(at, _, _)| at),
            Some(Offset(expect)),
            "round {round}"
        );
    }
    assert_eq!(
        log.max_timestamp().expect("read").map(|(at, _, _)| at),
        Some(Offset(19))
    );
}

#[test]
fn what_retention_takes_from_segments_is_given_back() {
    let (machine, values) = filled(small_l0());
    machine.store.tick();
    drop(machine.store.advance_log_start(id(1), Offset(2)));
    machine.store.step_writer();
    assert_eq!(machine.values(1), values[1][2..]);
    machine.advance(61_000);
    for index in 0..3 {
        machine.store.log(id(index)).set_retention(Retention {
            ms: Some(10_000),
            bytes: None,
        });
    }
    machine.store.tick();
    machine.store.step_writer();
    machine.store.tick();
    assert_eq!(count(&machine, "segment"), 0);
    let machine = machine.crash(Survives::Nothing);
    assert!(machine.report.damage.is_empty());
    for index in 0..3 {
        assert!(values[index as usize].ends_with(&machine.values(index)));
        assert!(machine.store.log(id(index)).start_offset() > Offset(5));
    }
}

#[test]
fn a_file_of_which_little_is_left_is_emptied() {
    let (machine, values) = filled(small_files());
    for index in [0, 2] {
        drop(machine.store.delete_partition(id(index)));
    }
    machine.store.step_writer();
    // A third of each file is still alive: not little enough.
    machine.store.tick();
    assert_eq!(count(&machine, "segment"), 0);
    drop(machine.store.advance_log_start(id(1), Offset(1)));
    machine.store.step_writer();
    machine.store.tick();
    machine.store.tick();
    assert_eq!(machine.values(1), values[1][1..]);
    assert_eq!(
        count(&machine, "segment"),
        0,
        "an extent is alive as a whole"
    );
}

#[test]
fn small_files_that_restarts_leave_are_put_together() {
    let mut machine = Machine::new(StoreOptions {
        wal_file_bytes: 10_000,
        ..small_files()
    });
    let mut values = Vec::new();
    for round in 0..70 {
        let value = format!("{round}");
        machine.append(0, &[&value]).expect("durable");
        values.push(value);
        machine = machine.crash(Survives::Nothing);
        machine.store.tick();
    }
    assert!(count(&machine, "wal") < 20, "{}", count(&machine, "wal"));
    assert_eq!(machine.values(0), values);
}

#[test]
fn power_may_fail_at_any_call_of_an_emptying() {
    for calls in 0.. {
        let (machine, values) = filled(small_l0());
        machine.disk.fail_power_after(calls);
        machine.store.tick();
        let finished = machine.disk.power_is_on();
        let machine = machine.crash(Survives::Chance(calls));
        assert!(
            machine.report.damage.is_empty(),
            "call {calls}: {:?}",
            machine.report.damage
        );
        assert!(
            machine.quarantined().is_empty(),
            "call {calls}: {:?}",
            machine.quarantined()
        );
        assert_eq!(all(&machine), values, "call {calls}");
        machine.store.tick();
        assert_eq!(all(&machine), values, "call {calls}");
        assert!(count(&machine, "segment") > 0);
        if finished {
            assert!(calls > 30);
            return;
        }
    }
}

#[test]
fn a_full_disk_puts_the_emptying_off() {
    let (machine, values) = filled(small_l0());
    machine.disk.fail(Op::Write, ".segment", 0, 1, enospc);
    machine.store.tick();
    assert!(machine.store.failure().borrow().is_none());
    assert_eq!(
        (all(&machine), count(&machine, "segment")),
        (values.clone(), 0)
    );
    machine.store.tick();
    assert_eq!((all(&machine), count(&machine, "segment")), (values, 1));
}

#[test]
fn damage_does_not_travel_into_a_segment() {
    let (machine, values) = filled(small_l0());
    machine.disk.overwrite(&machine.wal(1), |bytes| {
        let at = bytes
            .windows(4)
            .position(|part| part == b"1/1/")
            .expect("value");
        bytes[at] ^= 1;
    });
    machine.store.tick();
    assert!(
        machine.disk.content(&machine.wal(1)).is_some(),
        "the damaged file stays"
    );
    assert!(matches!(
        machine.values_from(1, Offset(0)),
        Err(ReadError::Corrupt(_))
    ));
    assert_eq!(
        (machine.values(0), machine.values(2)),
        (values[0].clone(), values[2].clone())
    );
    assert_eq!(
        machine.values_from(1, Offset(1)).expect("read"),
        values[1][1..]
    );
}

#[test]
fn a_missing_or_damaged_segment_is_named_and_the_rest_is_served() {
    for damage in [false, true] {
        let (machine, values) = filled(small_l0());
        machine.store.tick();
        let paths = machine.disk.paths();
        let path = paths
            .iter()
            .find(|path| path.extension().is_some_and(|e| e == "segment"))
            .expect("one");
        machine.disk.tamper(path, |bytes| {
            let mut bytes = bytes?;
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            damage.then_some(bytes)
        });
        let machine = machine.reopen();
        assert!(
            machine
                .report
                .damage
                .iter()
                .any(|damage| &damage.path == path)
        );
        for index in 0..3 {
            let log = machine.store.log(id(index));
            assert!(matches!(
                log.read(Offset(0), Offset(99), 100),
                Err(ReadError::Corrupt(_))
            ));
            let served = machine.values_from(index, Offset(17)).expect("read");
            assert_eq!(served, values[index as usize][17..]);
            assert_eq!(log.end_offset(), Offset(20));
        }
    }
}
