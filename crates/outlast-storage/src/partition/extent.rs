//! Where a partition's batches lie: extents, one a file. In the write-ahead log an extent is a list of runs.
//!
//! A run is a stretch of whole batches that lie one after the other in the file. The runs of the unsealed file are in
//! memory; those of a sealed one are read from its side-car when somebody needs them.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use outlast_records::{BatchHeader, Offset, Timestamp};

use crate::l1::Segment;
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

/// The batches of one partition in one file.
#[derive(Clone, Debug)]
pub(crate) struct Extent {
    pub(crate) place: Place,
    pub(crate) base: Offset,
    /// The offset after the last record.
    pub(crate) next: Offset,
    pub(crate) max_timestamp: Timestamp,
    pub(crate) bytes: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum Place {
    Wal { file: Arc<WalFile>, runs: Runs },
    Segment(Arc<Segment>),
}

impl Extent {
    /// The extent of `file`, which is the newest, for a batch at `base`; a new one when the file has none yet, or when
    /// damage left a hole before `base`.
    pub(crate) fn for_file<'a>(
        extents: &'a mut VecDeque<Extent>,
        file: &Arc<WalFile>,
        base: Offset,
    ) -> &'a mut Extent {
        let goes_on = |last: &Extent| last.wal_number() == Some(file.number) && last.next == base;
        if !extents.back().is_some_and(goes_on) {
            extents.push_back(Extent {
                place: Place::Wal {
                    file: Arc::clone(file),
                    runs: Runs::Memory(Vec::new()),
                },
                base,
                next: base,
                max_timestamp: Timestamp::NONE,
                bytes: 0,
            });
        }
        let last = extents.len() - 1;
        &mut extents[last]
    }

    /// The number of the write-ahead log file that it lies in.
    pub(crate) fn wal_number(&self) -> Option<u64> {
        match &self.place {
            Place::Wal { file, .. } => Some(file.number),
            Place::Segment(_) => None,
        }
    }

    /// Its runs are in memory only: the side-car of its file is still to be written.
    pub(crate) fn needs_side_car(&self) -> bool {
        matches!(
            &self.place,
            Place::Wal {
                runs: Runs::Memory(_),
                ..
            }
        )
    }

    /// The runs that are in memory.
    pub(crate) fn runs_in_memory(&self) -> Vec<Run> {
        match &self.place {
            Place::Wal {
                runs: Runs::Memory(runs),
                ..
            } => runs.clone(),
            _ => Vec::new(),
        }
    }

    /// Says where the runs of an extent of the write-ahead log are now.
    pub(crate) fn set_runs(&mut self, now: Runs) {
        if let Place::Wal { runs, .. } = &mut self.place {
            *runs = now;
        }
    }

    pub(crate) fn path(&self) -> &Path {
        match &self.place {
            Place::Wal { file, .. } => &file.path,
            Place::Segment(segment) => segment.reader.path(),
        }
    }

    /// The time of the newest record; of the file, where records have none.
    pub(crate) fn newest(&self) -> Timestamp {
        match (self.max_timestamp, &self.place) {
            (Timestamp::NONE, Place::Wal { file, .. }) => file.created,
            (newest, _) => newest,
        }
    }

    /// When its file was begun, before anything in it was written; unknown of a segment, whose batches are older than it.
    pub(crate) fn begun(&self) -> Timestamp {
        match &self.place {
            Place::Wal { file, .. } => file.created,
            Place::Segment(_) => Timestamp::NONE,
        }
    }

    /// A copy to take away from under the lock, with only those in-memory runs that a read from `from` of `max_bytes` may
    /// need.
    pub(crate) fn window(&self, from: Offset, max_bytes: usize) -> Extent {
        let Place::Wal {
            file,
            runs: Runs::Memory(runs),
        } = &self.place
        else {
            return self.clone();
        };
        let first = runs
            .partition_point(|run| run.base <= from)
            .saturating_sub(1);
        let mut bytes = 0;
        let needed = runs[first..].iter().take_while(|run| {
            let more = bytes <= max_bytes;
            bytes += run.len as usize;
            more
        });
        let runs = Runs::Memory(needed.copied().collect());
        Extent {
            place: Place::Wal {
                file: Arc::clone(file),
                runs,
            },
            ..*self
        }
    }

    /// A copy with only the first of the in-memory runs that reaches beyond `at` and has a record of `target` or later;
    /// `None` when there is none. What an index on disk says is for the reader to look up.
    pub(crate) fn first_run_only(&self, at: Offset, target: Timestamp) -> Option<Extent> {
        let Place::Wal {
            file,
            runs: Runs::Memory(runs),
        } = &self.place
        else {
            return Some(self.clone());
        };
        let reaching = runs.partition_point(|run| run.base <= at).saturating_sub(1);
        let next_of = |index: usize| runs.get(index + 1).map_or(self.next, |run| run.base);
        let found = (reaching..runs.len())
            .find(|index| next_of(*index) > at && runs[*index].max_timestamp >= target)?;
        let place = Place::Wal {
            file: Arc::clone(file),
            runs: Runs::Memory(vec![runs[found]]),
        };
        Some(Extent {
            place,
            next: next_of(found),
            ..*self
        })
    }

    /// Adds the batch that follows.
    pub(crate) fn add(&mut self, header: &BatchHeader, position: u32) {
        let len = header.size() as u32;
        self.next = header.next_offset();
        self.max_timestamp = self.max_timestamp.max(header.max_timestamp);
        self.bytes += u64::from(len);
        let Place::Wal {
            runs: Runs::Memory(runs),
            ..
        } = &mut self.place
        else {
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
