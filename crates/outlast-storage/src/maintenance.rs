//! What a store does besides appends, away from the writer: side-cars, retention, expiry, the manifest, removal.
//!
//! Invariants:
//! - Retention moves the log start by an entry of the write-ahead log, like everybody else; extents go when that is
//!   durable, and a file goes when no partition has an extent in it.
//! - A file is removed after a manifest that leaves it out is durable. Readers that hold it go on reading.
//! - A full disk stops nothing for good: what could not be written is tried again at the next tick.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::sync::Arc;

use outlast_records::{LeaderEpoch, Offset, PartitionId, Timestamp};

use crate::error::StorageError;
use crate::io::replace_file;
use crate::manifest::{Manifest, PartitionRecord};
use crate::partition::{Extent, PartitionLog, Run, Runs, State};
use crate::producers::ProducerEntry;
use crate::recovery::WAL_DIR;
use crate::store::{FileRecord, Shared};
use crate::wal::queue::QueuedContent;
use crate::wal::scan::{Found, scan};
use crate::wal::sidecar::{self, BlocksAt, PartitionSummary, SideCar, Summary, side_car_path};
use crate::wal::writer::Sealed;

impl Shared {
    /// Everything that is due. An error other than a full disk is final.
    pub(crate) fn maintain(&self) {
        let result = self
            .reindex_damaged()
            .and_then(|()| self.index_sealed())
            .and_then(|()| self.apply_retention())
            .and_then(|()| self.remove_dead_files());
        self.expire_producers();
        self.measure();
        match result {
            Ok(()) => {}
            Err(StorageError::Io {
                operation,
                path,
                source,
            }) if source.kind() == io::ErrorKind::StorageFull => {
                tracing::warn!(operation, path = %path.display(), "the disk is full; this is tried again");
            }
            Err(error) => {
                self.fail(error);
            }
        }
    }

    /// Writes the side-cars of sealed files.
    pub(crate) fn index_sealed(&self) -> Result<(), StorageError> {
        loop {
            let Some(sealed) = self.sealed.lock().pop_front() else {
                return Ok(());
            };
            if let Err(error) = self.index(&sealed) {
                self.sealed.lock().push_front(sealed);
                return Err(error);
            }
        }
    }

    fn index(&self, sealed: &Sealed) -> Result<(), StorageError> {
        let (mut summary, runs) = self.summarise(sealed);
        let bytes = sidecar::encode(&mut summary, &runs);
        let path = side_car_path(&self.dir.join(WAL_DIR), sealed.file.number);
        // Space that was reserved and not used. When the disk has no room for that, it has none to give back.
        sealed
            .file
            .file
            .set_len(sealed.end)
            .map_err(StorageError::io("cutting", &sealed.file.path))?;
        replace_file(&*self.io, &path, &bytes).map_err(StorageError::io("writing", &path))?;
        let handle = self
            .io
            .open(&path)
            .map_err(StorageError::io("opening", &path))?;
        let side_car = SideCar::new(handle);
        let mut placed: HashMap<_, Vec<(Offset, BlocksAt)>> = HashMap::new();
        for partition in &summary.partitions {
            placed
                .entry(partition.id)
                .or_default()
                .push((partition.base, partition.blocks));
        }
        for log in &sealed.touched {
            if let Some(placed) = placed.get(&log.id()) {
                log.indexed(sealed.file.number, placed, &side_car);
            }
        }
        if let Some(record) = self.files.lock().get_mut(&sealed.file.number) {
            record.indexed = true;
        }
        Ok(())
    }

    /// Makes the side-cars of which readers found a damaged block again, from their files.
    fn reindex_damaged(&self) -> Result<(), StorageError> {
        for number in self.reader.indexes.take_damaged() {
            let Some(record) = self.files.lock().get(&number).cloned() else {
                continue;
            };
            let (file, proven) = (record.file, record.next_sequence.unwrap_or(1) - 1);
            tracing::warn!(path = %file.path.display(), "a block of the index is damaged; making it again");
            let mut states: BTreeMap<PartitionId, State> = BTreeMap::new();
            let end = scan(
                &file,
                Some(record.first_sequence),
                proven,
                &mut |found| match found {
                    Found::Section {
                        sequence,
                        section,
                        batches,
                    } => {
                        let state = states.entry(section.partition).or_default();
                        state.add_batches(&file, sequence, LeaderEpoch::NONE, batches.into_iter());
                    }
                    Found::DamagedSection { section, .. } => {
                        states.entry(section.partition).or_default();
                    }
                    Found::Entry(_) | Found::Lost { .. } => {}
                },
            )?;
            let mut touched = Vec::new();
            for (id, scanned) in &states {
                let log = self.log(*id);
                log.unindexed(number, scanned);
                touched.push(log);
            }
            self.sealed.lock().push_back(Sealed {
                file,
                end: end.position,
                first_sequence: record.first_sequence,
                next_sequence: proven + 1,
                touched,
            });
        }
        Ok(())
    }

    /// What the side-car of a sealed file says: one line for each partition, and the runs of each line.
    fn summarise(&self, sealed: &Sealed) -> (Summary, Vec<Vec<Run>>) {
        let mut touched: Vec<&Arc<PartitionLog>> = sealed.touched.iter().collect();
        touched.sort_by_key(|log| log.id());
        touched.dedup_by_key(|log| log.id());
        let mut summary = Summary {
            store_id: self.store_id,
            file: sealed.file.number,
            end: sealed.end,
            first_sequence: sealed.first_sequence,
            next_sequence: sealed.next_sequence,
            ..Summary::default()
        };
        let mut runs = Vec::new();
        for log in touched {
            if self.logs.read().deleted.contains_key(&log.id()) {
                summary.deleted.push(log.id());
            } else {
                log.summarise(sealed, &mut summary.partitions, &mut runs);
            }
        }
        (summary, runs)
    }

    /// Raises the log starts that retention asks for, in one entry. Does not wait for it.
    fn apply_retention(&self) -> Result<(), StorageError> {
        let now = self.clock.now();
        let logs: Vec<_> = self.logs.read().by_id.values().cloned().collect();
        let due = logs
            .into_iter()
            .filter_map(|log| log.retention_start(now).map(|to| (log, to)));
        let mut due: Vec<_> = due.collect();
        due.sort_by_key(|(log, _)| log.id());
        let mut queue = self.sequencer.lock();
        if queue.closed().is_some() {
            return Ok(());
        }
        for (log, to) in due {
            if !log.lock().deleted {
                // Whoever waits for the log start watches the log.
                drop(self.control(&mut queue, log, QueuedContent::LogStart { to }));
            }
        }
        Ok(())
    }

    fn expire_producers(&self) {
        let before = Timestamp(
            self.clock
                .now()
                .0
                .saturating_sub(self.options.producer_expiry_ms),
        );
        let logs: Vec<_> = self.logs.read().by_id.values().cloned().collect();
        for log in logs {
            log.lock().producers.expire(before);
        }
    }

    /// Removes the files in which nothing is left.
    fn remove_dead_files(&self) -> Result<(), StorageError> {
        let live = self.live_files();
        let known = self.files.lock().clone();
        let dead: Vec<u64> = known
            .iter()
            .filter(|(number, record)| record.indexed && !live.contains(number))
            .map(|(number, _)| *number)
            .collect();
        if dead.is_empty() && self.manifest_is_current(&known) {
            return Ok(());
        }
        self.store_manifest(dead.clone())?;
        let wal_dir = self.dir.join(WAL_DIR);
        for number in &dead {
            if let Some(record) = self.files.lock().remove(number) {
                self.remove(&record.file.path)?;
            }
            self.remove(&side_car_path(&wal_dir, *number))?;
        }
        if !dead.is_empty() {
            self.io
                .sync_dir(&wal_dir)
                .map_err(StorageError::io("syncing", &wal_dir))?;
        }
        Ok(())
    }

    fn remove(&self, path: &std::path::Path) -> Result<(), StorageError> {
        match self.io.remove(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(StorageError::io("removing", path)(e))
            }
            _ => Ok(()),
        }
    }

    fn measure(&self) {
        let metrics = &self.metrics;
        let logs: Vec<_> = self.logs.read().by_id.values().cloned().collect();
        metrics.partitions.set(logs.len() as i64);
        metrics.wal_files.set(self.files.lock().len() as i64);
        let bytes: u64 = logs.iter().map(|log| log.size_bytes()).sum();
        metrics.l0_bytes.set(bytes as i64);
        metrics
            .cold_read_bytes
            .inc_by(self.reader.take_bytes_read());
    }

    /// Files in which some partition has something.
    fn live_files(&self) -> HashSet<u64> {
        let logs: Vec<_> = self.logs.read().by_id.values().cloned().collect();
        let mut live = HashSet::new();
        for log in logs {
            live.extend(log.lock().extents.iter().map(|extent| extent.file.number));
        }
        live
    }

    fn manifest_is_current(&self, known: &BTreeMap<u64, FileRecord>) -> bool {
        let manifest = self.manifest.lock();
        manifest.files.iter().eq(known.keys()) && manifest.removing.is_empty()
    }

    /// Makes a manifest durable that leaves out the files in `removing`.
    pub(crate) fn store_manifest(&self, removing: Vec<u64>) -> Result<(), StorageError> {
        let mut known = self.files.lock().clone();
        known.retain(|number, _| !removing.contains(number));
        let mut stored = self.manifest.lock();
        let oldest = known.keys().next().copied();
        let deleted = {
            let logs = self.logs.read();
            let mut deleted: Vec<_> = logs.deleted.iter().map(|(id, file)| (*id, *file)).collect();
            // No file that is left can speak of a partition that was deleted before it was made.
            deleted.retain(|(_, file)| oldest.is_some_and(|oldest| oldest <= *file));
            deleted.sort_unstable();
            deleted
        };
        let newest = known
            .values()
            .map(|record| record.next_sequence.unwrap_or(record.first_sequence))
            .max();
        let manifest = Manifest {
            store_id: self.store_id,
            generation: stored.generation + 1,
            next_file: known
                .keys()
                .next_back()
                .map_or(0, |last| last + 1)
                .max(stored.next_file),
            next_sequence: newest.unwrap_or(0).max(stored.next_sequence),
            files: known.keys().copied().collect(),
            removing,
            partitions: self.partition_records(&known),
            deleted,
        };
        manifest.store(&*self.io, &self.dir)?;
        *stored = Manifest {
            partitions: Vec::new(),
            deleted: Vec::new(),
            ..manifest
        };
        Ok(())
    }

    fn partition_records(&self, known: &BTreeMap<u64, FileRecord>) -> Vec<PartitionRecord> {
        let mut logs: Vec<_> = self.logs.read().by_id.values().cloned().collect();
        logs.sort_by_key(|log| log.id());
        // By number is by sequence: entries and files only grow.
        let ranges: Vec<(u64, u64)> = known
            .values()
            .map(|record| {
                (
                    record.first_sequence,
                    record.next_sequence.unwrap_or(u64::MAX),
                )
            })
            .collect();
        let in_a_file = |sequence: u64| {
            let after = ranges.partition_point(|(first, _)| *first <= sequence);
            after
                .checked_sub(1)
                .is_some_and(|at| sequence < ranges[at].1)
        };
        logs.iter()
            .filter_map(|log| {
                let state = log.lock();
                let producers: Vec<_> = state
                    .producers
                    .durable()
                    .filter(|(_, entry): &(_, &ProducerEntry)| !in_a_file(entry.changed_in))
                    .map(|(id, entry)| (id, entry.clone()))
                    .collect();
                (state.high_watermark > Offset(0)).then(|| PartitionRecord {
                    id: log.id(),
                    start: state.start,
                    end: state.high_watermark,
                    epochs: state.epochs.as_slice().to_vec(),
                    producers,
                })
            })
            .collect()
    }
}

impl PartitionLog {
    /// Adds this partition's lines of a side-car.
    fn summarise(
        &self,
        sealed: &Sealed,
        lines: &mut Vec<PartitionSummary>,
        runs: &mut Vec<Vec<Run>>,
    ) {
        let state = self.lock();
        let in_file = |extent: &&Extent| {
            extent.file.number == sealed.file.number && extent.next > state.start
        };
        let line = |base, next| PartitionSummary {
            id: self.id(),
            start: state.start,
            base,
            next,
            end: state.high_watermark,
            max_timestamp: Timestamp::NONE,
            bytes: 0,
            epochs: Vec::new(),
            producers: Vec::new(),
            blocks: BlocksAt::default(),
        };
        let first = lines.len();
        for extent in state.extents.iter().filter(in_file) {
            lines.push(PartitionSummary {
                max_timestamp: extent.max_timestamp,
                bytes: extent.bytes,
                ..line(extent.base, extent.next)
            });
            runs.push(match &extent.runs {
                Runs::Memory(runs) => runs.clone(),
                Runs::SideCar(..) => Vec::new(),
            });
        }
        if lines.len() == first {
            lines.push(line(state.start, state.start));
            runs.push(Vec::new());
        }
        let own = &mut lines[first];
        own.epochs = state.epochs.as_slice().to_vec();
        // What changed later is said again by a later file; the newer one wins.
        own.producers = state
            .producers
            .durable()
            .filter(|(_, entry)| entry.changed_in >= sealed.first_sequence)
            .map(|(id, entry)| (id, entry.clone()))
            .collect();
        own.producers.sort_unstable_by_key(|(id, _)| *id);
    }

    /// The side-car of `file` is durable: the runs need not be in memory any more.
    fn indexed(&self, file: u64, placed: &[(Offset, BlocksAt)], side_car: &Arc<SideCar>) {
        let mut state = self.lock();
        for extent in state
            .extents
            .iter_mut()
            .filter(|extent| extent.file.number == file)
        {
            // One without a line was below the log start when the side-car was made.
            let line = placed.iter().find(|(base, _)| *base == extent.base);
            let blocks = line.map_or(BlocksAt::default(), |(_, blocks)| *blocks);
            extent.runs = Runs::SideCar(blocks, Arc::clone(side_car));
        }
        state.drop_trimmed();
        self.publish(&state);
    }

    /// Takes the runs of a file from a scan instead of from its damaged side-car.
    fn unindexed(&self, file: u64, scanned: &State) {
        let runs_of = |extent: &Extent| match &extent.runs {
            Runs::Memory(runs) => runs.clone(),
            Runs::SideCar(..) => Vec::new(),
        };
        let runs: Vec<Run> = scanned.extents.iter().flat_map(runs_of).collect();
        let mut state = self.lock();
        for extent in state
            .extents
            .iter_mut()
            .filter(|extent| extent.file.number == file)
        {
            let inside = |run: &&Run| extent.base <= run.base && run.base < extent.next;
            extent.runs = Runs::Memory(runs.iter().filter(inside).copied().collect());
        }
    }

    /// Where retention wants the log to start, if not where it does.
    fn retention_start(&self, now: Timestamp) -> Option<Offset> {
        let state = self.lock();
        let mut to = state.start;
        if let Some(ms) = state.retention.ms {
            let expired = |extent: &&Extent| extent.newest().0.saturating_add(ms) < now.0;
            to = state
                .extents
                .iter()
                .take_while(expired)
                .last()
                .map_or(to, |extent| extent.next);
        }
        if let Some(most) = state.retention.bytes {
            let mut bytes = state.bytes;
            for extent in &state.extents {
                // As Kafka does: what stays is never less than the limit, and the unsealed file is left alone.
                if extent.runs.in_memory() || bytes.saturating_sub(extent.bytes) < most {
                    break;
                }
                bytes -= extent.bytes;
                to = to.max(extent.next);
            }
        }
        let to = to.min(state.high_watermark);
        (to > state.start).then_some(to)
    }
}
