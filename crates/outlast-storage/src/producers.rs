//! What a partition remembers of its idempotent producers: enough to answer a repeated batch with its first
//! answer and to refuse a gap (Kafka's ProducerStateManager, KIP-98).
//!
//! The table has two layers. *Durable* is what the write-ahead log holds. *Pending* is laid over it by appends
//! that wait for their fsync: checks look at pending first, a commit moves one batch down, and a failed write
//! drops the layer. Expiry and snapshots look at the durable layer only.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use outlast_records::{
    BatchHeader, EndTxnMarker, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp,
};

use crate::codec::{Fields, Put, Short};
use crate::error::Rejection;

/// Batches of one producer that are recognised when they come again: as many as a client may have in flight.
pub const WINDOW: usize = 5;

/// A producer that has written to a partition, as DescribeProducers shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    pub producer_id: ProducerId,
    pub producer_epoch: ProducerEpoch,
    /// Sequence of its last record; −1 when none is remembered.
    pub last_sequence: Sequence,
    pub last_timestamp: Timestamp,
    pub coordinator_epoch: i32,
    /// First offset of its open transaction.
    pub current_txn_start_offset: Option<Offset>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchSpan {
    pub(crate) last_sequence: Sequence,
    pub(crate) last_offset: Offset,
    /// Last offset minus first offset; the same for the sequences.
    pub(crate) delta: i32,
    pub(crate) timestamp: Timestamp,
}

impl BatchSpan {
    fn of(header: &BatchHeader) -> BatchSpan {
        BatchSpan {
            last_sequence: header.last_sequence(),
            last_offset: header.last_offset(),
            delta: header.last_offset_delta,
            timestamp: header.max_timestamp,
        }
    }

    fn is_repeat(&self, header: &BatchHeader) -> bool {
        self.last_sequence == header.last_sequence() && self.delta == header.last_offset_delta
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProducerEntry {
    pub(crate) epoch: ProducerEpoch,
    pub(crate) coordinator_epoch: i32,
    pub(crate) last_timestamp: Timestamp,
    pub(crate) txn_first_offset: Option<Offset>,
    /// The write-ahead log entry that changed this last. Recovery keeps the newest of what it finds.
    pub(crate) changed_in: u64,
    /// Oldest first, at most [`WINDOW`]; a new epoch starts with none.
    batches: [BatchSpan; WINDOW],
    len: u8,
}

const NO_SPAN: BatchSpan = BatchSpan {
    last_sequence: Sequence::NONE,
    last_offset: Offset::NONE,
    delta: 0,
    timestamp: Timestamp::NONE,
};

impl ProducerEntry {
    pub(crate) fn new(epoch: ProducerEpoch) -> ProducerEntry {
        ProducerEntry {
            epoch,
            coordinator_epoch: -1,
            last_timestamp: Timestamp::NONE,
            txn_first_offset: None,
            changed_in: 0,
            batches: [NO_SPAN; WINDOW],
            len: 0,
        }
    }

    pub(crate) fn batches(&self) -> &[BatchSpan] {
        &self.batches[..usize::from(self.len)]
    }

    pub(crate) fn push(&mut self, span: BatchSpan) {
        if usize::from(self.len) == WINDOW {
            self.batches.rotate_left(1);
            self.batches[WINDOW - 1] = span;
        } else {
            self.batches[usize::from(self.len)] = span;
            self.len += 1;
        }
    }

    fn last_sequence(&self) -> Sequence {
        self.batches()
            .last()
            .map_or(Sequence::NONE, |b| b.last_sequence)
    }

    fn last_offset(&self) -> Offset {
        self.batches()
            .last()
            .map_or(Offset::NONE, |b| b.last_offset)
    }

    /// Takes in a batch that was let pass.
    fn apply(&mut self, header: &BatchHeader, marker: Option<EndTxnMarker>) {
        if header.attributes.is_control() && marker.is_none() {
            return; // it says nothing of a producer
        }
        if self.epoch != header.producer_epoch {
            self.epoch = header.producer_epoch;
            self.len = 0;
        }
        self.last_timestamp = header.max_timestamp;
        if let Some(marker) = marker {
            self.coordinator_epoch = marker.coordinator_epoch;
            self.txn_first_offset = None;
            return;
        }
        if header.base_sequence != Sequence::NONE {
            self.push(BatchSpan::of(header));
        }
        if header.attributes.is_transactional() && self.txn_first_offset.is_none() {
            self.txn_first_offset = Some(header.base_offset);
        }
    }

    /// May `header` follow? `Ok(Some(span))` when it is a repeat of `span`.
    fn check(
        &self,
        header: &BatchHeader,
        marker: Option<EndTxnMarker>,
    ) -> Result<Option<BatchSpan>, Rejection> {
        let producer_id = header.producer_id;
        if header.producer_epoch < self.epoch {
            return Err(Rejection::InvalidProducerEpoch {
                producer_id,
                current: self.epoch,
                found: header.producer_epoch,
            });
        }
        if let Some(marker) = marker
            && marker.coordinator_epoch < self.coordinator_epoch
        {
            return Err(Rejection::CoordinatorFenced {
                producer_id,
                current: self.coordinator_epoch,
                found: marker.coordinator_epoch,
            });
        }
        if header.attributes.is_control() {
            return Ok(None);
        }
        let new_epoch = header.producer_epoch != self.epoch;
        // A coordinator writes for a producer without sequences (transactional offset commits).
        if header.base_sequence != Sequence::NONE {
            if !new_epoch && let Some(span) = self.batches().iter().find(|b| b.is_repeat(header)) {
                return Ok(Some(*span));
            }
            let known = self.epoch != ProducerEpoch::NONE;
            let expected = match new_epoch {
                true => Sequence(0),
                false => match self.last_sequence() {
                    Sequence::NONE => Sequence(0),
                    last => last.next(),
                },
            };
            if known && header.base_sequence != expected {
                return Err(Rejection::OutOfOrderSequence {
                    producer_id,
                    expected,
                    found: header.base_sequence,
                });
            }
        }
        if self.txn_first_offset.is_some() && !header.attributes.is_transactional() {
            return Err(Rejection::TransactionOpen { producer_id });
        }
        Ok(None)
    }
}

/// On disk: 42 bytes and 24 for each batch of the window.
impl ProducerEntry {
    pub(crate) fn encode_all(entries: &[(ProducerId, ProducerEntry)], out: &mut Vec<u8>) {
        out.put_count(entries.len());
        for (id, entry) in entries {
            out.put_i64(id.0);
            out.put_i16(entry.epoch.0);
            out.put_i32(entry.coordinator_epoch);
            out.put_i64(entry.last_timestamp.0);
            out.put_i64(entry.txn_first_offset.unwrap_or(Offset::NONE).0);
            out.put_u64(entry.changed_in);
            out.put_count(entry.batches().len());
            for span in entry.batches() {
                out.put_i32(span.last_sequence.0);
                out.put_i64(span.last_offset.0);
                out.put_i32(span.delta);
                out.put_i64(span.timestamp.0);
            }
        }
    }

    pub(crate) fn decode_all(
        fields: &mut Fields<'_>,
    ) -> Result<Vec<(ProducerId, ProducerEntry)>, Short> {
        const LEAST: usize = 8 + 2 + 4 + 8 + 8 + 8 + 4;
        (0..fields.count(LEAST)?)
            .map(|_| Ok((ProducerId(fields.i64()?), ProducerEntry::decode(fields)?)))
            .collect()
    }

    fn decode(fields: &mut Fields<'_>) -> Result<ProducerEntry, Short> {
        let mut entry = ProducerEntry::new(ProducerEpoch(fields.i16()?));
        entry.coordinator_epoch = fields.i32()?;
        entry.last_timestamp = Timestamp(fields.i64()?);
        entry.txn_first_offset = Some(Offset(fields.i64()?)).filter(|first| *first != Offset::NONE);
        entry.changed_in = fields.u64()?;
        for _ in 0..fields.count(24)? {
            entry.push(BatchSpan {
                last_sequence: Sequence(fields.i32()?),
                last_offset: Offset(fields.i64()?),
                delta: fields.i32()?,
                timestamp: Timestamp(fields.i64()?),
            });
        }
        Ok(entry)
    }
}

/// What [`ProducerTable::admit`] says about the batches of one section.
#[derive(Debug)]
pub(crate) enum Admission {
    /// They may be appended; the entries to lay over the table then.
    New(Vec<Change>),
    /// They were appended before. `pending`: by an append that is not durable yet.
    Repeat { span: BatchSpan, pending: bool },
}

/// One producer's entry after the batches of a section.
#[derive(Debug)]
pub(crate) struct Change {
    id: ProducerId,
    entry: ProducerEntry,
    /// How many batches of the section are its.
    batches: u32,
}

#[derive(Default, Debug)]
pub(crate) struct ProducerTable {
    durable: HashMap<ProducerId, ProducerEntry>,
    /// First offset and producer of every transaction that is open in the durable layer.
    open: BTreeMap<Offset, ProducerId>,
    pending: HashMap<ProducerId, Pending>,
}

#[derive(Debug)]
struct Pending {
    entry: ProducerEntry,
    /// Batches of this producer whose commit is still to come.
    batches: u32,
}

impl ProducerTable {
    /// Checks the batches of one section, of which the first gets the offset `base`. Changes nothing.
    pub(crate) fn admit<'a>(
        &self,
        headers: impl Iterator<Item = (&'a BatchHeader, Option<EndTxnMarker>)>,
        mut base: Offset,
    ) -> Result<Admission, Rejection> {
        let mut changed: Vec<Change> = Vec::new();
        for (header, marker) in headers {
            let placed = BatchHeader {
                base_offset: base,
                ..*header
            };
            base = placed.next_offset();
            if !header.has_producer() {
                continue;
            }
            let id = header.producer_id;
            let at = changed.iter().position(|change| change.id == id);
            let (entry, pending) = match at {
                Some(at) => (Some(&changed[at].entry), true),
                None => match self.pending.get(&id) {
                    Some(pending) => (Some(&pending.entry), true),
                    None => (self.durable.get(&id), false),
                },
            };
            // Without an entry any sequence is taken: the state may have expired or been trimmed (KIP-360).
            if let Some(entry) = entry
                && let Some(span) = entry.check(header, marker)?
            {
                // A span that the durable layer knows too needs no waiting.
                let durable = self.durable.get(&id).is_some_and(|e| {
                    e.epoch == header.producer_epoch && e.batches().contains(&span)
                });
                return Ok(Admission::Repeat {
                    span,
                    pending: pending && !durable,
                });
            }
            let mut entry = entry
                .cloned()
                .unwrap_or_else(|| ProducerEntry::new(header.producer_epoch));
            entry.apply(&placed, marker);
            match at {
                Some(at) => {
                    changed[at].entry = entry;
                    changed[at].batches += 1;
                }
                None => changed.push(Change {
                    id,
                    entry,
                    batches: 1,
                }),
            }
        }
        Ok(Admission::New(changed))
    }

    /// Lays an admitted section over the table.
    pub(crate) fn lay(&mut self, changed: Vec<Change>) {
        for Change { id, entry, batches } in changed {
            match self.pending.entry(id) {
                Entry::Occupied(mut pending) => {
                    pending.get_mut().entry = entry;
                    pending.get_mut().batches += batches;
                }
                Entry::Vacant(none) => {
                    none.insert(Pending { entry, batches });
                }
            }
        }
    }

    /// A batch became durable in WAL entry `sequence`. The first offset of the transaction that it ended, if it did.
    pub(crate) fn commit(
        &mut self,
        header: &BatchHeader,
        marker: Option<EndTxnMarker>,
        sequence: u64,
    ) -> Option<Offset> {
        let id = header.producer_id;
        let ended = self.replay(header, marker, sequence);
        if let Some(pending) = self.pending.get_mut(&id) {
            pending.batches = pending.batches.saturating_sub(1);
            if pending.batches == 0 {
                self.pending.remove(&id);
            }
        }
        ended
    }

    /// Takes a stored batch into the durable layer; one that is known already changes nothing.
    fn replay(
        &mut self,
        header: &BatchHeader,
        marker: Option<EndTxnMarker>,
        sequence: u64,
    ) -> Option<Offset> {
        let entry = self
            .durable
            .entry(header.producer_id)
            .or_insert_with(|| ProducerEntry::new(header.producer_epoch));
        // What a newer side-car remembers has seen this batch, and perhaps the transaction after it.
        let seen = match marker {
            // It ended a transaction before the one that is open.
            Some(_) => entry
                .txn_first_offset
                .is_some_and(|first| header.base_offset < first),
            None => {
                header.producer_epoch == entry.epoch && header.last_offset() <= entry.last_offset()
            }
        };
        if seen || sequence < entry.changed_in || header.producer_epoch < entry.epoch {
            return None;
        }
        let before = entry.txn_first_offset;
        entry.apply(header, marker);
        entry.changed_in = sequence;
        let after = entry.txn_first_offset;
        self.note_open(header.producer_id, before, after);
        before.filter(|_| after.is_none())
    }

    fn note_open(&mut self, id: ProducerId, before: Option<Offset>, after: Option<Offset>) {
        if before == after {
            return;
        }
        if let Some(before) = before {
            self.open.remove(&before);
        }
        if let Some(after) = after {
            self.open.insert(after, id);
        }
    }

    /// The first offset of the oldest transaction that is open.
    pub(crate) fn first_open(&self) -> Option<Offset> {
        self.open.keys().next().copied()
    }

    pub(crate) fn knows(&self, id: ProducerId) -> bool {
        self.durable.contains_key(&id) || self.pending.contains_key(&id)
    }

    /// Forgets what is not durable.
    pub(crate) fn drop_pending(&mut self) {
        self.pending.clear();
    }

    pub(crate) fn expire(&mut self, before: Timestamp) {
        let pending = &self.pending;
        self.durable.retain(|id, entry| {
            entry.last_timestamp >= before
                || entry.txn_first_offset.is_some()
                || pending.contains_key(id)
        });
    }

    /// The durable layer: id and entry.
    pub(crate) fn durable(&self) -> impl Iterator<Item = (ProducerId, &ProducerEntry)> {
        self.durable.iter().map(|(id, entry)| (*id, entry))
    }

    /// Takes in what a side-car or the manifest remembers; the newer of two entries stays.
    pub(crate) fn restore(&mut self, id: ProducerId, entry: ProducerEntry) {
        let known = self.durable.get(&id);
        if known.is_some_and(|known| known.changed_in >= entry.changed_in) {
            return;
        }
        let before = known.and_then(|known| known.txn_first_offset);
        self.note_open(id, before, entry.txn_first_offset);
        self.durable.insert(id, entry);
    }

    pub(crate) fn active(&self) -> Vec<ActiveProducer> {
        let mut active: Vec<_> = self
            .durable()
            .map(|(producer_id, entry)| ActiveProducer {
                producer_id,
                producer_epoch: entry.epoch,
                last_sequence: entry.last_sequence(),
                last_timestamp: entry.last_timestamp,
                coordinator_epoch: entry.coordinator_epoch,
                current_txn_start_offset: entry.txn_first_offset,
            })
            .collect();
        active.sort_unstable_by_key(|p| p.producer_id);
        active
    }
}
