//! Side-cars: made when a file is sealed, and again when a reader finds one damaged.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use outlast_records::{LeaderEpoch, Offset, PartitionId, Timestamp};

use crate::error::StorageError;
use crate::io::replace_file;
use crate::partition::{Extent, PartitionLog, Run, Runs, State};
use crate::recovery::WAL_DIR;
use crate::store::Shared;
use crate::wal::scan::{Found, scan};
use crate::wal::sidecar::{self, BlocksAt, PartitionSummary, SideCar, Summary, side_car_path};
use crate::wal::writer::Sealed;

impl Shared {
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
            record.content = summary.content();
        }
        Ok(())
    }

    /// Makes the side-cars of which readers found a damaged block again, from their files.
    pub(crate) fn reindex_damaged(&self) -> Result<(), StorageError> {
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
            extent.wal_number() == Some(sealed.file.number) && extent.next > state.start
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
            aborted: Vec::new(),
            blocks: BlocksAt::default(),
        };
        let first = lines.len();
        for extent in state.extents.iter().filter(in_file) {
            lines.push(PartitionSummary {
                max_timestamp: extent.max_timestamp,
                bytes: extent.bytes,
                ..line(extent.base, extent.next)
            });
            runs.push(extent.runs_in_memory());
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
        // Those that ended in later files, too: the producers above may have seen their ends.
        own.aborted = state.aborted.ended_in(own.base, Offset(i64::MAX));
    }

    /// The side-car of `file` is durable: the runs need not be in memory any more.
    fn indexed(&self, file: u64, placed: &[(Offset, BlocksAt)], side_car: &Arc<SideCar>) {
        let mut state = self.lock();
        for extent in state
            .extents
            .iter_mut()
            .filter(|extent| extent.wal_number() == Some(file))
        {
            // One without a line was below the log start when the side-car was made.
            let line = placed.iter().find(|(base, _)| *base == extent.base);
            let blocks = line.map_or(BlocksAt::default(), |(_, blocks)| *blocks);
            extent.set_runs(Runs::SideCar(blocks, Arc::clone(side_car)));
        }
        state.drop_trimmed();
        self.publish(&state);
    }

    /// Takes the runs of a file from a scan instead of from its damaged side-car.
    fn unindexed(&self, file: u64, scanned: &State) {
        let runs: Vec<Run> = scanned
            .extents
            .iter()
            .flat_map(Extent::runs_in_memory)
            .collect();
        let mut state = self.lock();
        for extent in state
            .extents
            .iter_mut()
            .filter(|extent| extent.wal_number() == Some(file))
        {
            let inside = |run: &&Run| extent.base <= run.base && run.base < extent.next;
            let runs = runs.iter().filter(inside).copied().collect();
            extent.set_runs(Runs::Memory(runs));
        }
    }
}
