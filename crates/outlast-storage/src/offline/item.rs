//! Everything that a walk through a data directory meets.

use std::path::Path;

use bytes::Bytes;
use outlast_records::{BatchHeader, EndTxnMarker, PartitionId, RecordRef, Timestamp};

use super::report::{Finding, Report};
use super::{Depth, DumpFilter};
use crate::manifest::{Manifest, PartitionRecord};
use crate::segment::{PartitionIndex, SegmentId, SegmentPartition};
use crate::wal::entry::{Content, EntryHeader, Section};
use crate::wal::sidecar::{PartitionSummary, Summary};

pub(super) enum Item<'a> {
    Directory {
        path: &'a Path,
        holder: Option<&'a str>,
    },
    Manifest {
        path: &'a Path,
        manifest: &'a Manifest,
    },
    /// What the manifest remembers of a partition.
    ManifestPartition(&'a PartitionRecord),
    WalFile {
        path: &'a Path,
        number: u64,
        bytes: u64,
        created: Timestamp,
    },
    SideCar {
        path: &'a Path,
        summary: &'a Summary,
    },
    SideCarPartition(&'a PartitionSummary),
    Entry {
        header: &'a EntryHeader,
    },
    Section {
        section: &'a Section,
    },
    Batch {
        partition: PartitionId,
        position: u64,
        header: &'a BatchHeader,
        /// What it says, if it is the end of a transaction.
        marker: Option<EndTxnMarker>,
        /// Read at [`Depth::Records`] only.
        bytes: Option<Bytes>,
    },
    Record {
        partition: PartitionId,
        record: RecordRef<'a>,
    },
    /// The end of a file's entries.
    WalEnd {
        position: u64,
        reserved: u64,
    },
    Segment {
        path: &'a Path,
        bytes: u64,
        id: Option<SegmentId>,
        partitions: usize,
    },
    SegmentPartition {
        path: &'a Path,
        entry: &'a SegmentPartition,
        index: Option<&'a PartitionIndex>,
    },
    Finding(&'a Finding),
    /// A whole verification.
    Summary(&'a Report),
}

impl Item<'_> {
    pub(super) fn depth(&self) -> Depth {
        match self {
            Item::Directory { .. }
            | Item::Manifest { .. }
            | Item::WalFile { .. }
            | Item::SideCar { .. }
            | Item::Segment { .. }
            | Item::Finding(_)
            | Item::Summary(_) => Depth::Files,
            Item::ManifestPartition(_)
            | Item::Entry { .. }
            | Item::Section { .. }
            | Item::SideCarPartition(_)
            | Item::WalEnd { .. }
            | Item::SegmentPartition { .. } => Depth::Entries,
            Item::Batch { .. } => Depth::Batches,
            Item::Record { .. } => Depth::Records,
        }
    }

    /// The partition that it shows.
    pub(super) fn partition(&self) -> Option<PartitionId> {
        match self {
            Item::Section { section } => Some(section.partition),
            Item::Batch { partition, .. } => Some(*partition),
            Item::ManifestPartition(record) => Some(record.id),
            Item::SideCarPartition(line) => Some(line.id),
            Item::SegmentPartition { entry, .. } => Some(entry.partition),
            Item::Directory { .. }
            | Item::Manifest { .. }
            | Item::WalFile { .. }
            | Item::SideCar { .. }
            | Item::Segment { .. }
            | Item::Entry { .. }
            | Item::WalEnd { .. }
            | Item::Record { .. }
            | Item::Finding(_)
            | Item::Summary(_) => None,
        }
    }

    /// Does a dump with this filter show it?
    pub(super) fn passes(&self, filter: &DumpFilter) -> bool {
        if self.depth() > filter.depth {
            return false;
        }
        match self {
            Item::Section { section } => {
                filter.takes_partition(section.partition)
                    && match section.content {
                        Content::Batches { base, next, .. } => filter.takes_offsets(base, next),
                        Content::LogStart { .. } | Content::Delete => true,
                    }
            }
            Item::Batch {
                partition, header, ..
            } => {
                filter.takes_partition(*partition)
                    && filter.takes_offsets(header.base_offset, header.next_offset())
            }
            Item::Record { partition, record } => {
                filter.takes_partition(*partition)
                    && filter.takes_offsets(record.offset, record.offset.next())
            }
            Item::ManifestPartition(record) => filter.takes_partition(record.id),
            Item::SideCarPartition(line) => {
                filter.takes_partition(line.id) && filter.takes_offsets(line.base, line.next)
            }
            Item::SegmentPartition { entry, .. } => {
                filter.takes_partition(entry.partition)
                    && filter.takes_offsets(entry.start, entry.next)
            }
            Item::Entry { .. } | Item::WalEnd { .. } => filter.is_for_all(),
            Item::Directory { .. }
            | Item::Manifest { .. }
            | Item::WalFile { .. }
            | Item::SideCar { .. }
            | Item::Segment { .. }
            | Item::Finding(_)
            | Item::Summary(_) => true,
        }
    }
}
