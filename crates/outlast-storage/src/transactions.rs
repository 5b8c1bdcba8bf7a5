//! What a partition knows of transactions beyond its producers: the batches that end them, and those that were aborted.
//!
//! A read_committed consumer reads up to the last stable offset and is told which transactions below it were aborted,
//! so that it can skip their records. That list must be complete for what is left of the log, wherever the log's
//! bytes lie: it is kept whole in memory, and each entry is remembered where its abort marker lies, by the side-car of a
//! write-ahead log file or the index of a segment; by the manifest, too, when only its marker is still in the write-ahead
//! log. An entry goes when the log start has passed its marker.

use std::collections::VecDeque;

use outlast_records::{BatchHeader, EndTxnMarker, Offset, ProducerId};

use crate::codec::{Fields, Put, Short};
use crate::segment::AbortedTxn;

/// A batch as the state of a partition takes it in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredBatch {
    pub(crate) header: BatchHeader,
    /// What it says, if it is the end of a transaction.
    pub(crate) marker: Option<EndTxnMarker>,
    /// Where it begins in its write-ahead log file.
    pub(crate) position: u32,
}

/// What the batch says, if it is the end of a transaction.
pub(crate) fn marker_of(header: &BatchHeader, batch: &[u8]) -> Option<EndTxnMarker> {
    if header.attributes.is_control() {
        EndTxnMarker::of_batch(batch)
    } else {
        None
    }
}

/// The aborted transactions of one partition, in the order of their markers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AbortedTxns(VecDeque<AbortedTxn>);

impl AbortedTxns {
    /// Takes an entry in, in its place; one that is known already changes nothing.
    pub(crate) fn add(&mut self, txn: AbortedTxn) {
        let at = self
            .0
            .partition_point(|known| known.last_offset < txn.last_offset);
        if self
            .0
            .get(at)
            .is_none_or(|known| known.last_offset != txn.last_offset)
        {
            self.0.insert(at, txn);
        }
    }

    /// What was put together from several places may say of a transaction that no other was open when it ended, because that
    /// other one was known from elsewhere only. After this it is true, and `between` may stop by it.
    pub(crate) fn settle(&mut self) {
        let mut least = Offset(i64::MAX);
        for txn in self.0.iter_mut().rev() {
            txn.last_stable_offset = txn.last_stable_offset.min(least);
            least = least.min(txn.first_offset);
        }
    }

    /// Forgets those whose marker lies below the log start.
    pub(crate) fn trim(&mut self, start: Offset) {
        while self.0.front().is_some_and(|txn| txn.last_offset < start) {
            self.0.pop_front();
        }
    }

    /// Those that have records or their marker at or behind `from` and began below `to`, as Fetch wants them.
    pub(crate) fn between(&self, from: Offset, to: Offset) -> Vec<AbortedTxn> {
        let first = self.0.partition_point(|txn| txn.last_offset < from);
        let mut found = Vec::new();
        for txn in self.0.range(first..) {
            if txn.first_offset < to {
                found.push(*txn);
            }
            // Everything that began below `to` had ended by then.
            if txn.last_stable_offset >= to {
                break;
            }
        }
        found
    }

    /// Those whose marker lies at or behind `from` and below `to`.
    pub(crate) fn ended_in(&self, from: Offset, to: Offset) -> Vec<AbortedTxn> {
        let first = self.0.partition_point(|txn| txn.last_offset < from);
        let end = self.0.partition_point(|txn| txn.last_offset < to);
        self.0.range(first..end.max(first)).copied().collect()
    }
}

/// On disk, behind everything else: those lists of several partitions that are not empty, each with its partition's place; 32
/// bytes a transaction.
pub(crate) fn encode_aborted_lists<'a>(
    lists: impl Iterator<Item = &'a Vec<AbortedTxn>> + Clone,
    out: &mut Vec<u8>,
) {
    let lists = lists.enumerate().filter(|(_, list)| !list.is_empty());
    out.put_count(lists.clone().count());
    for (at, list) in lists {
        out.put_count(at);
        out.put_count(list.len());
        for txn in list {
            out.put_i64(txn.producer_id.0);
            out.put_i64(txn.first_offset.0);
            out.put_i64(txn.last_offset.0);
            out.put_i64(txn.last_stable_offset.0);
        }
    }
}

pub(crate) fn decode_aborted_lists(
    fields: &mut Fields<'_>,
) -> Result<Vec<(usize, Vec<AbortedTxn>)>, Short> {
    // What was written before there were transactions ends here.
    if fields.remaining() == 0 {
        return Ok(Vec::new());
    }
    (0..fields.count(8)?)
        .map(|_| Ok((fields.u32()? as usize, decode_list(fields)?)))
        .collect()
}

fn decode_list(fields: &mut Fields<'_>) -> Result<Vec<AbortedTxn>, Short> {
    (0..fields.count(32)?)
        .map(|_| {
            Ok(AbortedTxn {
                producer_id: ProducerId(fields.i64()?),
                first_offset: Offset(fields.i64()?),
                last_offset: Offset(fields.i64()?),
                last_stable_offset: Offset(fields.i64()?),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn txn(first: i64, last: i64, stable: i64) -> AbortedTxn {
        AbortedTxn {
            producer_id: ProducerId(first),
            first_offset: Offset(first),
            last_offset: Offset(last),
            last_stable_offset: Offset(stable),
        }
    }

    #[test]
    fn a_reader_is_told_of_every_aborted_transaction_that_it_may_meet() {
        // The one from 0 on stays open while two others begin and end.
        let all = [txn(2, 5, 0), txn(6, 8, 0), txn(0, 10, 11), txn(12, 14, 15)];
        let mut aborted = AbortedTxns::default();
        for at in [3, 1, 0, 2, 1] {
            aborted.add(all[at]);
        }
        assert_eq!(
            aborted.ended_in(Offset(0), Offset(100)),
            all,
            "in order, once"
        );
        let check = |from: i64, to: i64, expect: &[i64]| {
            let found = aborted.between(Offset(from), Offset(to));
            let firsts: Vec<i64> = found.iter().map(|txn| txn.first_offset.0).collect();
            assert_eq!(firsts, expect, "{from}..{to}");
        };
        check(0, 100, &[2, 6, 0, 12]);
        check(0, 11, &[2, 6, 0]);
        check(0, 6, &[2, 0]);
        check(6, 7, &[6, 0]);
        check(9, 11, &[0]);
        check(10, 11, &[0]);
        check(11, 12, &[]);
        check(11, 13, &[12]);
        check(15, 20, &[]);
    }

    #[test]
    fn what_was_put_together_does_not_end_a_search_too_early() {
        let mut aborted = AbortedTxns::default();
        aborted.add(txn(1, 7, 8));
        aborted.add(txn(5, 6, 7));
        aborted.settle();
        assert_eq!(aborted.between(Offset(0), Offset(2)), [txn(1, 7, 8)]);
        assert_eq!(
            aborted.between(Offset(6), Offset(9)),
            [txn(5, 6, 1), txn(1, 7, 8)]
        );
    }

    #[test]
    fn what_lies_below_the_log_start_is_forgotten() {
        let mut aborted = AbortedTxns::default();
        aborted.add(txn(0, 3, 4));
        aborted.add(txn(5, 7, 8));
        aborted.trim(Offset(3));
        assert_eq!(aborted.ended_in(Offset(0), Offset(9)).len(), 2);
        aborted.trim(Offset(4));
        assert_eq!(aborted.ended_in(Offset(0), Offset(9)), [txn(5, 7, 8)]);
    }
}
