//! Makes a shard's state out of its log.

use outlast_records::{BatchError, EndTxnMarker, Offset, Timestamp, records, stored_batches};
use outlast_storage::{PartitionLog, ReadError};
use thiserror::Error;

use super::Machine;

/// How much is read at once.
const READ_BYTES: usize = 1024 * 1024;
/// What compressed records may grow to. Outlast writes none; a log from elsewhere may hold some.
const MAX_DECOMPRESSED_BYTES: usize = 256 * 1024 * 1024;

#[derive(Debug, Error)]
pub enum LoadError<E: std::error::Error + 'static> {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the batch at offset {at} can't be read: {source}")]
    Batch { at: Offset, source: BatchError },
    #[error("the record at offset {at} can't be read: {source}")]
    Record { at: Offset, source: E },
    #[error("the log ends at offset {end}, but nothing is there from {at} on")]
    Hole { at: Offset, end: Offset },
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Loaded {
    /// Where the next record goes.
    pub end: Offset,
    pub bytes: usize,
}

/// Replays the durable part of the log into `machine`. May block on the disk.
pub(super) fn replay<M: Machine>(
    log: &PartitionLog,
    machine: &mut M,
    now: Timestamp,
) -> Result<Loaded, LoadError<M::RecordError>> {
    let end = log.high_watermark();
    let start = log.start_offset();
    let mut at = start;
    let mut bytes = 0;
    while at < end {
        let fetched = log.read(at, end, READ_BYTES)?;
        if fetched.next_offset <= at {
            return Err(LoadError::Hole { at, end });
        }
        for chunk in fetched.batches {
            for batch in stored_batches(chunk) {
                let (header, batch) = batch.map_err(|source| LoadError::Batch { at, source })?;
                bytes += batch.len();
                if header.attributes.is_control() {
                    if let Some(marker) = EndTxnMarker::of_batch(&batch)
                        && header.base_offset >= start
                    {
                        machine.replay_end(header.producer_id, marker, now);
                    }
                    continue;
                }
                let producer = header
                    .attributes
                    .is_transactional()
                    .then_some((header.producer_id, header.producer_epoch));
                let failed = |source| LoadError::Batch {
                    at: header.base_offset,
                    source,
                };
                for record in records(&batch, MAX_DECOMPRESSED_BYTES).map_err(failed)? {
                    let record = record.map_err(failed)?;
                    if record.offset < start {
                        continue;
                    }
                    let at = record.offset;
                    let (key, value) = (record.key, record.value);
                    let replayed = match producer {
                        None => machine.replay(key, value, now),
                        Some(producer) => machine.replay_in_transaction(producer, key, value, now),
                    };
                    replayed.map_err(|source| LoadError::Record { at, source })?;
                }
            }
        }
        at = fetched.next_offset;
    }
    Ok(Loaded { end, bytes })
}
