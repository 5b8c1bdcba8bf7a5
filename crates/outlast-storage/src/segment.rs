//! Segments (L1): immutable objects that hold the batches of one partition or of many, verbatim.
//!
//! ```text
//! header      64 bytes: what this is, whose, since when
//! data        for each partition, in the order of their ids: its batches, one after the other
//! indexes     for each partition: chunks, leader epochs, aborted transactions, producers
//! directory   80 bytes × partitions: offsets, and where data and index lie
//! tail        64 bytes: where the directory lies
//! ```
//! A segment is opened from its end: tail, directory, and the index of a partition when it is asked for. Data is
//! indexed in *chunks* of whole batches (at least [`CHUNK_BYTES`]); a chunk is what is read and checked at once.
//! Every byte is under a checksum: batches under their own CRC-32C and their fronts under the chunk's, as in the
//! write-ahead log; indexes under the directory's, the directory under the tail's, header and tail under their own.
//! The format does no I/O of its own: it writes to a [`std::io::Write`] and reads from a [`ByteSource`].

mod format;
mod plan;
mod reader;
mod source;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

use outlast_records::{LeaderEpoch, Offset, PartitionId, ProducerId, Timestamp};

pub use plan::{OWN_SEGMENT_BYTES, SHARED_SEGMENT_BYTES, plan};
pub use reader::{SegmentRead, SegmentReader};
pub use source::{ByteSource, FileSink, FileSource};
pub use writer::{PartitionWriter, SegmentWriteError, SegmentWriter};

/// A chunk ends with the batch that makes it this long: what a reader may read for nothing at each end.
pub const CHUNK_BYTES: u64 = 16 * 1024;

/// Where the segments of a data directory lie.
pub const DIR: &str = "segments";

/// The extension of a segment's file.
pub const EXTENSION: &str = "segment";

/// Which segment this is, and of which data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentId {
    pub store_id: u128,
    /// Random; part of the name.
    pub segment_id: u128,
    pub created: Timestamp,
}

/// One partition's line in the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentPartition {
    pub partition: PartitionId,
    /// The segment holds everything that is left of the offsets from `start` up to before `next`.
    pub start: Offset,
    pub next: Offset,
    pub max_timestamp: Timestamp,
    pub data_position: u64,
    pub data_len: u64,
    /// How many aborted transactions its index lists.
    pub aborted: u32,
    index_position: u64,
    index_len: u32,
    index_crc: u32,
}

/// What is known of one partition's data in a segment, loaded when it is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionIndex {
    pub chunks: Vec<Chunk>,
    pub state: PartitionState,
}

/// Consecutive batches that are read and checked at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Offset of its first batch.
    pub base: Offset,
    /// From the start of the partition's data.
    pub position: u64,
    pub max_timestamp: Timestamp,
    pub batches: u32,
    /// Over the bytes of its batches that their own CRCs leave out.
    pub fronts_crc: u32,
}

/// What a partition's history says beyond its batches, as of the end of the segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionState {
    /// Leader epochs that wrote into the segment, and the offset each began at.
    pub epochs: Vec<(LeaderEpoch, Offset)>,
    /// Transactions whose abort marker lies in the segment, in the order of the markers.
    pub aborted: Vec<AbortedTxn>,
    /// Idempotent producers, as the side-cars of the write-ahead log encode them.
    pub producers: Vec<u8>,
}

/// A transaction whose records a read_committed consumer must skip (Kafka's transaction index).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTxn {
    pub producer_id: ProducerId,
    pub first_offset: Offset,
    /// Offset of its abort marker.
    pub last_offset: Offset,
    /// The last stable offset once the transaction had ended.
    pub last_stable_offset: Offset,
}
