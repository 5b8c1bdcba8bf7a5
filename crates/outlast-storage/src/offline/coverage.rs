//! Which offsets of which partition were met: a hole between them is data that is gone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use outlast_records::{Offset, PartitionId};

use super::item::Item;
use super::report::{Finding, RESTORE, Report, Severity};
use crate::wal::entry::Content;

#[derive(Default)]
pub(super) struct Coverage {
    partitions: BTreeMap<PartitionId, Seen>,
    /// The file that is being walked.
    file: PathBuf,
}

#[derive(Default)]
struct Seen {
    log_start: Offset,
    /// Offsets below it were given out, the manifest says.
    log_end: Offset,
    deleted: bool,
    /// What the write-ahead log holds, in its order.
    wal: Vec<Stretch>,
    /// What segments hold, and what is reported as damaged already.
    elsewhere: Vec<Stretch>,
}

/// Offsets without a hole.
struct Stretch {
    from: Offset,
    next: Offset,
    /// The file that it begins in.
    file: PathBuf,
}

impl Coverage {
    pub(super) fn note(&mut self, item: &Item<'_>) {
        match item {
            Item::Manifest { path, manifest } => {
                self.file = path.to_path_buf();
                for (id, _) in &manifest.deleted {
                    self.seen(*id).deleted = true;
                }
            }
            Item::ManifestPartition(record) => {
                let seen = self.seen(record.id);
                seen.log_start = record.start;
                seen.log_end = record.end;
            }
            Item::WalFile { path, .. } => self.file = path.to_path_buf(),
            Item::Section { section } => {
                let file = self.file.clone();
                let seen = self.seen(section.partition);
                match section.content {
                    Content::Batches { base, next, .. } => extend(&mut seen.wal, base, next, &file),
                    Content::LogStart { to } => seen.log_start = seen.log_start.max(to),
                    Content::Delete => seen.deleted = true,
                }
            }
            Item::SegmentPartition { path, entry, .. } => {
                let seen = self.seen(entry.partition);
                extend(&mut seen.elsewhere, entry.start, entry.next, path);
            }
            Item::Finding(Finding {
                path,
                partition: Some(partition),
                offsets: Some((from, next)),
                ..
            }) => extend(&mut self.seen(*partition).elsewhere, *from, *next, path),
            Item::Directory { .. }
            | Item::Entry { .. }
            | Item::Batch { .. }
            | Item::Record { .. }
            | Item::WalEnd { .. }
            | Item::SideCar { .. }
            | Item::SideCarPartition(_)
            | Item::Segment { .. }
            | Item::Finding(_)
            | Item::Summary(_) => {}
        }
    }

    fn seen(&mut self, id: PartitionId) -> &mut Seen {
        self.partitions.entry(id).or_default()
    }

    /// Reports holes and repetitions.
    pub(super) fn finish(self, report: &mut Report) {
        for (partition, seen) in self.partitions {
            if !seen.deleted {
                report.partitions += 1;
                seen.check(partition, &mut report.findings);
            }
        }
    }
}

impl Seen {
    fn check(self, partition: PartitionId, findings: &mut Vec<Finding>) {
        let damage = |file: &Path, from, to, what: &str| Finding {
            severity: Severity::Damage,
            path: file.to_owned(),
            position: None,
            partition: Some(partition),
            offsets: Some((from, to)),
            what: what.to_owned(),
            advice: RESTORE,
        };
        for pair in self.wal.windows(2) {
            if pair[1].from < pair[0].next {
                let to = pair[0].next.min(pair[1].next);
                let what = "the write-ahead log holds these offsets twice";
                findings.push(damage(&pair[1].file, pair[1].from, to, what));
            }
        }
        let last_file = self
            .wal
            .last()
            .map(|stretch| stretch.file.clone())
            .unwrap_or_default();
        let mut all: Vec<Stretch> = self.wal.into_iter().chain(self.elsewhere).collect();
        all.sort_by_key(|stretch| stretch.from);
        let mut covered = self.log_start;
        for stretch in &all {
            if stretch.from > covered {
                let what = "these offsets are missing before what this file holds";
                findings.push(damage(&stretch.file, covered, stretch.from, what));
            }
            covered = covered.max(stretch.next);
        }
        if covered < self.log_end {
            let what = "these offsets are missing at the end";
            findings.push(damage(&last_file, covered, self.log_end, what));
        }
    }
}

/// Adds offsets to the last stretch, or begins another.
fn extend(stretches: &mut Vec<Stretch>, from: Offset, next: Offset, file: &Path) {
    match stretches.last_mut() {
        Some(last) if last.next == from => last.next = next,
        _ => stretches.push(Stretch {
            from,
            next,
            file: file.to_owned(),
        }),
    }
}
