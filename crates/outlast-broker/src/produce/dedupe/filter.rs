//! Which records of a batch have ids, and which of those are repeats.

use std::collections::HashSet;

use outlast_records::{
    Attributes, BatchError, CheckedBatch, HeaderRefs, Offset, RecordSet, Timestamp,
};

use super::window::{Known, Window};
use crate::message_headers::{id_hash, last_header};
use crate::produce::MAX_DECOMPRESSED_BYTES;

/// A record with an id, by its place in the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) delta: i64,
    pub(super) id: u128,
}

/// What a window says about the records of a batch.
pub(super) struct Verdict {
    /// Places of the records that came before, in their order.
    pub(super) repeats: Vec<i64>,
    pub(super) new: Vec<Named>,
    /// The first repeat's original.
    pub(super) original: Option<Known>,
    /// An original may still fail to be written, so that its repeat may have to be stored after all.
    pub(super) undecided: bool,
}

/// Transactions are atomic and may be aborted; control records are nobody's messages.
pub(super) fn is_eligible(attributes: Attributes) -> bool {
    !attributes.is_transactional() && !attributes.is_control()
}

/// An empty value names nothing.
pub(super) fn id_of(headers: HeaderRefs<'_>, header: &str) -> Option<u128> {
    last_header(headers, header)
        .filter(|id| !id.is_empty())
        .map(id_hash)
}

/// The records that have an id. Decodes the batch.
pub(super) fn named(batch: &CheckedBatch, header: &str) -> Result<Vec<Named>, BatchError> {
    let head = batch.header();
    let mut named = Vec::new();
    if !is_eligible(head.attributes) {
        return Ok(named);
    }
    for record in RecordSet::decode(batch.bytes(), MAX_DECOMPRESSED_BYTES)?.iter() {
        let record = record?;
        if let Some(id) = id_of(record.headers, header) {
            let delta = record.offset.0 - head.base_offset.0;
            named.push(Named { delta, id });
        }
    }
    Ok(named)
}

/// Of several records of a batch with the same id the first is the original.
pub(super) fn judge(window: &Window, named: &[Named], now: Timestamp) -> Verdict {
    let mut verdict = Verdict {
        repeats: Vec::new(),
        new: Vec::new(),
        original: None,
        undecided: false,
    };
    let mut here = HashSet::with_capacity(named.len());
    for named in named {
        match window.find(named.id, now) {
            Some(known) => {
                verdict.undecided |= known.pending;
                verdict.original.get_or_insert(known);
                verdict.repeats.push(named.delta);
            }
            None if here.insert(named.id) => verdict.new.push(*named),
            None => verdict.repeats.push(named.delta),
        }
    }
    verdict
}

/// The batch without its repeats.
pub(super) fn without(batch: &CheckedBatch, repeats: &[i64]) -> Result<CheckedBatch, BatchError> {
    let base = batch.header().base_offset;
    let mut rest = repeats;
    batch.retain(MAX_DECOMPRESSED_BYTES, |record| {
        let delta = record.offset.0 - base.0;
        match rest.split_first() {
            Some((next, after)) if *next == delta => {
                rest = after;
                false
            }
            _ => true,
        }
    })
}

/// Where the new ids of a batch are once it is in the log at `base`.
pub(super) fn placed(new: &[Named], base: Offset) -> impl Iterator<Item = (u128, Offset)> {
    new.iter()
        .map(move |named| (named.id, base.plus(named.delta)))
}
