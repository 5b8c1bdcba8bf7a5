//! Finding runs: in memory for the unsealed file, by block in the side-car of a sealed one.
//!
//! Blocks that readers use stay in a small cache, least recently used first out, so that a sequential reader loads each
//! block once and the memory for indexes does not grow with the data.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use outlast_records::{Offset, PartitionId, Timestamp};
use parking_lot::Mutex;

use super::{Extent, Run, Runs};
use crate::error::{Damage, ReadError};
use crate::io::read_exact;
use crate::wal::sidecar::{BlocksAt, SideCar, decode_block};

/// Side-car and position of a block.
type Key = (u64, u64);

/// Where the blocks of an extent are.
type Blocks<'a> = (&'a BlocksAt, &'a Arc<SideCar>);

/// Decoded blocks, within a budget of bytes.
pub(crate) struct IndexCache {
    limit: usize,
    state: Mutex<Cached>,
    damaged: Mutex<BTreeSet<u64>>,
}

#[derive(Default)]
struct Cached {
    by_key: HashMap<Key, (Arc<[Run]>, u64)>,
    by_use: BTreeMap<u64, Key>,
    uses: u64,
    bytes: usize,
}

impl IndexCache {
    pub(crate) fn new(limit: usize) -> IndexCache {
        IndexCache {
            limit,
            state: Mutex::default(),
            damaged: Mutex::default(),
        }
    }

    fn get(&self, key: &Key) -> Option<Arc<[Run]>> {
        let state = &mut *self.state.lock();
        let (block, used) = state.by_key.get_mut(key)?;
        state.by_use.remove(used);
        state.uses += 1;
        *used = state.uses;
        state.by_use.insert(state.uses, *key);
        Some(Arc::clone(block))
    }

    fn insert(&self, key: Key, block: &Arc<[Run]>) {
        let state = &mut *self.state.lock();
        state.uses += 1;
        if let Some((_, used)) = state.by_key.insert(key, (Arc::clone(block), state.uses)) {
            state.by_use.remove(&used);
        } else {
            state.bytes += size_of_val(&**block);
        }
        state.by_use.insert(state.uses, key);
        while state.bytes > self.limit
            && let Some((_, oldest)) = state.by_use.pop_first()
        {
            if let Some((block, _)) = state.by_key.remove(&oldest) {
                state.bytes -= size_of_val(&*block);
            }
        }
    }

    /// The runs of `extent` from the one that holds `from`, of at least `max_bytes` if there are as many.
    pub(crate) fn runs_from(
        &self,
        extent: &Extent,
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
        match &extent.runs {
            Runs::Memory(runs) => {
                take(runs);
            }
            Runs::SideCar(at, side_car) => {
                let first = self.block_with(extent, (at, side_car), id, from)?;
                for block in first..at.blocks() {
                    if !take(&self.block(extent, (at, side_car), id, block)?) {
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
        id: PartitionId,
        at: Offset,
        target: Timestamp,
    ) -> Result<Option<(Run, Offset)>, ReadError> {
        let blocks = match &extent.runs {
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
        if let Some(known) = self.get(&key) {
            return Ok(known);
        }
        let path = extent
            .file
            .path
            .with_extension(crate::wal::sidecar::EXTENSION);
        let mut bytes = vec![0; len];
        if let Err(source) = read_exact(&*side_car.file, &mut bytes, position) {
            return Err(ReadError::Io {
                path,
                source: Arc::new(source),
            });
        }
        let Some(runs) = decode_block(&bytes, extent.file.number, id, block) else {
            self.damaged.lock().insert(extent.file.number);
            return Err(ReadError::Corrupt(Arc::new(Damage {
                path,
                position,
                what: "a block of the index is damaged; the index is being made again".to_owned(),
                partition: Some(id),
                offsets: Some((extent.base, extent.next)),
            })));
        };
        let runs: Arc<[Run]> = runs.into();
        self.insert(key, &runs);
        Ok(runs)
    }

    /// Files whose side-car turned out to be damaged since the last call.
    pub(crate) fn take_damaged(&self) -> BTreeSet<u64> {
        std::mem::take(&mut *self.damaged.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_block_leaves() {
        let run = Run {
            base: Offset(0),
            max_timestamp: Timestamp(0),
            position: 0,
            len: 0,
        };
        let block: Arc<[Run]> = vec![run; 10].into();
        let cache = IndexCache::new(3 * size_of_val(&*block));
        let key = |at| (at, 0);
        for at in 0..3 {
            cache.insert(key(at), &block);
        }
        assert!(cache.get(&key(0)).is_some());
        cache.insert(key(3), &block);
        let left: Vec<_> = (0..4).filter(|at| cache.get(&key(*at)).is_some()).collect();
        assert_eq!(left, [0, 2, 3]);
    }
}
