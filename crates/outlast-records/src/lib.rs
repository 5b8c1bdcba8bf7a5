//! Kafka's record batches (format v2) and the small types that everything above is written in.
//!
//! Checks, patches, builds and iterates batches in memory; reads no file and knows no request. A batch
//! from a client goes through [`check_produced`], and its bytes are then stored and served as they came.
//! Nothing here panics, or allocates more than its caller allowed, whatever the bytes say.

mod batch;
mod builder;
mod checksum;
mod compression;
mod control;
mod error;
mod ids;
pub mod murmur2;
mod record;
mod retain;
mod validate;
mod varint;

pub use batch::{
    Attributes, BatchHeader, CheckedBatch, HEADER_SIZE, StoredBatches, TimestampType, check_at,
    header_at, split_batches, stored_batches,
};
pub use builder::{BatchBuilder, NewRecord};
pub use checksum::{Crc32c, crc32c};
pub use compression::Compression;
pub use control::{ControlRecordType, EndTxnMarker};
pub use error::{BatchError, Corruption, InvalidRecord};
pub use ids::{LeaderEpoch, Offset, PartitionId, ProducerEpoch, ProducerId, Sequence, Timestamp};
pub use record::{
    HeaderRefs, Record, RecordHeader, RecordIter, RecordRef, RecordRefs, RecordSet, records,
};
pub use validate::{ProduceRules, RecordSummary, check_produced};
