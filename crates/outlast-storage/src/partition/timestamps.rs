//! Finding records by time: by the newest timestamp of extents, then of runs or chunks, then of batches, and only then by
//! record.

use bytes::Bytes;
use outlast_records::{BatchHeader, LeaderEpoch, Offset, Timestamp, records};

use super::index::unreadable;
use super::read::read_bytes;
use super::{Extent, PartitionLog, Place, Run};
use crate::error::ReadError;
use crate::l1::Segment;

/// A record: where it is, when it was, and the epoch that wrote it.
pub type TimedOffset = (Offset, Timestamp, LeaderEpoch);

/// What the records of one batch may grow to when they are decompressed for a look at their timestamps.
const MAX_DECOMPRESSED: usize = 256 << 20;

/// A stretch of batches that an index knows by its newest timestamp: a run of the write-ahead log, a chunk of a segment.
struct Stretch {
    extent: Extent,
    bytes: BytesAt,
    max_timestamp: Timestamp,
    /// The offset after it.
    next: Offset,
}

enum BytesAt {
    Run(Run),
    Chunk(usize),
}

impl PartitionLog {
    /// The first record whose timestamp is `target` or later. May block on the disk.
    pub fn offset_for_timestamp(
        &self,
        target: Timestamp,
    ) -> Result<Option<TimedOffset>, ReadError> {
        let mut at = self.start_offset();
        while let Some(stretch) = self.stretch_at_least(at, target)? {
            let found = self.in_stretch(&stretch, at, |record| record.1 >= target)?;
            if found.is_some() {
                return Ok(found);
            }
            at = stretch.next;
        }
        Ok(None)
    }

    /// The first of the records with the largest timestamp. May block on the disk.
    pub fn max_timestamp(&self) -> Result<Option<TimedOffset>, ReadError> {
        let mut newest = self.lock().max_timestamp();
        while let Some(most) = newest.filter(|most| *most > Timestamp::NONE) {
            let found = self.offset_for_timestamp(most)?;
            if found.is_some() {
                return Ok(found);
            }
            // The extent that the log start lies in owes its newest time to a record that is gone.
            newest = Some(self.newest_below(most)?);
        }
        Ok(None)
    }

    /// The largest timestamp of what is left, which is smaller than `most`.
    fn newest_below(&self, most: Timestamp) -> Result<Timestamp, ReadError> {
        let mut newest = Timestamp::NONE;
        let mut at = self.start_offset();
        while let Some(stretch) = self.stretch_at_least(at, Timestamp::NONE)? {
            if stretch.max_timestamp < most {
                newest = newest.max(stretch.max_timestamp);
            } else {
                self.in_stretch(&stretch, at, |record| {
                    newest = newest.max(record.1);
                    false
                })?;
            }
            at = stretch.next;
        }
        Ok(newest)
    }

    /// The first stretch from `at` on with a record of `target` or later.
    fn stretch_at_least(
        &self,
        mut at: Offset,
        target: Timestamp,
    ) -> Result<Option<Stretch>, ReadError> {
        loop {
            let Some(extent) = self.lock().extent_at_least(at, target) else {
                return Ok(None);
            };
            let indexes = &self.reader.indexes;
            let found = match &extent.place {
                Place::Wal { runs, .. } => indexes
                    .run_at_least(&extent, runs, self.id, at, target)?
                    .map(|(run, next)| (BytesAt::Run(run), run.max_timestamp, next)),
                Place::Segment(segment) => self.chunk_at_least(segment, &extent, at, target)?,
            };
            match found {
                Some((bytes, max_timestamp, next)) => {
                    return Ok(Some(Stretch {
                        extent,
                        bytes,
                        max_timestamp,
                        next,
                    }));
                }
                None => at = extent.next,
            }
        }
    }

    fn chunk_at_least(
        &self,
        segment: &Segment,
        extent: &Extent,
        at: Offset,
        target: Timestamp,
    ) -> Result<Option<(BytesAt, Timestamp, Offset)>, ReadError> {
        let Some(entry) = segment.reader.partition(self.id) else {
            return Ok(None);
        };
        let index = self.reader.indexes.of_segment(segment, entry)?;
        let next_of = |chunk: usize| {
            index
                .chunks
                .get(chunk + 1)
                .map_or(extent.next, |next| next.base)
        };
        let wanted =
            |chunk: &usize| next_of(*chunk) > at && index.chunks[*chunk].max_timestamp >= target;
        let found = (0..index.chunks.len()).find(wanted);
        Ok(found.map(|chunk| {
            (
                BytesAt::Chunk(chunk),
                index.chunks[chunk].max_timestamp,
                next_of(chunk),
            )
        }))
    }

    /// The first record of a stretch, from `at` on, that `wanted` accepts.
    fn in_stretch(
        &self,
        stretch: &Stretch,
        at: Offset,
        mut wanted: impl FnMut(TimedOffset) -> bool,
    ) -> Result<Option<TimedOffset>, ReadError> {
        let extent = &stretch.extent;
        let (bytes, position) = match (&extent.place, &stretch.bytes) {
            (Place::Wal { file, .. }, BytesAt::Run(run)) => (
                read_bytes(file, run.position, run.len as usize)?,
                run.position,
            ),
            (Place::Segment(segment), BytesAt::Chunk(chunk)) => {
                let Some(entry) = segment.reader.partition(self.id) else {
                    return Ok(None);
                };
                let index = self.reader.indexes.of_segment(segment, entry)?;
                let read = segment.reader.read_chunk(entry, &index, *chunk);
                (read.map_err(|e| unreadable(e, entry))?, 0)
            }
            // Runs are of the write-ahead log, chunks of segments.
            _ => return Ok(None),
        };
        let mut from = 0;
        while from < bytes.len() {
            let header = self.batch_at(extent, position, &bytes, from)?;
            let batch = bytes.slice(from..from + header.size());
            from += header.size();
            if header.next_offset() > at
                && let Some(found) = in_batch(&header, &batch, at, &mut wanted)
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

fn in_batch(
    header: &BatchHeader,
    batch: &Bytes,
    at: Offset,
    wanted: &mut impl FnMut(TimedOffset) -> bool,
) -> Option<TimedOffset> {
    let whole = (
        header.base_offset,
        header.max_timestamp,
        header.leader_epoch,
    );
    // Most batches are passed by their header alone.
    if header.base_offset >= at && !wanted(whole) {
        return None;
    }
    let Ok(records) = records(batch, MAX_DECOMPRESSED) else {
        // Records are stored as they came; what only a client could read answers with its first offset.
        return Some((
            header.base_offset.max(at),
            header.max_timestamp,
            header.leader_epoch,
        ));
    };
    records
        .flatten()
        .map(|record| (record.offset, record.timestamp, header.leader_epoch))
        .find(|record| record.0 >= at && wanted(*record))
}
