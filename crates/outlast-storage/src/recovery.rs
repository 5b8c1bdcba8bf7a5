//! Opening a data directory: what is there, what a crash left, and what to do about it.

use std::path::Path;
use std::sync::Arc;

use crate::error::{Damage, StorageError};
use crate::io::{Clock, Io};
use crate::manifest::Manifest;
use crate::options::StoreOptions;
use crate::partition::{IndexCache, PartitionLog, Reader, State};
use crate::store::{Logs, Shared};
use crate::wal::entry::Content;
use crate::wal::file::{EXTENSION, WalFile, number_of};
use crate::wal::scan::{ScannedSection, scan};
use crate::wal::writer::WriterCore;

pub(crate) const WAL_DIR: &str = "wal";
pub(crate) const LOCK: &str = "LOCK";

/// What opening found and did; for the lines that a server prints at its start.
#[derive(Clone, Debug, Default)]
pub struct RecoveryReport {
    pub partitions: usize,
    /// Write-ahead log files that were opened.
    pub files: usize,
    /// Entries of unsealed files that were read and checked.
    pub entries_scanned: u64,
    pub bytes_scanned: u64,
    /// Bytes of an entry that was never acknowledged, cut from the end of the log.
    pub torn_bytes: u64,
    pub damage: Vec<Arc<Damage>>,
}

pub(crate) fn open(
    io: Arc<dyn Io>,
    clock: Arc<dyn Clock>,
    dir: &Path,
    options: StoreOptions,
) -> Result<(Arc<Shared>, WriterCore, RecoveryReport), StorageError> {
    let wal_dir = dir.join(WAL_DIR);
    io.create_dir(&wal_dir)
        .map_err(StorageError::io("creating", &wal_dir))?;
    let lock_path = dir.join(LOCK);
    let note = format!("process {}", std::process::id());
    let lock = io
        .lock(&lock_path, &note)
        .map_err(StorageError::io("locking", &lock_path))?
        .map_err(|holder| StorageError::Locked {
            path: lock_path,
            holder,
        })?;
    let manifest = match Manifest::load(&*io, dir)? {
        Some(manifest) => manifest,
        None => {
            let manifest = Manifest {
                store_id: io.entropy(),
            };
            manifest.store(&*io, dir)?;
            manifest
        }
    };
    let reader = Arc::new(Reader {
        verify: options.verify_reads,
        indexes: IndexCache::new(options.index_cache_bytes),
    });
    let shared = Arc::new(Shared::new(
        io,
        clock,
        options,
        dir,
        manifest.store_id,
        reader,
        Logs::default(),
        lock,
    ));
    let mut report = RecoveryReport::default();
    let mut numbers: Vec<u64> = shared
        .io
        .list(&wal_dir)
        .map_err(StorageError::io("listing", &wal_dir))?
        .iter()
        .filter_map(|entry| number_of(&entry.name, EXTENSION))
        .collect();
    numbers.sort_unstable();
    let mut next_sequence = 1;
    for number in &numbers {
        let file = Arc::new(WalFile::open(
            &*shared.io,
            &wal_dir,
            shared.store_id,
            *number,
        )?);
        report.files += 1;
        let end = scan(&file, Some(next_sequence), |entry| {
            report.entries_scanned += 1;
            report.bytes_scanned += entry.header.total_len();
            for section in entry.sections {
                replay(&shared, &file, entry.header.sequence, section);
            }
        })?;
        next_sequence = end.next_sequence;
    }
    let next_file = numbers.last().map_or(1, |last| last + 1);
    report.partitions = shared.logs.read().by_id.len();
    let writer = WriterCore::new(Arc::clone(&shared), wal_dir, next_file, next_sequence);
    Ok((shared, writer, report))
}

fn replay(shared: &Shared, file: &Arc<WalFile>, sequence: u64, scanned: ScannedSection) {
    let log: Arc<PartitionLog> = shared.log(scanned.section.partition);
    match scanned.section.content {
        Content::Batches { leader_epoch, .. } => {
            let mut state = log.lock();
            let state: &mut State = &mut state;
            state.touch(file);
            state.add_batches(file, sequence, leader_epoch, scanned.batches.into_iter());
            log.publish(state);
        }
        Content::LogStart { to } => {
            let mut state = log.lock();
            state.raise_start(to);
            log.publish(&state);
        }
        Content::Delete => shared.forget(&[log.id()]),
    }
}
