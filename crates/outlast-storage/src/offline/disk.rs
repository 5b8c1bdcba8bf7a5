//! The disk, for reading only: whatever would change something is refused before it reaches the file system.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::FlockOperation;

use crate::io::{DirEntry, DiskIo, Io, IoFile, LockGuard};

#[derive(Clone, Copy, Debug)]
pub(super) struct ReadOnlyDisk;

fn refused<T>() -> io::Result<T> {
    Err(io::Error::new(
        io::ErrorKind::ReadOnlyFilesystem,
        "opened for reading only",
    ))
}

#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is a disk behind the seam"
)]
impl Io for ReadOnlyDisk {
    fn create(&self, _: &Path) -> io::Result<Arc<dyn IoFile>> {
        refused()
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn IoFile>> {
        Ok(Arc::new(ReadOnlyFile(
            OpenOptions::new().read(true).open(path)?,
        )))
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        DiskIo.list(dir)
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    /// Only looks who has the lock: nothing is written into the file, and the lock is not kept, so that a server can
    /// start meanwhile.
    fn lock(&self, path: &Path, _: &str) -> io::Result<Result<Box<dyn LockGuard>, String>> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Ok(Box::new(NoLock))),
            Err(e) => return Err(e),
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(Ok(Box::new(NoLock))),
            Err(e) if e == rustix::io::Errno::WOULDBLOCK => {
                let mut note = String::new();
                file.read_to_string(&mut note)?;
                Ok(Err(note.trim().to_owned()))
            }
            Err(e) => Err(e.into()),
        }
    }

    fn entropy(&self) -> u128 {
        0
    }
}

struct NoLock;

impl LockGuard for NoLock {}

struct ReadOnlyFile(File);

#[allow(clippy::disallowed_methods, reason = "this is a disk behind the seam")]
impl IoFile for ReadOnlyFile {
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_at(buf, position)
    }

    fn write_at(&self, _: &[IoSlice<'_>], _: u64) -> io::Result<usize> {
        refused()
    }

    fn allocate(&self, _: u64, _: u64) -> io::Result<()> {
        refused()
    }

    fn sync_data(&self) -> io::Result<()> {
        refused()
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        refused()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}
