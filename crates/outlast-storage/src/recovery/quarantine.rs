//! Where what isn't understood goes: moved or copied, never deleted.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use outlast_records::Timestamp;

use super::QUARANTINE_DIR;
use crate::error::StorageError;
use crate::io::{Io, IoFile, read_exact, write_all};

/// One opening's part of the quarantine directory.
pub(crate) struct Quarantine<'a> {
    io: &'a dyn Io,
    dir: PathBuf,
    now: Timestamp,
    moved: Vec<PathBuf>,
}

impl<'a> Quarantine<'a> {
    pub(crate) fn new(io: &'a dyn Io, data_dir: &Path, now: Timestamp) -> Quarantine<'a> {
        Quarantine {
            io,
            dir: data_dir.join(QUARANTINE_DIR),
            now,
            moved: Vec::new(),
        }
    }

    /// Moves a file (or directory) here; nothing happens when it is not there.
    pub(crate) fn take(&mut self, path: &Path) -> Result<(), StorageError> {
        let name = path
            .file_name()
            .map_or_else(|| "unnamed".into(), |name| name.to_string_lossy());
        let target = self.target(&name)?;
        match self.io.rename(path, &target) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(StorageError::io("moving to quarantine", path)(e)),
        }
        for dir in [Some(self.dir.as_path()), path.parent()]
            .into_iter()
            .flatten()
        {
            self.io
                .sync_dir(dir)
                .map_err(StorageError::io("syncing", dir))?;
        }
        self.moved.push(target);
        Ok(())
    }

    /// Copies a part of a file here.
    pub(crate) fn copy(
        &mut self,
        path: &Path,
        file: &dyn IoFile,
        position: u64,
        len: u64,
    ) -> Result<(), StorageError> {
        const STEP: u64 = 1 << 20;
        let name = path
            .file_name()
            .map_or_else(|| "unnamed".into(), |name| name.to_string_lossy());
        let target = self.target(&format!("{name}.from-{position}"))?;
        let failed = StorageError::io("copying to quarantine", path);
        let copy = || -> io::Result<()> {
            let copied = self.io.create(&target)?;
            let mut at = 0;
            while at < len {
                let mut bytes = vec![0; STEP.min(len - at) as usize];
                read_exact(file, &mut bytes, position + at)?;
                write_all(&*copied, &mut [IoSlice::new(&bytes)], at)?;
                at += bytes.len() as u64;
            }
            copied.sync_data()?;
            self.io.sync_dir(&self.dir)
        };
        copy().map_err(failed)?;
        self.moved.push(target);
        Ok(())
    }

    /// A name that is free: the time of the opening keeps apart what two openings find under one name.
    fn target(&self, name: &str) -> Result<PathBuf, StorageError> {
        let failed = || StorageError::io("creating", &self.dir);
        self.io.create_dir(&self.dir).map_err(failed())?;
        let taken = self.io.list(&self.dir).map_err(failed())?;
        let mut target = format!("{}-{name}", self.now);
        let mut more = 1;
        while taken.iter().any(|entry| entry.name == target) {
            more += 1;
            target = format!("{}-{more}-{name}", self.now);
        }
        Ok(self.dir.join(target))
    }

    pub(crate) fn into_moved(self) -> Vec<PathBuf> {
        self.moved
    }
}
