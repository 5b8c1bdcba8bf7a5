//! Where a partition's batches lie: extents, one a file, each an ordered list of runs.
//!
//! A run is a stretch of whole batches that lie one after the other in the file. The runs of the unsealed file are in
//! memory; those of a sealed one are read from its side-car when somebody needs them.

use std::collections::VecDeque;
use std::sync::Arc;

use outlast_records::{BatchHeader, Offset, Timestamp};

use crate::wal::file::WalFile;
use crate::wal::sidecar::{BlocksAt, SideCar};

/// Longer runs are cut at a batch, so that a reader in the middle of one does not search far.
const RUN_BYTES: u32 = 64 << 10;

/// Whole batches that lie one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) base: Offset,
    pub(crate) max_timestamp: Timestamp,
    pub(crate) position: u32,
    pub(crate) len: u32,
}

#[derive(Clone, Debug)]
pub(crate) enum Runs {
    Memory(Vec<Run>),
    /// In blocks of the side-car.
    SideCar(BlocksAt, Arc<SideCar>),
}

impl Runs {
    pub(crate) fn in_memory(&self) -> bool {
        matches!(self, Runs::Memory(_))
    }
}

/// The batches of one partition in one file.
#[derive(Clone, Debug)]
pub(crate) struct Extent {
    pub(crate) file: Arc<WalFile>,
    pub(crate) base: Offset,
    /// The offset after the last record.
    pub(crate) next: Offset,
    pub(crate) max_timestamp: Timestamp,
    pub(crate) bytes: u64,
    pub(crate) runs: Runs,
}

impl Extent {
    /// The extent of `file`, which is the newest, for a batch at `base`; a new one when the file has none yet, or when
    /// damage left a hole before `base`.
    pub(crate) fn for_file<'a>(
        extents: &'a mut VecDeque<Extent>,
        file: &Arc<WalFile>,
        base: Offset,
    ) -> &'a mut Extent {
        if extents
            .back()
            .is_none_or(|last| last.file.number != file.number || last.next != base)
        {
            extents.push_back(Extent {
                file: Arc::clone(file),
                base,
                next: base,
                max_timestamp: Timestamp::NONE,
                bytes: 0,
                runs: Runs::Memory(Vec::new()),
            });
        }
        let last = extents.len() - 1;
        &mut extents[last]
    }

    /// The extent with only those in-memory runs that a read from `from` of `max_bytes` may need: a cheap copy to take
    /// away from under the lock.
    pub(crate) fn window(&self, from: Offset, max_bytes: usize) -> Extent {
        let runs = match &self.runs {
            Runs::Memory(runs) => {
                let first = runs
                    .partition_point(|run| run.base <= from)
                    .saturating_sub(1);
                let mut bytes = 0;
                let needed = runs[first..].iter().take_while(|run| {
                    let more = bytes <= max_bytes;
                    bytes += run.len as usize;
                    more
                });
                Runs::Memory(needed.copied().collect())
            }
            side_car => side_car.clone(),
        };
        Extent {
            file: Arc::clone(&self.file),
            runs,
            ..*self
        }
    }

    /// The extent with only the first of its in-memory runs that reaches beyond `at` and has a record of `target` or later;
    /// `None` when there is none. What the index on disk says is for the reader to look up.
    pub(crate) fn first_run_only(&self, at: Offset, target: Timestamp) -> Option<Extent> {
        let Runs::Memory(runs) = &self.runs else {
            return Some(self.clone());
        };
        let reaching = runs.partition_point(|run| run.base <= at).saturating_sub(1);
        let found = (reaching..runs.len()).find(|index| {
            let next = runs.get(index + 1).map_or(self.next, |run| run.base);
            next > at && runs[*index].max_timestamp >= target
        })?;
        Some(Extent {
            file: Arc::clone(&self.file),
            next: runs.get(found + 1).map_or(self.next, |run| run.base),
            runs: Runs::Memory(vec![runs[found]]),
            ..*self
        })
    }

    /// The time of the newest record; of the file, where records have none.
    pub(crate) fn newest(&self) -> Timestamp {
        match self.max_timestamp {
            Timestamp::NONE => self.file.created,
            newest => newest,
        }
    }

    /// Adds the batch that follows.
    pub(crate) fn add(&mut self, header: &BatchHeader, position: u32) {
        let len = header.size() as u32;
        self.next = header.next_offset();
        self.max_timestamp = self.max_timestamp.max(header.max_timestamp);
        self.bytes += u64::from(len);
        let Runs::Memory(runs) = &mut self.runs else {
            return;
        };
        match runs.last_mut() {
            Some(run) if run.position + run.len == position && run.len + len <= RUN_BYTES => {
                run.len += len;
                run.max_timestamp = run.max_timestamp.max(header.max_timestamp);
            }
            _ => runs.push(Run {
                base: header.base_offset,
                max_timestamp: header.max_timestamp,
                position,
                len,
            }),
        }
    }
}
