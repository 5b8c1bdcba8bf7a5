//! Opening a data directory: what is there, what a crash left, and what to do about it.
//!
//! The manifest is the start; over it are folded, oldest first, the side-cars of sealed files and the entries of unsealed
//! ones. Stated outcomes:
//!
//! | found | outcome |
//! |---|---|
//! | the end of the last file is no whole entry, and nothing behind it says that it was synced | torn tail: copied to quarantine, cut, reported |
//! | an entry's header is damaged, something behind it is whole | its sections are read by themselves; reported |
//! | a batch is damaged | its section's offsets answer `Corrupt`, everything else is served; reported |
//! | a section's table line is damaged | partitions that may have been meant skip as many offsets; reported |
//! | a side-car is missing or damaged | the file is scanned and the side-car made again |
//! | the header of a write-ahead log file is damaged | its entries say themselves where they belong; reported |
//! | a listed file is missing, its side-car is there | its offsets answer `Corrupt`; reported |
//! | a listed file is missing without a side-car | holes answer `Corrupt`; the newest file of all: refused, see [`StoreOptions::accept_lost_files`] |
//! | a segment is missing, or its directory is damaged | its offsets answer `Corrupt`; reported |
//! | one copy of the manifest is damaged | the other is used and the copy made again |
//! | both are | refused: deleted data could come back |
//! | a temporary file | removed |
//! | a file that an interrupted removal left, a segment that was not finished | removed |
//! | any other file or directory | moved to `quarantine/` |
//! | a newer format version, an unknown cipher | refused by name |

mod files;
mod fold;
mod quarantine;
mod segments;

use std::path::Path;
use std::sync::Arc;

use crate::error::{Damage, StorageError};
use crate::io::{Clock, Io};
use crate::maintenance::Leaving;
use crate::manifest::{self, Loaded, Manifest};
use crate::options::StoreOptions;
use crate::partition::Reader;
use crate::segment;
use crate::store::Shared;
use crate::wal::writer::WriterCore;

use fold::Discard;
pub(crate) use fold::Recovered;
pub(crate) use quarantine::Quarantine;

pub(crate) const WAL_DIR: &str = "wal";
pub(crate) const QUARANTINE_DIR: &str = "quarantine";
pub(crate) const LOCK: &str = "LOCK";

/// What opening found and did; for the lines that a server prints at its start.
#[derive(Clone, Debug, Default)]
pub struct RecoveryReport {
    pub partitions: usize,
    /// Write-ahead log files that hold something.
    pub files: usize,
    /// Entries of unsealed files that were read and checked.
    pub entries_scanned: u64,
    pub bytes_scanned: u64,
    /// Bytes of an entry that was never acknowledged, cut from the end of the log.
    pub torn_bytes: u64,
    /// What was moved to (or copied to) quarantine, by its new path.
    pub quarantined: Vec<std::path::PathBuf>,
    /// What can't be read any more, and what was damaged but made good.
    pub damage: Vec<Arc<Damage>>,
}

impl RecoveryReport {
    pub(crate) fn damaged(&mut self, damage: Damage) -> Arc<Damage> {
        let damage = Arc::new(damage);
        self.damage.push(Arc::clone(&damage));
        damage
    }
}

pub(crate) fn open(
    io: Arc<dyn Io>,
    clock: Arc<dyn Clock>,
    dir: &Path,
    options: StoreOptions,
) -> Result<(Arc<Shared>, WriterCore, RecoveryReport), StorageError> {
    let wal_dir = dir.join(WAL_DIR);
    create_dirs(&*io, dir, &wal_dir)?;
    let lock_path = dir.join(LOCK);
    let lock = io
        .lock(&lock_path, &format!("process {}", std::process::id()))
        .map_err(StorageError::io("locking", &lock_path))?
        .map_err(|holder| StorageError::Locked {
            path: lock_path,
            holder,
        })?;
    let mut report = RecoveryReport::default();
    let mut quarantine = Quarantine::new(&*io, dir, clock.now());
    files::remove_temporaries(&*io, dir)?;
    files::remove_temporaries(&*io, &wal_dir)?;
    let manifest = load_manifest(&*io, dir, &wal_dir, &mut quarantine, &mut report)?;
    let reader = Arc::new(Reader::new(options.verify_reads, options.index_cache_bytes));
    let mut fold = fold::Fold::new(&manifest, reader, &options);
    segments::fold_segments(
        &*io,
        dir,
        &manifest,
        &mut fold,
        &mut quarantine,
        &mut report,
    )?;
    files::fold_files(
        &*io,
        &wal_dir,
        &manifest,
        &options.accept_lost_files,
        &mut fold,
        &mut quarantine,
        &mut report,
    )?;
    let mut recovered = fold.finish(&mut report);
    report.partitions = recovered.logs.by_id.len();
    report.files = recovered.files.len();
    let (next_file, next_sequence) = (recovered.next_file, recovered.next_sequence);
    let discard = std::mem::take(&mut recovered.discard);
    let shared = Shared::new(
        Arc::clone(&io),
        clock,
        options,
        dir,
        &manifest,
        recovered,
        lock,
    );
    if !report.damage.is_empty() || !discard.is_empty() {
        // What was concluded must not be concluded again from less.
        let removed = discard.iter().filter(|(_, _, how)| *how == Discard::Remove);
        shared.store_manifest(&Leaving {
            files: removed.map(|(number, _, _)| *number).collect(),
            ..Leaving::default()
        })?;
    }
    for (_, path, how) in discard {
        match how {
            Discard::Remove => io
                .remove(&path)
                .map_err(StorageError::io("removing", &path))?,
            Discard::Quarantine => quarantine.take(&path)?,
        }
    }
    report.quarantined = quarantine.into_moved();
    let shared = Arc::new(shared);
    let writer = WriterCore::new(Arc::clone(&shared), wal_dir, next_file, next_sequence);
    Ok((shared, writer, report))
}

fn create_dirs(io: &dyn Io, dir: &Path, wal_dir: &Path) -> Result<(), StorageError> {
    let creating = StorageError::io("creating", wal_dir);
    io.create_dir(wal_dir)
        .and_then(|()| io.create_dir(&dir.join(segment::DIR)))
        .and_then(|()| io.sync_dir(dir))
        .and_then(|()| match dir.parent() {
            // The directory's own name, when it was made just now; not everybody may open its parent.
            Some(parent) if !parent.as_os_str().is_empty() => io.sync_dir(parent).or(Ok(())),
            _ => Ok(()),
        })
        .map_err(creating)
}

fn load_manifest(
    io: &dyn Io,
    dir: &Path,
    wal_dir: &Path,
    quarantine: &mut Quarantine<'_>,
    report: &mut RecoveryReport,
) -> Result<Manifest, StorageError> {
    match Manifest::load(io, dir)? {
        Loaded::Found {
            manifest,
            bad: None,
        } => Ok(manifest),
        Loaded::Found {
            mut manifest,
            bad: Some((name, what)),
        } => {
            if let Some(what) = what {
                let path = dir.join(name);
                quarantine.take(&path)?;
                report.damaged(Damage {
                    path,
                    position: 0,
                    what: format!("{what}; the other copy was used and this one made again"),
                    partition: None,
                    offsets: None,
                });
            }
            manifest.generation += 1;
            manifest.store(io, dir)?;
            Ok(manifest)
        }
        Loaded::Nothing => {
            let listed = io
                .list(wal_dir)
                .map_err(StorageError::io("listing", wal_dir))?;
            if listed.iter().any(|entry| files::is_ours(&entry.name)) {
                return Err(StorageError::ManifestLost {
                    dir: dir.to_owned(),
                    reason: format!("{} and {} are missing", manifest::FILE, manifest::COPY),
                });
            }
            let manifest = Manifest {
                store_id: io.entropy(),
                generation: 1,
                next_file: 1,
                next_sequence: 1,
                ..Manifest::default()
            };
            manifest.store(io, dir)?;
            Ok(manifest)
        }
    }
}
