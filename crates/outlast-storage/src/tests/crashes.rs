//! Power failures: whatever survives of the unsynced bytes, everything acknowledged is there, whole entries or nothing.

use outlast_records::Offset;

use super::harness::*;
use crate::io::fault::Survives;

/// Two partitions in one entry; torn at every byte, the entry is there for both or for none.
#[test]
fn an_entry_torn_at_any_byte_is_there_whole_or_not_at_all() {
    let prepare = || {
        let machine = Machine::new(small_files());
        machine.append(0, &["first"]).expect("durable");
        machine.disk.fail(
            crate::io::fault::Op::Sync,
            ".wal",
            0,
            1,
            crate::io::fault::eio,
        );
        let sections = vec![
            machine.section(0, vec![batch(&["second"])]),
            machine.section(1, vec![batch(&["other", "partition"])]),
        ];
        let append = machine.store.append(sections);
        machine.store.step_writer();
        assert!(
            append.durable.outcome().expect("outcome").is_err(),
            "nothing is acknowledged after a failed sync"
        );
        machine
    };
    let unsynced = prepare().disk.unsynced_bytes();
    assert!(unsynced > 300, "{unsynced}");
    for torn in 0..=unsynced {
        let machine = prepare().crash(Survives::Bytes(torn));
        // The padding at the end is not missed.
        let whole = machine.values(0).len() == 2;
        assert!(whole || torn < unsynced, "torn at {torn}");
        assert!(!whole || torn + 8 > unsynced, "torn at {torn}");
        if whole {
            assert_eq!(machine.values(1), ["other", "partition"]);
        } else {
            assert_eq!(machine.values(0), ["first"], "torn at {torn}");
            assert_eq!(machine.values(1), [""; 0], "torn at {torn}");
            assert_eq!(machine.report.torn_bytes > 0, torn > 0, "torn at {torn}");
            assert_eq!(machine.quarantined().len(), usize::from(torn > 0));
        }
        // And the log goes on.
        machine.append(0, &["third"]).expect("durable");
        assert_eq!(machine.values(0).last().map(String::as_str), Some("third"));
        let again = machine.crash(Survives::Nothing);
        assert_eq!(again.values(0).last().map(String::as_str), Some("third"));
    }
}

/// Power fails after every single call to the disk, from the first one of an empty directory on.
#[test]
fn power_may_fail_at_any_call() {
    let mut calls = 0;
    loop {
        for survives in [
            Survives::Nothing,
            Survives::Everything,
            Survives::Chance(calls),
        ] {
            let disk = crate::io::fault::FaultDisk::new();
            disk.fail_power_after(calls);
            let clock = Machine::new(small_files()).clock;
            let mut acknowledged = Vec::new();
            if let Ok((store, report)) = open(&disk, &clock, &small_files()) {
                let machine = Machine {
                    disk: disk.clone(),
                    clock,
                    options: small_files(),
                    store,
                    report,
                };
                for round in 0..12 {
                    let value = format!("{round}-{}", "x".repeat(700));
                    if machine.append(round % 2, &[&value]).is_ok() {
                        acknowledged.push((round % 2, value));
                    }
                    machine.store.tick();
                }
                let _ = machine.store.shutdown();
                drop(machine);
            }
            let finished = disk.power_is_on();
            disk.crash(survives);
            let machine = Machine::on(disk, small_files());
            assert!(
                machine.report.damage.is_empty(),
                "call {calls}: {:?}",
                machine.report.damage
            );
            for index in 0..2 {
                let expect: Vec<_> = acknowledged
                    .iter()
                    .filter(|(at, _)| *at == index)
                    .map(|(_, v)| v.clone())
                    .collect();
                let found = machine.values(index);
                assert!(
                    found.starts_with(&expect),
                    "call {calls} {survives:?}: {} of {}",
                    found.len(),
                    expect.len()
                );
                assert!(
                    found.len() <= expect.len() + 1,
                    "call {calls}: at most the one that was not acknowledged"
                );
            }
            if finished && calls > 100 {
                assert_eq!(acknowledged.len(), 12);
                return;
            }
        }
        calls += 1;
    }
}

#[test]
fn a_failed_sync_is_final() {
    let machine = Machine::new(small_files());
    machine.append(0, &["before"]).expect("durable");
    machine.disk.fail(
        crate::io::fault::Op::Sync,
        ".wal",
        0,
        1,
        crate::io::fault::eio,
    );
    let failure = machine.store.failure();
    let result = machine.append(0, &["lost"]);
    assert!(
        matches!(result, Err(crate::AppendError::Failed(_))),
        "{result:?}"
    );
    assert!(failure.borrow().is_some());
    // The disk would work again; the store does not.
    let append = machine
        .store
        .append(vec![machine.section(0, vec![batch(&["after"])])]);
    assert!(matches!(
        append.durable.outcome(),
        Some(Err(crate::AppendError::Failed(_)))
    ));
    assert!(!machine.store.step_writer());
    assert_eq!(machine.values(0), ["before"]);
    let log = machine.store.log(id(0));
    assert_eq!(
        (log.high_watermark(), log.end_offset()),
        (Offset(1), Offset(1))
    );
}

#[test]
fn a_write_error_is_final() {
    let machine = Machine::new(small_files());
    machine.disk.fail(
        crate::io::fault::Op::Write,
        ".wal",
        2,
        1,
        crate::io::fault::eio,
    );
    machine.append(0, &["before"]).expect("durable");
    assert!(matches!(
        machine.append(0, &["lost"]),
        Err(crate::AppendError::Failed(_))
    ));
    assert!(machine.store.failure().borrow().is_some());
    let machine = machine.crash(Survives::Nothing);
    assert_eq!(machine.values(0), ["before"]);
}

#[test]
fn short_reads_are_read_on() {
    let machine = Machine::new(small_files());
    for round in 0..20 {
        machine
            .append(0, &[&format!("{round}-{}", "x".repeat(500))])
            .expect("durable");
        machine.store.tick();
    }
    machine.disk.set_longest_read(7);
    assert_eq!(machine.values(0).len(), 20);
    let machine = machine.crash(Survives::Nothing);
    machine.disk.set_longest_read(7);
    assert_eq!(machine.values(0).len(), 20);
}

#[test]
fn a_clean_stop_leaves_nothing_to_scan() {
    let machine = Machine::new(small_files());
    for round in 0..10 {
        machine
            .append(round % 3, &[&"x".repeat(900)])
            .expect("durable");
    }
    machine.store.shutdown().expect("shutdown");
    let machine = machine.crash(Survives::Nothing);
    assert_eq!(machine.report.entries_scanned, 0);
    assert_eq!(
        (0..3)
            .map(|index| machine.values(index).len())
            .sum::<usize>(),
        10
    );
    let append = machine.store.append(Vec::new());
    assert!(
        append
            .durable
            .outcome()
            .expect("nothing to wait for")
            .is_ok()
    );
}

/// Zeros are written behind small entries; they are no entries, and the next ones are written over them.
#[test]
fn zeros_written_ahead_change_nothing() {
    let machine = Machine::new(crate::StoreOptions {
        wal_file_bytes: 1 << 20,
        ..small_files()
    });
    machine.append(0, &["small"]).expect("durable");
    assert!(
        machine
            .disk
            .content(&machine.wal(1))
            .is_some_and(|bytes| bytes.len() == 1 << 20)
    );
    machine.append(0, &[&"x".repeat(200_000)]).expect("durable");
    for _ in 0..300 {
        machine.append(1, &[&"x".repeat(1_000)]).expect("durable");
    }
    let machine = machine.crash(Survives::Nothing);
    assert_eq!((machine.values(0).len(), machine.values(1).len()), (2, 300));
    assert_eq!(machine.report.torn_bytes, 0);
}

/// Many small requests for one partition make one line in the entry's table.
#[test]
fn sections_of_one_partition_share_a_line() {
    let machine = Machine::new(crate::StoreOptions {
        wal_file_bytes: 1 << 20,
        ..small_files()
    });
    let appends: Vec<_> = (0..20)
        .map(|round| {
            let value = format!("{round}");
            let sections = vec![
                machine.section(0, vec![batch(&[&value])]),
                machine.section(1, vec![batch(&[&value])]),
            ];
            machine.store.append(sections)
        })
        .collect();
    assert!(machine.store.step_writer());
    assert!(
        appends
            .iter()
            .all(|append| matches!(append.durable.outcome(), Some(Ok(()))))
    );
    let bytes = machine.disk.content(&machine.wal(1)).expect("file");
    let header = bytes[64..]
        .first_chunk()
        .map(crate::wal::entry::decode_header);
    assert!(header.is_some_and(|header| header.is_ok_and(|header| header.sections == 2)));
    let machine = machine.crash(Survives::Nothing);
    let expect: Vec<_> = (0..20).map(|round| format!("{round}")).collect();
    assert_eq!(
        (machine.values(0), machine.values(1)),
        (expect.clone(), expect)
    );
}
