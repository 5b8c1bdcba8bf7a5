//! Transactions in a partition: what ends them, how far a read_committed consumer may read, and what it is told to skip, while
//! the log is written, sealed, emptied, cut off and read back after a crash.

use outlast_records::{
    BatchBuilder, CheckedBatch, Compression, EndTxnMarker, NewRecord, Offset, ProducerEpoch,
    ProducerId, Sequence, Timestamp,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::harness::*;
use crate::io::fault::{FaultDisk, Survives};
use crate::{AbortedTxn, Rejection, SectionOutcome, StoreOptions};

fn in_txn(producer: i64, epoch: i16, sequence: i32, size: usize) -> CheckedBatch {
    let mut builder = BatchBuilder::new(Compression::None)
        .producer(
            ProducerId(producer),
            ProducerEpoch(epoch),
            Sequence(sequence),
        )
        .transactional();
    builder.append(NewRecord {
        timestamp: Timestamp(START),
        value: Some(&vec![b'x'; size]),
        ..NewRecord::default()
    });
    builder.build().expect("batch")
}

fn end(producer: i64, epoch: i16, commit: bool, coordinator_epoch: i32) -> CheckedBatch {
    let marker = EndTxnMarker {
        commit,
        coordinator_epoch,
    };
    BatchBuilder::end_txn_marker(
        marker,
        ProducerId(producer),
        ProducerEpoch(epoch),
        Timestamp(START),
    )
}

/// What a row expects of the append, and the last stable offset after it.
#[derive(Clone, Copy)]
enum Row {
    /// Producer, epoch, sequence.
    Data(i64, i16, i32),
    /// Producer, epoch, commit, coordinator epoch.
    End(i64, i16, bool, i32),
    Plain,
}

#[derive(Debug, PartialEq)]
enum Got {
    Stable(i64),
    Fenced,
    CoordinatorFenced,
}

impl Machine {
    fn row(&self, row: Row) -> Got {
        let made = match row {
            Row::Data(producer, epoch, sequence) => in_txn(producer, epoch, sequence, 10),
            Row::End(producer, epoch, commit, coordinator) => {
                end(producer, epoch, commit, coordinator)
            }
            Row::Plain => batch(&["plain"]),
        };
        let append = self.store.append(vec![self.section(0, vec![made])]);
        self.store.step_writer();
        match &append.sections[0] {
            SectionOutcome::Appended { .. } => Got::Stable(self.stable()),
            SectionOutcome::Rejected(Rejection::InvalidProducerEpoch { .. }) => Got::Fenced,
            SectionOutcome::Rejected(Rejection::CoordinatorFenced { .. }) => Got::CoordinatorFenced,
            SectionOutcome::Rejected(other) => panic!("{other}"),
            SectionOutcome::Duplicate { .. } => panic!("a repeat"),
        }
    }

    fn stable(&self) -> i64 {
        self.store.log(id(0)).last_stable_offset().0
    }

    fn aborted(&self, from: i64, to: i64) -> Vec<(i64, i64)> {
        let found = self.store.log(id(0)).aborted(Offset(from), Offset(to));
        found
            .iter()
            .map(|txn| (txn.first_offset.0, txn.last_offset.0))
            .collect()
    }
}

#[test]
fn markers_end_or_are_refused() {
    let check = |name: &str, rows: &[(Row, Got)], aborted: &[(i64, i64)]| {
        for crash in [false, true] {
            let mut machine = Machine::new(small_files());
            for (at, (row, expect)) in rows.iter().enumerate() {
                assert_eq!(
                    &machine.row(*row),
                    expect,
                    "{name}, row {at}, crash {crash}"
                );
                if crash {
                    let before = machine.stable();
                    machine = machine.crash(Survives::Nothing);
                    assert_eq!(machine.stable(), before, "{name}, row {at}, read back");
                }
            }
            assert_eq!(
                machine.aborted(0, i64::MAX),
                aborted,
                "{name}, crash {crash}"
            );
        }
    };
    use Got::*;
    use Row::*;
    check(
        "commit",
        &[
            (Plain, Stable(1)),
            (Data(1, 0, 0), Stable(1)),
            (Plain, Stable(1)),
            (Data(1, 0, 1), Stable(1)),
            (End(1, 0, true, 0), Stable(5)),
            (Plain, Stable(6)),
        ],
        &[],
    );
    check(
        "abort",
        &[
            (Data(1, 0, 0), Stable(0)),
            (End(1, 0, false, 0), Stable(2)),
            (Data(1, 0, 1), Stable(2)),
            (End(1, 0, true, 0), Stable(4)),
        ],
        &[(0, 1)],
    );
    check(
        "the oldest one counts",
        &[
            (Data(1, 0, 0), Stable(0)),
            (Data(2, 0, 0), Stable(0)),
            (End(1, 0, false, 0), Stable(1)),
            (Data(1, 0, 1), Stable(1)),
            (End(2, 0, false, 0), Stable(3)),
            (End(1, 0, true, 0), Stable(6)),
        ],
        &[(0, 2), (1, 4)],
    );
    check(
        "the end bumps the epoch (KIP-890), and what comes late is fenced",
        &[
            (Data(1, 3, 0), Stable(0)),
            (End(1, 4, true, 0), Stable(2)),
            (Data(1, 3, 1), Fenced),
            (End(1, 3, false, 0), Fenced),
            (Data(1, 4, 0), Stable(2)),
            (End(1, 3, false, 0), Fenced),
            (End(1, 5, false, 0), Stable(4)),
        ],
        &[(2, 3)],
    );
    check(
        "a coordinator that was replaced ends nothing",
        &[
            (Data(1, 0, 0), Stable(0)),
            (End(1, 0, true, 7), Stable(2)),
            (Data(1, 0, 1), Stable(2)),
            (End(1, 0, false, 6), CoordinatorFenced),
            (End(1, 0, false, 7), Stable(4)),
        ],
        &[(2, 3)],
    );
    check(
        "a marker without a transaction changes nothing",
        &[
            (End(1, 0, false, 0), Stable(1)),
            (Data(1, 0, 0), Stable(1)),
            (End(1, 0, true, 0), Stable(3)),
            (End(1, 0, true, 0), Stable(4)),
            (End(1, 0, false, 0), Stable(5)),
        ],
        &[],
    );
}

#[test]
fn nothing_is_stable_or_over_before_it_is_durable() {
    let machine = Machine::new(small_files());
    machine.row(Row::Plain);
    drop(
        machine
            .store
            .append(vec![machine.section(0, vec![in_txn(1, 0, 0, 10)])]),
    );
    assert_eq!(machine.stable(), 1);
    machine.store.step_writer();
    // Together with what doesn't fit into the file any more.
    let sections = vec![
        machine.section(0, vec![end(1, 0, false, 0)]),
        machine.section(1, vec![batch(&[&"x".repeat(3_900)])]),
    ];
    drop(machine.store.append(sections));
    assert_eq!(machine.stable(), 1);
    assert_eq!(machine.aborted(0, 9), []);
    machine.disk.set_capacity(Some(machine.disk.used()));
    machine.store.step_writer();
    assert_eq!(machine.stable(), 1, "the marker had no room");
    machine.disk.set_capacity(None);
    assert_eq!(machine.row(Row::End(1, 0, false, 0)), Got::Stable(3));
    assert_eq!(machine.aborted(0, 9), [(1, 2)]);
}

#[test]
fn the_list_survives_sealing_emptying_and_lost_side_cars() {
    let options = StoreOptions {
        l0_bytes: 9_000,
        ..small_files()
    };
    let mut machine = Machine::new(options);
    let mut expect = Vec::new();
    // Transactions of which many span several files.
    for round in 0..40 {
        for part in 0..3 {
            let made = in_txn(1, 0, round * 3 + part, 700);
            drop(machine.store.append(vec![machine.section(0, vec![made])]));
            machine.store.step_writer();
        }
        drop(
            machine
                .store
                .append(vec![machine.section(0, vec![end(1, 0, round % 2 == 0, 0)])]),
        );
        machine.store.step_writer();
        if round % 2 == 1 {
            expect.push((i64::from(round) * 4, i64::from(round) * 4 + 3));
        }
        if round % 5 == 0 {
            machine.store.tick();
        }
    }
    let of_kind = |machine: &Machine, extension: &str| {
        let paths = machine.disk.paths().into_iter();
        let found = paths.filter(|path| path.extension().is_some_and(|e| e == extension));
        found.collect::<Vec<_>>()
    };
    let check = |machine: &Machine, when: &str| {
        assert_eq!(machine.aborted(0, i64::MAX), expect, "{when}");
        assert_eq!(machine.aborted(6, 8), [(4, 7)], "{when}");
        assert_eq!(machine.stable(), 160, "{when}");
    };
    check(&machine, "as it was written");
    assert!(!of_kind(&machine, "segment").is_empty());
    machine = machine.crash(Survives::Nothing);
    check(&machine, "after a crash");
    machine.store.shutdown().expect("shutdown");
    machine = machine.crash(Survives::Nothing);
    check(&machine, "after a stop");
    let side_cars = of_kind(&machine, "idx");
    assert!(side_cars.len() > 1);
    for path in side_cars {
        machine.disk.tamper(&path, |_| None);
        machine = machine.crash(Survives::Everything);
        check(&machine, "after the loss of a side-car");
    }
    drop(machine.store.advance_log_start(id(0), Offset(9)));
    machine.store.step_writer();
    expect.remove(0);
    let check = |machine: &Machine, when: &str| {
        assert_eq!(machine.aborted(0, i64::MAX), expect, "{when}");
    };
    check(&machine, "cut off");
    machine = machine.crash(Survives::Nothing);
    check(&machine, "cut off, after a crash");
}

const PRODUCERS: i64 = 3;

#[derive(Clone, Debug)]
enum Step {
    Data {
        producer: i64,
        size: usize,
    },
    /// `bump`: as the second version of the protocol does it.
    End {
        producer: i64,
        commit: bool,
        bump: bool,
    },
    Plain {
        size: usize,
    },
    Write,
    Tick,
    DeleteRecords {
        part: i64,
    },
    Crash {
        seed: u64,
        lose_side_car: bool,
    },
    Stop,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (1..=PRODUCERS, 1..900usize).prop_map(|(producer, size)| Step::Data { producer, size }),
        6 => (1..=PRODUCERS, any::<bool>(), any::<bool>())
            .prop_map(|(producer, commit, bump)| Step::End { producer, commit, bump }),
        3 => (1..900usize).prop_map(|size| Step::Plain { size }),
        10 => Just(Step::Write),
        3 => Just(Step::Tick),
        1 => (0..100i64).prop_map(|part| Step::DeleteRecords { part }),
        2 => (any::<u64>(), any::<bool>())
            .prop_map(|(seed, lose_side_car)| Step::Crash { seed, lose_side_car }),
        1 => Just(Step::Stop),
    ];
    vec(step, 1..80)
}

/// What lies at one offset.
#[derive(Clone, Copy, Debug)]
struct Event {
    producer: i64,
    epoch: i16,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Plain,
    Data { sequence: i32 },
    End { commit: bool },
}

/// The last stable offset and the aborted transactions of a log that consists of these events, worked out the slow way.
fn oracle(events: &[Event], start: usize) -> (i64, Vec<AbortedTxn>) {
    let mut open: Vec<(i64, usize)> = Vec::new();
    let mut aborted = Vec::new();
    let stable = |open: &[(i64, usize)], next: usize| {
        open.iter().map(|(_, first)| *first).min().unwrap_or(next)
    };
    for (at, event) in events.iter().enumerate() {
        let known = open
            .iter()
            .position(|(producer, _)| *producer == event.producer);
        match (event.kind, known) {
            (Kind::Data { .. }, None) => open.push((event.producer, at)),
            (Kind::End { commit }, Some(known)) => {
                let (_, first) = open.remove(known);
                if !commit && at >= start {
                    aborted.push(AbortedTxn {
                        producer_id: ProducerId(event.producer),
                        first_offset: Offset(first as i64),
                        last_offset: Offset(at as i64),
                        last_stable_offset: Offset(stable(&open, at + 1) as i64),
                    });
                }
            }
            _ => {}
        }
    }
    (stable(&open, events.len()).max(start) as i64, aborted)
}

struct Model {
    machine: Option<Machine>,
    events: Vec<Event>,
    stable: i64,
    /// How many events there were when a side-car was lost, and perhaps sequences with it.
    lost_at: usize,
}

impl Model {
    fn machine(&self) -> &Machine {
        self.machine.as_ref().expect("between steps there is one")
    }

    fn append(&mut self, made: CheckedBatch, event: Event) -> TestCaseResult {
        let section = self.machine().section(0, vec![made]);
        let append = self.machine().store.append(vec![section]);
        let at = Offset(self.events.len() as i64);
        let expected = matches!(&append.sections[0], SectionOutcome::Appended { base_offset, .. } if *base_offset == at);
        prop_assert!(expected, "{event:?} at {at} after {:?}", self.events);
        self.events.push(event);
        Ok(())
    }

    /// The epoch and sequence that a producer goes on with.
    fn next(&self, producer: i64) -> (i16, i32) {
        let own = |event: &Event| event.producer == producer && event.kind != Kind::Plain;
        let Some(at) = self.events.iter().rposition(own) else {
            return (0, 0);
        };
        let epoch = self.events[at].epoch;
        if at < self.lost_at {
            return (epoch + 1, 0);
        }
        let sequences = self.events[..=at]
            .iter()
            .rev()
            .filter(|event| own(event) && event.epoch == epoch);
        let last = sequences
            .filter_map(|event| match event.kind {
                Kind::Data { sequence } => Some(sequence),
                _ => None,
            })
            .next();
        (epoch, last.map_or(0, |last| last + 1))
    }

    fn check(&mut self) -> TestCaseResult {
        let log = self.machine().store.log(id(0));
        let (start, durable) = (log.start_offset().0, log.high_watermark().0);
        let (stable, aborted) = oracle(&self.events[..durable as usize], start as usize);
        prop_assert_eq!(log.last_stable_offset(), Offset(stable));
        prop_assert!(
            stable >= self.stable,
            "{} went back to {}",
            self.stable,
            stable
        );
        self.stable = stable;
        // How stable the log was when each ended is for the search only, and may be understated.
        let spans = |txns: &[AbortedTxn]| -> Vec<_> {
            let span = |txn: &AbortedTxn| (txn.producer_id, txn.first_offset, txn.last_offset);
            txns.iter().map(span).collect()
        };
        let ranges = [
            (0, i64::MAX),
            (start, stable),
            ((start + stable) / 2, stable),
            (start, (start + stable) / 2),
        ];
        for (from, to) in ranges {
            let expect: Vec<_> = aborted
                .iter()
                .filter(|txn| txn.last_offset.0 >= from && txn.first_offset.0 < to)
                .copied()
                .collect();
            let found = log.aborted(Offset(from), Offset(to));
            prop_assert_eq!(spans(&found), spans(&expect), "{}..{}", from, to);
        }
        Ok(())
    }

    fn restart(&mut self, survives: Survives, lose_side_car: Option<u64>) -> TestCaseResult {
        let Some(Machine {
            disk,
            clock,
            store,
            options,
            ..
        }) = self.machine.take()
        else {
            return Ok(());
        };
        let acknowledged = store.log(id(0)).high_watermark();
        disk.crash(survives);
        if let Some(seed) = lose_side_car {
            let paths = disk.paths();
            let side_cars: Vec<_> = paths
                .iter()
                .filter(|path| path.extension().is_some_and(|e| e == "idx"))
                .collect();
            if !side_cars.is_empty() {
                disk.tamper(side_cars[seed as usize % side_cars.len()], |_| None);
            }
        }
        drop(store);
        let (store, report) =
            open(&disk, &clock, &options).map_err(|e| TestCaseError::fail(e.to_string()))?;
        if lose_side_car.is_some() && !report.damage.is_empty() {
            // A file that was not cut to its length yet looks damaged without its side-car: that story ends here.
            return Ok(());
        }
        prop_assert!(report.damage.is_empty(), "{:?}", report.damage);
        let durable = store.log(id(0)).high_watermark();
        prop_assert!(durable >= acknowledged && durable.0 as usize <= self.events.len());
        self.events.truncate(durable.0 as usize);
        if lose_side_car.is_some() {
            self.lost_at = self.events.len();
        }
        self.machine = Some(Machine {
            disk,
            clock,
            options,
            store,
            report,
        });
        self.check()
    }

    fn step(&mut self, step: &Step) -> TestCaseResult {
        match *step {
            Step::Data { producer, size } => {
                let (epoch, sequence) = self.next(producer);
                let event = Event {
                    producer,
                    epoch,
                    kind: Kind::Data { sequence },
                };
                self.append(in_txn(producer, epoch, sequence, size), event)?;
            }
            Step::End {
                producer,
                commit,
                bump,
            } => {
                let epoch = self.next(producer).0 + i16::from(bump);
                let event = Event {
                    producer,
                    epoch,
                    kind: Kind::End { commit },
                };
                self.append(end(producer, epoch, commit, 0), event)?;
            }
            Step::Plain { size } => {
                let event = Event {
                    producer: 0,
                    epoch: 0,
                    kind: Kind::Plain,
                };
                self.append(batch(&[&"x".repeat(size)]), event)?;
            }
            Step::Write => {
                self.machine().store.step_writer();
            }
            Step::Tick => self.machine().store.tick(),
            Step::DeleteRecords { part } => {
                let to = self.machine().store.log(id(0)).high_watermark().0 * part / 100;
                drop(self.machine().store.advance_log_start(id(0), Offset(to)));
            }
            Step::Crash {
                seed,
                lose_side_car,
            } => {
                let survives = match seed % 4 {
                    0 => Survives::Nothing,
                    1 => Survives::Everything,
                    _ => Survives::Chance(seed),
                };
                return self.restart(survives, lose_side_car.then_some(seed));
            }
            Step::Stop => {
                let _ = self.machine().store.shutdown();
                return self.restart(Survives::Nothing, None);
            }
        }
        self.check()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn stable_offsets_and_aborted_transactions_are_what_the_log_says(
        steps in steps(),
        l0_bytes in prop_oneof![Just(1u64 << 30), Just(6_000)],
    ) {
        let options = StoreOptions { l0_bytes, max_entry_bytes: 2_500, ..small_files() };
        let mut model = Model {
            machine: Some(Machine::on(FaultDisk::new(), options)),
            events: Vec::new(),
            stable: 0,
            lost_at: 0,
        };
        for step in &steps {
            model.step(step)?;
            if model.machine.is_none() {
                break;
            }
        }
        model.restart(Survives::Nothing, None)?;
    }
}
