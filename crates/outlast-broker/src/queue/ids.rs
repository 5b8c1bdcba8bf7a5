//! The names in a queue's world: which queue, who works, which offsets.

use std::fmt;

use outlast_protocol::Str;
use outlast_records::{Offset, PartitionId};

use crate::group::{GroupId, detached};

/// A queue is what one share group has of one topic partition.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct QueueId {
    pub group: GroupId,
    pub partition: PartitionId,
}

impl QueueId {
    pub fn new(group: &str, partition: PartitionId) -> QueueId {
        QueueId {
            group: GroupId::from(group),
            partition,
        }
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.group, self.partition)
    }
}

/// Who works: the member id of a share group, or the name that an HTTP worker gave itself.
#[derive(Clone, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct Worker(pub Str);

impl Worker {
    /// Copies the text, so that what the queue keeps doesn't keep a request's frame alive.
    pub fn new(from: &Str) -> Worker {
        Worker(detached(from))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Worker {
    fn from(text: &str) -> Worker {
        Worker(Str::from(text))
    }
}

impl fmt::Display for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Offsets from `first` to `last`, both included: never empty.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct OffsetRange {
    pub first: Offset,
    pub last: Offset,
}

impl OffsetRange {
    /// None when there is nothing in between, or when no partition has such offsets.
    pub fn new(first: Offset, last: Offset) -> Option<OffsetRange> {
        (first.0 >= 0 && first <= last && last.0 < i64::MAX).then_some(OffsetRange { first, last })
    }

    pub fn one(offset: Offset) -> OffsetRange {
        OffsetRange {
            first: offset,
            last: offset,
        }
    }

    /// How many offsets; at least 1.
    pub fn count(&self) -> u64 {
        self.last.0.abs_diff(self.first.0) + 1
    }

    pub fn contains(&self, offset: Offset) -> bool {
        (self.first..=self.last).contains(&offset)
    }

    /// What two ranges have in common.
    pub fn common(&self, other: OffsetRange) -> Option<OffsetRange> {
        OffsetRange::new(self.first.max(other.first), self.last.min(other.last))
    }
}
