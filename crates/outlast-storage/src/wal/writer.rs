//! The writer: takes a group from the queue, writes it as one entry, makes it durable, and tells everybody.
//!
//! Invariants:
//! - One entry at a time, in sequence order: when `sequence` is being written, every one before it is durable.
//! - A batch is found on disk (index, high watermark) only after the sync that covers it returned.
//! - When an entry can't be written for lack of space, it and everything queued behind it fail together, and their
//!   partitions fall back to what is durable, all under the queue's lock. The next entry takes the same place.
//! - After a failed sync, or a write error that is not lack of space, nothing is written or acknowledged again.

use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;

use crate::codec::Put;
use crate::error::{AppendError, StorageError};
use crate::io::write_all;
use crate::partition::PartitionLog;
use crate::store::Shared;
use crate::transactions::StoredBatch;
use crate::wal::entry::{self, Content, EntryHeader, HEADER_SIZE, SECTION_SIZE, Section};
use crate::wal::file::{FILE_HEADER_SIZE, WalFile, reserve_space, wal_path};
use crate::wal::queue::{Group, QueuedBatch, QueuedContent};
use crate::watch::Woken;
use outlast_records::{Offset, crc32c};

/// Space is reserved in steps of this many bytes.
const RESERVE_STEP: u64 = 32 << 20;

/// Of which the last are for entries without batches.
const CONTROL_MARGIN: u64 = 64 << 10;
/// Entries up to this size have zeros written ahead of them …
const ZERO_AHEAD_UP_TO: u64 = 16 << 10;
/// … so many at once.
const ZERO_AHEAD: u64 = 128 << 10;
static ZEROS: [u8; (ZERO_AHEAD + entry::ALIGNMENT) as usize] =
    [0; (ZERO_AHEAD + entry::ALIGNMENT) as usize];

/// The write-ahead log's writing end. Owned by one thread, or stepped by a simulator.
pub(crate) struct WriterCore {
    shared: Arc<Shared>,
    wal_dir: PathBuf,
    active: Option<Active>,
    next_file: u64,
    next_sequence: u64,
    scratch: Vec<u8>,
    fronts: Vec<u8>,
}

/// The unsealed file.
struct Active {
    file: Arc<WalFile>,
    /// Where the next entry goes.
    position: u64,
    /// Up to where space is reserved.
    reserved: u64,
    /// Up to where zeros were written ahead.
    zeroed: u64,
    runs: usize,
    first_sequence: u64,
    touched: Vec<Arc<PartitionLog>>,
}

impl Active {
    /// How many zeros to write behind an entry of `total` bytes. To write where something was written before needs no
    /// change of the file's extents, and so no commit of the file system's journal in the sync: that makes a small
    /// entry's sync about twice as quick. For large ones it would cost more than it gives.
    fn zeros_after(&self, total: u64) -> u64 {
        let end = self.position + total;
        let worth =
            total <= ZERO_AHEAD_UP_TO && end > self.zeroed && end + ZERO_AHEAD <= self.reserved;
        if worth { ZERO_AHEAD } else { 0 }
    }
}

/// A file that takes no more entries and waits for its side-car.
pub(crate) struct Sealed {
    pub(crate) file: Arc<WalFile>,
    pub(crate) end: u64,
    pub(crate) first_sequence: u64,
    pub(crate) next_sequence: u64,
    /// The partitions that it says anything about.
    pub(crate) touched: Vec<Arc<PartitionLog>>,
}

enum WriteError {
    Full,
    Final(StorageError),
}

impl WriterCore {
    pub(crate) fn new(
        shared: Arc<Shared>,
        wal_dir: PathBuf,
        next_file: u64,
        next_sequence: u64,
    ) -> WriterCore {
        WriterCore {
            shared,
            wal_dir,
            active: None,
            next_file,
            next_sequence,
            scratch: Vec::new(),
            fronts: Vec::new(),
        }
    }

    /// Writes one group, if one waits. True when it did, or failed to.
    pub(crate) fn step(&mut self) -> bool {
        let Some(group) = self.shared.sequencer.lock().take() else {
            return false;
        };
        let order = order(&group);
        match self.write(&group, &order) {
            Ok(data) => self.complete(group, &order, data),
            Err(WriteError::Full) => self.fall_back(group, AppendError::Full),
            Err(WriteError::Final(error)) => {
                let error = self.shared.fail(error);
                self.fall_back(group, AppendError::Failed(error));
            }
        }
        true
    }

    /// Puts the group on stable storage; the position of its data.
    fn write(&mut self, group: &Group, order: &[usize]) -> Result<u64, WriteError> {
        let sections = in_entry(group, order).count();
        let data_len = group.bytes as u64;
        let total = entry::padded((HEADER_SIZE + sections * SECTION_SIZE) as u64 + data_len);
        self.make_room(total, group)?;
        let now = self.shared.clock.now();
        let Some(active) = &mut self.active else {
            return Err(WriteError::Full); // make_room left one
        };
        let header = EntryHeader {
            salt: active.file.salt,
            file: active.file.number,
            position: active.position,
            sequence: self.next_sequence,
            synced_through: self.next_sequence - 1,
            timestamp: now.0,
            sections: sections as u32,
            index: (self.next_sequence - active.first_sequence) as u32,
            data_len,
        };
        let fronts = &mut self.fronts;
        let lines = in_entry(group, order).map(|sections| describe(group, sections, fronts));
        entry::encode(&header, lines, &mut self.scratch);
        let mut parts = Vec::with_capacity(group.batches.len() + 2);
        parts.push(IoSlice::new(&self.scratch));
        let batches = batches_of(group, order);
        parts.extend(batches.map(|batch| IoSlice::new(&batch.bytes)));
        let padding = total - self.scratch.len() as u64 - data_len;
        let zeros = padding + active.zeros_after(total);
        parts.push(IoSlice::new(&ZEROS[..zeros as usize]));
        let path = &active.file.path;
        let started = self.shared.io.uptime();
        write_all(&*active.file.file, &mut parts, active.position)
            .map_err(|e| failed("writing", path, e))?;
        // A sync that fails for lack of space is as final as any other: nothing is known about the file after it.
        active
            .file
            .file
            .sync_data()
            .map_err(|e| WriteError::Final(StorageError::io("syncing", path)(e)))?;
        let metrics = &self.shared.metrics;
        let took = self.shared.io.uptime().saturating_sub(started);
        metrics.fsync_seconds.observe(took.as_secs_f64());
        metrics.entry_bytes.observe(total as f64);
        metrics.wal_written_bytes.inc_by(total);
        let data = active.position + self.scratch.len() as u64;
        active.position += total;
        active.zeroed = active.zeroed.max(active.position + zeros - padding);
        self.next_sequence += 1;
        Ok(data)
    }

    /// Sees to it that there is an unsealed file with space for an entry of `total` bytes.
    fn make_room(&mut self, total: u64, group: &Group) -> Result<(), WriteError> {
        let options = &self.shared.options;
        let full = self.active.as_ref().is_some_and(|active| {
            active.position > FILE_HEADER_SIZE
                && (active.position + total > options.wal_file_bytes
                    || active.runs + group.batches.len() > options.wal_file_runs)
        });
        // Behind the appends space stays reserved for what needs no batches, so that retention can work on a full disk.
        let margin = CONTROL_MARGIN.min(options.wal_file_bytes / 16);
        let needed = total + if group.control { 0 } else { margin };
        let step = RESERVE_STEP.min(options.wal_file_bytes);
        if full || self.active.is_none() {
            match self.begin_file(FILE_HEADER_SIZE + total + margin, step) {
                Err(WriteError::Full) if group.control && self.fits(needed) => {}
                other => other?,
            }
        }
        let Some(active) = &mut self.active else {
            return Err(WriteError::Full);
        };
        let end = active.position + needed;
        if end > active.reserved {
            let missing = end - active.reserved;
            let reserve =
                |len| reserve_space(&*active.file.file, active.reserved, len).map(|()| len);
            let got = reserve(missing.max(step))
                .or_else(|e| match e.kind() {
                    io::ErrorKind::StorageFull => reserve(missing),
                    _ => Err(e),
                })
                .map_err(|e| failed("reserving space in", &active.file.path, e))?;
            active.reserved += got;
        }
        Ok(())
    }

    /// Whether the unsealed file has so many bytes reserved.
    fn fits(&self, needed: u64) -> bool {
        self.active
            .as_ref()
            .is_some_and(|active| active.position + needed <= active.reserved)
    }

    /// Begins a file with `step` bytes reserved, or, where there is not that much, with `least`; seals the one before.
    fn begin_file(&mut self, least: u64, step: u64) -> Result<(), WriteError> {
        let shared = &self.shared;
        let now = shared.clock.now();
        let create = |reserve| {
            WalFile::create(
                &*shared.io,
                &self.wal_dir,
                shared.store_id,
                self.next_file,
                now,
                reserve,
            )
            .map(|file| (file, reserve))
        };
        let (file, reserved) = create(least.max(step))
            .or_else(|e| match e.kind() {
                io::ErrorKind::StorageFull => create(least),
                _ => Err(e),
            })
            .map_err(|e| failed("creating", &wal_path(&self.wal_dir, self.next_file), e))?;
        self.seal();
        self.next_file += 1;
        let file = Arc::new(file);
        self.shared.file_created(&file, self.next_sequence);
        self.active = Some(Active {
            file,
            position: FILE_HEADER_SIZE,
            reserved,
            zeroed: FILE_HEADER_SIZE,
            runs: 0,
            first_sequence: self.next_sequence,
            touched: Vec::new(),
        });
        Ok(())
    }

    /// Lets the file be; the next entry goes into another. The side-car is made elsewhere.
    pub(crate) fn seal(&mut self) {
        if let Some(active) = self.active.take() {
            self.shared.file_sealed(Sealed {
                file: active.file,
                end: active.position,
                first_sequence: active.first_sequence,
                next_sequence: self.next_sequence,
                touched: active.touched,
            });
        }
    }

    /// Seals a file that has been open for long, so that retention can get at it.
    pub(crate) fn seal_if_old(&mut self) {
        let now = self.shared.clock.now().0;
        let age = self.shared.options.wal_file_age_ms;
        let is_old = |active: &Active| {
            active.position > FILE_HEADER_SIZE && now.saturating_sub(active.file.created.0) >= age
        };
        if self.active.as_ref().is_some_and(is_old) {
            self.seal();
        }
    }

    /// The group is durable: moves high watermarks, then resolves everybody's wait.
    fn complete(&mut self, group: Group, order: &[usize], data: u64) {
        let sequence = self.next_sequence - 1;
        let mut woken = Woken::default();
        let mut position = data;
        let mut deleted = Vec::new();
        let mut uncached = (0, 0);
        for sections in in_entry(&group, order) {
            let section = &group.sections[sections[0]];
            let Some(active) = &mut self.active else {
                break;
            };
            let file = &active.file;
            let first = match section.content {
                QueuedContent::Batches { leader_epoch, .. } => {
                    let headers = batches_of(&group, sections).map(|batch| {
                        let at = position as u32;
                        position += batch.bytes.len() as u64;
                        active.runs += 1;
                        StoredBatch {
                            header: batch.header,
                            marker: batch.marker,
                            position: at,
                        }
                    });
                    section
                        .log
                        .commit_batches(file, sequence, leader_epoch, headers, &mut woken)
                }
                QueuedContent::LogStart { to } => {
                    section.log.commit_log_start(file, to, &mut woken)
                }
                QueuedContent::Delete => {
                    deleted.push(section.log.id());
                    let (first, bytes, batches) = section.log.commit_delete(file, &mut woken);
                    uncached = (uncached.0 + bytes, uncached.1 + batches);
                    first
                }
            };
            if first {
                active.touched.push(Arc::clone(&section.log));
            }
        }
        if let Some(active) = &self.active {
            self.shared.forget(&deleted, active.file.number);
        }
        self.settle(group.bytes, uncached);
        woken.wake();
        group.commit.resolve(Ok(()));
    }

    fn settle(&self, bytes: usize, (uncached_bytes, uncached_batches): (usize, usize)) {
        let mut queue = self.shared.sequencer.lock();
        queue.release(bytes);
        queue.cache.removed(uncached_bytes, uncached_batches);
        let metrics = &self.shared.metrics;
        metrics.queued_bytes.set(queue.bytes() as i64);
        metrics.queued_entries.set(queue.groups() as i64);
        metrics.tail_cache_bytes.set(queue.cache.used() as i64);
    }

    /// The group could not be written. With it go all batches queued behind it, whose offsets follow from its; their
    /// partitions fall back to what is durable. For good (not for lack of space), everything goes.
    fn fall_back(&mut self, group: Group, error: AppendError) {
        let for_good = !matches!(error, AppendError::Full);
        let mut queue = self.shared.sequencer.lock();
        queue.count_loss();
        let mut failed = match group.control && !for_good {
            true => Vec::new(),
            false => queue.take_all(for_good),
        };
        failed.push(group);
        for group in &failed {
            queue.release(group.bytes);
            for section in &group.sections {
                match section.content {
                    QueuedContent::Batches { .. } => {
                        let (bytes, batches) = section.log.fall_back();
                        queue.cache.removed(bytes, batches);
                    }
                    QueuedContent::Delete => section.log.undelete(),
                    QueuedContent::LogStart { .. } => {}
                }
            }
        }
        drop(queue);
        if !for_good {
            self.shared.metrics.full_entries.inc_by(failed.len() as u64);
        }
        for group in failed {
            group.commit.resolve(Err(error.clone()));
        }
    }
}

fn failed(operation: &'static str, path: &std::path::Path, e: io::Error) -> WriteError {
    match e.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => WriteError::Full,
        _ => WriteError::Final(StorageError::io(operation, path)(e)),
    }
}

/// The order in which sections go into the entry: a partition's lie side by side, as they came.
fn order(group: &Group) -> Vec<usize> {
    let mut order: Vec<usize> = (0..group.sections.len()).collect();
    order.sort_by_key(|at| group.sections[*at].log.id());
    order
}

/// The sections of each line of the entry's table: those of one partition and epoch share a line.
fn in_entry<'a>(group: &'a Group, order: &'a [usize]) -> impl Iterator<Item = &'a [usize]> {
    order.chunk_by(|a, b| {
        let (a, b) = (&group.sections[*a], &group.sections[*b]);
        match (a.content, b.content) {
            (
                QueuedContent::Batches {
                    leader_epoch: first,
                    ..
                },
                QueuedContent::Batches {
                    leader_epoch: second,
                    ..
                },
            ) => first == second && Arc::ptr_eq(&a.log, &b.log),
            _ => false,
        }
    })
}

fn batches_of<'a>(
    group: &'a Group,
    sections: &'a [usize],
) -> impl Iterator<Item = &'a QueuedBatch> {
    sections
        .iter()
        .flat_map(|at| match group.sections[*at].content {
            QueuedContent::Batches { from, to, .. } => &group.batches[from..to],
            QueuedContent::LogStart { .. } | QueuedContent::Delete => &[],
        })
}

/// One line of the table.
fn describe(group: &Group, sections: &[usize], fronts: &mut Vec<u8>) -> Section {
    let first = &group.sections[sections[0]];
    let content = match first.content {
        QueuedContent::Batches { leader_epoch, .. } => {
            let (mut count, mut len) = (0, 0);
            let (mut base, mut next) = (Offset::NONE, Offset::NONE);
            fronts.clear();
            for batch in batches_of(group, sections) {
                fronts.put(&entry::batch_front(&batch.header));
                if count == 0 {
                    base = batch.header.base_offset;
                }
                next = batch.header.next_offset();
                count += 1;
                len += batch.bytes.len() as u32;
            }
            let fronts_crc = crc32c(fronts);
            Content::Batches {
                leader_epoch,
                batches: count,
                base,
                next,
                len,
                fronts_crc,
            }
        }
        QueuedContent::LogStart { to } => Content::LogStart { to },
        QueuedContent::Delete => Content::Delete,
    };
    Section {
        partition: first.log.id(),
        content,
    }
}
