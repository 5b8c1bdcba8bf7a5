//! A full disk: appends fail and may be tried again, reads go on, and writing resumes when there is room.

use outlast_records::Offset;

use super::harness::*;
use crate::io::fault::Survives;
use crate::{AppendError, Expected, Rejection, Retention, SectionOutcome, StoreOptions};

#[test]
fn appends_fail_with_full_and_resume() {
    let machine = Machine::new(small_files());
    let big = "x".repeat(1_500);
    for round in 0..4 {
        machine
            .append(0, &[&format!("{round}{big}")])
            .expect("durable");
    }
    machine.disk.set_capacity(Some(machine.disk.used()));
    // Three appends wait when the disk turns out to be full: they fail together.
    let section = |at: i32| machine.section(0, vec![produced(9, 0, at, 1)]);
    let appends: Vec<_> = (0..3)
        .map(|at| machine.store.append(vec![section(at)]))
        .collect();
    let fillers: Vec<_> = (0..3)
        .map(|_| {
            machine
                .store
                .append(vec![machine.section(1, vec![batch(&[&big])])])
        })
        .collect();
    while machine.store.step_writer() {}
    for append in appends.iter().chain(&fillers) {
        assert!(matches!(
            append.durable.outcome(),
            Some(Err(AppendError::Full))
        ));
    }
    let log = machine.store.log(id(0));
    assert_eq!(
        (log.high_watermark(), log.end_offset()),
        (Offset(4), Offset(4))
    );
    assert_eq!(machine.values(0).len(), 4, "reads go on");
    assert!(machine.store.failure().borrow().is_none());
    machine.store.tick();
    assert!(
        machine.store.failure().borrow().is_none(),
        "side-cars can wait, too"
    );

    machine.disk.set_capacity(None);
    // The producer's sequences fell back with the log: its retry is not taken for a repeat or a gap.
    let append = machine.store.append(vec![section(0)]);
    machine.store.step_writer();
    assert!(matches!(
        append.sections[0],
        SectionOutcome::Appended {
            base_offset: Offset(4),
            ..
        }
    ));
    assert!(append.durable.outcome().expect("outcome").is_ok());
    machine.store.tick();
    let machine = machine.crash(Survives::Nothing);
    assert_eq!(machine.values(0).len(), 5);
    assert!(machine.report.damage.is_empty());
}

/// Space is asked for before it is written, so a disk that fills up in the middle of an entry is the exception; a file
/// system that can't reserve has no other way.
#[test]
fn an_entry_cut_short_by_a_full_disk_is_written_over() {
    for cut in 0..1_700 {
        let machine = Machine::new(small_files());
        let unsupported = || std::io::ErrorKind::Unsupported.into();
        machine
            .disk
            .fail(crate::io::fault::Op::Allocate, "", 0, u32::MAX, unsupported);
        machine.append(0, &["one"]).expect("durable");
        machine.disk.set_capacity(Some(machine.disk.used() + cut));
        let result = machine.append(0, &[&"x".repeat(1_500)]);
        if result.is_ok() {
            assert!(cut >= 1_500);
            return;
        }
        assert!(matches!(result, Err(AppendError::Full)), "{result:?}");
        machine.disk.set_capacity(None);
        machine.append(0, &["two"]).expect("durable");
        let machine = machine.crash(Survives::Everything);
        assert_eq!(machine.values(0), ["one", "two"], "cut at {cut}");
        assert!(
            machine.report.damage.is_empty(),
            "{:?}",
            machine.report.damage
        );
    }
}

/// Retention needs an entry and a manifest before it can give space back: both have something set aside.
#[test]
fn retention_makes_room_on_a_full_disk() {
    // Some of these sizes leave no room in the file for even the smallest entry.
    for size in (1_000..1_900).step_by(20) {
        let machine = Machine::new(StoreOptions {
            ballast_bytes: 4_000,
            ..small_files()
        });
        let big = "x".repeat(size);
        for _ in 0..12 {
            machine.append(0, &[&big]).expect("durable");
        }
        machine.store.tick();
        machine.disk.set_capacity(Some(machine.disk.used()));
        while machine.append(0, &[&big]).is_ok() {}
        machine.store.log(id(0)).set_retention(Retention {
            ms: None,
            bytes: Some(4_000),
        });
        // In the midst of appends that are turned away.
        let append = machine
            .store
            .append(vec![machine.section(0, vec![batch(&[&big])])]);
        machine.store.tick();
        while machine.store.step_writer() {}
        assert!(matches!(
            append.durable.outcome(),
            Some(Err(AppendError::Full))
        ));
        let start = machine.store.log(id(0)).start_offset();
        assert!(
            start > Offset(0),
            "size {size}: the new log start is durable"
        );
        machine.store.tick();
        for _ in 0..3 {
            machine.append(0, &[&big]).expect("there is room again");
        }
        machine.store.tick();
        let machine = machine.crash(Survives::Nothing);
        assert!(machine.report.damage.is_empty());
        let log = machine.store.log(id(0));
        let kept = log.high_watermark().0 - log.start_offset().0;
        assert_eq!(machine.values(0).len() as i64, kept);
    }
}

#[test]
fn a_delete_that_found_no_room_can_be_asked_for_again() {
    let machine = Machine::new(small_files());
    machine.append(0, &["x"]).expect("durable");
    let no_room = || std::io::ErrorKind::StorageFull.into();
    machine
        .disk
        .fail(crate::io::fault::Op::Write, ".wal", 0, 1, no_room);
    let delete = machine.store.delete_partition(id(0));
    let again = machine.store.delete_partition(id(0));
    let append = machine
        .store
        .append(vec![machine.section(1, vec![batch(&["y"])])]);
    while machine.store.step_writer() {}
    assert!(matches!(delete.outcome(), Some(Err(AppendError::Full))));
    assert!(matches!(again.outcome(), Some(Err(AppendError::Full))));
    assert!(
        matches!(append.durable.outcome(), Some(Ok(()))),
        "appends behind it don't depend on it"
    );
    machine.append(0, &["z"]).expect("it is there again");
    let delete = machine.store.delete_partition(id(0));
    machine.store.step_writer();
    assert!(matches!(delete.outcome(), Some(Ok(()))));
    assert_eq!(machine.store.partitions(), [id(1)]);
}

#[test]
fn what_follows_from_a_lost_append_is_not_appended() {
    let machine = Machine::new(small_files());
    machine.append(0, &["a"]).expect("durable");
    let ends_at = |end| Expected::End {
        log: machine.store.log(id(0)),
        end: Offset(end),
    };
    let losses = machine.store.losses();
    let follow = |expected: &[Expected]| {
        let append = machine
            .store
            .append_if(expected, vec![machine.section(1, vec![batch(&["b"])])]);
        match &append.sections[0] {
            SectionOutcome::Appended { .. } => true,
            SectionOutcome::Rejected(Rejection::Overtaken) => false,
            _ => panic!("neither appended nor overtaken"),
        }
    };
    machine.disk.set_capacity(Some(machine.disk.used()));
    let large = batch(&[&"x".repeat(3_900)]);
    drop(machine.store.append(vec![machine.section(0, vec![large])]));
    assert!(!follow(&[ends_at(1)]), "something else is there");
    assert!(follow(&[ends_at(2), Expected::NoLossSince(losses)]));
    machine.store.step_writer();
    assert_eq!(machine.values(1), [""; 0], "it went with what it followed");
    assert!(!follow(&[ends_at(2)]));
    assert!(!follow(&[Expected::NoLossSince(losses)]));
    machine.disk.set_capacity(None);
    assert!(follow(&[
        ends_at(1),
        Expected::NoLossSince(machine.store.losses())
    ]));
    machine.store.step_writer();
    assert_eq!(machine.values(1), ["b"]);
}
