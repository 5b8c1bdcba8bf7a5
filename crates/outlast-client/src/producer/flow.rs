//! The order of one partition's batches, as a pure state machine: which batch may go next, which numbers it
//! carries, and what an answer means.
//!
//! ```text
//!            next()                    acknowledged()
//! waiting ───────────► in flight ───────────────────────► done
//!                        │   ▲
//!                failed()│   │next(), lowest serial first
//!                        ▼   │
//!                       retries
//! ```
//! Invariants: batches enter in serial order; a retry goes only when everything in flight is older than it; nothing
//! new goes while a retry waits. After a batch is lost for good, its numbers are a hole that the broker would never
//! let us pass, so the partition starts again at sequence 0 under the next epoch once nothing is in flight.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use outlast_protocol::ErrorCode;
use outlast_records::{ProducerEpoch, ProducerId, Sequence, split_batches};

use super::inlet::OpenBatch;
use crate::error::ClientError;

/// A batch with its place in the partition's order.
#[derive(Debug)]
pub(super) struct Batch {
    pub serial: u64,
    pub bytes: Bytes,
    pub records: i32,
    /// How often it was sent.
    pub attempts: u32,
    stamp: Option<Stamp>,
    pub origin: Origin,
}

/// What is left of the open batch: whom to tell and what to give back.
#[derive(Debug)]
pub(super) struct Origin {
    pub id: u64,
    pub reserved: usize,
    pub opened: tokio::time::Instant,
    pub outcome: std::sync::Arc<super::BatchOutcome>,
}

impl From<OpenBatch> for Origin {
    fn from(open: OpenBatch) -> Self {
        Self {
            id: open.id,
            reserved: open.reserved,
            opened: open.opened,
            outcome: open.outcome,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    id: ProducerId,
    epoch: ProducerEpoch,
    sequence: Sequence,
}

/// A producer id with an epoch, as the broker gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub id: ProducerId,
    pub epoch: ProducerEpoch,
}

#[derive(Debug)]
pub(super) struct Flow {
    idempotent: bool,
    identity: Option<Identity>,
    /// An id whose epochs are used up.
    exhausted: Option<ProducerId>,
    next_sequence: Sequence,
    next_serial: u64,
    in_flight: Vec<u64>,
    retries: VecDeque<Batch>,
    /// The numbering has a hole: start again when nothing is in flight.
    restart: bool,
    /// The broker has acknowledged something under this identity, so it checks what comes next. Before that it
    /// would take any sequence, also the second batch when the first one failed.
    established: bool,
}

/// Whether something may be sent now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    /// Something must come back first.
    Shut,
    /// A producer id is needed first.
    NeedsIdentity,
}

/// What becomes of a batch that the broker did not take.
#[derive(Debug)]
pub(super) enum Verdict {
    Retry,
    Fail(Batch),
    /// The broker has had it all along.
    Duplicate(Batch),
}

impl Flow {
    pub fn new(idempotent: bool) -> Self {
        Self {
            idempotent,
            identity: None,
            exhausted: None,
            next_sequence: Sequence(0),
            next_serial: 0,
            in_flight: Vec::new(),
            retries: VecDeque::new(),
            restart: false,
            established: false,
        }
    }

    pub fn gate(&mut self, identity: Option<Identity>) -> Gate {
        if !self.idempotent {
            return match self.retries.front() {
                Some(retry) if self.in_flight.iter().any(|s| *s > retry.serial) => Gate::Shut,
                _ => Gate::Open,
            };
        }
        if self.restart {
            if !self.in_flight.is_empty() {
                return Gate::Shut;
            }
            self.start_again();
        }
        if self.identity.is_none() {
            let Some(identity) = identity.filter(|i| Some(i.id) != self.exhausted) else {
                return Gate::NeedsIdentity;
            };
            self.identity = Some(identity);
            self.next_sequence = Sequence(0);
            self.established = false;
            self.renumber_retries();
        }
        let first_is_out = !self.established && !self.in_flight.is_empty();
        let newer_is_out = self
            .retries
            .front()
            .is_some_and(|retry| self.in_flight.iter().any(|s| *s > retry.serial));
        if first_is_out || newer_is_out {
            Gate::Shut
        } else {
            Gate::Open
        }
    }

    /// Under the next epoch the broker takes sequence 0 again. Ids run out of epochs; then a new id is needed.
    fn start_again(&mut self) {
        self.restart = false;
        self.established = false;
        self.next_sequence = Sequence(0);
        self.exhausted = self.identity.map(|identity| identity.id);
        self.identity = self.identity.and_then(|identity| {
            let epoch = identity.epoch.0.checked_add(1)?;
            // The largest epoch is reserved for fencing.
            (epoch < i16::MAX).then_some(Identity {
                epoch: ProducerEpoch(epoch),
                ..identity
            })
        });
        if self.identity.is_some() {
            self.renumber_retries();
        }
    }

    fn renumber_retries(&mut self) {
        let mut retries = std::mem::take(&mut self.retries);
        for batch in &mut retries {
            batch.stamp = None;
            self.stamp(batch);
        }
        self.retries = retries;
    }

    /// The retry whose turn it is. The gate must be open.
    pub fn next_retry(&mut self) -> Option<Batch> {
        let batch = self.retries.pop_front()?;
        self.in_flight.push(batch.serial);
        Some(batch)
    }

    pub fn has_retries(&self) -> bool {
        !self.retries.is_empty()
    }

    /// Seals a batch that was just taken from the callers. The gate must be open, and no retry waiting.
    pub fn next_new(&mut self, open: OpenBatch) -> Result<Batch, (Origin, ClientError)> {
        let records = i32::try_from(open.builder.records_count()).unwrap_or(i32::MAX);
        let origin = Origin {
            id: open.id,
            reserved: open.reserved,
            opened: open.opened,
            outcome: open.outcome,
        };
        let stamp = self.take_stamp(records);
        let builder = match stamp {
            Some(stamp) => open.builder.producer(stamp.id, stamp.epoch, stamp.sequence),
            None => open.builder,
        };
        let bytes = match builder.build() {
            Ok(batch) => batch.into_bytes(),
            Err(e) => {
                self.restart = true;
                return Err((origin, ClientError::invalid(e.to_string())));
            }
        };
        let serial = self.next_serial;
        self.next_serial += 1;
        self.in_flight.push(serial);
        Ok(Batch {
            serial,
            bytes,
            records,
            attempts: 0,
            stamp,
            origin,
        })
    }

    fn take_stamp(&mut self, records: i32) -> Option<Stamp> {
        let identity = self.identity.filter(|_| self.idempotent)?;
        let sequence = self.next_sequence;
        self.next_sequence = sequence.plus(records);
        Some(Stamp {
            id: identity.id,
            epoch: identity.epoch,
            sequence,
        })
    }

    fn stamp(&mut self, batch: &mut Batch) {
        let Some(stamp) = self.take_stamp(batch.records) else {
            return;
        };
        batch.stamp = Some(stamp);
        let bytes = std::mem::take(&mut batch.bytes);
        // It was built here, so it is one whole batch.
        if let Ok(mut batches) = split_batches(BytesMut::from(bytes), usize::MAX)
            && let Some(mut checked) = batches.pop()
        {
            checked.set_producer(stamp.id, stamp.epoch, stamp.sequence);
            batch.bytes = checked.into_bytes();
        }
    }

    pub fn acknowledged(&mut self, serial: u64) {
        self.landed(serial);
        self.established = true;
    }

    fn landed(&mut self, serial: u64) {
        self.in_flight.retain(|s| *s != serial);
    }

    /// The batch came back with an error. A retry is kept here; anything else is the caller's again.
    pub fn failed(&mut self, batch: Batch, error: &ClientError) -> Verdict {
        self.landed(batch.serial);
        if !self.idempotent {
            return if error.retriable() {
                self.retry(batch)
            } else {
                Verdict::Fail(batch)
            };
        }
        match error.code() {
            Some(ErrorCode::DuplicateSequenceNumber) => Verdict::Duplicate(batch),
            Some(ErrorCode::OutOfOrderSequenceNumber) => {
                let older = |serial: &u64| *serial < batch.serial;
                let older_unsettled = self.in_flight.iter().any(older)
                    || self.retries.iter().any(|retry| older(&retry.serial));
                if older_unsettled || self.restart {
                    return self.retry(batch);
                }
                // Everything before it was acknowledged, and the broker doesn't have it. To start again here would
                // hide that acknowledged records are gone: whoever sent this one must hear of it.
                self.restart = true;
                Verdict::Fail(batch)
            }
            // The broker forgot the producer, which happens when all its records have expired.
            Some(ErrorCode::UnknownProducerId) => {
                self.restart = true;
                self.retry(batch)
            }
            _ if error.retriable() => self.retry(batch),
            _ => {
                self.restart = true;
                Verdict::Fail(batch)
            }
        }
    }

    fn retry(&mut self, batch: Batch) -> Verdict {
        let at = self.retries.partition_point(|b| b.serial < batch.serial);
        self.retries.insert(at, batch);
        Verdict::Retry
    }

    /// Takes out the retries that are older than allowed. Batches in flight are left: their answer may be near.
    pub fn expire(&mut self, expired: impl Fn(&Batch) -> bool) -> Vec<Batch> {
        let (gone, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.retries)
            .into_iter()
            .partition(expired);
        self.retries = kept.into();
        if self.idempotent && !gone.is_empty() {
            self.restart = true;
        }
        gone
    }
}

#[cfg(test)]
mod tests;
