//! A full disk: appends fail and may be tried again, reads go on, and writing resumes when there is room.

use outlast_records::Offset;

use super::harness::*;
use crate::io::fault::Survives;
use crate::{AppendError, SectionOutcome};

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
