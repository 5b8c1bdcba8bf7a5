//! What goes, when, and that it stays gone.

use outlast_records::{Offset, Timestamp};

use super::harness::*;
use crate::io::fault::Survives;
use crate::{ReadError, Rejection, Retention, SectionOutcome};

/// One file for each of `files` batches, a second apart.
fn filled(files: i64) -> Machine {
    let machine = Machine::new(small_files());
    for at in 0..files {
        let value = format!("{at}-{}", "x".repeat(3_000));
        let batch = batch_at(Timestamp(START + at * 1_000), &[&value]);
        drop(
            machine
                .store
                .append(vec![machine.section(0, vec![batch])])
                .durable,
        );
        machine.store.step_writer();
    }
    machine.store.tick();
    machine
}

fn tick(machine: &Machine) {
    // Retention asks, the writer makes it durable, the next tick gives back the space.
    machine.store.tick();
    while machine.store.step_writer() {}
    machine.store.tick();
}

fn wal_files(machine: &Machine) -> usize {
    machine
        .disk
        .paths()
        .iter()
        .filter(|path| path.to_string_lossy().ends_with(".wal"))
        .count()
}

/// Whoever writes records of last year must be able to read them back.
#[test]
fn retention_waits_for_its_turn() {
    // This disk's clock stands still: the first turn never comes.
    let machine = Machine::new(crate::StoreOptions {
        retention_check_ms: 1,
        ..small_files()
    });
    let log = machine.store.log(id(0));
    log.set_retention(Retention {
        ms: Some(1_000),
        bytes: None,
    });
    let old = batch_at(Timestamp(START - 10_000), &["old"]);
    drop(machine.store.append(vec![machine.section(0, vec![old])]));
    machine.store.step_writer();
    tick(&machine);
    assert_eq!(log.start_offset(), Offset(0));
}

#[test]
fn old_records_go() {
    let machine = filled(6);
    let log = machine.store.log(id(0));
    log.set_retention(Retention {
        ms: Some(10_000),
        bytes: None,
    });
    machine.advance(10_000 + 2_000);
    tick(&machine);
    assert_eq!((log.start_offset(), wal_files(&machine)), (Offset(2), 4));
    let machine = machine.crash(Survives::Nothing);
    assert_eq!(machine.store.log(id(0)).start_offset(), Offset(2));
    assert_eq!(machine.values(0).len(), 4);
    // All of it, the unsealed file's too; offsets go on where they were.
    machine.store.log(id(0)).set_retention(Retention {
        ms: Some(1_000),
        bytes: None,
    });
    machine.advance(100_000);
    tick(&machine);
    let log = machine.store.log(id(0));
    assert_eq!(
        (log.start_offset(), log.high_watermark()),
        (Offset(6), Offset(6))
    );
    let machine = machine.crash(Survives::Nothing);
    machine.append(0, &["next"]).expect("durable");
    assert_eq!(machine.store.log(id(0)).end_offset(), Offset(7));
    assert!(machine.report.damage.is_empty());
}

#[test]
fn the_log_is_cut_down_to_its_size_and_never_below() {
    let machine = filled(6);
    let log = machine.store.log(id(0));
    let one = log.size_bytes() / 6;
    log.set_retention(Retention {
        ms: None,
        bytes: Some(one * 3 - 1),
    });
    tick(&machine);
    assert_eq!((log.start_offset(), log.size_bytes() / one), (Offset(3), 3));
    assert_eq!(wal_files(&machine), 3);
}

#[test]
fn unlimited_retention_keeps_everything() {
    let machine = filled(3);
    machine.store.log(id(0)).set_retention(Retention::default());
    machine.advance(i64::MAX / 4);
    tick(&machine);
    assert_eq!(machine.store.log(id(0)).start_offset(), Offset(0));
}

#[test]
fn deleted_records_are_gone_before_the_answer() {
    let machine = filled(4);
    let log = machine.store.log(id(0));
    let durable = machine.store.advance_log_start(id(0), Offset(2));
    assert!(durable.outcome().is_none());
    assert_eq!(
        log.start_offset(),
        Offset(0),
        "nobody sees what may still be undone"
    );
    machine.store.step_writer();
    assert!(matches!(durable.outcome(), Some(Ok(()))));
    assert!(matches!(
        log.read(Offset(1), Offset(9), 100),
        Err(ReadError::OutOfRange {
            start: Offset(2),
            end: Offset(4)
        })
    ));
    // Never backwards, never beyond the high watermark.
    for (to, expect) in [(1, 2), (99, 4)] {
        let durable = machine.store.advance_log_start(id(0), Offset(to));
        machine.store.step_writer();
        assert!(matches!(durable.outcome(), Some(Ok(()))));
        assert_eq!(log.start_offset(), Offset(expect));
    }
    drop(log);
    let machine = machine.crash(Survives::Nothing);
    assert_eq!(machine.store.log(id(0)).start_offset(), Offset(4));
}

#[test]
fn a_deleted_partition_stays_deleted() {
    let machine = filled(3);
    machine.append(1, &["neighbour"]).expect("durable");
    let log = machine.store.log(id(0));
    let reader = log.read(Offset(0), Offset(9), 100).expect("read");
    let durable = machine.store.delete_partition(id(0));
    let late = machine
        .store
        .append(vec![machine.section(0, vec![batch(&["late"])])]);
    assert!(matches!(
        late.sections[0],
        SectionOutcome::Rejected(Rejection::PartitionDeleted)
    ));
    machine.store.step_writer();
    assert!(matches!(durable.outcome(), Some(Ok(()))));
    assert_eq!(machine.store.partitions(), [id(1)]);
    assert!(!reader.batches.is_empty());
    machine.store.tick();
    assert_eq!(
        wal_files(&machine),
        1,
        "its files are removed, the one with its neighbour is not"
    );
    for _ in 0..3 {
        // The file that said so goes, too, at last; the log with this id never takes anything again.
        let log = machine.store.log(id(0));
        let append = machine.store.append(vec![crate::AppendSection {
            log,
            batches: vec![batch(&["late"])],
            leader_epoch: outlast_records::LeaderEpoch(0),
        }]);
        assert!(matches!(
            append.sections[0],
            SectionOutcome::Rejected(Rejection::PartitionDeleted)
        ));
        machine.append(1, &[&"x".repeat(3_000)]).expect("durable");
        machine.store.tick();
    }
    let machine = machine.crash(Survives::Nothing);
    assert_eq!(machine.store.partitions(), [id(1)]);
    assert_eq!(machine.values(1).len(), 4);
}

#[test]
fn a_reader_keeps_the_file_that_retention_removes() {
    let machine = filled(3);
    let log = machine.store.log(id(0));
    let extents = log.lock().extents_from(Offset(0), 1);
    drop(machine.store.advance_log_start(id(0), Offset(3)));
    machine.store.step_writer();
    machine.store.tick();
    assert!(machine.disk.content(&machine.wal(1)).is_none());
    let found = log
        .read_extents(extents, Offset(0), Offset(1), 1)
        .expect("read");
    assert_eq!(found.next_offset, Offset(1));
}

#[test]
fn a_file_is_sealed_by_age() {
    let machine = Machine::new(small_files());
    machine.append(0, &["x"]).expect("durable");
    machine.store.tick();
    assert!(machine.disk.content(&machine.idx(1)).is_none());
    machine.advance(machine.options.wal_file_age_ms);
    machine.store.tick();
    assert!(machine.disk.content(&machine.idx(1)).is_some());
}

/// The file that says so is removed before an older one that still speaks of the partition.
#[test]
fn a_deleted_partition_stays_deleted_when_the_file_that_says_so_is_gone() {
    let machine = Machine::new(small_files());
    machine.append(0, &["deleted"]).expect("durable");
    machine.append(1, &[&"x".repeat(3_000)]).expect("durable");
    machine.append(2, &[&"x".repeat(2_000)]).expect("durable");
    machine.store.tick();
    assert!(
        machine.disk.content(&machine.idx(1)).is_some(),
        "its side-car knows of no delete"
    );
    drop(machine.store.delete_partition(id(0)));
    machine.store.step_writer();
    machine.append(3, &[&"x".repeat(3_000)]).expect("durable");
    drop(machine.store.delete_partition(id(2)));
    machine.store.step_writer();
    machine.store.tick();
    assert!(machine.disk.content(&machine.wal(1)).is_some());
    assert!(machine.disk.content(&machine.wal(2)).is_none());
    let machine = machine.crash(Survives::Nothing);
    assert_eq!(machine.store.partitions(), [id(1), id(3)]);
}
