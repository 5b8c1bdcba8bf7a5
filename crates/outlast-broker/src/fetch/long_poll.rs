//! Looking at the partitions that are due, and waiting until there is enough for the client.
//!
//! What is in memory is read at once, on the spot. What must come from disk is read in one blocking task, with the part
//! of the budget that was kept for it, so that partitions in memory cannot starve those on disk.

use std::sync::Arc;
use std::time::Duration;

use outlast_protocol::ErrorCode;
use outlast_records::{LeaderEpoch, Offset};
use outlast_storage::{FetchedBatches, PartitionLog, ReadError, Watcher};
use tokio::sync::watch;
use tokio::time::Instant;

use super::set::{FetchSet, FetchState, Look};

/// What the client asked of the whole response.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub min_bytes: usize,
    pub max_bytes: usize,
    pub max_wait: Duration,
}

/// A read that may block.
struct ColdRead {
    place: usize,
    log: Arc<PartitionLog>,
    from: Offset,
    limit: Offset,
    max_bytes: usize,
    /// One batch must be sent even if it is larger than the limits.
    first: bool,
}

/// How far a request has got.
struct Progress {
    bytes: usize,
    left: usize,
    /// Records were found: the next partition's first batch must fit the limits.
    any: bool,
    /// Something that the client should know at once.
    urgent: bool,
    /// A partition exists that records could come from.
    can_wait: bool,
    cold: Vec<ColdRead>,
    read_committed: bool,
    /// Places with records for which nothing was left.
    passed_over: Vec<usize>,
}

impl FetchSet {
    /// Fills in the looks. Returns when there are `min_bytes`, when there is an error to tell, when the wait is over, or
    /// when the broker is closing.
    pub async fn poll(&mut self, limits: Limits, mut closing: watch::Receiver<bool>) {
        let deadline = Instant::now() + limits.max_wait;
        let mut progress = Progress {
            bytes: 0,
            left: limits.max_bytes,
            any: false,
            urgent: false,
            can_wait: false,
            cold: Vec::new(),
            read_committed: self.read_committed,
            passed_over: Vec::new(),
        };
        let mut places: Vec<usize> = self.due.iter().copied().collect();
        progress.can_wait = self.due.len() < self.len();
        loop {
            self.look_at(&places, &mut progress);
            while !progress.cold.is_empty() {
                self.read_cold(&mut progress).await;
                // What was kept for the reads and not used may serve others.
                let passed_over = std::mem::take(&mut progress.passed_over);
                if progress.left > 0 {
                    self.look_at(&passed_over, &mut progress);
                }
            }
            let enough =
                progress.bytes >= limits.min_bytes || progress.urgent || !progress.can_wait;
            if enough || limits.max_wait.is_zero() {
                return;
            }
            if self.watcher.is_none() {
                // Watch first, then look once more: what came in between is not missed.
                self.watch_all();
                places = self.due.iter().copied().collect();
                continue;
            }
            let Some(watcher) = &self.watcher else { return };
            tokio::select! {
                () = watcher.marked() => {}
                () = tokio::time::sleep_until(deadline) => return,
                _ = closing.wait_for(|closing| *closing) => return,
            }
            places = watcher
                .take_marked()
                .into_iter()
                .map(|token| token as usize)
                .collect();
            for place in &places {
                self.set_due(*place);
            }
        }
    }

    /// In a session, what happened between two requests.
    pub fn collect_news(&mut self) {
        let Some(watcher) = &self.watcher else {
            // Nobody has watched so far: everything may be news, once.
            self.watch_all();
            return (0..self.states.len()).for_each(|place| self.set_due(place));
        };
        for token in watcher.take_marked() {
            self.set_due(token as usize);
        }
    }

    fn watch_all(&mut self) {
        let watcher = Watcher::new();
        for (place, state) in self.states.iter().enumerate() {
            if let Some(FetchState {
                found: Ok((_, partition)),
                ..
            }) = state
            {
                watcher.watch(&partition.log, place as u64);
            }
        }
        self.watcher = Some(watcher);
    }

    fn look_at(&mut self, places: &[usize], progress: &mut Progress) {
        for place in places {
            if let Some(Some(state)) = self.states.get_mut(*place) {
                state.look_again(*place, progress);
            }
        }
    }

    async fn read_cold(&mut self, progress: &mut Progress) {
        let cold = std::mem::take(&mut progress.cold);
        let reads = tokio::task::spawn_blocking(move || {
            cold.into_iter()
                .map(|read| {
                    (
                        read.place,
                        read.first,
                        read.max_bytes,
                        read.log.read(read.from, read.limit, read.max_bytes),
                    )
                })
                .collect::<Vec<_>>()
        });
        let Ok(reads) = reads.await else {
            progress.urgent = true;
            return;
        };
        for (place, first, max_bytes, found) in reads {
            if let Some(Some(state)) = self.states.get_mut(place) {
                // What was kept for the read goes back, and what it used is taken.
                progress.left += max_bytes;
                state.take(found, first, max_bytes, progress);
            }
        }
    }
}

impl FetchState {
    fn look_again(&mut self, place: usize, progress: &mut Progress) {
        if let Look::Records(before) = std::mem::take(&mut self.look) {
            progress.bytes -= before.bytes;
            progress.left += before.bytes;
            progress.any = progress.bytes > 0;
        }
        let partition = match &self.found {
            Ok((_, partition)) => partition.clone(),
            Err(code) => {
                // Not urgent: a client that asks for a missing topic among others would spin.
                self.look = Look::Failed(*code);
                return;
            }
        };
        progress.can_wait = true;
        self.log_start = partition.log.start_offset();
        // In this order: a stable offset is never beyond the high watermark that is told with it.
        self.last_stable = partition.log.last_stable_offset();
        self.high_watermark = partition.log.high_watermark();
        let limit = match progress.read_committed {
            true => self.last_stable,
            false => self.high_watermark,
        };
        match self.check(&partition) {
            Ok(()) => {}
            Err(look) => {
                self.look = look;
                progress.urgent = true;
                return;
            }
        }
        self.look = Look::Nothing;
        let max_bytes = self.max_bytes.min(progress.left);
        if self.fetch_offset >= limit {
            return;
        }
        if progress.any && max_bytes == 0 {
            // There is more, but not in this response; the partition stays due.
            progress.passed_over.push(place);
            self.look = Look::Records(FetchedBatches {
                next_offset: self.fetch_offset,
                ..Default::default()
            });
            return;
        }
        let first = !progress.any;
        match partition
            .log
            .read_cached(self.fetch_offset, limit, max_bytes)
        {
            Some(found) => self.take(Ok(found), first, max_bytes, progress),
            None => {
                progress.cold.push(ColdRead {
                    place,
                    log: partition.log.clone(),
                    from: self.fetch_offset,
                    limit,
                    max_bytes,
                    first,
                });
                progress.left = progress.left.saturating_sub(max_bytes);
                progress.any = true;
            }
        }
    }

    /// Epochs and offset, before anything is read.
    fn check(&self, partition: &crate::topics::Partition) -> Result<(), Look> {
        partition
            .check_leader_epoch(self.current_leader_epoch)
            .map_err(|error| Look::Failed(error.code))?;
        if self.fetch_offset < self.log_start || self.fetch_offset > partition.log.end_offset() {
            return Err(Look::Failed(ErrorCode::OffsetOutOfRange));
        }
        if self.last_fetched_epoch >= 0 {
            let claimed = LeaderEpoch(self.last_fetched_epoch);
            match partition.log.end_offset_for_epoch(claimed) {
                None => return Err(Look::Failed(ErrorCode::OffsetOutOfRange)),
                Some((epoch, end)) if epoch < claimed || end < self.fetch_offset => {
                    return Err(Look::Diverging(epoch, end));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn take(
        &mut self,
        found: Result<FetchedBatches, ReadError>,
        first: bool,
        max_bytes: usize,
        progress: &mut Progress,
    ) {
        match found {
            Ok(found) if found.bytes > max_bytes && !first => {
                self.look = Look::Records(FetchedBatches {
                    next_offset: self.fetch_offset,
                    ..Default::default()
                });
            }
            Ok(found) => {
                progress.bytes += found.bytes;
                progress.left = progress.left.saturating_sub(found.bytes);
                progress.any |= found.bytes > 0;
                self.look = Look::Records(found);
            }
            Err(error) => {
                let code = match &error {
                    ReadError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
                    // A consumer must see damage, not retry for ever as it would after a storage error.
                    ReadError::Corrupt(_) => ErrorCode::CorruptMessage,
                    ReadError::Io { .. } => ErrorCode::KafkaStorageError,
                };
                if code != ErrorCode::OffsetOutOfRange {
                    tracing::error!(%error, topic = ?self.key.0, partition = self.key.1, "a fetch could not be answered");
                }
                self.look = Look::Failed(code);
                progress.urgent = true;
            }
        }
    }
}
