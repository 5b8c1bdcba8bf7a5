//! Random lives of a store against a model that fits on a page.
//!
//! The model keeps, for every partition, what was appended in order, how much of it was acknowledged, and what was deleted.
//! After every step, and after every crash in whatever way, the store must be somewhere the model allows.

use std::collections::BTreeMap;

use outlast_records::Offset;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::harness::*;
use crate::io::fault::{FaultDisk, Op, Survives, eio};
use crate::{AppendError, Durable, Retention, StoreOptions};

const PARTITIONS: i32 = 4;

#[derive(Clone, Debug)]
enum Step {
    /// One append of a value to each of some partitions: atomic.
    Append {
        partitions: Vec<i32>,
        size: usize,
    },
    Write,
    Tick {
        ms: i64,
    },
    DeleteRecords {
        partition: i32,
        part: usize,
    },
    DeletePartition {
        partition: i32,
    },
    RetainBytes {
        partition: i32,
        bytes: u64,
    },
    Room {
        bytes: Option<u64>,
    },
    /// Fails the write or the sync of an entry, for good.
    Eio {
        op: bool,
    },
    /// The power goes after so many calls.
    Power {
        calls: u64,
    },
    Crash {
        seed: u64,
    },
    Stop,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let partition = || 0..PARTITIONS;
    let step = prop_oneof![
        12 => (proptest::collection::btree_set(partition(), 1..3), 1..900usize)
            .prop_map(|(partitions, size)| Step::Append { partitions: partitions.into_iter().collect(), size }),
        10 => Just(Step::Write),
        3 => (0..100_000i64).prop_map(|ms| Step::Tick { ms }),
        1 => (partition(), 0..100usize).prop_map(|(partition, part)| Step::DeleteRecords { partition, part }),
        1 => partition().prop_map(|partition| Step::DeletePartition { partition }),
        1 => (partition(), 0..5_000u64).prop_map(|(partition, bytes)| Step::RetainBytes { partition, bytes }),
        1 => proptest::option::of(0..3_000u64).prop_map(|bytes| Step::Room { bytes }),
        1 => any::<bool>().prop_map(|op| Step::Eio { op }),
        1 => (0..40u64).prop_map(|calls| Step::Power { calls }),
        2 => any::<u64>().prop_map(|seed| Step::Crash { seed }),
        1 => Just(Step::Stop),
    ];
    vec(step, 1..60)
}

/// A change of one life of a partition that may not be durable yet.
struct Change {
    partition: i32,
    generation: i32,
    asked: Asked,
    durable: Durable,
}

#[derive(Clone, Copy)]
enum Asked {
    Start(usize),
    Delete,
}

#[derive(Default, Debug)]
struct Log {
    /// Values by offset; those from `acknowledged` on may or may not be there after a crash.
    values: Vec<String>,
    acknowledged: usize,
    /// The log starts here, or, where a change is in flight, at most at `start.1`.
    start: (usize, usize),
    deleted: (bool, bool),
    /// Which generation of the partition's id: a deleted one never comes back.
    generation: i32,
}

struct Model {
    machine: Option<Machine>,
    options: StoreOptions,
    logs: BTreeMap<i32, Log>,
    /// Appends in flight: the partitions and how long their logs are with it.
    flying: Vec<(Vec<(i32, usize)>, Durable)>,
    changes: Vec<Change>,
    counter: usize,
}

impl Model {
    fn machine(&self) -> &Machine {
        self.machine
            .as_ref()
            .expect("there always is one between steps")
    }

    /// The id of a partition of the model in the store.
    fn id(&self, partition: i32) -> i32 {
        partition + PARTITIONS * self.logs[&partition].generation
    }

    fn append(&mut self, partitions: &[i32], size: usize) {
        self.counter += 1;
        let value = format!("{}-{}", self.counter, "x".repeat(size));
        let sections = partitions
            .iter()
            .map(|partition| {
                self.machine()
                    .section(self.id(*partition), vec![batch(&[&value])])
            })
            .collect();
        let append = self.machine().store.append(sections);
        if append.durable.outcome().is_some() {
            return; // refused: the store has failed
        }
        let mut lengths = Vec::new();
        for partition in partitions {
            if let Some(log) = self.logs.get_mut(partition)
                && !log.deleted.1
            {
                log.values.push(value.clone());
                lengths.push((*partition, log.values.len()));
            }
        }
        self.flying.push((lengths, append.durable));
    }

    /// Takes in what the writer has said since.
    fn settle(&mut self) -> TestCaseResult {
        let mut failed = false;
        for (lengths, durable) in std::mem::take(&mut self.flying) {
            match durable.outcome() {
                None => self.flying.push((lengths, durable)),
                Some(Ok(())) => {
                    prop_assert!(!failed, "acknowledged after one that was not");
                    for (partition, len) in lengths {
                        let log = self.logs.get_mut(&partition).expect("partition");
                        log.acknowledged = log.acknowledged.max(len);
                    }
                }
                Some(Err(AppendError::Full)) => {
                    failed = true;
                    for (partition, _) in lengths {
                        let log = self.logs.get_mut(&partition).expect("partition");
                        log.values.truncate(log.acknowledged);
                    }
                }
                Some(Err(_)) => failed = true,
            }
        }
        for change in std::mem::take(&mut self.changes) {
            let log = self.logs.get_mut(&change.partition).expect("partition");
            match change.durable.outcome() {
                None => self.changes.push(change),
                Some(Ok(())) if log.generation == change.generation => match change.asked {
                    Asked::Start(to) => log.start.0 = log.start.0.max(to),
                    Asked::Delete => log.deleted.0 = true,
                },
                Some(Err(AppendError::Full)) if log.generation == change.generation => {
                    // What failed for lack of space is asked for again by whoever wanted it.
                    if matches!(change.asked, Asked::Delete) {
                        log.deleted.1 = false;
                    }
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Is the store where the model allows? `crashed`: what was in flight has been decided, find out how.
    fn check(&mut self, crashed: bool) -> TestCaseResult {
        let partitions: Vec<i32> = self.logs.keys().copied().collect();
        for partition in partitions {
            let id = self.id(partition);
            let machine = self.machine();
            let found = machine.values(id);
            let (start, end, exists) = match machine.store.existing(super::harness::id(id)) {
                Some(log) => (
                    log.start_offset().0 as usize,
                    log.high_watermark().0 as usize,
                    true,
                ),
                None => (0, 0, false),
            };
            let log = self.logs.get_mut(&partition).expect("partition");
            if crashed && log.deleted.1 && !log.deleted.0 {
                log.deleted = (!exists, !exists);
            }
            if log.deleted.0 {
                prop_assert!(
                    !exists || log.deleted.1 && !crashed,
                    "{partition} is back: {log:?} crashed {crashed} {start} {end}"
                );
                if !exists {
                    *log = Log {
                        generation: log.generation + 1,
                        ..Log::default()
                    };
                    continue;
                }
            }
            if log.acknowledged == 0 && !exists {
                log.values.clear();
                continue;
            }
            // Retention may have raised it, too.
            prop_assert!(start >= log.start.0, "start {start} of {log:?}");
            prop_assert!(
                start <= end && end >= log.acknowledged,
                "{partition}: {start} to {end} of {log:?}"
            );
            prop_assert!(end <= log.values.len(), "{partition}: {end} of {log:?}");
            prop_assert_eq!(
                &found[..],
                &log.values[start..end],
                "partition {}",
                partition
            );
            log.start = (start, log.start.1.max(start));
            if crashed {
                log.values.truncate(end);
                log.acknowledged = end;
                log.start.1 = start;
            }
        }
        Ok(())
    }

    /// Whole entries or nothing: what one append put into several partitions is in all of them or in none.
    fn check_atomic(&self) -> TestCaseResult {
        for (lengths, _) in &self.flying {
            let there = lengths.iter().map(|(partition, len)| {
                let log = self
                    .machine()
                    .store
                    .existing(super::harness::id(self.id(*partition)));
                log.map_or(0, |log| log.high_watermark().0 as usize) >= *len
            });
            let there: Vec<bool> = there.collect();
            let gone = lengths
                .iter()
                .any(|(partition, _)| self.logs[partition].deleted.1);
            prop_assert!(
                gone || there.iter().all(|x| *x == there[0]),
                "{lengths:?} is there in part: {there:?}"
            );
        }
        Ok(())
    }

    fn restart(&mut self, survives: Survives) -> TestCaseResult {
        let Some(Machine {
            disk, clock, store, ..
        }) = self.machine.take()
        else {
            return Ok(());
        };
        disk.set_capacity(None);
        disk.crash(survives);
        disk.heal();
        drop(store);
        let (store, report) =
            open(&disk, &clock, &self.options).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert!(report.damage.is_empty(), "{:?}", report.damage);
        self.machine = Some(Machine {
            disk,
            clock,
            options: self.options.clone(),
            store,
            report,
        });
        self.check_atomic()?;
        self.flying.clear();
        self.changes.clear();
        self.check(true)
    }

    fn step(&mut self, step: &Step) -> TestCaseResult {
        match step {
            Step::Append { partitions, size } => self.append(partitions, *size),
            Step::Write => {
                self.machine().store.step_writer();
            }
            Step::Tick { ms } => {
                self.machine().advance(*ms);
                self.machine().store.tick();
            }
            Step::DeleteRecords { partition, part } => {
                let id = super::harness::id(self.id(*partition));
                let log = self.logs.get_mut(partition).expect("partition");
                let generation = log.generation;
                let to = log.acknowledged * part / 100;
                if !log.deleted.1 {
                    log.start.1 = log.start.1.max(to);
                    let durable = self
                        .machine()
                        .store
                        .advance_log_start(id, Offset(to as i64));
                    let change = Change {
                        partition: *partition,
                        generation,
                        asked: Asked::Start(to),
                        durable,
                    };
                    self.changes.push(change);
                }
            }
            Step::DeletePartition { partition } => {
                let id = super::harness::id(self.id(*partition));
                if self.machine().store.existing(id).is_some()
                    && self.machine().store.failure().borrow().is_none()
                {
                    let log = self.logs.get_mut(partition).expect("partition");
                    let generation = log.generation;
                    log.deleted.1 = true;
                    let durable = self.machine().store.delete_partition(id);
                    let change = Change {
                        partition: *partition,
                        generation,
                        asked: Asked::Delete,
                        durable,
                    };
                    self.changes.push(change);
                }
            }
            Step::RetainBytes { partition, bytes } => {
                let log = self
                    .machine()
                    .store
                    .log(super::harness::id(self.id(*partition)));
                log.set_retention(Retention {
                    ms: None,
                    bytes: Some(*bytes),
                });
            }
            Step::Room { bytes } => {
                let disk = &self.machine().disk;
                disk.set_capacity(bytes.map(|bytes| disk.used() + bytes));
            }
            Step::Eio { op } => {
                self.machine()
                    .disk
                    .fail(if *op { Op::Sync } else { Op::Write }, ".wal", 0, 1, eio);
            }
            Step::Power { calls } => self.machine().disk.fail_power_after(*calls),
            Step::Crash { seed } => {
                let survives = match seed % 4 {
                    0 => Survives::Nothing,
                    1 => Survives::Everything,
                    _ => Survives::Chance(*seed),
                };
                return self.restart(survives);
            }
            Step::Stop => {
                let _ = self.machine().store.shutdown();
                self.settle()?;
                return self.restart(Survives::Nothing);
            }
        }
        self.settle()?;
        // Looking would use up the calls until the power fails.
        if self.machine().disk.power_is_steady() {
            self.check(false)?;
        }
        Ok(())
    }
}

fn live(steps: &[Step], options: StoreOptions) -> TestCaseResult {
    let machine = Machine::on(FaultDisk::new(), options.clone());
    let mut model = Model {
        machine: Some(machine),
        options,
        logs: (0..PARTITIONS)
            .map(|partition| (partition, Log::default()))
            .collect(),
        flying: Vec::new(),
        changes: Vec::new(),
        counter: 0,
    };
    for step in steps {
        model.step(step)?;
    }
    model.restart(Survives::Nothing)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn a_store_lives_as_the_model_says(
        steps in steps(),
        cache in prop_oneof![Just(0usize), Just(2_000), Just(1 << 20)],
        l0_bytes in prop_oneof![Just(1u64 << 30), Just(6_000)],
    ) {
        let options = StoreOptions { tail_cache_bytes: cache, l0_bytes, max_entry_bytes: 2_500, ..small_files() };
        live(&steps, options)?;
    }
}
