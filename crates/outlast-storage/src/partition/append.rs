//! The half of an append that happens at once: producer checks, offsets, the cache, the queue.
//!
//! Called with the sequencer's lock held, so that a partition's offsets and the log have one order.

use std::sync::Arc;

use outlast_records::{CheckedBatch, LeaderEpoch, Offset};

use super::{PartitionLog, State};
use crate::cache::CacheBudget;
use crate::error::Rejection;
use crate::producers::{Admission, BatchSpan, Change};
use crate::transactions::marker_of;
use crate::wal::queue::{Group, QueuedBatch, QueuedContent, QueuedSection};

/// Why batches are not appended.
pub(crate) enum Refusal {
    Rejected(Rejection),
    /// They were appended before; `pending`: by an append that is not durable yet.
    Repeat {
        span: BatchSpan,
        pending: bool,
    },
}

impl PartitionLog {
    /// Would these batches be appended? Changes nothing.
    pub(crate) fn check(&self, batches: &[CheckedBatch]) -> Result<(), Refusal> {
        self.lock().admit(batches).map(drop)
    }

    /// Gives the batches their offsets and puts them into the group; the offsets of the first and last record.
    pub(crate) fn append(
        self: &Arc<Self>,
        batches: Vec<CheckedBatch>,
        leader_epoch: LeaderEpoch,
        group: &mut Group,
        cache: &mut CacheBudget,
    ) -> Result<(Offset, Offset), Refusal> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let changes = state.admit(&batches)?;
        state.producers.lay(changes);
        let (first, from) = (state.end, group.batches.len());
        for mut batch in batches {
            batch.assign(state.end, leader_epoch);
            let header = *batch.header();
            let marker = marker_of(&header, batch.bytes());
            let bytes = batch.into_bytes();
            state.end = header.next_offset();
            state
                .tail
                .push(header.base_offset, state.end, bytes.clone());
            cache.added(self, header.base_offset, bytes.len());
            group.bytes += bytes.len();
            group.batches.push(QueuedBatch {
                header,
                marker,
                bytes,
            });
        }
        let to = group.batches.len();
        if from < to {
            group.sections.push(QueuedSection {
                log: Arc::clone(self),
                content: QueuedContent::Batches {
                    leader_epoch,
                    from,
                    to,
                },
            });
        }
        self.publish(state);
        Ok((first, Offset(state.end.0 - 1)))
    }
}

impl State {
    fn admit(&self, batches: &[CheckedBatch]) -> Result<Vec<Change>, Refusal> {
        if self.deleted {
            return Err(Refusal::Rejected(Rejection::PartitionDeleted));
        }
        let headers = batches
            .iter()
            .map(|batch| (batch.header(), marker_of(batch.header(), batch.bytes())));
        match self.producers.admit(headers, self.end) {
            Ok(Admission::New(changes)) => Ok(changes),
            Ok(Admission::Repeat { span, pending }) => Err(Refusal::Repeat { span, pending }),
            Err(rejection) => Err(Refusal::Rejected(rejection)),
        }
    }
}
