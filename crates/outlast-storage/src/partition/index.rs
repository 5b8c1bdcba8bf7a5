//! Finding runs: in memory for the unsealed file, by block in the side-car of a sealed one.
//!
//! Blocks that readers use stay in a small cache, least recently used first out, so that a sequential reader loads each
//! block once and the memory for indexes does not grow with the data.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use outlast_records::{Offset, PartitionId};
use parking_lot::Mutex;

use super::{Extent, Run, Runs};
use crate::error::{Damage, ReadError};
use crate::io::read_exact;
use crate::wal::sidecar::{BlocksAt, decode_block};

/// File and position of a block.
type Key = (u64, u64);

/// Decoded blocks, within a budget of bytes.
pub(crate) struct IndexCache {
    limit: usize,
    state: Mutex<Blocks>,
}

#[derive(Default)]
struct Blocks {
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
            Runs::SideCar(at) => {
                let first = self.block_with(extent, at, id, from)?;
                for block in first..at.blocks() {
                    if !take(&self.block(extent, at, id, block)?) {
                        break;
                    }
                }
            }
        }
        Ok(found)
    }

    /// The last block that begins at or before `from`.
    fn block_with(
        &self,
        extent: &Extent,
        at: &BlocksAt,
        id: PartitionId,
        from: Offset,
    ) -> Result<usize, ReadError> {
        let (mut low, mut high) = (0, at.blocks());
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let block = self.block(extent, at, id, middle)?;
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
        at: &BlocksAt,
        id: PartitionId,
        block: usize,
    ) -> Result<Arc<[Run]>, ReadError> {
        let key = (extent.file.number, at.block(block).0);
        if let Some(known) = self.get(&key) {
            return Ok(known);
        }
        let runs: Arc<[Run]> = load_block(extent, at, id, block)?.into();
        self.insert(key, &runs);
        Ok(runs)
    }
}

fn load_block(
    extent: &Extent,
    at: &BlocksAt,
    id: PartitionId,
    block: usize,
) -> Result<Vec<Run>, ReadError> {
    let path = extent
        .file
        .path
        .with_extension(crate::wal::sidecar::EXTENSION);
    let (position, len) = at.block(block);
    let damaged = |what: &str| {
        ReadError::Corrupt(Arc::new(Damage {
            path: path.clone(),
            position,
            what: what.to_owned(),
            partition: Some(id),
            offsets: Some((extent.base, extent.next)),
        }))
    };
    let Some(file) = extent.file.side_car.get() else {
        return Err(damaged("the side-car index is not open"));
    };
    let mut bytes = vec![0; len];
    read_exact(&**file, &mut bytes, position).map_err(|source| ReadError::Io {
        path: path.clone(),
        source: Arc::new(source),
    })?;
    decode_block(&bytes, extent.file.number, id, block)
        .ok_or_else(|| damaged("a block of the index is damaged; a restart makes the index again"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use outlast_records::Timestamp;

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
