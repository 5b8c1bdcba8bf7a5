//! Folds what files say over what the manifest says, into the state of every partition.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outlast_records::{Offset, PartitionId};

use super::RecoveryReport;
use crate::error::Damage;
use crate::l1::Segment;
use crate::manifest::Manifest;
use crate::options::StoreOptions;
use crate::partition::{Extent, PartitionLog, Place, Reader, Runs, State};
use crate::store::{FileRecord, Logs};
use crate::wal::entry::{Content, Section};
use crate::wal::file::WalFile;
use crate::wal::scan::Found;
use crate::wal::sidecar::{SideCar, Summary};
use crate::wal::writer::Sealed;

/// The state that opening ends with.
pub(crate) struct Recovered {
    pub(crate) reader: Arc<Reader>,
    pub(crate) logs: Logs,
    pub(crate) files: BTreeMap<u64, FileRecord>,
    pub(crate) segments: BTreeMap<u128, Arc<Segment>>,
    /// Files that need a side-car.
    pub(crate) sealed: Vec<Sealed>,
    /// Files with nothing in them for us: to go once a manifest without them is durable.
    pub(crate) discard: Vec<(u64, PathBuf, Discard)>,
    pub(crate) next_file: u64,
    pub(crate) next_sequence: u64,
}

/// What becomes of a file that is not part of the log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Discard {
    Remove,
    Quarantine,
}

pub(crate) struct Fold {
    reader: Arc<Reader>,
    logs: HashMap<PartitionId, Arc<PartitionLog>>,
    deleted: HashMap<PartitionId, u64>,
    files: BTreeMap<u64, FileRecord>,
    segments: BTreeMap<u128, Arc<Segment>>,
    sealed: Vec<Sealed>,
    discard: Vec<(u64, PathBuf, Discard)>,
    /// The newest entry that spoke of a partition, among those that were scanned.
    seen: HashMap<PartitionId, u64>,
    lost: Vec<Lost>,
    pub(crate) next_file: u64,
    pub(crate) next_sequence: u64,
    wal_file_bytes: u64,
}

/// Something durable that can't be read, and whose it was can't be told.
struct Lost {
    sequence: u64,
    damage: Damage,
    /// An upper bound for the records that were in it.
    at_most: i64,
}

/// What one scanned file adds up to.
#[derive(Default)]
pub(crate) struct Scanned {
    entries: u64,
    /// Position and length of what can't be read.
    pub(crate) damaged: Vec<(u64, u64)>,
    first_sequence: Option<u64>,
    touched: Vec<Arc<PartitionLog>>,
}

impl Scanned {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries == 0 && self.touched.is_empty() && self.damaged.is_empty()
    }
}

/// No record is shorter: length, attributes, two deltas, key, value, headers.
const LEAST_RECORD: u64 = 7;

impl Fold {
    pub(crate) fn new(manifest: &Manifest, reader: Arc<Reader>, options: &StoreOptions) -> Fold {
        let mut fold = Fold {
            reader,
            logs: HashMap::new(),
            deleted: manifest.deleted.iter().copied().collect(),
            files: BTreeMap::new(),
            segments: BTreeMap::new(),
            sealed: Vec::new(),
            discard: Vec::new(),
            seen: HashMap::new(),
            lost: Vec::new(),
            next_file: manifest.next_file,
            next_sequence: manifest.next_sequence,
            wal_file_bytes: options.wal_file_bytes,
        };
        for record in &manifest.partitions {
            let log = fold.log(record.id);
            let mut state = log.lock();
            for (epoch, start) in &record.epochs {
                state.epochs.note(*epoch, *start);
            }
            for (id, entry) in &record.producers {
                state.producers.restore(*id, entry.clone());
            }
            for txn in &record.aborted {
                state.aborted.add(*txn);
            }
            state.raise_end(record.end);
            state.raise_start(record.start);
        }
        fold
    }

    /// The log of a partition; one that nobody keeps when it was deleted.
    fn log(&mut self, id: PartitionId) -> Arc<PartitionLog> {
        let fresh = || {
            Arc::new(PartitionLog::new(
                id,
                Arc::clone(&self.reader),
                State::default(),
            ))
        };
        if self.deleted.contains_key(&id) {
            return fresh();
        }
        Arc::clone(self.logs.entry(id).or_insert_with(fresh))
    }

    fn delete(&mut self, id: PartitionId, file: u64) {
        self.logs.remove(&id);
        self.deleted.entry(id).or_insert(file);
    }

    /// A segment that the manifest lists.
    pub(crate) fn segment(&mut self, segment: Arc<Segment>, report: &mut RecoveryReport) {
        for entry in segment.reader.partitions() {
            let log = self.log(entry.partition);
            let mut state = log.lock();
            state.raise_end(entry.next);
            if entry.aborted > 0 {
                match segment.reader.index(entry) {
                    Ok(index) => {
                        for txn in index.state.aborted {
                            state.aborted.add(txn);
                        }
                    }
                    // Without its index nothing of the partition's data here can be read, either.
                    Err(error) => {
                        let damage = report.damaged(Damage {
                            path: segment.reader.path().to_owned(),
                            position: 0,
                            what: error.to_string(),
                            partition: Some(entry.partition),
                            offsets: Some((entry.start, entry.next)),
                        });
                        state.damage.push(damage);
                    }
                }
            }
            if entry.start < entry.next && entry.next > state.start {
                state.extents.push_back(Extent {
                    place: Place::Segment(Arc::clone(&segment)),
                    base: entry.start,
                    next: entry.next,
                    max_timestamp: entry.max_timestamp,
                    bytes: entry.data_len,
                });
            }
        }
        self.segments.insert(segment.id, segment);
    }

    /// A sealed file with its side-car. `file`: `None` when the file itself is missing.
    pub(crate) fn side_car(
        &mut self,
        summary: Summary,
        file: Option<(Arc<WalFile>, Arc<SideCar>)>,
        path: &Path,
        report: &mut RecoveryReport,
    ) {
        for id in &summary.deleted {
            self.delete(*id, summary.file);
        }
        let content = summary.content();
        for partition in summary.partitions {
            let log = self.log(partition.id);
            let mut state = log.lock();
            for (epoch, start) in partition.epochs {
                state.epochs.note(epoch, start);
            }
            for (id, entry) in partition.producers {
                state.producers.restore(id, entry);
            }
            for txn in partition.aborted {
                state.aborted.add(txn);
            }
            state.raise_end(partition.next.max(partition.end));
            match &file {
                Some((file, side_car)) if partition.base < partition.next => {
                    state.bytes += partition.bytes;
                    state.extents.push_back(Extent {
                        place: Place::Wal {
                            file: Arc::clone(file),
                            runs: Runs::SideCar(partition.blocks, Arc::clone(side_car)),
                        },
                        base: partition.base,
                        next: partition.next,
                        max_timestamp: partition.max_timestamp,
                        bytes: partition.bytes,
                    });
                }
                None if partition.base < partition.next && partition.next > state.start => {
                    let damage = report.damaged(Damage {
                        path: path.to_owned(),
                        position: 0,
                        what: "the file is missing".to_owned(),
                        partition: Some(partition.id),
                        offsets: Some((partition.base, partition.next)),
                    });
                    state.damage.push(damage);
                }
                _ => {}
            }
            state.raise_start(partition.start);
        }
        self.next_sequence = self.next_sequence.max(summary.next_sequence);
        self.next_file = self.next_file.max(summary.file + 1);
        if let Some((file, _)) = file {
            let record = FileRecord {
                file,
                first_sequence: summary.first_sequence,
                next_sequence: Some(summary.next_sequence),
                bytes: summary.end,
                content,
                indexed: true,
                stuck: false,
            };
            self.files.insert(summary.file, record);
        }
    }

    /// One find of the scan of an unsealed file.
    pub(crate) fn scanned(
        &mut self,
        file: &Arc<WalFile>,
        found: Found,
        scanned: &mut Scanned,
        report: &mut RecoveryReport,
    ) {
        match found {
            Found::Entry(header) => {
                scanned.entries += 1;
                report.entries_scanned += 1;
                report.bytes_scanned += header.total_len();
                scanned.first_sequence.get_or_insert(header.sequence);
            }
            Found::Section {
                sequence,
                section,
                batches,
            } => {
                let log = self.touch(file, sequence, section.partition, scanned);
                match section.content {
                    Content::Batches { leader_epoch, .. } => {
                        log.lock()
                            .add_batches(file, sequence, leader_epoch, batches.into_iter());
                    }
                    Content::LogStart { to } => log.lock().raise_start(to),
                    Content::Delete => self.delete(section.partition, file.number),
                }
            }
            Found::DamagedSection {
                sequence,
                section,
                position,
                what,
            } => {
                scanned.damaged.push((position, section.content.data_len()));
                self.damaged_section(file, sequence, &section, position, what, scanned, report);
            }
            Found::Lost {
                sequence,
                position,
                len,
                offsets,
                what,
            } => {
                scanned.damaged.push((position, len));
                self.lost.push(Lost {
                    sequence,
                    damage: Damage {
                        path: file.path.clone(),
                        position,
                        what: what.to_owned(),
                        partition: None,
                        offsets,
                    },
                    at_most: (len / LEAST_RECORD) as i64,
                });
            }
        }
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "one arm of `scanned`, cut out for length"
    )]
    fn damaged_section(
        &mut self,
        file: &Arc<WalFile>,
        sequence: u64,
        section: &Section,
        position: u64,
        what: &str,
        scanned: &mut Scanned,
        report: &mut RecoveryReport,
    ) {
        let log = self.touch(file, sequence, section.partition, scanned);
        if let Content::Batches {
            leader_epoch,
            base,
            next,
            ..
        } = section.content
        {
            let mut state = log.lock();
            state.epochs.note(leader_epoch, base);
            state.raise_end(next);
            state.damage.push(report.damaged(Damage {
                path: file.path.clone(),
                position,
                what: what.to_owned(),
                partition: Some(section.partition),
                offsets: Some((base, next)),
            }));
        }
    }

    fn touch(
        &mut self,
        file: &Arc<WalFile>,
        sequence: u64,
        id: PartitionId,
        scanned: &mut Scanned,
    ) -> Arc<PartitionLog> {
        self.seen.insert(id, sequence);
        let log = self.log(id);
        if log.lock().touch(file) {
            scanned.touched.push(Arc::clone(&log));
        }
        log
    }

    /// An unsealed file was scanned up to `end`: from now on it is a sealed one that needs a side-car.
    pub(crate) fn seal(
        &mut self,
        file: Arc<WalFile>,
        scanned: Scanned,
        end: u64,
        next_sequence: u64,
    ) {
        let first_sequence = scanned.first_sequence.unwrap_or(next_sequence);
        self.next_sequence = self.next_sequence.max(next_sequence);
        self.next_file = self.next_file.max(file.number + 1);
        let record = FileRecord {
            file: Arc::clone(&file),
            first_sequence,
            next_sequence: Some(next_sequence),
            bytes: end,
            content: 0,
            indexed: false,
            stuck: false,
        };
        self.files.insert(file.number, record);
        self.sealed.push(Sealed {
            file,
            end,
            first_sequence,
            next_sequence,
            touched: scanned.touched,
        });
    }

    /// Where the entries of a file ended, if it is there.
    pub(crate) fn next_sequence_of(&self, number: u64) -> Option<u64> {
        self.files.get(&number)?.next_sequence
    }

    pub(crate) fn discard(&mut self, number: u64, path: PathBuf, how: Discard) {
        self.next_file = self.next_file.max(number + 1);
        self.discard.push((number, path, how));
    }

    /// A listed file of which nothing is left. `unbounded`: nor does anything say how far its offsets went.
    pub(crate) fn missing(&mut self, path: &Path, unbounded: bool, report: &mut RecoveryReport) {
        let damage = Damage {
            path: path.to_owned(),
            position: 0,
            what: "the file and its side-car are missing".to_owned(),
            partition: None,
            offsets: None,
        };
        if unbounded {
            let at_most = (self.wal_file_bytes / LEAST_RECORD) as i64;
            self.lost.push(Lost {
                sequence: u64::MAX,
                damage,
                at_most,
            });
        } else {
            report.damaged(damage);
        }
    }

    pub(crate) fn finish(mut self, report: &mut RecoveryReport) -> Recovered {
        for lost in std::mem::take(&mut self.lost) {
            self.skip_lost(&lost, report);
        }
        for log in self.logs.values() {
            let mut state = log.lock();
            state.tidy_extents();
            let holes = state.holes();
            for (from, to) in holes {
                let known = state.damage.iter().any(|damage| {
                    damage
                        .offsets
                        .is_some_and(|(start, end)| start <= from && to <= end)
                });
                if !known {
                    let damage = report.damaged(Damage {
                        path: PathBuf::from(super::WAL_DIR),
                        position: 0,
                        what: format!("offsets {from} to {to} of {} are not there", log.id()),
                        partition: Some(log.id()),
                        offsets: Some((from, to)),
                    });
                    state.damage.push(damage);
                }
            }
            log.publish(&state);
        }
        Recovered {
            reader: self.reader,
            logs: Logs {
                by_id: self.logs,
                deleted: self.deleted,
            },
            files: self.files,
            segments: self.segments,
            sealed: self.sealed,
            discard: self.discard,
            next_file: self.next_file,
            next_sequence: self.next_sequence,
        }
    }

    /// Partitions that may have had their newest records in what was lost skip as many offsets as there can have been:
    /// an acknowledged offset is never given to another record.
    fn skip_lost(&mut self, lost: &Lost, report: &mut RecoveryReport) {
        report.damaged(lost.damage.clone());
        for log in self.logs.values() {
            // What was read of a later entry proves that nothing is missing at the end.
            if self
                .seen
                .get(&log.id())
                .is_some_and(|seen| *seen > lost.sequence)
            {
                continue;
            }
            let mut state = log.lock();
            let from = state.high_watermark;
            let to = match lost.damage.offsets {
                Some((base, next)) if base == from => next,
                Some(_) => continue,
                None => from.plus(lost.at_most),
            };
            if to > from {
                state.raise_end(to);
                state.damage.push(Arc::new(Damage {
                    partition: Some(log.id()),
                    offsets: Some((from, to)),
                    ..lost.damage.clone()
                }));
            }
        }
    }
}

impl State {
    /// Segments came first, and files in the order of their numbers; from here on the order is that of the offsets.
    fn tidy_extents(&mut self) {
        self.extents
            .make_contiguous()
            .sort_by_key(|extent| extent.base);
        self.bytes = self.extents.iter().map(|extent| extent.bytes).sum();
        self.aborted.trim(self.start);
        self.aborted.settle();
        self.drop_trimmed();
    }

    /// Offsets between the log start and the high watermark that no extent has.
    fn holes(&self) -> Vec<(Offset, Offset)> {
        let mut holes = Vec::new();
        let mut at = self.start;
        for extent in &self.extents {
            if extent.base > at {
                holes.push((at, extent.base));
            }
            at = at.max(extent.next);
        }
        if at < self.high_watermark {
            holes.push((at, self.high_watermark));
        }
        holes
    }
}
