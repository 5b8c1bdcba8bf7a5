//! Which files are there, which should be, and what each of them has to say.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use outlast_records::Timestamp;

use super::fold::{Discard, Fold, Scanned};
use super::{Quarantine, RecoveryReport};
use crate::error::{Damage, StorageError};
use crate::frame::FRAME_SIZE;
use crate::io::{Io, IoFile, TEMPORARY, read_exact};
use crate::manifest::Manifest;
use crate::wal::file::{self, Opened, WalFile, number_of, wal_path};
use crate::wal::scan::{find_salt, first_entry, scan};
use crate::wal::sidecar::{self, SideCar, Summary, side_car_path};

pub(crate) fn is_ours(name: &str) -> bool {
    number_of(name, file::EXTENSION).is_some() || number_of(name, sidecar::EXTENSION).is_some()
}

/// Removes what an interrupted write left: nothing ever depended on it.
pub(crate) fn remove_temporaries(io: &dyn Io, dir: &Path) -> Result<(), StorageError> {
    let failed = || StorageError::io("tidying", dir);
    let suffix = format!(".{TEMPORARY}");
    let mut removed = false;
    for entry in io.list(dir).map_err(failed())? {
        let ours = entry.name.strip_suffix(&suffix).is_some_and(|stem| {
            stem == crate::manifest::FILE
                || (stem.len() == 20 && stem.bytes().all(|b| b.is_ascii_digit()))
        });
        if ours && !entry.is_dir {
            io.remove(&dir.join(&entry.name)).map_err(failed())?;
            removed = true;
        }
    }
    if removed {
        io.sync_dir(dir).map_err(failed())
    } else {
        Ok(())
    }
}

/// Everything in the directory of the write-ahead log.
struct Listing {
    /// Numbers that have a file, a side-car, or a line in the manifest.
    numbers: BTreeSet<u64>,
    files: BTreeSet<u64>,
    side_cars: BTreeSet<u64>,
}

/// Folds all files of the write-ahead log, oldest first.
pub(crate) fn fold_files(
    io: &dyn Io,
    wal_dir: &Path,
    manifest: &Manifest,
    accept_lost: &[u64],
    fold: &mut Fold,
    quarantine: &mut Quarantine<'_>,
    report: &mut RecoveryReport,
) -> Result<(), StorageError> {
    let listing = list(io, wal_dir, manifest, quarantine)?;
    for number in &listing.numbers {
        let mut opening = Opening {
            io,
            wal_dir,
            manifest,
            listing: &listing,
            accept_lost,
            number: *number,
        };
        opening.fold(fold, quarantine, report)?;
    }
    Ok(())
}

fn list(
    io: &dyn Io,
    wal_dir: &Path,
    manifest: &Manifest,
    quarantine: &mut Quarantine<'_>,
) -> Result<Listing, StorageError> {
    let failed = || StorageError::io("listing", wal_dir);
    let listed: BTreeSet<u64> = manifest.files.iter().copied().collect();
    let mut listing = Listing {
        numbers: listed.clone(),
        files: BTreeSet::new(),
        side_cars: BTreeSet::new(),
    };
    let mut removed = false;
    for entry in io.list(wal_dir).map_err(failed())? {
        let path = wal_dir.join(&entry.name);
        let wal = number_of(&entry.name, file::EXTENSION);
        let Some(number) = wal
            .or(number_of(&entry.name, sidecar::EXTENSION))
            .filter(|_| !entry.is_dir)
        else {
            quarantine.take(&path)?;
            continue;
        };
        if number < manifest.next_file && !listed.contains(&number) {
            if manifest.removing.contains(&number) {
                // Removed by us: the manifest without it is durable, only the name was still there.
                io.remove(&path).map_err(failed())?;
                removed = true;
            } else {
                quarantine.take(&path)?;
            }
            continue;
        }
        listing.numbers.insert(number);
        match wal {
            Some(_) => listing.files.insert(number),
            None => listing.side_cars.insert(number),
        };
    }
    if removed {
        io.sync_dir(wal_dir).map_err(failed())?;
    }
    Ok(listing)
}

/// One number of the write-ahead log.
struct Opening<'a> {
    io: &'a dyn Io,
    wal_dir: &'a Path,
    manifest: &'a Manifest,
    listing: &'a Listing,
    accept_lost: &'a [u64],
    number: u64,
}

impl Opening<'_> {
    fn fold(
        &mut self,
        fold: &mut Fold,
        quarantine: &mut Quarantine<'_>,
        report: &mut RecoveryReport,
    ) -> Result<(), StorageError> {
        let side_car = self.side_car(quarantine, report)?;
        let path = wal_path(self.wal_dir, self.number);
        if !self.listing.files.contains(&self.number) {
            match side_car {
                Some((summary, _)) => fold.side_car(summary, None, &path, report),
                None => {
                    // A later file was made after the manifest that lists it knew all that was in this one.
                    let newest = self.number + 1 >= self.manifest.next_file;
                    if newest && !self.accept_lost.contains(&self.number) {
                        return Err(StorageError::LostFile {
                            path,
                            number: self.number,
                        });
                    }
                    fold.missing(&path, newest, report);
                }
            }
            return Ok(());
        }
        let Some(file) = self.file(fold, report)? else {
            fold.next_file = fold.next_file.max(self.number + 1);
            return Ok(());
        };
        match side_car {
            Some((summary, handle)) => {
                let there = (Arc::new(file), SideCar::new(handle));
                fold.side_car(summary, Some(there), &path, report);
                Ok(())
            }
            None => self.scan(Arc::new(file), fold, quarantine, report),
        }
    }

    /// The summary and handle of the side-car, if there is one that can be read.
    fn side_car(
        &self,
        quarantine: &mut Quarantine<'_>,
        report: &mut RecoveryReport,
    ) -> Result<Option<OpenSideCar>, StorageError> {
        if !self.listing.side_cars.contains(&self.number) {
            return Ok(None);
        }
        let path = side_car_path(self.wal_dir, self.number);
        let what = match read_summary(self.io, &path) {
            Ok((summary, handle))
                if summary.store_id == self.manifest.store_id && summary.file == self.number =>
            {
                return Ok(Some((summary, handle)));
            }
            Ok(_) => "it belongs to another file".to_owned(),
            Err(StorageError::Damaged { what, .. }) => what,
            Err(other) => return Err(other),
        };
        quarantine.take(&path)?;
        report.damaged(Damage {
            path,
            position: 0,
            what: format!("{what}; the index was made again from its file"),
            partition: None,
            offsets: None,
        });
        Ok(None)
    }

    /// Opens the file; `None` when there is nothing in it that is ours.
    fn file(
        &self,
        fold: &mut Fold,
        report: &mut RecoveryReport,
    ) -> Result<Option<WalFile>, StorageError> {
        let path = wal_path(self.wal_dir, self.number);
        let (handle, what) =
            match WalFile::open(self.io, self.wal_dir, self.manifest.store_id, self.number)? {
                Opened::Whole(file) => return Ok(Some(file)),
                Opened::Foreign(what) => (None, what),
                Opened::NoHeader { file, what } => (Some(file), what),
            };
        if let Some(handle) = handle {
            let salt = match self.listing.side_cars.contains(&self.number) {
                true => Some(0), // only a scan needs it
                false => {
                    find_salt(&*handle, self.number).map_err(StorageError::io("reading", &path))?
                }
            };
            if let Some(salt) = salt {
                report.damaged(Damage {
                    path: path.clone(),
                    position: 0,
                    what: format!("{what}; its entries were read all the same"),
                    partition: None,
                    offsets: None,
                });
                return Ok(Some(WalFile::new(
                    self.number,
                    path,
                    salt,
                    Timestamp::NONE,
                    handle,
                )));
            }
            let used = used_bytes(&*handle).map_err(StorageError::io("reading", &path))?;
            if used == 0 {
                // Made, and never synced: a crash came before its first entry.
                fold.discard(self.number, path, Discard::Remove);
                return Ok(None);
            }
            if self.proven_later()? == 0 {
                // The same, with a torn entry in it.
                report.torn_bytes += used;
                fold.discard(self.number, path, Discard::Quarantine);
                return Ok(None);
            }
        }
        fold.discard(self.number, path.clone(), Discard::Quarantine);
        report.damaged(Damage {
            path,
            position: 0,
            what: what.to_owned(),
            partition: None,
            offsets: None,
        });
        Ok(None)
    }

    fn scan(
        &self,
        file: Arc<WalFile>,
        fold: &mut Fold,
        quarantine: &mut Quarantine<'_>,
        report: &mut RecoveryReport,
    ) -> Result<(), StorageError> {
        let proven = self.proven_later()?;
        let mut scanned = Scanned::default();
        // Unknown when the file before is gone.
        let first = fold.next_sequence_of(self.number - 1);
        let end = scan(&file, first, proven, &mut |found| {
            fold.scanned(&file, found, &mut scanned, report)
        })?;
        if end.torn_bytes > 0 {
            report.torn_bytes += end.torn_bytes;
            quarantine.copy(&file.path, &*file.file, end.position, end.torn_bytes)?;
            file.file
                .set_len(end.position)
                .map_err(StorageError::io("cutting", &file.path))?;
            file.file
                .sync_data()
                .map_err(StorageError::io("syncing", &file.path))?;
        }
        for (position, len) in &scanned.damaged {
            quarantine.copy(&file.path, &*file.file, *position, *len)?;
        }
        if scanned.is_empty() {
            fold.next_file = fold.next_file.max(self.number + 1);
            fold.discard(self.number, file.path.clone(), Discard::Remove);
            return Ok(());
        }
        fold.seal(file, scanned, end.position, end.next_sequence);
        Ok(())
    }

    /// The newest sequence that a later file says was durable.
    fn proven_later(&self) -> Result<u64, StorageError> {
        for later in self.listing.numbers.range(self.number + 1..) {
            if self.listing.side_cars.contains(later)
                && let Ok((summary, _)) =
                    read_summary(self.io, &side_car_path(self.wal_dir, *later))
            {
                return Ok(summary.first_sequence.saturating_sub(1));
            }
            if self.listing.files.contains(later)
                && let Opened::Whole(file) =
                    WalFile::open(self.io, self.wal_dir, self.manifest.store_id, *later)?
                && let Some(header) = first_entry(&file)?
            {
                return Ok(header.first_sequence().saturating_sub(1));
            }
        }
        Ok(0)
    }
}

type OpenSideCar = (Summary, Arc<dyn IoFile>);

fn read_summary(io: &dyn Io, path: &Path) -> Result<OpenSideCar, StorageError> {
    let failed = || StorageError::io("reading", path);
    let damaged = || StorageError::Damaged {
        path: path.to_owned(),
        position: 0,
        what: "it is cut off".to_owned(),
    };
    let file = io.open(path).map_err(failed())?;
    let len = file.len().map_err(failed())?;
    let mut frame = [0; FRAME_SIZE];
    let read = |buf: &mut [u8]| match read_exact(&*file, buf, 0) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(damaged()),
        other => other.map_err(failed()),
    };
    read(&mut frame)?;
    let size = sidecar::summary_len(&frame)
        .filter(|size| *size as u64 <= len)
        .ok_or_else(damaged)?;
    let mut bytes = vec![0; size];
    read(&mut bytes)?;
    let summary = sidecar::decode(&bytes, path)?;
    if summary.len() > len {
        return Err(damaged());
    }
    Ok((summary, file))
}

/// Up to the last byte that is not zero.
fn used_bytes(file: &dyn IoFile) -> io::Result<u64> {
    let len = file.len()?;
    let mut bytes = vec![0; 1 << 16];
    let (mut at, mut used) = (0, 0);
    while at < len {
        let part = (len - at).min(bytes.len() as u64) as usize;
        read_exact(file, &mut bytes[..part], at)?;
        if let Some(last) = bytes[..part].iter().rposition(|byte| *byte != 0) {
            used = at + last as u64 + 1;
        }
        at += part as u64;
    }
    Ok(used)
}
