//! The manifest, and the removal of files that nothing refers to any more.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::Path;

use outlast_records::Offset;

use crate::error::StorageError;
use crate::l1::segment_path;
use crate::manifest::{Manifest, PartitionRecord};
use crate::partition::Place;
use crate::producers::ProducerEntry;
use crate::recovery::WAL_DIR;
use crate::segment;
use crate::store::{FileRecord, Shared};
use crate::wal::sidecar::side_car_path;

/// What the next manifest says about files that are not part of the log (any more, or yet).
#[derive(Default)]
pub(crate) struct Leaving {
    pub(crate) files: Vec<u64>,
    pub(crate) segments: Vec<u128>,
    /// Segments that are about to be written.
    pub(crate) making: Vec<u128>,
}

impl Leaving {
    fn is_nothing(&self) -> bool {
        self.files.is_empty() && self.segments.is_empty() && self.making.is_empty()
    }
}

impl Shared {
    /// Removes the files and segments in which nothing is left.
    pub(crate) fn remove_dead_files(&self) -> Result<(), StorageError> {
        let (live_files, live_segments) = self.live();
        let dead_file = |(number, record): (&u64, &FileRecord)| {
            (record.indexed && !live_files.contains(number)).then_some(*number)
        };
        let leaving = Leaving {
            files: self.files.lock().iter().filter_map(dead_file).collect(),
            segments: {
                let known = self.segments.lock();
                known
                    .keys()
                    .copied()
                    .filter(|id| !live_segments.contains(id))
                    .collect()
            },
            making: Vec::new(),
        };
        if leaving.is_nothing() && self.manifest_is_current() {
            return Ok(());
        }
        self.store_manifest(&leaving)?;
        let wal_dir = self.dir.join(WAL_DIR);
        for number in &leaving.files {
            if let Some(record) = self.files.lock().remove(number) {
                self.remove(&record.file.path)?;
            }
            self.remove(&side_car_path(&wal_dir, *number))?;
        }
        for id in &leaving.segments {
            self.segments.lock().remove(id);
            self.remove(&segment_path(&self.dir, *id))?;
        }
        let segments_dir = self.dir.join(segment::DIR);
        let changed = [
            (&wal_dir, leaving.files.is_empty()),
            (&segments_dir, leaving.segments.is_empty()),
        ];
        for (dir, _) in changed.into_iter().filter(|(_, unchanged)| !unchanged) {
            self.io
                .sync_dir(dir)
                .map_err(StorageError::io("syncing", dir))?;
        }
        Ok(())
    }

    pub(crate) fn remove(&self, path: &Path) -> Result<(), StorageError> {
        match self.io.remove(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(StorageError::io("removing", path)(e))
            }
            _ => Ok(()),
        }
    }

    /// Files and segments in which some partition has something.
    fn live(&self) -> (HashSet<u64>, HashSet<u128>) {
        let (mut files, mut segments) = (HashSet::new(), HashSet::new());
        for log in self.all_logs() {
            for extent in &log.lock().extents {
                match &extent.place {
                    Place::Wal { file, .. } => files.insert(file.number),
                    Place::Segment(segment) => segments.insert(segment.id),
                };
            }
        }
        (files, segments)
    }

    fn manifest_is_current(&self) -> bool {
        let manifest = self.manifest.lock();
        manifest.files.iter().eq(self.files.lock().keys())
            && manifest.segments.iter().eq(self.segments.lock().keys())
            && manifest.removing.is_empty()
            && manifest.making.is_empty()
            && manifest.removing_segments.is_empty()
    }

    /// Makes a manifest durable that leaves out what is leaving.
    pub(crate) fn store_manifest(&self, leaving: &Leaving) -> Result<(), StorageError> {
        let mut known = self.files.lock().clone();
        known.retain(|number, _| !leaving.files.contains(number));
        let mut segments: Vec<u128> = self.segments.lock().keys().copied().collect();
        segments.retain(|id| !leaving.segments.contains(id));
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
            segments,
            removing: leaving.files.clone(),
            removing_segments: leaving.segments.clone(),
            making: leaving.making.clone(),
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
        let logs = self.all_logs();
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
                    .filter(|(_, entry): &(_, &ProducerEntry)| {
                        let began = entry.txn_first_offset;
                        // Of such a transaction the file may say how it ends, but not how it began.
                        !in_a_file(entry.changed_in)
                            || began.is_some_and(|first| !state.in_wal(first))
                    })
                    .map(|(id, entry)| (id, entry.clone()))
                    .collect();
                (state.high_watermark > Offset(0)).then(|| PartitionRecord {
                    id: log.id(),
                    start: state.start,
                    end: state.high_watermark,
                    epochs: state.epochs.as_slice().to_vec(),
                    producers,
                    aborted: state.aborted_across(),
                })
            })
            .collect()
    }
}
