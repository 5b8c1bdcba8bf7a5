//! What a verification found: what was looked at, and every finding with its place and what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};

use outlast_records::{Offset, PartitionId};

use super::item::Item;
use super::line::Line;
use crate::error::StorageError;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is lost: worth knowing, and what happens next is said.
    Note,
    /// Something that was written cannot be read.
    Damage,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    pub path: PathBuf,
    pub position: Option<u64>,
    pub partition: Option<PartitionId>,
    /// The offsets concerned, the first included, the second not.
    pub offsets: Option<(Offset, Offset)>,
    pub what: String,
    /// What to do about it.
    pub advice: &'static str,
}

pub(super) const RESTORE: &str = "the server isolates it and serves the rest; restore the file from a backup, or accept the loss of these offsets";
pub(super) const NOTHING: &str = "nothing to do";

impl Finding {
    /// What an error means for somebody who looks at the directory.
    pub(super) fn of(error: &StorageError, of: &Path) -> Finding {
        let (path, position, what, advice) = match error {
            StorageError::Damaged {
                path,
                position,
                what,
            } => (path.as_path(), Some(*position), what.clone(), RESTORE),
            StorageError::Io {
                operation,
                path,
                source,
            } => (
                path.as_path(),
                None,
                format!("{operation} it failed: {source}"),
                "check the disk and the file's permissions",
            ),
            StorageError::NewerFormat { path, .. } => (
                path.as_path(),
                None,
                error.to_string(),
                "use the release that wrote it, or a newer one",
            ),
            StorageError::Encrypted { path, .. } => (
                path.as_path(),
                None,
                error.to_string(),
                "use a release that can decrypt it",
            ),
            StorageError::Locked { .. }
            | StorageError::LostFile { .. }
            | StorageError::ManifestLost { .. }
            | StorageError::Options(_) => (of, None, error.to_string(), RESTORE),
        };
        Finding {
            severity: Severity::Damage,
            path: path.to_owned(),
            position,
            partition: None,
            offsets: None,
            what,
            advice,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Note => "note",
            Severity::Damage => "DAMAGE",
        };
        write!(f, "{severity}: {}", self.path.display())?;
        if let Some(position) = self.position {
            write!(f, " at byte {position}")?;
        }
        if let Some(partition) = self.partition {
            write!(f, ", partition {partition}")?;
        }
        if let Some((from, to)) = self.offsets {
            write!(f, ", offsets {from} to {}", to.0 - 1)?;
        }
        write!(f, ": {} ({})", self.what, self.advice)
    }
}

/// The result of [`super::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub dir: PathBuf,
    /// The process that has the directory, if any does.
    pub holder: Option<String>,
    pub wal_files: u64,
    pub entries: u64,
    pub segments: u64,
    pub batches: u64,
    pub records: u64,
    /// Of batches that were read and checked.
    pub bytes: u64,
    pub partitions: u64,
    pub findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(dir: &Path) -> Self {
        Report {
            dir: dir.to_owned(),
            holder: None,
            wal_files: 0,
            entries: 0,
            segments: 0,
            batches: 0,
            records: 0,
            bytes: 0,
            partitions: 0,
            findings: Vec::new(),
        }
    }

    /// Everything that was written can be read.
    pub fn is_sound(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.severity == Severity::Note)
    }

    /// The report as one JSON object.
    pub fn json(&self) -> String {
        let findings: Vec<String> = self
            .findings
            .iter()
            .map(|f| Line::of(&Item::Finding(f)).json())
            .collect();
        let summary = Line::of(&Item::Summary(self)).json();
        let open = summary.trim_end_matches('}');
        format!("{open},\"findings\":[{}]}}", findings.join(","))
    }

    pub(super) fn note(&mut self, item: &Item<'_>) {
        match item {
            Item::Directory { holder, .. } => self.holder = holder.map(str::to_owned),
            Item::WalFile { .. } => self.wal_files += 1,
            Item::Entry { .. } => self.entries += 1,
            Item::Segment { .. } => self.segments += 1,
            Item::Batch { header, .. } => {
                self.batches += 1;
                self.records += u64::try_from(header.records_count).unwrap_or(0);
                self.bytes += header.size() as u64;
            }
            Item::Finding(finding) => self.findings.push((*finding).clone()),
            Item::Manifest { .. }
            | Item::ManifestPartition(_)
            | Item::SideCar { .. }
            | Item::SideCarPartition(_)
            | Item::Section { .. }
            | Item::Record { .. }
            | Item::WalEnd { .. }
            | Item::SegmentPartition { .. }
            | Item::Summary(_) => {}
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(holder) = &self.holder {
            writeln!(
                f,
                "{} is in use ({holder}); it was read while it changed, so run this again to be sure of a finding",
                self.dir.display()
            )?;
        }
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        let damaged = self
            .findings
            .iter()
            .filter(|f| f.severity == Severity::Damage)
            .count();
        write!(
            f,
            "checked {} batches ({} records, {} bytes) of {} partitions in {} write-ahead log files and {} segments: ",
            self.batches, self.records, self.bytes, self.partitions, self.wal_files, self.segments
        )?;
        match damaged {
            0 => write!(f, "sound"),
            1 => write!(f, "1 place is damaged"),
            n => write!(f, "{n} places are damaged"),
        }
    }
}
