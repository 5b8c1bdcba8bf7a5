//! The tail cache: the newest batches of all partitions, by reference count, within one budget of bytes.
//!
//! What was appended last is served from memory, as the very bytes that came in. The oldest append leaves
//! first, whichever partition it belongs to. Cold reads do not come in here: one slow consumer must not push out
//! what everybody else reads.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use outlast_records::Offset;

use crate::partition::PartitionLog;

/// What a cached batch costs besides its bytes.
const OVERHEAD: usize = 96;

/// Which batches are cached, oldest first. Guarded by the sequencer's lock.
pub(crate) struct CacheBudget {
    order: VecDeque<(Arc<PartitionLog>, Offset)>,
    used: usize,
    limit: usize,
}

impl CacheBudget {
    pub(crate) fn new(limit: usize) -> CacheBudget {
        CacheBudget {
            order: VecDeque::new(),
            used: 0,
            limit,
        }
    }

    /// Accounts for a batch that was put into its partition's cache.
    pub(crate) fn added(&mut self, log: &Arc<PartitionLog>, base: Offset, len: usize) {
        self.order.push_back((Arc::clone(log), base));
        self.used += len + OVERHEAD;
    }

    /// Evicts until the budget holds. Locks partitions, one at a time.
    pub(crate) fn shrink(&mut self) {
        while self.used > self.limit {
            let Some((log, base)) = self.order.pop_front() else {
                self.used = 0;
                return;
            };
            // A batch that left otherwise (failed write, delete) was accounted for then.
            if let Some(len) = log.evict(base) {
                self.removed(len, 1);
            }
        }
    }

    /// Batches left the cache without eviction.
    pub(crate) fn removed(&mut self, bytes: usize, batches: usize) {
        self.used = self.used.saturating_sub(bytes + batches * OVERHEAD);
    }

    pub(crate) fn used(&self) -> usize {
        self.used
    }
}

/// The cached batches of one partition: a contiguous run of offsets up to the log's end.
#[derive(Default)]
pub(crate) struct Tail {
    batches: VecDeque<CachedBatch>,
}

struct CachedBatch {
    base: Offset,
    next: Offset,
    bytes: Bytes,
}

impl Tail {
    pub(crate) fn push(&mut self, base: Offset, next: Offset, bytes: Bytes) {
        self.batches.push_back(CachedBatch { base, next, bytes });
    }

    /// Drops the front batch if it is the one at `base`; its length.
    pub(crate) fn evict(&mut self, base: Offset) -> Option<usize> {
        self.batches.front().filter(|front| front.base == base)?;
        self.batches.pop_front().map(|batch| batch.bytes.len())
    }

    /// Drops the batches from `end` on; bytes and number of them.
    pub(crate) fn truncate(&mut self, end: Offset) -> (usize, usize) {
        let keep = self.batches.partition_point(|batch| batch.base < end);
        let dropped = self.batches.split_off(keep);
        (
            dropped.iter().map(|batch| batch.bytes.len()).sum(),
            dropped.len(),
        )
    }

    /// The batches from the one that holds `from` up to `limit`, if that one is here.
    pub(crate) fn read(
        &self,
        from: Offset,
        limit: Offset,
        max_bytes: usize,
    ) -> Option<Vec<(Offset, Bytes)>> {
        let first = self.batches.partition_point(|batch| batch.next <= from);
        if first == 0 && self.batches.front().is_none_or(|front| front.base > from) {
            return None;
        }
        let mut found: Vec<(Offset, Bytes)> = Vec::new();
        let mut bytes = 0;
        for batch in self.batches.range(first..) {
            if batch.base >= limit || (bytes + batch.bytes.len() > max_bytes && !found.is_empty()) {
                break;
            }
            bytes += batch.bytes.len();
            found.push((batch.next, batch.bytes.clone()));
        }
        Some(found)
    }
}
