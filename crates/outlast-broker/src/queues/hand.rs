//! The stored batches that a delivery has in hand: read from memory where they are there, else on a blocking thread.

use std::sync::Arc;

use bytes::Bytes;
use outlast_protocol::ErrorCode;
use outlast_records::{BatchHeader, Offset, stored_batches};
use outlast_storage::{FetchedBatches, PartitionLog, ReadError};

use crate::queue::{AcquiredRange, OffsetRange};

/// Batches in the order of their offsets.
#[derive(Default)]
pub(super) struct Hand {
    pub batches: Vec<HeldBatch>,
    pub bytes: usize,
}

pub(super) struct HeldBatch {
    pub header: BatchHeader,
    pub bytes: Bytes,
}

impl HeldBatch {
    pub fn last(&self) -> Offset {
        self.header.last_offset()
    }
}

impl Hand {
    /// Takes up the batches that hold these ranges, in order, until there are `max_bytes`; whether it took up all. The
    /// first batch is taken however large it is.
    pub async fn take(
        &mut self,
        log: &Arc<PartitionLog>,
        ranges: &[OffsetRange],
        max_bytes: usize,
    ) -> Result<bool, ReadError> {
        for range in ranges {
            let mut at = range.first;
            while at <= range.last {
                if let Some(held) = self.batches.last().filter(|held| held.last() >= at) {
                    at = held.last().next();
                    continue;
                }
                let room = max_bytes.saturating_sub(self.bytes);
                if room == 0 && !self.batches.is_empty() {
                    return Ok(false);
                }
                let found = read(log, at, range.last.next(), room).await?;
                if found.next_offset <= at || (found.bytes > room && !self.batches.is_empty()) {
                    return Ok(false);
                }
                at = found.next_offset;
                self.add(found);
            }
        }
        Ok(true)
    }

    /// Adds what was read from where the hand ends, or after.
    pub fn add(&mut self, found: FetchedBatches) {
        for chunk in found.batches {
            for stored in stored_batches(chunk) {
                // The store has checked what it gives out; what isn't a batch is nobody's to hand on.
                let Ok((header, bytes)) = stored else { break };
                self.bytes += bytes.len();
                self.batches.push(HeldBatch { header, bytes });
            }
        }
        // A read begins with the batch that holds the offset, which may be in hand already.
        self.batches.dedup_by_key(|held| held.header.base_offset);
    }

    /// All offsets of the batches.
    pub fn ranges(&self) -> Vec<OffsetRange> {
        let mut ranges: Vec<OffsetRange> = Vec::with_capacity(self.batches.len().min(16));
        for held in &self.batches {
            match ranges.last_mut() {
                Some(before) if before.last.next() == held.header.base_offset => {
                    before.last = held.last();
                }
                _ => ranges.extend(OffsetRange::new(held.header.base_offset, held.last())),
            }
        }
        ranges
    }

    /// The batch that this offset is in.
    pub fn batch_of(&self, offset: Offset) -> Option<&HeldBatch> {
        let at = self.batches.partition_point(|held| held.last() < offset);
        self.batches
            .get(at)
            .filter(|held| held.header.base_offset <= offset)
    }

    /// Keeps the batches that have a part in what was acquired.
    pub fn into_acquired(self, acquired: &[AcquiredRange]) -> Vec<Bytes> {
        let mut next = acquired.iter().peekable();
        let mut keep = |held: &HeldBatch| {
            while next
                .next_if(|range| range.last < held.header.base_offset)
                .is_some()
            {}
            next.peek().is_some_and(|range| range.first <= held.last())
        };
        self.batches
            .into_iter()
            .filter(|held| keep(held))
            .map(|held| held.bytes)
            .collect()
    }
}

/// Whole batches from the one that holds `from`, below `limit`.
pub(super) async fn read(
    log: &Arc<PartitionLog>,
    from: Offset,
    limit: Offset,
    max_bytes: usize,
) -> Result<FetchedBatches, ReadError> {
    if let Some(found) = log.read_cached(from, limit, max_bytes) {
        return Ok(found);
    }
    let log = Arc::clone(log);
    blocking(move || log.read(from, limit, max_bytes)).await
}

/// So many offsets after damage are tried one by one: more than a batch usually holds.
const TRIED_ONE_BY_ONE: i64 = 1 << 16;

/// Where the log can be read again: the first offset after `bad`, at or before `end`, at which a read succeeds. Of a very
/// long stretch of damage it is one of its ends, for which a few reads are enough.
pub(super) async fn readable_after(log: &Arc<PartitionLog>, bad: Offset, end: Offset) -> Offset {
    let log = Arc::clone(log);
    let search = move || {
        let is_good = |at: i64| {
            let found = log.read(Offset(at), Offset(at + 1), 1);
            found.is_ok_and(|found| !found.is_empty())
        };
        let near = end.0.min(bad.0.saturating_add(TRIED_ONE_BY_ONE));
        if let Some(good) = (bad.0 + 1..near).find(|at| is_good(*at)) {
            return Ok(Offset(good));
        }
        let (mut bad, mut good) = (near - 1, end.0);
        while good - bad > 1 {
            let middle = bad + (good - bad) / 2;
            match is_good(middle) {
                true => good = middle,
                false => bad = middle,
            }
        }
        Ok(Offset(good))
    };
    blocking(search).await.unwrap_or(end)
}

/// Runs what may wait for the disk where nobody else waits for it.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
) -> Result<T, ReadError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| {
            Err(ReadError::Io {
                path: std::path::PathBuf::new(),
                source: Arc::new(std::io::Error::other(error)),
            })
        })
}

/// What a worker is told of a read that failed.
pub(super) fn read_error_code(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        ReadError::Corrupt(_) => ErrorCode::CorruptMessage,
        ReadError::Io { .. } => ErrorCode::KafkaStorageError,
    }
}
