//! A store on a [`FaultDisk`], driven step by step, and the values that go into it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use outlast_records::{
    BatchBuilder, CheckedBatch, Compression, LeaderEpoch, NewRecord, Offset, PartitionId,
    ProducerEpoch, ProducerId, Sequence, Timestamp, records, stored_batches,
};

use crate::io::fault::{FaultDisk, Survives};
use crate::*;

pub(crate) const DIR: &str = "/data";
pub(crate) const START: i64 = 1_700_000_000_000;

#[derive(Clone)]
pub(crate) struct TestClock(Arc<AtomicI64>);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

/// A machine: its disk, its clock, and the store that runs on it.
pub(crate) struct Machine {
    pub(crate) disk: FaultDisk,
    pub(crate) clock: TestClock,
    pub(crate) options: StoreOptions,
    pub(crate) store: Store,
    pub(crate) report: RecoveryReport,
}

pub(crate) fn small_files() -> StoreOptions {
    StoreOptions {
        wal_file_bytes: 4_000,
        tail_cache_bytes: 0,
        index_cache_bytes: 1_000,
        threads: false,
        retention_check_ms: 0,
        ballast_bytes: 0,
        ..StoreOptions::default()
    }
}

impl Machine {
    pub(crate) fn new(options: StoreOptions) -> Machine {
        Machine::on(FaultDisk::new(), options)
    }

    pub(crate) fn on(disk: FaultDisk, options: StoreOptions) -> Machine {
        let clock = TestClock(Arc::new(AtomicI64::new(START)));
        let (store, report) = open(&disk, &clock, &options).expect("open");
        Machine {
            disk,
            clock,
            options,
            store,
            report,
        }
    }

    /// Loses power and starts again.
    pub(crate) fn crash(self, survives: Survives) -> Machine {
        self.disk.crash(survives);
        self.reopen()
    }

    /// Starts again on the disk as it is. The old store must not get to write any more.
    pub(crate) fn reopen(self) -> Machine {
        self.try_reopen().expect("open")
    }

    pub(crate) fn try_reopen(self) -> Result<Machine, StorageError> {
        let Machine {
            disk,
            clock,
            options,
            store,
            ..
        } = self;
        disk.crash(Survives::Everything);
        drop(store);
        let (store, report) = open(&disk, &clock, &options)?;
        Ok(Machine {
            disk,
            clock,
            options,
            store,
            report,
        })
    }

    pub(crate) fn advance(&self, ms: i64) {
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
    }

    pub(crate) fn section(&self, index: i32, batches: Vec<CheckedBatch>) -> AppendSection {
        AppendSection {
            log: self.store.log(id(index)),
            batches,
            leader_epoch: LeaderEpoch(0),
        }
    }

    /// Appends records of these values to one partition, in one batch, and writes.
    pub(crate) fn append(&self, index: i32, values: &[&str]) -> Result<(), AppendError> {
        let append = self
            .store
            .append(vec![self.section(index, vec![batch(values)])]);
        self.store.step_writer();
        append.durable.outcome().expect("the writer has stepped")
    }

    pub(crate) fn values(&self, index: i32) -> Vec<String> {
        let start = self
            .store
            .existing(id(index))
            .map_or(Offset(0), |log| log.start_offset());
        self.values_from(index, start).expect("read")
    }

    pub(crate) fn values_from(&self, index: i32, from: Offset) -> Result<Vec<String>, ReadError> {
        let Some(log) = self.store.existing(id(index)) else {
            return Ok(Vec::new());
        };
        let mut values = Vec::new();
        let mut at = from;
        while at < log.high_watermark() {
            let found = log.read(at, Offset(i64::MAX), 300)?;
            assert!(found.next_offset > at, "a read at {at} goes nowhere");
            for piece in found.batches {
                for stored in stored_batches(piece) {
                    let (header, bytes) = stored.expect("header");
                    assert_eq!(header.base_offset.max(at), at.max(header.base_offset));
                    for record in records(&bytes, 1 << 20).expect("records") {
                        let record = record.expect("record");
                        if record.offset >= at {
                            values.push(
                                String::from_utf8_lossy(&record.value.unwrap_or_default())
                                    .into_owned(),
                            );
                        }
                    }
                }
            }
            at = found.next_offset;
        }
        Ok(values)
    }

    pub(crate) fn wal(&self, number: u64) -> PathBuf {
        Path::new(DIR).join(format!("wal/{number:020}.wal"))
    }

    pub(crate) fn idx(&self, number: u64) -> PathBuf {
        Path::new(DIR).join(format!("wal/{number:020}.idx"))
    }

    pub(crate) fn quarantined(&self) -> Vec<String> {
        let name = |path: PathBuf| {
            path.file_name()
                .map(|name| name.to_string_lossy().into_owned())
        };
        let inside = |path: &PathBuf| path.starts_with(Path::new(DIR).join("quarantine"));
        self.disk
            .paths()
            .into_iter()
            .filter(inside)
            .filter_map(name)
            .collect()
    }
}

pub(crate) fn open(
    disk: &FaultDisk,
    clock: &TestClock,
    options: &StoreOptions,
) -> Result<(Store, RecoveryReport), StorageError> {
    Store::open(
        Arc::new(disk.clone()),
        Arc::new(clock.clone()),
        Path::new(DIR),
        options.clone(),
    )
}

pub(crate) fn id(index: i32) -> PartitionId {
    PartitionId {
        topic: uuid::Uuid::from_u128(77),
        index,
    }
}

pub(crate) fn batch(values: &[&str]) -> CheckedBatch {
    batch_at(Timestamp(START), values)
}

pub(crate) fn batch_at(timestamp: Timestamp, values: &[&str]) -> CheckedBatch {
    let mut builder = BatchBuilder::new(Compression::None);
    for value in values {
        builder.append(NewRecord {
            timestamp,
            value: Some(value.as_bytes()),
            ..NewRecord::default()
        });
    }
    builder.build().expect("batch")
}

/// A batch of an idempotent producer: `count` records from `sequence` on.
pub(crate) fn produced(producer: i64, epoch: i16, sequence: i32, count: usize) -> CheckedBatch {
    let mut builder = BatchBuilder::new(Compression::None).producer(
        ProducerId(producer),
        ProducerEpoch(epoch),
        Sequence(sequence),
    );
    for _ in 0..count {
        builder.append(NewRecord {
            timestamp: Timestamp(START),
            value: Some(b"value"),
            ..NewRecord::default()
        });
    }
    builder.build().expect("batch")
}
