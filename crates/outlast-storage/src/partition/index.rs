//! Finding batches: runs in memory for the unsealed file, by block in the side-car of a sealed one, by the index of a
//! segment.
//!
//! What readers use of indexes stays in a small cache, so that a sequential reader loads each block once and the memory for
//! indexes does not grow with the data.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use outlast_records::{Offset, PartitionId, Timestamp};
use parking_lot::Mutex;

use super::{Extent, Run, Runs};
use crate::error::{Damage, ReadError, StorageError};
use crate::io::read_exact;
use crate::l1::Segment;
use crate::lru::Lru;
use crate::segment::{PartitionIndex, SegmentPartition};
use crate::wal::sidecar::{BlocksAt, SideCar, decode_block};

/// Where the blocks of an extent are.
type Blocks<'a> = (&'a BlocksAt, &'a Arc<SideCar>);

/// What was read of indexes, within a budget of bytes.
pub(crate) struct Indexes {
    /// Blocks of side-cars, by side-car and position.
    blocks: Lru<(u64, u64), Arc<[Run]>>,
    /// Partitions' indexes in segments, by segment and position of their data.
    segments: Lru<(u64, u64), Arc<PartitionIndex>>,
    damaged: Mutex<BTreeSet<u64>>,
}

impl Indexes {
    pub(crate) fn new(limit: usize) -> Indexes {
        Indexes {
            blocks: Lru::new(limit / 2),
            segments: Lru::new(limit / 2),
            damaged: Mutex::default(),
        }
    }

    /// The index of a partition in a segment.
    pub(crate) fn of_segment(
        &self,
        segment: &Segment,
        entry: &SegmentPartition,
    ) -> Result<Arc<PartitionIndex>, ReadError> {
        let key = (segment.number, entry.data_position);
        if let Some(known) = self.segments.get(&key) {
            return Ok(known);
        }
        let index = segment
            .reader
            .index(entry)
            .map_err(|e| unreadable(e, entry))?;
        let bytes = size_of_val(&*index.chunks) + index.state.producers.len();
        let index = Arc::new(index);
        self.segments.insert(key, Arc::clone(&index), bytes);
        Ok(index)
    }

    /// The runs of `extent` from the one that holds `from`, of at least `max_bytes` if there are as many.
    pub(crate) fn runs_from(
        &self,
        extent: &Extent,
        runs: &Runs,
        id: PartitionId,
        from: Offset,
        max_bytes: usize,
    ) -> Result<Vec<Run>, ReadError> {
        let mut found = Vec::new();
        let mut bytes = 0;
        let mut take = |runs: &[Run]| {
            let first = runs
                .partition_point(|run| run.base <= from)
                .saturating_sub(1);
            for run in &runs[first..] {
                found.push(*run);
                bytes += run.len as usize;
                if bytes > max_bytes {
                    return false;
                }
            }
            true
        };
        match runs {
            Runs::Memory(runs) => {
                take(runs);
            }
            Runs::SideCar(at, side_car) => {
                let blocks = (at, side_car);
                for block in self.block_with(extent, blocks, id, from)?..at.blocks() {
                    if !take(&self.block(extent, blocks, id, block)?) {
                        break;
                    }
                }
            }
        }
        Ok(found)
    }

    /// The first run of `extent` that reaches beyond `at` and has a record of `target` or later, and the offset after it.
    pub(crate) fn run_at_least(
        &self,
        extent: &Extent,
        runs: &Runs,
        id: PartitionId,
        at: Offset,
        target: Timestamp,
    ) -> Result<Option<(Run, Offset)>, ReadError> {
        let blocks = match runs {
            Runs::Memory(runs) => return Ok(runs.first().map(|run| (*run, extent.next))),
            Runs::SideCar(at, side_car) => (at, side_car),
        };
        // A run ends where the next one begins, which may be in the next block.
        let mut wanted: Option<Run> = None;
        for block in self.block_with(extent, blocks, id, at)?..blocks.0.blocks() {
            for run in self.block(extent, blocks, id, block)?.iter() {
                if let Some(wanted) = wanted.take_if(|_| run.base > at) {
                    return Ok(Some((wanted, run.base)));
                }
                wanted = (run.max_timestamp >= target).then_some(*run);
            }
        }
        Ok(wanted.map(|run| (run, extent.next)))
    }

    /// The last block that begins at or before `from`.
    fn block_with(
        &self,
        extent: &Extent,
        blocks: Blocks<'_>,
        id: PartitionId,
        from: Offset,
    ) -> Result<usize, ReadError> {
        let (mut low, mut high) = (0, blocks.0.blocks());
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let block = self.block(extent, blocks, id, middle)?;
            match block.first().is_some_and(|run| run.base <= from) {
                true => low = middle,
                false => high = middle,
            }
        }
        Ok(low)
    }

    fn block(
        &self,
        extent: &Extent,
        (at, side_car): Blocks<'_>,
        id: PartitionId,
        block: usize,
    ) -> Result<Arc<[Run]>, ReadError> {
        let (position, len) = at.block(block);
        let key = (side_car.number, position);
        if let Some(known) = self.blocks.get(&key) {
            return Ok(known);
        }
        let path = extent.path().with_extension(crate::wal::sidecar::EXTENSION);
        let mut bytes = vec![0; len];
        if let Err(source) = read_exact(&*side_car.file, &mut bytes, position) {
            return Err(ReadError::Io {
                path,
                source: Arc::new(source),
            });
        }
        let file = extent.wal_number().unwrap_or(0);
        let Some(runs) = decode_block(&bytes, file, id, block) else {
            self.damaged.lock().insert(file);
            return Err(ReadError::Corrupt(Arc::new(Damage {
                path,
                position,
                what: "a block of the index is damaged; the index is being made again".to_owned(),
                partition: Some(id),
                offsets: Some((extent.base, extent.next)),
            })));
        };
        let runs: Arc<[Run]> = runs.into();
        self.blocks
            .insert(key, Arc::clone(&runs), size_of_val(&*runs));
        Ok(runs)
    }

    /// Files whose side-car turned out to be damaged since the last call.
    pub(crate) fn take_damaged(&self) -> BTreeSet<u64> {
        std::mem::take(&mut *self.damaged.lock())
    }
}

/// A segment's error, as a reader gets it.
pub(crate) fn unreadable(error: StorageError, entry: &SegmentPartition) -> ReadError {
    match error {
        StorageError::Io { path, source, .. } => ReadError::Io {
            path,
            source: Arc::new(source),
        },
        StorageError::Damaged {
            path,
            position,
            what,
        } => ReadError::Corrupt(Arc::new(Damage {
            path,
            position,
            what,
            partition: Some(entry.partition),
            offsets: Some((entry.start, entry.next)),
        })),
        other => ReadError::Corrupt(Arc::new(Damage {
            path: PathBuf::new(),
            position: 0,
            what: other.to_string(),
            partition: Some(entry.partition),
            offsets: Some((entry.start, entry.next)),
        })),
    }
}
