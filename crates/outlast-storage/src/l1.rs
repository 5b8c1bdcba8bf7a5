//! Segments (L1) as files of the data directory: opened ones, and the emptying of write-ahead log files into new ones.
//!
//! Invariant: a segment is part of the log from the moment a manifest that lists it is durable; the same manifest leaves
//! out the files it was made from. Before that, only the manifest's `making` knows its name.

mod emptying;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::StorageError;
use crate::io::Io;
use crate::segment::{DIR, EXTENSION, FileSource, SegmentReader};

/// An open segment. Readers hold it by `Arc`: one that is removed stays readable for them.
pub(crate) struct Segment {
    pub(crate) id: u128,
    /// Tells this one from every other that this process has opened, for caches.
    pub(crate) number: u64,
    pub(crate) reader: SegmentReader<FileSource>,
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Segment({:032x})", self.id)
    }
}

impl Segment {
    pub(crate) fn open(io: &dyn Io, dir: &Path, id: u128) -> Result<Arc<Segment>, StorageError> {
        static OPENED: AtomicU64 = AtomicU64::new(0);
        let path = segment_path(dir, id);
        let file = io.open(&path).map_err(StorageError::io("opening", &path))?;
        let reader = SegmentReader::open(FileSource(file), &path)?;
        Ok(Arc::new(Segment {
            id,
            number: OPENED.fetch_add(1, Ordering::Relaxed),
            reader,
        }))
    }
}

pub(crate) fn segment_path(data_dir: &Path, id: u128) -> PathBuf {
    data_dir.join(DIR).join(format!("{id:032x}.{EXTENSION}"))
}

/// The id in a name of ours.
pub(crate) fn segment_id_of(name: &str) -> Option<u128> {
    let digits = name.strip_suffix(EXTENSION)?.strip_suffix('.')?;
    (digits.len() == 32)
        .then(|| u128::from_str_radix(digits, 16).ok())
        .flatten()
}
