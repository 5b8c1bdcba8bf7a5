//! The store: all partitions of one data directory, and the one way to change them.
//!
//! [`Store::append`] does everything that needs order (producer checks, offsets) at once and in memory; the writer
//! makes it durable and resolves the [`Durable`] that append returned.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Duration;

use outlast_records::{CheckedBatch, LeaderEpoch, Offset, PartitionId, Timestamp};
use parking_lot::{Condvar, Mutex, RwLock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::durable::{Commit, Durable};
use crate::error::{AppendError, Rejection, StorageError};
use crate::io::{Clock, Io, LockGuard};
use crate::l1::Segment;
use crate::maintenance::Leaving;
use crate::manifest::Manifest;
use crate::metrics::StorageMetrics;
use crate::options::StoreOptions;
use crate::partition::{PartitionLog, Reader, Refusal, State};
use crate::recovery::{self, Recovered, RecoveryReport};
use crate::wal::entry::MAX_DATA;
use crate::wal::file::WalFile;
use crate::wal::queue::{Queue, QueuedContent, QueuedSection, Sequencer};
use crate::wal::writer::{Sealed, WriterCore};

/// How long after its opening a store applies retention first, as Kafka does.
const FIRST_RETENTION: Duration = Duration::from_secs(30);

/// Batches for one partition.
pub struct AppendSection {
    pub log: Arc<PartitionLog>,
    pub batches: Vec<CheckedBatch>,
    pub leader_epoch: LeaderEpoch,
}

/// What an append is based on.
#[derive(Clone)]
pub enum Expected {
    /// This log ends at this offset, appends in flight included. When a failed write took back what was there, it does not.
    End { log: Arc<PartitionLog>, end: Offset },
    /// No append was taken back since [`Store::losses`] said this.
    NoLossSince(u64),
}

/// What became of an append, and the promise that it is durable.
pub struct Append {
    /// In the order of the sections. Offsets are final once `durable` resolves to `Ok`, and void otherwise.
    pub sections: Vec<SectionOutcome>,
    /// Of the sections that were appended.
    pub durable: Durable,
}

pub enum SectionOutcome {
    Appended {
        base_offset: Offset,
        last_offset: Offset,
    },
    /// These batches are in the log already; answer as the first time, once `durable` resolves.
    Duplicate {
        base_offset: Offset,
        last_offset: Offset,
        timestamp: Timestamp,
        durable: Durable,
    },
    Rejected(Rejection),
}

/// One data directory. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    threads: Arc<Threads>,
}

/// What the store's parts share.
pub(crate) struct Shared {
    pub(crate) io: Arc<dyn Io>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: StoreOptions,
    pub(crate) dir: PathBuf,
    pub(crate) store_id: u128,
    pub(crate) sequencer: Sequencer,
    pub(crate) reader: Arc<Reader>,
    pub(crate) logs: RwLock<Logs>,
    pub(crate) metrics: StorageMetrics,
    /// The newest manifest, without what it says of partitions.
    pub(crate) manifest: Mutex<Manifest>,
    /// Files that are there, by number.
    pub(crate) files: Mutex<BTreeMap<u64, FileRecord>>,
    /// Segments that are part of the log, by id.
    pub(crate) segments: Mutex<BTreeMap<u128, Arc<Segment>>>,
    /// Files that wait for their side-car, oldest first.
    pub(crate) sealed: Mutex<VecDeque<Sealed>>,
    /// The ballast file is there.
    pub(crate) ballast: AtomicBool,
    /// When retention is applied next, on the clock of [`Io::uptime`].
    pub(crate) retention_due: Mutex<Duration>,
    failure: watch::Sender<Option<Arc<StorageError>>>,
    /// Whether maintenance has something to do, or must end.
    wake: (Mutex<Wake>, Condvar),
    permits: Arc<Semaphore>,
    _lock: Box<dyn LockGuard>,
}

#[derive(Default)]
pub(crate) struct Logs {
    pub(crate) by_id: HashMap<PartitionId, Arc<PartitionLog>>,
    /// Ids that were deleted, and the file that says so; they never come back.
    pub(crate) deleted: HashMap<PartitionId, u64>,
}

/// What is known of a write-ahead log file.
#[derive(Clone)]
pub(crate) struct FileRecord {
    pub(crate) file: Arc<WalFile>,
    pub(crate) first_sequence: u64,
    /// `None` while it is written.
    pub(crate) next_sequence: Option<u64>,
    /// Its length once it is sealed.
    pub(crate) bytes: u64,
    /// Bytes of the batches that its side-car lists.
    pub(crate) content: u64,
    /// It has its side-car.
    pub(crate) indexed: bool,
    /// It was to be emptied, and could not be read in full: it stays until retention has it.
    pub(crate) stuck: bool,
}

#[derive(Default)]
struct Wake {
    work: bool,
    end: bool,
}

/// The writer, with a thread or without.
struct Threads {
    writer: Arc<Mutex<WriterCore>>,
    running: Mutex<Vec<JoinHandle<()>>>,
    shared: Arc<Shared>,
}

impl Threads {
    /// Lets them finish what waits, and waits for them.
    fn end(&self) {
        self.shared.sequencer.lock().close(AppendError::ShutDown);
        self.shared.sequencer.notify();
        self.shared.wake_maintenance(|wake| wake.end = true);
        for thread in self.running.lock().drain(..) {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.end();
    }
}

fn tick(shared: &Shared, writer: &Mutex<WriterCore>) {
    writer.lock().seal_if_old();
    shared.maintain();
}

impl Store {
    /// Opens a data directory, creating it when absent, and recovers what a crash left.
    pub fn open(
        io: Arc<dyn Io>,
        clock: Arc<dyn Clock>,
        dir: &Path,
        options: StoreOptions,
    ) -> Result<(Store, RecoveryReport), StorageError> {
        options.validate()?;
        let (shared, writer, report) = recovery::open(io, clock, dir, options)?;
        let store = Store {
            threads: Arc::new(Threads {
                writer: Arc::new(Mutex::new(writer)),
                running: Mutex::new(Vec::new()),
                shared: Arc::clone(&shared),
            }),
            shared,
        };
        if store.shared.options.threads {
            store
                .start_threads()
                .map_err(StorageError::io("starting the threads of", dir))?;
        }
        Ok((store, report))
    }

    fn start_threads(&self) -> std::io::Result<()> {
        let (writer, shared) = (Arc::clone(&self.threads.writer), Arc::clone(&self.shared));
        let write = move || {
            while shared.sequencer.wait_for_work() {
                writer.lock().step();
            }
        };
        let (writer, shared) = (Arc::clone(&self.threads.writer), Arc::clone(&self.shared));
        let maintain = move || shared.run_maintenance(|| tick(&shared, &writer));
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.to_owned()).spawn(run)
        };
        // What a crash left unsealed gets its side-car at once: one crash soon after another must not leave more and
        // more files to scan.
        self.shared.wake_maintenance(|wake| wake.work = true);
        let mut running = self.threads.running.lock();
        running.push(spawn("outlast-wal", Box::new(write))?);
        running.push(spawn("outlast-tidy", Box::new(maintain))?);
        Ok(())
    }

    /// The log of a partition; an empty one when absent. It becomes durable with its first append.
    pub fn log(&self, id: PartitionId) -> Arc<PartitionLog> {
        self.shared.log(id)
    }

    /// The log of a partition, if there is one.
    pub fn existing(&self, id: PartitionId) -> Option<Arc<PartitionLog>> {
        self.shared.logs.read().by_id.get(&id).cloned()
    }

    /// All partitions that have a log, in order.
    pub fn partitions(&self) -> Vec<PartitionId> {
        let mut ids: Vec<_> = self.shared.logs.read().by_id.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// Appends each section on its own: one may be rejected and the others kept. All that are kept become durable
    /// together, in one write-ahead log entry, in the order of the calls. Never waits for the disk.
    pub fn append(&self, sections: Vec<AppendSection>) -> Append {
        let mut queue = self.shared.sequencer.lock();
        self.shared.append(&mut queue, sections)
    }

    /// Appends all sections or, when one is not accepted (or is a repeat), none. They must be of different partitions.
    pub fn append_all(&self, sections: Vec<AppendSection>) -> Append {
        let mut queue = self.shared.sequencer.lock();
        self.append_all_locked(&mut queue, sections)
    }

    fn append_all_locked(&self, queue: &mut Queue, sections: Vec<AppendSection>) -> Append {
        let checks: Vec<_> = sections
            .iter()
            .map(|section| section.log.check(&section.batches))
            .collect();
        if checks.iter().all(Result::is_ok) {
            return self.shared.append(queue, sections);
        }
        let outcome = |check| match check {
            Ok(()) => SectionOutcome::Rejected(Rejection::OtherSection),
            Err(refusal) => refused(refusal, queue),
        };
        Append {
            sections: checks.into_iter().map(outcome).collect(),
            durable: Durable::ready(Ok(())),
        }
    }

    /// How often a write failed that took appends back with it.
    pub fn losses(&self) -> u64 {
        self.shared.sequencer.lock().losses()
    }

    /// As [`Store::append`], or nothing if what it is based on is not there. Entries become durable in the order of the
    /// calls: what is appended here can't outlive what was expected.
    pub fn append_if(&self, expected: &[Expected], sections: Vec<AppendSection>) -> Append {
        let mut queue = self.shared.sequencer.lock();
        match is_there(expected, &queue) {
            true => self.shared.append(&mut queue, sections),
            false => overtaken(&sections),
        }
    }

    /// As [`Store::append_all`], or nothing if what it is based on is not there.
    pub fn append_all_if(&self, expected: &[Expected], sections: Vec<AppendSection>) -> Append {
        let mut queue = self.shared.sequencer.lock();
        match is_there(expected, &queue) {
            true => self.append_all_locked(&mut queue, sections),
            false => overtaken(&sections),
        }
    }

    /// Resolves when everything that was appended so far is durable, or has failed.
    pub fn after_all(&self) -> Durable {
        self.shared.sequencer.lock().after_all()
    }

    /// Deletes a partition with everything in it. Space is given back in the background.
    pub fn delete_partition(&self, id: PartitionId) -> Durable {
        let Some(log) = self.existing(id) else {
            return Durable::ready(Ok(()));
        };
        let mut queue = self.shared.sequencer.lock();
        if let Some(error) = queue.closed() {
            return Durable::ready(Err(error));
        }
        if let Some(asked) = &log.lock().deleting {
            return Durable::on(asked);
        }
        let commit = self
            .shared
            .control(&mut queue, Arc::clone(&log), QueuedContent::Delete);
        let durable = Durable::on(&commit);
        let mut state = log.lock();
        state.deleted = true;
        state.deleting = Some(commit);
        durable
    }

    /// Raises the log start to `to` (DeleteRecords); resolves when that is durable. Never lowers it, and never
    /// passes the high watermark.
    pub fn advance_log_start(&self, id: PartitionId, to: Offset) -> Durable {
        let Some(log) = self.existing(id) else {
            return Durable::ready(Ok(()));
        };
        let mut queue = self.shared.sequencer.lock();
        if let Some(error) = queue.closed() {
            return Durable::ready(Err(error));
        }
        let to = to.min(log.high_watermark());
        if to <= log.start_offset() || log.lock().deleted {
            return Durable::ready(Ok(()));
        }
        let content = QueuedContent::LogStart { to };
        Durable::on(&self.shared.control(&mut queue, log, content))
    }

    /// Waits until `bytes` more may be in flight. Hold the permit until the append is durable. A request larger
    /// than the whole budget waits for all of it.
    pub async fn reserve(&self, bytes: usize) -> AppendPermit {
        let bytes = bytes.clamp(1, self.shared.options.max_in_flight_bytes) as u32;
        // The semaphore is never closed; without a permit nothing is held back.
        AppendPermit(
            Arc::clone(&self.shared.permits)
                .acquire_many_owned(bytes)
                .await
                .ok(),
        )
    }

    /// Bytes that may be appended before [`Store::reserve`] waits.
    pub fn free_append_bytes(&self) -> usize {
        self.shared.permits.available_permits()
    }

    /// Retention, expiry, sealing, side-cars, emptying: what a store does besides appends. The store's own thread
    /// calls it, unless [`StoreOptions::threads`] is off.
    pub fn tick(&self) {
        tick(&self.shared, &self.threads.writer);
    }

    /// Writes one entry, if something waits: for callers that have no threads.
    pub fn step_writer(&self) -> bool {
        self.threads.writer.lock().step()
    }

    /// Holds the error after which nothing is acknowledged any more. The server says it and exits.
    pub fn failure(&self) -> watch::Receiver<Option<Arc<StorageError>>> {
        self.shared.failure.subscribe()
    }

    /// Writes what waits, seals, and stops. Appends are refused from here on. The next start has nothing to scan.
    pub fn shutdown(&self) -> Result<(), StorageError> {
        self.threads.end();
        let mut writer = self.threads.writer.lock();
        while writer.step() {}
        if self.shared.failure.borrow().is_some() {
            return Ok(());
        }
        writer.seal();
        self.shared.index_sealed()?;
        self.shared.store_manifest(&Leaving::default())
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub fn metrics(&self) -> &StorageMetrics {
        &self.shared.metrics
    }
}

/// Room for bytes in flight; given back when dropped.
#[derive(Debug)]
pub struct AppendPermit(
    #[allow(dead_code, reason = "dropping it is its use")] Option<OwnedSemaphorePermit>,
);

impl Shared {
    pub(crate) fn new(
        io: Arc<dyn Io>,
        clock: Arc<dyn Clock>,
        options: StoreOptions,
        dir: &Path,
        manifest: &Manifest,
        recovered: Recovered,
        lock: Box<dyn LockGuard>,
    ) -> Shared {
        let interval = Duration::from_millis(options.retention_check_ms);
        let first_retention = io.uptime() + interval.min(FIRST_RETENTION);
        Shared {
            io,
            clock,
            dir: dir.to_owned(),
            store_id: manifest.store_id,
            sequencer: Sequencer::new(options.max_entry_bytes, options.tail_cache_bytes),
            reader: recovered.reader,
            logs: RwLock::new(recovered.logs),
            metrics: StorageMetrics::default(),
            manifest: Mutex::new(manifest.clone()),
            files: Mutex::new(recovered.files),
            segments: Mutex::new(recovered.segments),
            sealed: Mutex::new(recovered.sealed.into()),
            ballast: AtomicBool::new(false),
            retention_due: Mutex::new(first_retention),
            failure: watch::Sender::new(None),
            wake: (Mutex::default(), Condvar::new()),
            permits: Arc::new(Semaphore::new(options.max_in_flight_bytes)),
            options,
            _lock: lock,
        }
    }

    pub(crate) fn log(&self, id: PartitionId) -> Arc<PartitionLog> {
        if let Some(log) = self.logs.read().by_id.get(&id) {
            return Arc::clone(log);
        }
        let mut logs = self.logs.write();
        let state = State {
            deleted: logs.deleted.contains_key(&id),
            ..State::default()
        };
        let deleted = state.deleted;
        let log = Arc::new(PartitionLog::new(id, Arc::clone(&self.reader), state));
        if deleted {
            return log;
        }
        Arc::clone(logs.by_id.entry(id).or_insert(log))
    }

    /// All logs, in the order of their ids.
    pub(crate) fn all_logs(&self) -> Vec<Arc<PartitionLog>> {
        let mut logs: Vec<_> = self.logs.read().by_id.values().cloned().collect();
        logs.sort_by_key(|log| log.id());
        logs
    }

    /// Waits for `time`, for pacing background work; false when the store is to stop.
    pub(crate) fn pace(&self, time: Duration) -> bool {
        if !self.options.threads {
            return true;
        }
        let mut wake = self.wake.0.lock();
        if !wake.end {
            self.wake.1.wait_for(&mut wake, time);
        }
        !wake.end
    }

    /// These partitions are durably deleted.
    pub(crate) fn forget(&self, ids: &[PartitionId], file: u64) {
        if ids.is_empty() {
            return;
        }
        let mut logs = self.logs.write();
        for id in ids {
            logs.by_id.remove(id);
            logs.deleted.insert(*id, file);
        }
    }

    /// Nothing is acknowledged after this.
    pub(crate) fn fail(&self, error: StorageError) -> Arc<StorageError> {
        let error = Arc::new(error);
        tracing::error!(%error, "storage has failed; nothing is acknowledged any more");
        self.sequencer
            .lock()
            .close(AppendError::Failed(Arc::clone(&error)));
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            failure.get_or_insert(Arc::clone(&error));
            first
        });
        error
    }

    /// The writer began a file.
    pub(crate) fn file_created(&self, file: &Arc<WalFile>, first_sequence: u64) {
        let record = FileRecord {
            file: Arc::clone(file),
            first_sequence,
            next_sequence: None,
            bytes: 0,
            content: 0,
            indexed: false,
            stuck: false,
        };
        self.files.lock().insert(file.number, record);
    }

    /// The writer ended a file.
    pub(crate) fn file_sealed(&self, sealed: Sealed) {
        if let Some(record) = self.files.lock().get_mut(&sealed.file.number) {
            record.next_sequence = Some(sealed.next_sequence);
            record.bytes = sealed.end;
        }
        self.sealed.lock().push_back(sealed);
        self.wake_maintenance(|wake| wake.work = true);
    }

    fn wake_maintenance(&self, change: impl FnOnce(&mut Wake)) {
        change(&mut self.wake.0.lock());
        self.wake.1.notify_all();
    }

    /// The maintenance thread: side-cars at once, because the runs of a sealed file take memory until it has one; the rest
    /// at every tick.
    fn run_maintenance(&self, tick: impl Fn()) {
        let period = Duration::from_millis(self.options.tick_ms);
        let mut ticked = self.io.uptime();
        loop {
            let since = self.io.uptime().saturating_sub(ticked);
            let mut wake = self.wake.0.lock();
            if !wake.work && !wake.end && since < period {
                self.wake.1.wait_for(&mut wake, period - since);
            }
            if wake.end {
                return;
            }
            let work = std::mem::take(&mut wake.work);
            drop(wake);
            if self.io.uptime().saturating_sub(ticked) >= period {
                tick();
                ticked = self.io.uptime();
            } else if work {
                self.side_cars_now();
            }
        }
    }

    fn append(&self, queue: &mut Queue, sections: Vec<AppendSection>) -> Append {
        if let Some(error) = queue.closed() {
            let rejected = |_| SectionOutcome::Rejected(Rejection::Store(error.clone()));
            return Append {
                sections: sections.iter().map(rejected).collect(),
                durable: Durable::ready(Err(error.clone())),
            };
        }
        let size = |section: &AppendSection| {
            section
                .batches
                .iter()
                .map(CheckedBatch::size)
                .sum::<usize>()
        };
        let total = sections.iter().map(size).sum();
        if total > MAX_DATA {
            let rejected = |_| SectionOutcome::Rejected(Rejection::TooLarge { bytes: total });
            return Append {
                sections: sections.iter().map(rejected).collect(),
                durable: Durable::ready(Ok(())),
            };
        }
        queue.open_group(total);
        let mut added = 0;
        let mut outcomes = Vec::with_capacity(sections.len());
        for section in sections {
            let bytes = size(&section);
            let Some((group, cache)) = queue.back() else {
                break;
            };
            match section
                .log
                .append(section.batches, section.leader_epoch, group, cache)
            {
                Ok((base_offset, last_offset)) => {
                    added += bytes;
                    outcomes.push(SectionOutcome::Appended {
                        base_offset,
                        last_offset,
                    });
                }
                Err(refusal) => outcomes.push(refused(refusal, queue)),
            }
        }
        let durable = queue.seal_append(added);
        if durable.is_some() {
            self.sequencer.notify();
        }
        Append {
            sections: outcomes,
            durable: durable.unwrap_or_else(|| Durable::ready(Ok(()))),
        }
    }

    pub(crate) fn control(
        &self,
        queue: &mut Queue,
        log: Arc<PartitionLog>,
        content: QueuedContent,
    ) -> Arc<Commit> {
        let commit = queue.push_control(QueuedSection { log, content });
        self.sequencer.notify();
        commit
    }
}

fn is_there(expected: &[Expected], queue: &Queue) -> bool {
    expected.iter().all(|expected| match expected {
        Expected::End { log, end } => log.end_offset() == *end,
        Expected::NoLossSince(losses) => queue.losses() == *losses,
    })
}

fn overtaken(sections: &[AppendSection]) -> Append {
    let rejected = |_| SectionOutcome::Rejected(Rejection::Overtaken);
    Append {
        sections: sections.iter().map(rejected).collect(),
        durable: Durable::ready(Ok(())),
    }
}

fn refused(refusal: Refusal, queue: &Queue) -> SectionOutcome {
    match refusal {
        Refusal::Rejected(rejection) => SectionOutcome::Rejected(rejection),
        Refusal::Repeat { span, pending } => SectionOutcome::Duplicate {
            base_offset: Offset(span.last_offset.0 - i64::from(span.delta)),
            last_offset: span.last_offset,
            timestamp: span.timestamp,
            // Entries become durable in order: when the newest is, so is the one with these batches.
            durable: if pending {
                queue.after_all()
            } else {
                Durable::ready(Ok(()))
            },
        },
    }
}
