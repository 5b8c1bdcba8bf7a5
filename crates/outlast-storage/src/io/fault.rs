//! A disk in memory that does what disks do to those who trust them: it forgets what was not synced, tears writes,
//! fills up, fails, reads short and flips bits, when a test says so.
//!
//! The rules are the hard ones. Written bytes survive a crash only if the file was synced after them; a name (created,
//! renamed, removed) only if its directory was. What was not synced may survive too, in pieces: a test chooses which.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{DirEntry, Io, IoFile, LockGuard};

/// The kinds of calls that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Create,
    Open,
    Rename,
    Remove,
    CreateDir,
    List,
    SyncDir,
    Read,
    Write,
    Allocate,
    Sync,
    SetLen,
}

/// What of the unsynced bytes and names is there after a crash.
#[derive(Clone, Copy, Debug)]
pub enum Survives {
    Nothing,
    Everything,
    /// The first so many bytes that were written, in order; all names.
    Bytes(usize),
    /// Each 512-byte sector and each name by the toss of a coin.
    Chance(u64),
}

/// See the module. Clones are the same disk.
#[derive(Clone, Default)]
pub struct FaultDisk(Arc<Mutex<Disk>>);

#[derive(Default)]
struct Disk {
    files: Vec<File>,
    names: BTreeMap<PathBuf, usize>,
    dirs: BTreeSet<PathBuf>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Changes of names that are not durable yet, in order.
    name_changes: Vec<NameChange>,
    /// Changes of content that are not durable yet, in order.
    changes: Vec<Change>,
    locked: BTreeMap<PathBuf, String>,
    faults: Vec<Fault>,
    /// Bytes that fit on the disk.
    capacity: Option<u64>,
    longest_read: Option<usize>,
    /// Calls until the power fails.
    calls_left: Option<u64>,
    /// Handles and locks of an earlier life do nothing any more.
    life: u64,
    entropy: u128,
    syncs: u64,
}

#[derive(Default)]
struct File {
    bytes: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Clone)]
enum NameChange {
    Set(PathBuf, usize),
    Clear(PathBuf),
    Move(PathBuf, PathBuf),
}

struct Change {
    file: usize,
    what: Content,
}

enum Content {
    Write(usize, Vec<u8>),
    Len(usize),
}

struct Fault {
    op: Op,
    part_of_path: String,
    after: u32,
    times: u32,
    error: fn() -> io::Error,
}

/// "Input/output error", as a failing device gives it.
pub fn eio() -> io::Error {
    io::Error::from_raw_os_error(5)
}

/// "No space left on device".
pub fn enospc() -> io::Error {
    io::ErrorKind::StorageFull.into()
}

impl FaultDisk {
    pub fn new() -> FaultDisk {
        FaultDisk::default()
    }

    /// Lets calls of a kind on paths that contain `part_of_path` fail: `times` of them, after `after` that succeed.
    pub fn fail(
        &self,
        op: Op,
        part_of_path: &str,
        after: u32,
        times: u32,
        error: fn() -> io::Error,
    ) {
        self.0.lock().faults.push(Fault {
            op,
            part_of_path: part_of_path.to_owned(),
            after,
            times,
            error,
        });
    }

    pub fn heal(&self) {
        let mut disk = self.0.lock();
        disk.faults.clear();
        disk.longest_read = None;
        disk.calls_left = None;
    }

    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.0.lock().capacity = bytes;
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.0.lock().used()
    }

    /// No read returns more than this at once.
    pub fn set_longest_read(&self, bytes: usize) {
        self.0.lock().longest_read = Some(bytes);
    }

    /// The power fails after so many more calls: everything from there on fails and changes nothing.
    pub fn fail_power_after(&self, calls: u64) {
        self.0.lock().calls_left = Some(calls);
    }

    pub fn power_is_on(&self) -> bool {
        self.0.lock().calls_left != Some(0)
    }

    /// No power failure is due.
    pub fn power_is_steady(&self) -> bool {
        self.0.lock().calls_left.is_none()
    }

    /// How often a file was synced.
    pub fn syncs(&self) -> u64 {
        self.0.lock().syncs
    }

    /// The machine starts again after losing power: what survived is what is there now, and durable.
    pub fn crash(&self, survives: Survives) {
        self.0.lock().crash(survives);
    }

    /// Bytes that a crash with [`Survives::Bytes`] can choose among.
    pub fn unsynced_bytes(&self) -> usize {
        let write = |change: &Change| match &change.what {
            Content::Write(_, bytes) => bytes.len(),
            Content::Len(_) => 0,
        };
        self.0.lock().changes.iter().map(write).sum()
    }

    /// All files, in order.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.0.lock().names.keys().cloned().collect()
    }

    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let disk = self.0.lock();
        disk.names
            .get(path)
            .map(|file| disk.files[*file].bytes.clone())
    }

    /// Changes a file behind everybody's back, durably; `None` removes it.
    pub fn tamper(&self, path: &Path, change: impl FnOnce(Option<Vec<u8>>) -> Option<Vec<u8>>) {
        let before = self.content(path);
        let after = change(before);
        let mut disk = self.0.lock();
        disk.names.remove(path);
        disk.durable_names.remove(path);
        if let Some(bytes) = after {
            disk.files.push(File {
                durable: bytes.clone(),
                bytes,
            });
            let file = disk.files.len() - 1;
            disk.names.insert(path.to_owned(), file);
            disk.durable_names.insert(path.to_owned(), file);
        }
    }

    /// Changes a file under the handles that are open.
    pub fn overwrite(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut disk = self.0.lock();
        if let Some(file) = disk.names.get(path).copied() {
            change(&mut disk.files[file].bytes);
            disk.files[file].durable = disk.files[file].bytes.clone();
        }
    }

    pub fn flip_bit(&self, path: &Path, bit: usize) {
        self.tamper(path, |bytes| {
            let mut bytes = bytes?;
            bytes[bit / 8] ^= 1 << (bit % 8);
            Some(bytes)
        });
    }
}

impl Disk {
    /// Counts a call and says whether it fails.
    fn call(&mut self, op: Op, path: &Path) -> io::Result<()> {
        match &mut self.calls_left {
            Some(0) => return Err(io::Error::other("the power is off")),
            Some(left) => *left -= 1,
            None => {}
        }
        let path = path.to_string_lossy();
        for fault in &mut self.faults {
            if fault.op != op || !path.contains(&fault.part_of_path) {
                continue;
            }
            if fault.after > 0 {
                fault.after -= 1;
            } else if fault.times > 0 {
                fault.times -= 1;
                return Err((fault.error)());
            }
        }
        Ok(())
    }

    fn used(&self) -> u64 {
        let named: BTreeSet<usize> = self.names.values().copied().collect();
        named
            .iter()
            .map(|file| self.files[*file].bytes.len() as u64)
            .sum()
    }

    /// How far a file may grow.
    fn longest(&self, file: usize) -> usize {
        match self.capacity {
            None => usize::MAX,
            Some(capacity) => {
                let len = self.files[file].bytes.len();
                len + capacity.saturating_sub(self.used()) as usize
            }
        }
    }

    fn change(&mut self, file: usize, what: Content) {
        apply(&mut self.files[file].bytes, &what);
        self.changes.push(Change { file, what });
    }

    fn rename_durably(&mut self, change: &NameChange) {
        change_names(&mut self.durable_names, change);
    }

    fn crash(&mut self, survives: Survives) {
        let mut coin = Coin(match survives {
            Survives::Chance(seed) => seed,
            _ => 0,
        });
        for change in std::mem::take(&mut self.name_changes) {
            let kept = match survives {
                Survives::Nothing => false,
                Survives::Everything | Survives::Bytes(_) => true,
                Survives::Chance(_) => coin.toss(),
            };
            if kept {
                self.rename_durably(&change);
            }
        }
        let mut left = match survives {
            Survives::Nothing => 0,
            Survives::Bytes(bytes) => bytes,
            _ => usize::MAX,
        };
        for change in std::mem::take(&mut self.changes) {
            let durable = &mut self.files[change.file].durable;
            match (change.what, survives) {
                (_, Survives::Nothing) => {}
                (Content::Write(at, bytes), Survives::Chance(_)) => {
                    write_some_sectors(durable, at, &bytes, &mut coin);
                }
                (Content::Len(len), Survives::Chance(_)) => {
                    if coin.toss() {
                        durable.resize(len, 0);
                    }
                }
                (Content::Write(at, bytes), _) => {
                    let part = bytes.len().min(left);
                    left -= part;
                    apply(durable, &Content::Write(at, bytes[..part].to_vec()));
                }
                (what, _) => apply(durable, &what),
            }
        }
        for file in &mut self.files {
            file.bytes = file.durable.clone();
        }
        self.names = self.durable_names.clone();
        self.locked.clear();
        self.life += 1;
        self.calls_left = None;
    }
}

fn change_names(names: &mut BTreeMap<PathBuf, usize>, change: &NameChange) {
    match change {
        NameChange::Set(path, file) => {
            names.insert(path.clone(), *file);
        }
        NameChange::Clear(path) => {
            names.remove(path);
        }
        NameChange::Move(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
    }
}

fn apply(bytes: &mut Vec<u8>, what: &Content) {
    match what {
        Content::Len(len) => bytes.resize(*len, 0),
        Content::Write(at, written) if !written.is_empty() => {
            if bytes.len() < at + written.len() {
                bytes.resize(at + written.len(), 0);
            }
            bytes[*at..at + written.len()].copy_from_slice(written);
        }
        Content::Write(..) => {}
    }
}

fn write_some_sectors(durable: &mut Vec<u8>, at: usize, bytes: &[u8], coin: &mut Coin) {
    const SECTOR: usize = 512;
    let mut start = at;
    while start < at + bytes.len() {
        let end = ((start / SECTOR + 1) * SECTOR).min(at + bytes.len());
        if coin.toss() {
            apply(
                durable,
                &Content::Write(start, bytes[start - at..end - at].to_vec()),
            );
        }
        start = end;
    }
}

/// A small generator of its own: the same seed, the same crash.
struct Coin(u64);

impl Coin {
    fn toss(&mut self) -> bool {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) & 1 == 1
    }
}

impl Io for FaultDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn IoFile>> {
        let mut disk = self.0.lock();
        disk.call(Op::Create, path)?;
        if disk.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        disk.files.push(File::default());
        let file = disk.files.len() - 1;
        disk.names.insert(path.to_owned(), file);
        disk.name_changes
            .push(NameChange::Set(path.to_owned(), file));
        Ok(self.handle(&disk, file, path))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn IoFile>> {
        let mut disk = self.0.lock();
        disk.call(Op::Open, path)?;
        match disk.names.get(path) {
            Some(file) => Ok(self.handle(&disk, *file, path)),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.0.lock();
        disk.call(Op::Rename, from)?;
        if !disk.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let change = NameChange::Move(from.to_owned(), to.to_owned());
        change_names(&mut disk.names, &change);
        disk.name_changes.push(change);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.0.lock();
        disk.call(Op::Remove, path)?;
        if disk.names.remove(path).is_none() {
            return Err(io::ErrorKind::NotFound.into());
        }
        disk.name_changes.push(NameChange::Clear(path.to_owned()));
        Ok(())
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.0.lock();
        disk.call(Op::CreateDir, path)?;
        disk.dirs.extend(path.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut disk = self.0.lock();
        disk.call(Op::List, dir)?;
        let entry = |path: &PathBuf, is_dir| {
            (path.parent() == Some(dir)).then(|| DirEntry {
                name: path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned(),
                is_dir,
            })
        };
        let files = disk.names.keys().filter_map(|path| entry(path, false));
        Ok(files
            .chain(disk.dirs.iter().filter_map(|path| entry(path, true)))
            .collect())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = self.0.lock();
        disk.call(Op::SyncDir, dir)?;
        let inside = |path: &Path| path.parent() == Some(dir);
        for change in std::mem::take(&mut disk.name_changes) {
            let here = match &change {
                NameChange::Set(path, _) | NameChange::Clear(path) => inside(path),
                NameChange::Move(from, to) => inside(from) || inside(to),
            };
            match here {
                true => disk.rename_durably(&change),
                false => disk.name_changes.push(change),
            }
        }
        Ok(())
    }

    fn lock(&self, path: &Path, note: &str) -> io::Result<Result<Box<dyn LockGuard>, String>> {
        let mut disk = self.0.lock();
        if let Some(holder) = disk.locked.get(path) {
            return Ok(Err(holder.clone()));
        }
        disk.locked.insert(path.to_owned(), note.to_owned());
        Ok(Ok(Box::new(FaultLock {
            disk: self.clone(),
            path: path.to_owned(),
            life: disk.life,
        })))
    }

    fn entropy(&self) -> u128 {
        let mut disk = self.0.lock();
        disk.entropy += 1;
        disk.entropy
            .wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)
    }
}

impl FaultDisk {
    fn handle(&self, disk: &Disk, file: usize, path: &Path) -> Arc<dyn IoFile> {
        Arc::new(FaultFile {
            disk: self.clone(),
            file,
            path: path.to_owned(),
            life: disk.life,
        })
    }
}

struct FaultLock {
    disk: FaultDisk,
    path: PathBuf,
    life: u64,
}

impl LockGuard for FaultLock {}

impl Drop for FaultLock {
    fn drop(&mut self) {
        let mut disk = self.disk.0.lock();
        if disk.life == self.life {
            disk.locked.remove(&self.path);
        }
    }
}

struct FaultFile {
    disk: FaultDisk,
    file: usize,
    path: PathBuf,
    life: u64,
}

impl FaultFile {
    /// The disk, when the call does not fail.
    fn call(&self, op: Op) -> io::Result<parking_lot::MutexGuard<'_, Disk>> {
        let mut disk = self.disk.0.lock();
        if disk.life != self.life {
            return Err(io::Error::other("a handle from before the crash"));
        }
        disk.call(op, &self.path)?;
        Ok(disk)
    }
}

impl IoFile for FaultFile {
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        let disk = self.call(Op::Read)?;
        let bytes = disk.files[self.file]
            .bytes
            .get(position as usize..)
            .unwrap_or_default();
        let len = bytes
            .len()
            .min(buf.len())
            .min(disk.longest_read.unwrap_or(usize::MAX));
        buf[..len].copy_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn write_at(&self, bufs: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        let mut disk = self.call(Op::Write)?;
        let mut bytes: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        let longest = disk.longest(self.file).saturating_sub(position as usize);
        if longest == 0 && !bytes.is_empty() {
            return Err(enospc());
        }
        bytes.truncate(longest);
        let len = bytes.len();
        disk.change(self.file, Content::Write(position as usize, bytes));
        Ok(len)
    }

    fn allocate(&self, position: u64, len: u64) -> io::Result<()> {
        let mut disk = self.call(Op::Allocate)?;
        let end = (position + len) as usize;
        if end > disk.longest(self.file) {
            return Err(enospc());
        }
        if end > disk.files[self.file].bytes.len() {
            disk.change(self.file, Content::Len(end));
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.call(Op::Sync)?;
        disk.syncs += 1;
        let file = self.file;
        disk.changes.retain(|change| change.file != file);
        disk.files[file].durable = disk.files[file].bytes.clone();
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut disk = self.call(Op::SetLen)?;
        disk.change(self.file, Content::Len(len as usize));
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.call(Op::Read)?.files[self.file].bytes.len() as u64)
    }
}
