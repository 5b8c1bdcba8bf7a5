//! Empties write-ahead log files into segments: the oldest ones when there are too many bytes of them, those of which
//! little is left, and the small ones that restarts leave behind.
//!
//! Runs in the maintenance thread, at a bounded pace: the data was durable before, so nothing waits for this.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use outlast_records::{Offset, PartitionId, header_at};

use super::{Segment, segment_path};
use crate::error::{ReadError, StorageError};
use crate::io::IoFile;
use crate::maintenance::Leaving;
use crate::partition::{Extent, PartitionLog, Place};
use crate::producers::ProducerEntry;
use crate::segment::{
    self, FileSink, PartitionState, SegmentId, SegmentWriteError, SegmentWriter, plan,
};
use crate::store::{FileRecord, Shared};

/// What one pass moves at most; the next tick goes on.
const PASS_BYTES: u64 = 256 << 20;
/// A file of which less than one in so many bytes is left is emptied.
const MOSTLY_DEAD: u64 = 4;
/// Of files smaller than one in so many of a full one …
const SMALL: u64 = 8;
/// … so many may gather before they are emptied together.
const SMALL_FILES: usize = 64;
/// A segment is synced every so many bytes, so that the write-ahead log's syncs never wait for much of it.
const SYNC_STEP: u64 = 4 << 20;

/// Consecutive extents of one partition that move together.
struct Unit {
    log: Arc<PartitionLog>,
    extents: Vec<Extent>,
    bytes: u64,
}

/// Why a segment was given up.
enum Abandoned {
    /// What was to be moved can't be read.
    Unreadable(String),
    Stopped,
    Failed(StorageError),
}

impl From<StorageError> for Abandoned {
    fn from(e: StorageError) -> Self {
        Abandoned::Failed(e)
    }
}

impl Shared {
    /// Moves what is left in some files into segments, if there is reason to.
    pub(crate) fn empty_files(&self) -> Result<(), StorageError> {
        let numbers = self.files_to_empty();
        if numbers.is_empty() {
            return Ok(());
        }
        let units = self.units(&numbers);
        let groups: Vec<(u128, Vec<Unit>)> = groups(units)
            .into_iter()
            .map(|units| (self.io.entropy(), units))
            .collect();
        let making = groups.iter().map(|(id, _)| *id).collect();
        self.store_manifest(&Leaving {
            making,
            ..Leaving::default()
        })?;
        for (id, units) in groups {
            match self.write_segment(id, &units) {
                Ok(segment) => {
                    for unit in &units {
                        unit.log.moved(&unit.extents, &segment);
                    }
                    self.segments.lock().insert(id, segment);
                }
                Err(abandoned) => {
                    self.remove(&segment_path(&self.dir, id))?;
                    match abandoned {
                        Abandoned::Stopped => return Ok(()),
                        Abandoned::Failed(error) => return Err(error),
                        Abandoned::Unreadable(what) => {
                            tracing::warn!(
                                what,
                                "a write-ahead log file can't be emptied; its data stays where it is"
                            );
                            self.give_up(&units);
                        }
                    }
                }
            }
            self.index_sealed()?;
        }
        Ok(())
    }

    /// Files with reason to be emptied, up to what one pass moves.
    fn files_to_empty(&self) -> BTreeSet<u64> {
        let mut live: BTreeMap<u64, u64> = BTreeMap::new();
        for log in self.all_logs() {
            for extent in &log.lock().extents {
                if let Some(number) = extent.wal_number() {
                    *live.entry(number).or_default() += extent.bytes;
                }
            }
        }
        let files = self.files.lock();
        let sealed: Vec<(u64, &FileRecord)> = files
            .iter()
            .filter(|(number, record)| record.indexed && !record.stuck && live.contains_key(number))
            .map(|(number, record)| (*number, record))
            .collect();
        let total: u64 = sealed.iter().map(|(_, record)| record.bytes).sum();
        let too_many = total.saturating_sub(self.options.l0_bytes);
        let is_small = |record: &FileRecord| record.bytes < self.options.wal_file_bytes / SMALL;
        let many_small = sealed.iter().filter(|(_, record)| is_small(record)).count() > SMALL_FILES;
        let (mut passed, mut moved) = (0, 0);
        let mut chosen = BTreeSet::new();
        for (number, record) in sealed {
            let left = live[&number];
            let reason = passed < too_many
                || left < record.content / MOSTLY_DEAD
                || (many_small && is_small(record));
            passed += record.bytes;
            if reason && (moved == 0 || moved + left <= PASS_BYTES) {
                moved += left;
                chosen.insert(number);
            }
        }
        chosen
    }

    /// What lies in these files, each partition's in stretches of consecutive offsets.
    fn units(&self, numbers: &BTreeSet<u64>) -> Vec<Unit> {
        let mut units: Vec<Unit> = Vec::new();
        for log in self.all_logs() {
            let state = log.lock();
            let mut at = None;
            for extent in state
                .extents
                .iter()
                .filter(|extent| extent.next > state.start)
            {
                let chosen = extent
                    .wal_number()
                    .is_some_and(|number| numbers.contains(&number));
                if !chosen {
                    at = None;
                    continue;
                }
                match units.last_mut() {
                    Some(unit) if at == Some(extent.base) => {
                        unit.extents.push(extent.clone());
                        unit.bytes += extent.bytes;
                    }
                    _ => units.push(Unit {
                        log: Arc::clone(&log),
                        extents: vec![extent.clone()],
                        bytes: extent.bytes,
                    }),
                }
                at = Some(extent.next);
            }
        }
        units
    }

    fn write_segment(&self, id: u128, units: &[Unit]) -> Result<Arc<Segment>, Abandoned> {
        let path = segment_path(&self.dir, id);
        let failed = |operation| StorageError::io(operation, &path);
        let file = self.io.create(&path).map_err(failed("creating"))?;
        let sink = BufWriter::with_capacity(1 << 18, FileSink::new(Arc::clone(&file)));
        let of = SegmentId {
            store_id: self.store_id,
            segment_id: id,
            created: self.clock.now(),
        };
        let wrote = |e: SegmentWriteError| match e {
            SegmentWriteError::Io(e) => Abandoned::Failed(StorageError::io("writing", &path)(e)),
            other => Abandoned::Unreadable(other.to_string()),
        };
        let mut writer = SegmentWriter::new(sink, &of).map_err(wrote)?;
        let mut pace = Pace {
            shared: self,
            file: &*file,
            path: &path,
            unsynced: 0,
        };
        for unit in units {
            self.write_unit(unit, &mut writer, &mut pace, wrote)?;
        }
        writer.finish().map_err(wrote)?;
        file.sync_data().map_err(failed("syncing"))?;
        let dir = self.dir.join(segment::DIR);
        self.io
            .sync_dir(&dir)
            .map_err(StorageError::io("syncing", &dir))?;
        Ok(Segment::open(&*self.io, &self.dir, id)?)
    }

    fn write_unit(
        &self,
        unit: &Unit,
        writer: &mut SegmentWriter<BufWriter<FileSink>>,
        pace: &mut Pace<'_>,
        wrote: impl Fn(SegmentWriteError) -> Abandoned + Copy,
    ) -> Result<(), Abandoned> {
        const READ: usize = 1 << 20;
        let unreadable = |e: ReadError| Abandoned::Unreadable(e.to_string());
        let (Some(first), Some(last)) = (unit.extents.first(), unit.extents.last()) else {
            return Ok(());
        };
        let (id, next) = (unit.log.id(), last.next);
        let read = |at, bytes| {
            let left = unit
                .extents
                .iter()
                .filter(|extent| extent.next > at)
                .cloned()
                .collect();
            let found = unit
                .log
                .read_extents(left, at, next, bytes)
                .map_err(unreadable)?;
            match found.batches.first().map(|batches| header_at(batches)) {
                Some(Ok(header)) => Ok((found, header)),
                _ => Err(Abandoned::Unreadable(format!(
                    "offset {at} of {id} is not there"
                ))),
            }
        };
        let mut at = first.base.max(unit.log.start_offset());
        if at >= next {
            return Ok(()); // retention was quicker
        }
        // The batch that the log start lies in moves as a whole.
        let start = read(at, 1)?.1.base_offset;
        let mut part = writer.partition(id, start).map_err(wrote)?;
        while at < next {
            let (found, _) = read(at, READ)?;
            at = found.next_offset;
            for batches in found.batches {
                part.append(&batches).map_err(wrote)?;
                pace.wrote(batches.len() as u64)?;
            }
        }
        part.finish(next, unit.log.state_of(start, next))
            .map_err(wrote)?;
        Ok(())
    }

    /// These files are not tried again.
    fn give_up(&self, units: &[Unit]) {
        let mut files = self.files.lock();
        for number in units
            .iter()
            .flat_map(|unit| &unit.extents)
            .filter_map(Extent::wal_number)
        {
            if let Some(record) = files.get_mut(&number) {
                record.stuck = true;
            }
        }
    }
}

/// Puts units together into segments: the large ones alone, the small ones shared. A partition that has several units (something
/// else lies between them) has them in several segments.
fn groups(units: Vec<Unit>) -> Vec<Vec<Unit>> {
    let mut layers: Vec<BTreeMap<PartitionId, Unit>> = Vec::new();
    for unit in units {
        let id = unit.log.id();
        match layers.iter_mut().find(|layer| !layer.contains_key(&id)) {
            Some(layer) => {
                layer.insert(id, unit);
            }
            None => layers.push(BTreeMap::from([(id, unit)])),
        }
    }
    let mut groups = Vec::new();
    for mut layer in layers {
        let moves: Vec<_> = layer.iter().map(|(id, unit)| (*id, unit.bytes)).collect();
        for ids in plan(moves) {
            groups.push(ids.iter().filter_map(|id| layer.remove(id)).collect());
        }
    }
    groups
}

/// Keeps the writing of segments from getting in the way.
struct Pace<'a> {
    shared: &'a Shared,
    file: &'a dyn IoFile,
    path: &'a Path,
    unsynced: u64,
}

impl Pace<'_> {
    fn wrote(&mut self, bytes: u64) -> Result<(), Abandoned> {
        self.unsynced += bytes;
        if self.unsynced < SYNC_STEP {
            return Ok(());
        }
        self.file
            .sync_data()
            .map_err(StorageError::io("syncing", self.path))?;
        let rate = self.shared.options.l1_bytes_per_second.max(1);
        let time = Duration::from_secs_f64(self.unsynced as f64 / rate as f64);
        self.unsynced = 0;
        match self.shared.pace(time) {
            true => Ok(()),
            false => Err(Abandoned::Stopped),
        }
    }
}

impl PartitionLog {
    /// These extents lie in a segment now. What retention took meanwhile stays gone.
    fn moved(&self, extents: &[Extent], segment: &Arc<Segment>) {
        let Some(entry) = segment.reader.partition(self.id()) else {
            return;
        };
        let mut state = self.lock();
        let was = |extent: &Extent| {
            let same =
                |old: &Extent| old.base == extent.base && old.wal_number() == extent.wal_number();
            extents.iter().any(same)
        };
        let Some(first) = state.extents.iter().position(was) else {
            return;
        };
        let gone: u64 = state
            .extents
            .iter()
            .filter(|extent| was(extent))
            .map(|extent| extent.bytes)
            .sum();
        state.extents.retain(|extent| !was(extent));
        let moved = Extent {
            place: Place::Segment(Arc::clone(segment)),
            base: entry.start,
            next: entry.next,
            max_timestamp: entry.max_timestamp,
            bytes: entry.data_len,
        };
        state.extents.insert(first, moved);
        state.bytes = (state.bytes + entry.data_len).saturating_sub(gone);
        self.publish(&state);
    }

    /// What a segment of the offsets from `start` up to before `next` says beyond its batches.
    fn state_of(&self, start: Offset, next: Offset) -> PartitionState {
        let state = self.lock();
        let mut epochs = state.epochs.as_slice().to_vec();
        epochs.retain(|(_, start)| *start < next);
        let wrote = |entry: &ProducerEntry| {
            entry
                .batches()
                .last()
                .is_some_and(|last| last.last_offset < next)
        };
        let mut wrote: Vec<_> = state
            .producers
            .durable()
            .filter(|(_, entry)| wrote(entry))
            .map(|(id, entry)| (id, entry.clone()))
            .collect();
        wrote.sort_unstable_by_key(|(id, _)| *id);
        let mut producers = Vec::new();
        ProducerEntry::encode_all(&wrote, &mut producers);
        PartitionState {
            epochs,
            aborted: state.aborted.ended_in(start, next),
            producers,
        }
    }
}
