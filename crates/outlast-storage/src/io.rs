//! The seam between the storage engine and the machine: every file operation and the wall clock.
//!
//! The engine sees nothing of the disk but these traits, so that a test can lose unsynced bytes, tear a
//! write or fill the disk, and a simulator can own time. What each call promises about durability is written
//! on it; the engine relies on nothing else.

mod disk;
#[cfg(any(test, feature = "fault-disk"))]
pub mod fault;

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use outlast_records::Timestamp;

pub use disk::{DiskIo, SystemClock};

/// The wall clock. Used for what people read (entry times, retention), never for the order of anything.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Timestamp;
}

/// File operations of one data directory.
pub trait Io: Send + Sync + 'static {
    /// Creates a file that must not exist yet. Its name is durable after [`Io::sync_dir`] of its directory.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn IoFile>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn IoFile>>;
    /// Atomically gives a file another name, replacing what had it; durable after `sync_dir`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file's name; open handles go on reading. Durable after `sync_dir`.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Creates a directory and its parents, when absent.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// What a directory holds, in no particular order.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the lock file for as long as the guard lives and writes `note` into it; `Err(Some(note))` of the
    /// process that has it.
    fn lock(&self, path: &Path, note: &str) -> io::Result<Result<Box<dyn LockGuard>, String>>;
    /// Time since some moment, for measuring how long things take. Zero where nobody measures.
    fn uptime(&self) -> Duration {
        Duration::ZERO
    }
    /// Random bits for names and salts (not secrets).
    fn entropy(&self) -> u128;
}

/// Releases the lock when dropped.
pub trait LockGuard: Send + Sync {}

/// An open file. Positions are absolute; there is no cursor.
pub trait IoFile: Send + Sync {
    /// Reads up to `buf.len()` bytes; 0 means the end of the file.
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize>;
    /// Writes some of the slices' bytes, in order; may be fewer than all.
    fn write_at(&self, bufs: &[IoSlice<'_>], position: u64) -> io::Result<usize>;
    /// Reserves space so that a later write in the range can't meet a full disk, and makes the file at least
    /// that long; the range reads as zeros until written. `Unsupported` where the file system can't.
    fn allocate(&self, position: u64, len: u64) -> io::Result<()>;
    /// Makes written bytes (and what is needed to read them) durable. After an error nothing is known about
    /// any earlier write: the caller must not go on.
    fn sync_data(&self) -> io::Result<()>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    fn len(&self) -> io::Result<u64>;
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    pub name: String,
    pub is_dir: bool,
}

/// Fills `buf` from `position`, through as many short reads as it takes; `UnexpectedEof` when the file ends.
pub(crate) fn read_exact(
    file: &dyn IoFile,
    mut buf: &mut [u8],
    mut position: u64,
) -> io::Result<()> {
    while !buf.is_empty() {
        match file.read_at(buf, position) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                buf = &mut buf[n..];
                position += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Writes all slices at `position`, through as many short writes as it takes.
pub(crate) fn write_all(
    file: &dyn IoFile,
    mut bufs: &mut [IoSlice<'_>],
    mut position: u64,
) -> io::Result<()> {
    IoSlice::advance_slices(&mut bufs, 0);
    while !bufs.is_empty() {
        let part = &bufs[..bufs.len().min(MAX_PARTS)];
        match file.write_at(part, position) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                IoSlice::advance_slices(&mut bufs, n);
                position += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Linux takes at most this many parts in one vectored write (`IOV_MAX`).
const MAX_PARTS: usize = 1024;

/// Puts `bytes` under `path` so that after a crash either the old content or the new is there, never a mixture:
/// a temporary file, synced, renamed over it, and the directory synced.
pub(crate) fn replace_file(io: &dyn Io, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension(TEMPORARY);
    if let Err(e) = io.remove(&temporary)
        && e.kind() != io::ErrorKind::NotFound
    {
        return Err(e);
    }
    let file = io.create(&temporary)?;
    write_all(&*file, &mut [IoSlice::new(bytes)], 0)?;
    file.sync_data()?;
    io.rename(&temporary, path)?;
    match path.parent() {
        Some(dir) => io.sync_dir(dir),
        None => Ok(()),
    }
}

/// The extension of a file that was never finished; recovery removes it.
pub(crate) const TEMPORARY: &str = "tmp";

/// The whole of a file.
pub(crate) fn read_file(io: &dyn Io, path: &Path) -> io::Result<Vec<u8>> {
    let file = io.open(path)?;
    let len =
        usize::try_from(file.len()?).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    let mut bytes = vec![0; len];
    read_exact(&*file, &mut bytes, 0)?;
    Ok(bytes)
}
