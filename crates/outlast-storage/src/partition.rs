//! One partition's log: its offsets, its cached tail, where its batches lie on disk, and its producers.
//!
//! Invariants, all under the one lock of `State`:
//! - `start ≤ last stable offset ≤ high watermark ≤ end`; none of the first three moves backwards.
//! - The last stable offset is where the oldest open transaction begins, or the high watermark when there is none.
//! - The high watermark is what is durable and contiguous; only the writer moves it, in log order.
//! - `end`, pending producers and the cache's newest batches may run ahead of it, and fall back to it together
//!   when a write fails.
//! - `extents` are contiguous up to the high watermark, except for damage that recovery reported.

mod append;
mod extent;
mod index;
mod read;
mod timestamps;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use outlast_records::{LeaderEpoch, Offset, PartitionId, ProducerId, Timestamp};
use parking_lot::{Mutex, MutexGuard};

use crate::cache::Tail;
use crate::durable::Commit;
use crate::epochs::EpochStarts;
use crate::error::{Damage, EpochEnd};
use crate::producers::{ActiveProducer, ProducerTable};
use crate::segment::AbortedTxn;
use crate::transactions::{AbortedTxns, StoredBatch};
use crate::wal::file::WalFile;
use crate::watch::{Watchers, Woken};

pub(crate) use append::Refusal;
pub(crate) use extent::{Extent, Place, Run, Runs};
pub use read::FetchedBatches;
pub(crate) use read::Reader;
pub use timestamps::TimedOffset;

/// How much of a log is kept. `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Batches whose newest record is older than this go (`retention.ms`).
    pub ms: Option<i64>,
    /// The oldest batches go while the log is larger than this (`retention.bytes`).
    pub bytes: Option<u64>,
}

/// One partition's log. Shared by everybody who appends to it or reads it.
pub struct PartitionLog {
    id: PartitionId,
    reader: Arc<Reader>,
    // Copies of what `state` holds, for those who only look.
    start: AtomicI64,
    last_stable: AtomicI64,
    high_watermark: AtomicI64,
    end: AtomicI64,
    size_bytes: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) start: Offset,
    pub(crate) high_watermark: Offset,
    pub(crate) end: Offset,
    pub(crate) extents: VecDeque<Extent>,
    pub(crate) tail: Tail,
    pub(crate) epochs: EpochStarts,
    pub(crate) producers: ProducerTable,
    pub(crate) aborted: AbortedTxns,
    pub(crate) retention: Retention,
    pub(crate) watchers: Watchers,
    /// Set when the delete is queued: nothing is appended after it.
    pub(crate) deleted: bool,
    /// What a delete that is queued waits for.
    pub(crate) deleting: Option<Arc<Commit>>,
    /// What recovery could not read.
    pub(crate) damage: Vec<Arc<Damage>>,
    /// The newest write-ahead log file that says anything about this partition.
    pub(crate) touched_file: u64,
    /// Live bytes on disk.
    pub(crate) bytes: u64,
}

impl PartitionLog {
    pub(crate) fn new(id: PartitionId, reader: Arc<Reader>, state: State) -> PartitionLog {
        let log = PartitionLog {
            id,
            reader,
            start: AtomicI64::new(0),
            last_stable: AtomicI64::new(0),
            high_watermark: AtomicI64::new(0),
            end: AtomicI64::new(0),
            size_bytes: AtomicU64::new(0),
            state: Mutex::new(state),
        };
        log.publish(&log.state.lock());
        log
    }

    pub fn id(&self) -> PartitionId {
        self.id
    }

    /// The first offset that can be read.
    pub fn start_offset(&self) -> Offset {
        Offset(self.start.load(Ordering::Acquire))
    }

    /// The offset that the next append gets; includes appends that are not durable yet.
    pub fn end_offset(&self) -> Offset {
        Offset(self.end.load(Ordering::Acquire))
    }

    /// Everything below it is durable and may be read.
    pub fn high_watermark(&self) -> Offset {
        Offset(self.high_watermark.load(Ordering::Acquire))
    }

    /// Every transaction that has a record below it is over (KIP-98): as far as read_committed consumers read.
    pub fn last_stable_offset(&self) -> Offset {
        Offset(self.last_stable.load(Ordering::Acquire))
    }

    /// The aborted transactions that a reader of the offsets from `from` up to before `to`, which is not beyond the last
    /// stable offset, may meet records of; in the order of their markers.
    pub fn aborted(&self, from: Offset, to: Offset) -> Vec<AbortedTxn> {
        self.state.lock().aborted.between(from, to)
    }

    /// Bytes of batches on disk.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes.load(Ordering::Acquire)
    }

    /// The largest epoch not above `epoch` that wrote here, and the offset after its last record.
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> Option<EpochEnd> {
        let state = self.state.lock();
        state.epochs.end_of(epoch, state.high_watermark)
    }

    /// The first offset whose batch may have been written at `time` or later. By files: an offset too low at worst.
    pub fn first_offset_since(&self, time: Timestamp) -> Offset {
        let state = self.state.lock();
        let newer = |extent: &&Extent| extent.max_timestamp.max(extent.begun()) >= time;
        state
            .extents
            .iter()
            .find(newer)
            .map_or(state.high_watermark, |extent| extent.base)
            .max(state.start)
    }

    /// The batch at `offset` was written at this time or later. `NONE` where nothing is known.
    pub fn written_after(&self, offset: Offset) -> Timestamp {
        let state = self.state.lock();
        let at = state
            .extents
            .partition_point(|extent| extent.next <= offset);
        state.extents.get(at).map_or(Timestamp::NONE, Extent::begun)
    }

    pub fn set_retention(&self, retention: Retention) {
        self.state.lock().retention = retention;
    }

    /// Whether anything is remembered of a producer here, appends in flight included.
    pub fn knows_producer(&self, id: ProducerId) -> bool {
        self.state.lock().producers.knows(id)
    }

    pub fn producers(&self) -> Vec<ActiveProducer> {
        self.state.lock().producers.active()
    }

    /// What recovery found damaged here; reads of these offsets answer `ReadError::Corrupt`.
    pub fn damage(&self) -> Vec<Arc<Damage>> {
        self.state.lock().damage.clone()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Makes a changed state visible to those who don't lock.
    pub(crate) fn publish(&self, state: &State) {
        self.start.store(state.start.0, Ordering::Release);
        self.last_stable
            .store(state.last_stable_offset().0, Ordering::Release);
        self.high_watermark
            .store(state.high_watermark.0, Ordering::Release);
        self.end.store(state.end.0, Ordering::Release);
        self.size_bytes.store(state.bytes, Ordering::Release);
    }

    /// Drops the cached batch at `base` if it is the oldest; its length.
    pub(crate) fn evict(&self, base: Offset) -> Option<usize> {
        self.state.lock().tail.evict(base)
    }

    /// The writer made these batches durable, in `file`, in entry `sequence`. `runs` says where they are.
    pub(crate) fn commit_batches(
        &self,
        file: &Arc<WalFile>,
        sequence: u64,
        leader_epoch: LeaderEpoch,
        batches: impl Iterator<Item = StoredBatch>,
        woken: &mut Woken,
    ) -> FirstTouch {
        let mut state = self.state.lock();
        let first = state.touch(file);
        state.add_batches(file, sequence, leader_epoch, batches);
        state.watchers.wake(woken);
        self.publish(&state);
        first
    }

    /// The log start `to` is durable.
    pub(crate) fn commit_log_start(
        &self,
        file: &Arc<WalFile>,
        to: Offset,
        woken: &mut Woken,
    ) -> FirstTouch {
        let mut state = self.state.lock();
        let first = state.touch(file);
        state.raise_start(to);
        state.watchers.wake(woken);
        self.publish(&state);
        first
    }

    /// The delete is durable: nothing of the partition is found any more. Bytes and number of cached batches that went.
    pub(crate) fn commit_delete(
        &self,
        file: &Arc<WalFile>,
        woken: &mut Woken,
    ) -> (FirstTouch, usize, usize) {
        let mut state = self.state.lock();
        let first = state.touch(file);
        let (bytes, batches) = state.tail.truncate(Offset(i64::MIN));
        state.extents.clear();
        state.bytes = 0;
        state.end = state.high_watermark;
        state.watchers.wake(woken);
        self.publish(&state);
        (first, bytes, batches)
    }

    /// The delete did not become durable.
    pub(crate) fn undelete(&self) {
        let mut state = self.state.lock();
        state.deleted = false;
        state.deleting = None;
    }

    /// Forgets everything that is not durable. Bytes and number of cached batches that went.
    pub(crate) fn fall_back(&self) -> (usize, usize) {
        let mut state = self.state.lock();
        state.end = state.high_watermark;
        state.producers.drop_pending();
        let end = state.end;
        let dropped = state.tail.truncate(end);
        self.publish(&state);
        dropped
    }
}

/// Whether a file said something about a partition for the first time: then its side-car must list it.
pub(crate) type FirstTouch = bool;

impl State {
    pub(crate) fn touch(&mut self, file: &Arc<WalFile>) -> FirstTouch {
        let first = self.touched_file != file.number;
        self.touched_file = file.number;
        first
    }

    /// Takes in durable batches of one section.
    pub(crate) fn add_batches(
        &mut self,
        file: &Arc<WalFile>,
        sequence: u64,
        leader_epoch: LeaderEpoch,
        batches: impl Iterator<Item = StoredBatch>,
    ) {
        for StoredBatch {
            header,
            marker,
            position,
        } in batches
        {
            let mut ended = None;
            if header.has_producer() {
                ended = self.producers.commit(&header, marker, sequence);
            }
            if self.high_watermark < header.next_offset() {
                self.epochs.note(leader_epoch, header.base_offset);
                self.high_watermark = header.next_offset();
                self.end = self.end.max(self.high_watermark);
            }
            if let Some(first_offset) = ended
                && marker.is_some_and(|marker| !marker.commit)
            {
                self.aborted.add(AbortedTxn {
                    producer_id: header.producer_id,
                    first_offset,
                    last_offset: header.last_offset(),
                    // While a log is recovered, the high watermark may be ahead already.
                    last_stable_offset: self
                        .producers
                        .first_open()
                        .unwrap_or(header.next_offset())
                        .min(header.next_offset()),
                });
            }
            self.bytes += header.size() as u64;
            Extent::for_file(&mut self.extents, file, header.base_offset).add(&header, position);
        }
    }

    pub(crate) fn last_stable_offset(&self) -> Offset {
        match self.producers.first_open() {
            // Of a transaction that began below the log start, what is left begins there.
            Some(first) => first.max(self.start).min(self.high_watermark),
            None => self.high_watermark,
        }
    }

    /// The aborted transactions that began in a segment and ended in a write-ahead log file.
    pub(crate) fn aborted_across(&self) -> Vec<AbortedTxn> {
        let first_wal = self
            .extents
            .iter()
            .find(|extent| extent.wal_number().is_some());
        let from = first_wal.map_or(Offset(i64::MAX), |extent| extent.base);
        let mut ended = self.aborted.ended_in(from, Offset(i64::MAX));
        ended.retain(|txn| !self.in_wal(txn.first_offset) && self.in_wal(txn.last_offset));
        ended
    }

    /// Whether the batch of this offset lies in a write-ahead log file.
    pub(crate) fn in_wal(&self, offset: Offset) -> bool {
        let at = self.extents.partition_point(|extent| extent.next <= offset);
        self.extents
            .get(at)
            .is_some_and(|extent| extent.base <= offset && extent.wal_number().is_some())
    }

    /// Offsets below `to` were given out.
    pub(crate) fn raise_end(&mut self, to: Offset) {
        self.high_watermark = self.high_watermark.max(to);
        self.end = self.end.max(to);
    }

    /// Moves the log start; what lies wholly below it is not found any more.
    pub(crate) fn raise_start(&mut self, to: Offset) {
        if to > self.start {
            self.start = to;
            self.raise_end(to);
            self.epochs.trim(to);
            self.aborted.trim(to);
        }
        self.drop_trimmed();
    }

    /// Lets go of the extents below the log start. One of the unsealed file stays until its side-car is written from it.
    pub(crate) fn drop_trimmed(&mut self) {
        let start = self.start;
        while let Some(extent) = self.extents.front()
            && extent.next <= start
            && !extent.needs_side_car()
        {
            self.bytes = self.bytes.saturating_sub(extent.bytes);
            self.extents.pop_front();
        }
    }

    /// Copies of the extents that a read from `from` of `max_bytes` may need, to take away from under the lock.
    pub(crate) fn extents_from(&self, from: Offset, max_bytes: usize) -> Vec<Extent> {
        let first = self.extents.partition_point(|extent| extent.next <= from);
        let mut bytes = 0;
        self.extents
            .range(first..)
            .take_while(|extent| {
                let more = bytes <= max_bytes as u64;
                bytes += extent.bytes;
                more
            })
            .map(|extent| extent.window(from, max_bytes))
            .collect()
    }

    /// The first extent that reaches beyond `at` and has a record of `target` or later; of the runs in memory, the first
    /// such.
    pub(crate) fn extent_at_least(&self, at: Offset, target: Timestamp) -> Option<Extent> {
        let first = self.extents.partition_point(|extent| extent.next <= at);
        self.extents
            .range(first..)
            .filter(|extent| extent.max_timestamp >= target)
            .find_map(|extent| extent.first_run_only(at, target))
    }

    pub(crate) fn max_timestamp(&self) -> Option<Timestamp> {
        self.extents.iter().map(|extent| extent.max_timestamp).max()
    }
}
