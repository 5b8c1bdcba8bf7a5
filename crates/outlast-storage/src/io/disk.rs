//! The real disk and the real clock, by `rustix`'s safe system calls.

use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use outlast_records::Timestamp;
use rustix::fs::{FallocateFlags, FlockOperation};

use super::{Clock, DirEntry, Io, IoFile, LockGuard};

/// The machine's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one implementation of the clock seam"
    )]
    fn now(&self) -> Timestamp {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
            Err(_) => Timestamp(0),
        }
    }
}

/// The machine's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskIo;

#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is the disk behind the seam"
)]
impl Io for DiskIo {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn IoFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        Ok(Arc::new(DiskFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn IoFile>> {
        Ok(Arc::new(DiskFile(
            OpenOptions::new().read(true).write(true).open(path)?,
        )))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            entries.push(DirEntry {
                name: entry.file_name().to_string_lossy().into_owned(),
                is_dir: entry.file_type()?.is_dir(),
            });
        }
        Ok(entries)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path, note: &str) -> io::Result<Result<Box<dyn LockGuard>, String>> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(e) if e == rustix::io::Errno::WOULDBLOCK => {
                return Ok(Err(std::fs::read_to_string(path)
                    .unwrap_or_default()
                    .trim()
                    .to_owned()));
            }
            Err(e) => return Err(e.into()),
        }
        file.set_len(0)?;
        file.write_all(note.as_bytes())?;
        Ok(Ok(Box::new(DiskLock(file))))
    }

    fn uptime(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }

    fn entropy(&self) -> u128 {
        // The standard library seeds its hash maps from the kernel: that is all the randomness names need.
        let word = || u128::from(RandomState::new().build_hasher().finish());
        (word() << 64) | word()
    }
}

struct DiskLock(#[allow(dead_code, reason = "the open file is the lock")] File);

impl LockGuard for DiskLock {}

struct DiskFile(File);

impl IoFile for DiskFile {
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_at(buf, position)
    }

    fn write_at(&self, bufs: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        Ok(rustix::io::pwritev(&self.0, bufs, position)?)
    }

    fn allocate(&self, position: u64, len: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.0, FallocateFlags::empty(), position, len) {
            Err(e) if e == rustix::io::Errno::OPNOTSUPP => Err(io::ErrorKind::Unsupported.into()),
            other => Ok(other?),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(&self.0)?)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}
