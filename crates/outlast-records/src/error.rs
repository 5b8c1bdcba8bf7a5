//! What can be wrong with a record batch. One variant for each of Kafka's error codes that a batch can earn,
//! so that the mapping above is one line a variant; what exactly is wrong is inside.

use thiserror::Error;

use crate::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BatchError {
    /// CORRUPT_MESSAGE: the bytes are not a whole, undamaged batch.
    #[error("corrupt record batch: {0}")]
    Corrupt(Corruption),

    /// INVALID_RECORD: an undamaged batch that says something it may not say.
    #[error("invalid record batch: {0}")]
    Invalid(InvalidRecord),

    /// INVALID_TIMESTAMP
    #[error(
        "timestamp {timestamp} is out of range: this topic takes {earliest} to {latest} \
         (message.timestamp.before.max.ms, message.timestamp.after.max.ms)"
    )]
    TimestampOutOfRange {
        timestamp: Timestamp,
        earliest: Timestamp,
        latest: Timestamp,
    },

    /// INVALID_TIMESTAMP: only the broker stamps batches with the time of their append.
    #[error("a producer may not set the timestamp type to LogAppendTime")]
    LogAppendTimeFromClient,

    /// UNSUPPORTED_COMPRESSION_TYPE
    #[error("compression type {id} is not supported")]
    UnsupportedCompression { id: u8 },

    /// MESSAGE_TOO_LARGE
    #[error(
        "record batch of {size} bytes is larger than the {limit} bytes allowed (max.message.bytes)"
    )]
    TooLarge { size: usize, limit: usize },

    /// UNSUPPORTED_FOR_MESSAGE_FORMAT: the formats from before Kafka 0.11.
    #[error(
        "message format v{magic} is not supported, only v2: use a client for Kafka 0.11 or later"
    )]
    LegacyFormat { magic: u8 },
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Corruption {
    #[error("it needs {needed} bytes and {available} are there")]
    Truncated { needed: usize, available: usize },
    #[error("length field {0} is less than a batch header")]
    Length(i32),
    #[error("magic byte {0} is unknown")]
    Magic(u8),
    #[error("its CRC-32C is {computed:#010x} but it says {stored:#010x}")]
    Checksum { stored: u32, computed: u32 },
    #[error("its {codec} data cannot be decompressed: {reason}")]
    Compressed { codec: &'static str, reason: String },
    #[error("its records are larger than {limit} bytes when decompressed")]
    Bomb { limit: usize },
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidRecord {
    #[error("there must be exactly one batch a partition, found {0}")]
    BatchCount(usize),
    #[error("base offset must be 0 in a produce request, is {0}")]
    BaseOffset(i64),
    #[error("last offset delta {0} is negative")]
    LastOffsetDelta(i32),
    #[error("it counts {count} records but its offsets span {span}")]
    Count { count: i32, span: i64 },
    #[error("clients may not write control records")]
    Control,
    #[error("base sequence {0} is negative in a batch with a producer id")]
    Sequence(i32),
    #[error("producer epoch {0} is negative in a batch with a producer id")]
    ProducerEpoch(i16),
    #[error("a transactional batch needs a producer id")]
    TransactionWithoutProducer,
    #[error("record {index}: {what}")]
    Structure { index: usize, what: &'static str },
    /// All of them: a producer fails these records with their own error and sends nothing twice.
    #[error("this topic is compacted, and {} of the batch's records have no key", indexes.len())]
    KeysMissing { indexes: Vec<usize> },
    #[error("its records end {0} bytes before the batch does")]
    TrailingBytes(usize),
}

impl From<Corruption> for BatchError {
    fn from(what: Corruption) -> Self {
        BatchError::Corrupt(what)
    }
}

impl From<InvalidRecord> for BatchError {
    fn from(what: InvalidRecord) -> Self {
        BatchError::Invalid(what)
    }
}
