//! Reads a data directory without opening the store: shows every structure (`outlast log dump`) and checks every
//! one (`outlast log verify`).
//!
//! Nothing is written, not even the lock file, so that it works beside a running server, on a copy and on a
//! read-only file system. A server that has the directory goes on writing meanwhile: what it is in the middle of is
//! reported as such. The decoders are the engine's own.

mod contents;
mod coverage;
mod disk;
mod item;
mod line;
mod report;
mod walk;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use bytes::Bytes;
use outlast_records::{BatchHeader, Offset, PartitionId};
use uuid::Uuid;

use crate::error::StorageError;
use coverage::Coverage;
use disk::ReadOnlyDisk;
use item::Item;
use line::Line;
use walk::{Walk, walk};

pub use report::{Finding, Report, Severity};

/// What a dump shows.
#[derive(Clone, Debug, Default)]
pub struct DumpFilter {
    /// Only partitions of this topic; entries and files without one are left out.
    pub topic: Option<Uuid>,
    /// Only partitions with this index.
    pub index: Option<i32>,
    /// Only batches that hold offsets from here on …
    pub from: Option<Offset>,
    /// … up to before here.
    pub to: Option<Offset>,
    pub depth: Depth,
    pub format: Format,
    /// What topics are called, which the store itself doesn't know; shown next to their ids.
    pub names: HashMap<Uuid, String>,
}

/// How far down a dump goes. Each level shows the ones before it, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// The directory and its files; nothing in them is checked but their headers.
    Files,
    /// Entries of the write-ahead log and their sections; partitions of segments.
    #[default]
    Entries,
    /// Headers of record batches.
    Batches,
    /// Records, decompressed.
    Records,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One line an item, indented, for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl DumpFilter {
    fn takes_partition(&self, id: PartitionId) -> bool {
        self.topic.is_none_or(|topic| topic == id.topic)
            && self.index.is_none_or(|index| index == id.index)
    }

    fn takes_offsets(&self, from: Offset, next: Offset) -> bool {
        self.from.is_none_or(|least| next > least) && self.to.is_none_or(|limit| from < limit)
    }

    fn is_for_all(&self) -> bool {
        self.topic.is_none() && self.index.is_none() && self.from.is_none() && self.to.is_none()
    }
}

/// Writes what the data directory holds, in the order of its files. Damage is shown where it is met, and the dump
/// goes on behind it as far as it can.
pub fn dump(dir: &Path, filter: &DumpFilter, out: &mut impl Write) -> Result<(), StorageError> {
    let write_failed = StorageError::io("writing the dump of", dir);
    let mut failed = None;
    walk(&ReadOnlyDisk, dir, filter.depth, |item| {
        if failed.is_none() && item.passes(filter) {
            let mut line = Line::of(&item);
            if let Some(name) = item.partition().and_then(|id| filter.names.get(&id.topic)) {
                line.put_topic(name);
            }
            let written = match filter.format {
                Format::Text => writeln!(out, "{line}"),
                Format::Json => writeln!(out, "{}", line.json()),
            };
            failed = written.err();
        }
        match failed {
            None => Walk::On,
            Some(_) => Walk::Stop,
        }
    })?;
    match failed.or_else(|| out.flush().err()) {
        None => Ok(()),
        Some(e) => Err(write_failed(e)),
    }
}

/// Reads and checks everything in the data directory. Errors are failures to look at all; what is wrong with the
/// data is in the report.
pub fn verify(dir: &Path) -> Result<Report, StorageError> {
    let mut report = Report::new(dir);
    let mut coverage = Coverage::default();
    walk(&ReadOnlyDisk, dir, Depth::Batches, |item| {
        coverage.note(&item);
        report.note(&item);
        Walk::On
    })?;
    coverage.finish(&mut report);
    Ok(report)
}

/// Calls `each` for the batches of one partition in the write-ahead log and the segments, as far as they can be
/// read, in the order of the files. Stops when it returns `false`.
pub fn read_partition(
    dir: &Path,
    partition: PartitionId,
    mut each: impl FnMut(&BatchHeader, Bytes) -> bool,
) -> Result<(), StorageError> {
    walk(&ReadOnlyDisk, dir, Depth::Records, |item| match item {
        Item::Batch {
            partition: of,
            header,
            bytes: Some(bytes),
            ..
        } if of == partition => match each(header, bytes.clone()) {
            true => Walk::On,
            false => Walk::Stop,
        },
        _ => Walk::On,
    })
}
