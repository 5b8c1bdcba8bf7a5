//! The way through a data directory: manifest, write-ahead log files with their side-cars, segments, and what lies
//! there besides. What can't be read becomes a finding, and the walk goes on behind it.

mod segments;
mod wal;

use std::io;
use std::path::Path;

use outlast_records::{Offset, PartitionId, RecordSet};

use super::Depth;
use super::item::Item;
use super::report::{Finding, NOTHING, RESTORE, Severity};
use crate::error::StorageError;
use crate::io::{DirEntry, Io, TEMPORARY};
use crate::maintenance::BALLAST;
use crate::manifest::{self, Loaded, Manifest};
use crate::recovery::{LOCK, QUARANTINE_DIR, WAL_DIR};
use crate::segment;

/// Whether the walk goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Walk {
    On,
    Stop,
}

/// What records of one batch may grow to when they are shown.
const MAX_DECOMPRESSED: usize = 256 << 20;

/// Calls `visit` for everything down to `depth`. Errors are failures to look at the directory at all.
pub(super) fn walk(
    io: &dyn Io,
    dir: &Path,
    depth: Depth,
    visit: impl FnMut(Item<'_>) -> Walk,
) -> Result<(), StorageError> {
    let walker = Walker {
        io,
        dir,
        depth,
        visit,
        stopped: false,
        held: false,
    };
    walker.directory()
}

struct Walker<'a, V> {
    io: &'a dyn Io,
    dir: &'a Path,
    depth: Depth,
    visit: V,
    stopped: bool,
    /// A server has the directory and goes on writing.
    held: bool,
}

impl<V: FnMut(Item<'_>) -> Walk> Walker<'_, V> {
    fn directory(mut self) -> Result<(), StorageError> {
        let dir = self.dir;
        let names = self
            .io
            .list(dir)
            .map_err(StorageError::io("listing", dir))?;
        let lock = dir.join(LOCK);
        let holder = self
            .io
            .lock(&lock, "")
            .map_err(StorageError::io("looking at the lock", &lock))?
            .err();
        self.held = holder.is_some();
        self.visit(Item::Directory {
            path: dir,
            holder: holder.as_deref(),
        });
        let manifest = self.manifest(&names);
        // Without the manifest nobody knows what belongs here.
        if let Some(manifest) = manifest {
            self.strangers(dir, &names, |entry| match entry.is_dir {
                true => [WAL_DIR, segment::DIR].contains(&entry.name.as_str()),
                false => {
                    [LOCK, manifest::FILE, manifest::COPY, BALLAST].contains(&entry.name.as_str())
                }
            });
            self.wal(&manifest)?;
        }
        self.segments()
    }

    fn manifest(&mut self, names: &[DirEntry]) -> Option<Manifest> {
        let dir = self.dir;
        let path = dir.join(manifest::FILE);
        match Manifest::load(self.io, dir) {
            Ok(Loaded::Found { manifest, bad }) => {
                self.visit(Item::Manifest {
                    path: &path,
                    manifest: &manifest,
                });
                for record in &manifest.partitions {
                    self.visit(Item::ManifestPartition(record));
                }
                if let Some((name, what)) = bad {
                    let advice = "nothing to do: the next start makes it again from the other copy";
                    self.note(
                        &dir.join(name),
                        what.unwrap_or_else(|| "it is missing".to_owned()),
                        advice,
                    );
                }
                return Some(manifest);
            }
            Ok(Loaded::Nothing) if names.is_empty() => {
                self.note(dir, "the directory is empty".to_owned(), NOTHING);
            }
            Ok(Loaded::Nothing) => self.finding(&Finding {
                advice: "put it back from a backup; or this is not a data directory of Outlast",
                ..damage(&path, "neither the manifest nor its copy is there")
            }),
            Err(error) => self.failed(&error),
        }
        None
    }

    /// What lies in a directory besides what belongs there.
    fn strangers(&mut self, dir: &Path, names: &[DirEntry], ours: impl Fn(&DirEntry) -> bool) {
        for entry in names.iter().filter(|entry| !ours(entry)) {
            let path = dir.join(&entry.name);
            let (what, advice) = if entry.is_dir && entry.name == QUARANTINE_DIR {
                (
                    "holds what an earlier start could not use",
                    "look at it, then move it away or delete it",
                )
            } else if path
                .extension()
                .is_some_and(|extension| extension == TEMPORARY)
            {
                (
                    "a file that was never finished",
                    "nothing to do: the next start removes it",
                )
            } else {
                ("is not known here", "move it elsewhere")
            };
            self.note(&path, what.to_owned(), advice);
        }
    }

    fn visit(&mut self, item: Item<'_>) {
        if !self.stopped && item.depth() <= self.depth {
            self.stopped = (self.visit)(item) == Walk::Stop;
        }
    }

    fn finding(&mut self, finding: &Finding) {
        self.visit(Item::Finding(finding));
    }

    fn failed(&mut self, error: &StorageError) {
        let dir = self.dir;
        self.finding(&Finding::of(error, dir));
    }

    fn note(&mut self, path: &Path, what: String, advice: &'static str) {
        self.finding(&Finding {
            severity: Severity::Note,
            what,
            advice,
            ..damage(path, "")
        });
    }

    /// Shows the records of a batch.
    fn records(&mut self, path: &Path, position: u64, partition: PartitionId, batch: &[u8]) {
        if self.depth < Depth::Records {
            return;
        }
        let undecodable = |error: outlast_records::BatchError| Finding {
            severity: Severity::Note,
            position: Some(position),
            partition: Some(partition),
            what: format!("its records can't be decoded, as their producer wrote them: {error}"),
            advice: NOTHING,
            ..damage(path, "")
        };
        let set = match RecordSet::decode(batch, MAX_DECOMPRESSED) {
            Ok(set) => set,
            Err(error) => return self.finding(&undecodable(error)),
        };
        for record in set.iter() {
            match record {
                Ok(record) => self.visit(Item::Record { partition, record }),
                Err(error) => self.finding(&undecodable(error)),
            }
        }
    }

    fn list_if_there(&self, dir: &Path) -> Result<Option<Vec<DirEntry>>, StorageError> {
        match self.io.list(dir) {
            Ok(names) => Ok(Some(names)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StorageError::io("listing", dir)(e)),
        }
    }
}

/// A finding of damage in a file; the rest is filled in by `..`.
fn damage(path: &Path, what: &str) -> Finding {
    Finding {
        severity: Severity::Damage,
        path: path.to_owned(),
        position: None,
        partition: None,
        offsets: None::<(Offset, Offset)>,
        what: what.to_owned(),
        advice: RESTORE,
    }
}
