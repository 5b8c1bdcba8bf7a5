//! Looking at the dead letters of a group: which there are, filtered, page by page.

use outlast_protocol::Str;
use outlast_records::{Offset, PartitionId, Record, Timestamp};

use super::{DeadReason, Pattern};

/// All that is said must hold; the default lets everything through.
#[derive(Clone, Debug, Default)]
pub struct DeadLetterFilter {
    /// Any of these; all reasons when empty.
    pub reasons: Vec<DeadReason>,
    /// Died at this time or later.
    pub since: Option<Timestamp>,
    /// Died before this time.
    pub until: Option<Timestamp>,
    pub key: Option<Pattern>,
    /// A header with this name has a value that fits.
    pub headers: Vec<(String, Pattern)>,
    /// The topic that the message came from.
    pub topic: Option<Str>,
    /// Just this one (of the dead-letter topic).
    pub at: Option<(PartitionId, Offset)>,
}

/// One dead letter, with its story.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Its place in the dead-letter topic.
    pub partition: PartitionId,
    pub offset: Offset,
    pub died: Timestamp,
    pub reason: DeadReason,
    /// Where it came from.
    pub topic: Str,
    pub topic_partition: i32,
    pub topic_offset: Offset,
    pub group: Str,
    pub deliveries: u32,
    pub first_tried: Option<Timestamp>,
    pub last_tried: Option<Timestamp>,
    pub last_worker: Option<Str>,
    /// More to say about the reason: which header could not be read.
    pub detail: Option<Str>,
    /// How often it was redriven before it died this time.
    pub redrives: u32,
    /// As it lies in the dead-letter topic: original key, value and headers, and those that tell the story.
    pub record: Record,
}

#[derive(Clone, Debug, Default)]
pub struct DeadLetterPage {
    pub letters: Vec<DeadLetter>,
    /// Where the next page begins; none at the end.
    pub next: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterCounts {
    pub total: u64,
    /// By [`DeadReason::index`].
    pub by_reason: [u64; 4],
    /// Would be refused by the loop guard: redriven as often as allowed already.
    pub guarded: u64,
}
