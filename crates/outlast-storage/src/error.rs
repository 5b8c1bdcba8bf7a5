//! What can go wrong in storage, each with what its reader needs: the file, the position, the cause and,
//! where there is one, the way out.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outlast_records::{LeaderEpoch, Offset, PartitionId, ProducerEpoch, ProducerId, Sequence};
use thiserror::Error;

/// Why the store can't be opened or can't go on.
#[derive(Debug, Error)]
pub enum StorageError {
    #[error("{operation} {path}: {source}")]
    Io {
        operation: &'static str,
        path: PathBuf,
        source: io::Error,
    },

    #[error(
        "the data directory is in use ({path}: {holder}); one data directory serves one process: \
         stop the other, or give this one another --data"
    )]
    Locked { path: PathBuf, holder: String },

    #[error(
        "{path}: {structure} has format version {found}, and this release reads up to {supported}: \
         use the release that wrote it, or a newer one"
    )]
    NewerFormat {
        path: PathBuf,
        structure: &'static str,
        found: u16,
        supported: u16,
    },

    #[error("{path}: {structure} is encrypted (cipher {cipher}), which this release cannot read")]
    Encrypted {
        path: PathBuf,
        structure: &'static str,
        cipher: u8,
    },

    #[error("{path} is damaged at byte {position}: {what}")]
    Damaged {
        path: PathBuf,
        position: u64,
        what: String,
    },

    #[error(
        "{dir}: neither MANIFEST nor its copy can be read ({reason}), so deleted data could come back: \
         put one of them back from quarantine or a backup"
    )]
    ManifestLost { dir: PathBuf, reason: String },

    #[error(
        "{path} is missing and held the newest acknowledged records: put it back, or lose what it \
         held by starting once with --accept-lost-files {number}"
    )]
    LostFile { path: PathBuf, number: u64 },

    #[error("{0}")]
    Options(String),
}

impl StorageError {
    pub(crate) fn io(
        operation: &'static str,
        path: &Path,
    ) -> impl Fn(io::Error) -> StorageError + Copy {
        move |source| StorageError::Io {
            operation,
            path: path.to_owned(),
            source,
        }
    }
}

/// Why an append (or a change of the log start, or a delete) did not become durable.
#[derive(Clone, Debug, Error)]
pub enum AppendError {
    /// Nothing was kept; the same append may be tried again when there is room.
    #[error("the disk is full")]
    Full,
    /// The store stopped for good: nothing is acknowledged after this.
    #[error("the store has failed: {0}")]
    Failed(Arc<StorageError>),
    #[error("the store is shut down")]
    ShutDown,
}

/// Why a section of an append was turned away. Nothing of it was kept, and nothing else was harmed.
#[derive(Clone, Debug, Error)]
pub enum Rejection {
    /// OUT_OF_ORDER_SEQUENCE_NUMBER
    #[error("producer {producer_id}: sequence {found} where {expected} must follow")]
    OutOfOrderSequence {
        producer_id: ProducerId,
        expected: Sequence,
        found: Sequence,
    },
    /// INVALID_PRODUCER_EPOCH
    #[error("producer {producer_id}: epoch {found} is older than {current}")]
    InvalidProducerEpoch {
        producer_id: ProducerId,
        current: ProducerEpoch,
        found: ProducerEpoch,
    },
    /// INVALID_TXN_STATE: a plain write while the same producer has a transaction open here.
    #[error("producer {producer_id} has a transaction open here and wrote outside of it")]
    TransactionOpen { producer_id: ProducerId },
    /// TRANSACTION_COORDINATOR_FENCED: a marker from a coordinator that was replaced.
    #[error(
        "a transaction of producer {producer_id} was to be ended by a coordinator of epoch {found}, but {current} has been here"
    )]
    CoordinatorFenced {
        producer_id: ProducerId,
        current: i32,
        found: i32,
    },
    /// UNKNOWN_TOPIC_OR_PARTITION
    #[error("the partition was deleted")]
    PartitionDeleted,
    /// RECORD_LIST_TOO_LARGE
    #[error("{bytes} bytes in one append")]
    TooLarge { bytes: usize },
    /// The whole append was turned away because another of its sections was (`append_all` only).
    #[error("another section of the same append was rejected")]
    OtherSection,
    /// What the append is based on was not written (`append_if` and `append_all_if` only).
    #[error("what this follows could not be written")]
    Overtaken,
    /// The store takes no appends any more.
    #[error(transparent)]
    Store(AppendError),
}

/// Why a read was not answered.
#[derive(Clone, Debug, Error)]
pub enum ReadError {
    #[error("offset is outside of the log's {start} to {end}")]
    OutOfRange { start: Offset, end: Offset },
    /// The bytes on disk are not what was written. The rest of the log is still served.
    #[error("{0}")]
    Corrupt(Arc<Damage>),
    #[error("reading {path}: {source}")]
    Io {
        path: PathBuf,
        source: Arc<io::Error>,
    },
}

/// One place on disk that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{path} is damaged at byte {position}: {what}; run `outlast log verify` and restore from a backup"
)]
pub struct Damage {
    pub path: PathBuf,
    pub position: u64,
    /// What is wrong there.
    pub what: String,
    /// The partition it belongs to, where that is known.
    pub partition: Option<PartitionId>,
    /// The offsets that can't be read, `from` included, `to` not.
    pub offsets: Option<(Offset, Offset)>,
}

/// The leader epoch and the offset at which it ended, as OffsetForLeaderEpoch wants it.
pub type EpochEnd = (LeaderEpoch, Offset);
