//! What one fetch brought for one partition: whole batches as they lie in the log, and the records in them when
//! asked for.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use outlast_records::{
    BatchHeader, ControlRecordType, Record, RecordIter, check_at, header_at, records,
};

use crate::error::ClientError;
use crate::metadata::TopicPartition;

/// What compressed records of one batch may grow to.
const MAX_DECOMPRESSED: usize = 256 << 20;

/// Some batches of one partition, in order, with no gap to the ones before.
#[derive(Clone, Debug)]
pub struct Fetched {
    pub partition: Arc<TopicPartition>,
    /// Records before this offset are not meant: batches are whole.
    pub from: i64,
    /// Where the next fetch goes on.
    pub next_offset: i64,
    pub high_watermark: i64,
    pub log_start_offset: i64,
    pub batches: Vec<(BatchHeader, Bytes)>,
    /// Producer and first offset of the aborted transactions in here, when reading committed records only.
    pub(super) aborted: Option<Vec<(i64, i64)>>,
    /// Tells data from before a seek or a rebalance.
    pub(super) generation: u64,
}

impl Fetched {
    /// Encoded size of the batches.
    pub fn bytes(&self) -> usize {
        self.batches.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// How many records there are, without decoding them. Exact unless the log was compacted, or the first batch
    /// begins before `from`.
    pub fn record_count(&self) -> u64 {
        self.batches
            .iter()
            .filter(|(header, _)| !header.attributes.is_control())
            .map(|(header, _)| {
                let skipped =
                    (self.from - header.base_offset.0).clamp(0, i64::from(header.records_count));
                (i64::from(header.records_count) - skipped).max(0) as u64
            })
            .sum()
    }

    /// The records, in order; without control records, and without those of aborted transactions if only
    /// committed ones were asked for.
    pub fn records(&self) -> FetchedRecords<'_> {
        let mut aborted: BinaryHeap<Reverse<(i64, i64)>> = BinaryHeap::new();
        for (producer, first_offset) in self.aborted.iter().flatten() {
            aborted.push(Reverse((*first_offset, *producer)));
        }
        FetchedRecords {
            fetched: self,
            next_batch: 0,
            open: None,
            aborted,
            aborting: HashSet::new(),
        }
    }

    fn error(&self, offset: i64, reason: impl ToString) -> ClientError {
        ClientError::Records {
            topic: self.partition.topic.clone(),
            partition: self.partition.partition,
            offset,
            reason: reason.to_string(),
        }
    }
}

/// See [`Fetched::records`]. Ends after the first error.
#[derive(Debug)]
pub struct FetchedRecords<'a> {
    fetched: &'a Fetched,
    next_batch: usize,
    open: Option<RecordIter>,
    /// Aborted transactions that begin further on, the nearest first.
    aborted: BinaryHeap<Reverse<(i64, i64)>>,
    /// Producers whose records are being skipped, until their abort marker.
    aborting: HashSet<i64>,
}

impl FetchedRecords<'_> {
    /// Opens the next batch that has something to show.
    fn open_next(&mut self) -> Result<bool, ClientError> {
        while let Some((header, bytes)) = self.fetched.batches.get(self.next_batch) {
            self.next_batch += 1;
            let producer = header.producer_id.0;
            while let Some(Reverse((first, aborted))) = self.aborted.peek().copied() {
                if first > header.last_offset().0 {
                    break;
                }
                self.aborted.pop();
                self.aborting.insert(aborted);
            }
            let decoded = || {
                records(bytes, MAX_DECOMPRESSED)
                    .map_err(|e| self.fetched.error(header.base_offset.0, e))
            };
            if header.attributes.is_control() {
                if self.aborting.contains(&producer) && ends_in_abort(decoded()?) {
                    self.aborting.remove(&producer);
                }
                continue;
            }
            if header.attributes.is_transactional() && self.aborting.contains(&producer) {
                continue;
            }
            self.open = Some(decoded()?);
            return Ok(true);
        }
        Ok(false)
    }

    fn fail(&mut self, error: ClientError) -> Option<Result<Record, ClientError>> {
        self.next_batch = self.fetched.batches.len();
        self.open = None;
        Some(Err(error))
    }
}

fn ends_in_abort(mut records: RecordIter) -> bool {
    let first = records.next().and_then(Result::ok);
    let key = first.and_then(|record| record.key);
    key.is_some_and(|key| ControlRecordType::from_key(&key) == Some(ControlRecordType::Abort))
}

impl Iterator for FetchedRecords<'_> {
    type Item = Result<Record, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(open) = &mut self.open {
                match open.next() {
                    Some(Ok(record)) if record.offset.0 < self.fetched.from => continue,
                    Some(Ok(record)) => return Some(Ok(record)),
                    Some(Err(e)) => {
                        let at = open.header().base_offset.0;
                        let error = self.fetched.error(at, e);
                        return self.fail(error);
                    }
                    None => self.open = None,
                }
            }
            match self.open_next() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return self.fail(error),
            }
        }
    }
}

/// Cuts a fetch answer's bytes into batches. A batch that is cut off at the end is left for the next fetch: brokers
/// fill up to a size.
pub(super) fn whole_batches(
    mut bytes: Bytes,
    check_crc: bool,
) -> Result<Vec<(BatchHeader, Bytes)>, outlast_records::BatchError> {
    let mut batches = Vec::new();
    while bytes.len() >= outlast_records::HEADER_SIZE {
        let header = header_at(&bytes)?;
        if header.size() > bytes.len() {
            break;
        }
        if check_crc {
            check_at(&bytes)?;
        }
        batches.push((header, bytes.split_to(header.size())));
    }
    Ok(batches)
}

#[cfg(test)]
mod tests;
