//! Idempotent producers: Kafka's rules, and that they hold while appends are in flight, after a crash, and after the
//! data they speak of is gone.

use outlast_records::{Offset, ProducerId, Sequence};

use super::harness::*;
use crate::io::fault::Survives;
use crate::{AppendError, Rejection, SectionOutcome};

#[derive(Debug, PartialEq)]
enum Got {
    At(i64),
    Repeat(i64, i64),
    OutOfOrder(i32),
    Fenced,
}

fn outcome(outcome: &SectionOutcome) -> Got {
    match outcome {
        SectionOutcome::Appended { base_offset, .. } => Got::At(base_offset.0),
        SectionOutcome::Duplicate {
            base_offset,
            last_offset,
            ..
        } => Got::Repeat(base_offset.0, last_offset.0),
        SectionOutcome::Rejected(Rejection::OutOfOrderSequence { expected, .. }) => {
            Got::OutOfOrder(expected.0)
        }
        SectionOutcome::Rejected(Rejection::InvalidProducerEpoch { .. }) => Got::Fenced,
        SectionOutcome::Rejected(other) => panic!("{other}"),
    }
}

/// Epoch, first sequence, records.
type Batch = (i16, i32, usize);

impl Machine {
    fn produce(&self, (epoch, sequence, count): Batch) -> Got {
        let append = self.store.append(vec![
            self.section(0, vec![produced(9, epoch, sequence, count)]),
        ]);
        outcome(&append.sections[0])
    }
}

#[test]
fn batches_follow_repeat_or_are_refused() {
    const MAX: i32 = i32::MAX;
    let check = |name: &str, rows: &[(Batch, Got)]| {
        // The same answers whether the batches before are durable, in flight, or read back after a crash.
        for (durable, crash) in [(true, false), (false, false), (true, true)] {
            let mut machine = Machine::new(small_files());
            for (at, (batch, expect)) in rows.iter().enumerate() {
                let got = machine.produce(*batch);
                assert_eq!(
                    &got, expect,
                    "{name}, row {at}, durable {durable}, crash {crash}"
                );
                if durable {
                    machine.store.step_writer();
                }
                if crash {
                    machine = machine.crash(Survives::Nothing);
                }
            }
        }
    };
    check(
        "in order",
        &[
            ((0, 0, 3), Got::At(0)),
            ((0, 3, 1), Got::At(3)),
            ((0, 4, 2), Got::At(4)),
        ],
    );
    check(
        "gap",
        &[
            ((0, 0, 3), Got::At(0)),
            ((0, 4, 1), Got::OutOfOrder(3)),
            ((0, 3, 1), Got::At(3)),
        ],
    );
    check(
        "unknown producers start anywhere",
        &[((0, 77, 3), Got::At(0)), ((0, 80, 1), Got::At(3))],
    );
    check(
        "repeat of the last",
        &[((0, 0, 3), Got::At(0)), ((0, 0, 3), Got::Repeat(0, 2))],
    );
    check(
        "another length is no repeat",
        &[((0, 0, 3), Got::At(0)), ((0, 0, 2), Got::OutOfOrder(3))],
    );
    check(
        "five batches are remembered",
        &[
            ((0, 0, 1), Got::At(0)),
            ((0, 1, 1), Got::At(1)),
            ((0, 2, 1), Got::At(2)),
            ((0, 3, 1), Got::At(3)),
            ((0, 4, 1), Got::At(4)),
            ((0, 0, 1), Got::Repeat(0, 0)),
            ((0, 5, 1), Got::At(5)),
            ((0, 1, 1), Got::Repeat(1, 1)),
            ((0, 0, 1), Got::OutOfOrder(6)),
        ],
    );
    check(
        "an old epoch is fenced",
        &[
            ((3, 0, 1), Got::At(0)),
            ((2, 1, 1), Got::Fenced),
            ((2, 0, 1), Got::Fenced),
        ],
    );
    check(
        "a new epoch starts at 0",
        &[
            ((3, 5, 1), Got::At(0)),
            ((4, 6, 1), Got::OutOfOrder(0)),
            ((4, 0, 1), Got::At(1)),
        ],
    );
    check(
        "a new epoch forgets",
        &[
            ((3, 0, 1), Got::At(0)),
            ((4, 0, 1), Got::At(1)),
            ((4, 0, 1), Got::Repeat(1, 1)),
        ],
    );
    check(
        "sequences wrap",
        &[
            ((0, MAX - 1, 2), Got::At(0)),
            ((0, 0, 1), Got::At(2)),
            ((0, MAX - 1, 2), Got::Repeat(0, 1)),
        ],
    );
    check(
        "a batch wraps inside",
        &[
            ((0, MAX - 1, 4), Got::At(0)),
            ((0, 2, 1), Got::At(4)),
            ((0, MAX - 1, 4), Got::Repeat(0, 3)),
        ],
    );
}

#[test]
fn a_repeat_of_a_batch_in_flight_waits_for_it() {
    let machine = Machine::new(small_files());
    assert_eq!(machine.produce((0, 0, 1)), Got::At(0));
    let again = || {
        machine
            .store
            .append(vec![machine.section(0, vec![produced(9, 0, 0, 1)])])
    };
    let repeat = again();
    let SectionOutcome::Duplicate { durable, .. } = &repeat.sections[0] else {
        panic!()
    };
    assert!(durable.outcome().is_none());
    machine.store.step_writer();
    assert!(matches!(durable.outcome(), Some(Ok(()))));
    let SectionOutcome::Duplicate { durable, .. } = &again().sections[0] else {
        panic!()
    };
    assert!(
        matches!(durable.outcome(), Some(Ok(()))),
        "a durable one needs no waiting"
    );
}

#[test]
fn a_repeat_of_a_batch_that_failed_fails_with_it() {
    let machine = Machine::new(small_files());
    machine.disk.set_capacity(Some(machine.disk.used()));
    assert_eq!(machine.produce((0, 0, 1)), Got::At(0));
    let repeat = machine
        .store
        .append(vec![machine.section(0, vec![produced(9, 0, 0, 1)])]);
    let SectionOutcome::Duplicate { durable, .. } = &repeat.sections[0] else {
        panic!()
    };
    machine.store.step_writer();
    assert!(matches!(durable.outcome(), Some(Err(AppendError::Full))));
    machine.disk.set_capacity(None);
    assert_eq!(machine.produce((0, 0, 1)), Got::At(0), "it is new again");
}

#[test]
fn sections_of_one_call_are_judged_one_by_one_or_all_together() {
    let sections = |machine: &Machine| {
        vec![
            machine.section(0, vec![produced(9, 0, 0, 1)]),
            machine.section(1, vec![produced(9, 0, 5, 1)]),
            machine.section(2, vec![batch(&["plain"])]),
        ]
    };
    let machine = Machine::new(small_files());
    assert_eq!(machine.produce((0, 0, 1)), Got::At(0));
    let all = machine.store.append_all(sections(&machine));
    assert_eq!(outcome(&all.sections[0]), Got::Repeat(0, 0));
    assert!(matches!(
        all.sections[1],
        SectionOutcome::Rejected(Rejection::OtherSection)
    ));
    assert_eq!(machine.store.log(id(1)).end_offset(), Offset(0));
    let each = machine.store.append(sections(&machine));
    let got: Vec<_> = each.sections.iter().map(outcome).collect();
    assert_eq!(got, [Got::Repeat(0, 0), Got::At(0), Got::At(0)]);
    assert!(each.durable.outcome().is_none());
    assert!(machine.store.step_writer());
    assert!(!machine.store.step_writer(), "one entry for all of it");
}

#[test]
fn producers_outlive_their_data_and_expire() {
    let machine = Machine::new(small_files());
    assert_eq!(machine.produce((0, 0, 1)), Got::At(0));
    machine.store.step_writer();
    for _ in 0..5 {
        machine.append(0, &[&"x".repeat(1_500)]).expect("durable");
    }
    drop(machine.store.advance_log_start(id(0), Offset(6)));
    machine.store.step_writer();
    machine.append(1, &[&"x".repeat(3_000)]).expect("durable");
    machine.append(1, &[&"x".repeat(3_000)]).expect("durable");
    machine.store.tick();
    assert!(
        machine.disk.content(&machine.wal(1)).is_none(),
        "the file with the producer's batch is gone"
    );
    let machine = machine.crash(Survives::Nothing);
    assert_eq!(machine.produce((0, 0, 1)), Got::Repeat(0, 0));
    let active = machine.store.log(id(0)).producers();
    assert_eq!(
        (active[0].producer_id, active[0].last_sequence),
        (ProducerId(9), Sequence(0))
    );
    machine.advance(machine.options.producer_expiry_ms + 1);
    machine.store.tick();
    assert!(machine.store.log(id(0)).producers().is_empty());
    assert_eq!(machine.produce((0, 0, 1)), Got::At(6));
}

#[test]
fn a_section_may_hold_batches_of_several_producers() {
    let machine = Machine::new(small_files());
    let batches = vec![
        produced(1, 0, 0, 2),
        produced(2, 0, 0, 1),
        produced(1, 0, 2, 1),
    ];
    let append = machine.store.append(vec![machine.section(0, batches)]);
    assert_eq!(outcome(&append.sections[0]), Got::At(0));
    let gap = vec![produced(1, 0, 3, 1), produced(2, 0, 9, 1)];
    let refused = machine.store.append(vec![machine.section(0, gap)]);
    assert_eq!(outcome(&refused.sections[0]), Got::OutOfOrder(1));
    let next = machine
        .store
        .append(vec![machine.section(0, vec![produced(1, 0, 3, 1)])]);
    assert_eq!(
        outcome(&next.sections[0]),
        Got::At(4),
        "nothing of a refused section was kept"
    );
}
