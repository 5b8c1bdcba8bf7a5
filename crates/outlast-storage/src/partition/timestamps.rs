//! Finding records by time: by the newest timestamp of extents, then of runs, then of batches, and only then by record.

use bytes::Bytes;
use outlast_records::{BatchHeader, LeaderEpoch, Offset, Timestamp, records};

use super::read::read_bytes;
use super::{Extent, PartitionLog, Run};
use crate::error::ReadError;

/// A record: where it is, when it was, and the epoch that wrote it.
pub type TimedOffset = (Offset, Timestamp, LeaderEpoch);

/// What the records of one batch may grow to when they are decompressed for a look at their timestamps.
const MAX_DECOMPRESSED: usize = 256 << 20;

impl PartitionLog {
    /// The first record whose timestamp is `target` or later. May block on the disk.
    pub fn offset_for_timestamp(
        &self,
        target: Timestamp,
    ) -> Result<Option<TimedOffset>, ReadError> {
        let mut at = self.start_offset();
        while let Some((extent, run, next)) = self.run_at_least(at, target)? {
            let found = self.in_run(&extent, &run, at, |record| record.1 >= target)?;
            if found.is_some() {
                return Ok(found);
            }
            at = next;
        }
        Ok(None)
    }

    /// The first of the records with the largest timestamp. May block on the disk.
    pub fn max_timestamp(&self) -> Result<Option<TimedOffset>, ReadError> {
        let (start, mut newest) = {
            let state = self.lock();
            (state.start, state.max_timestamp())
        };
        while let Some(most) = newest.filter(|most| *most > Timestamp::NONE) {
            // An extent that straddles the log start may owe its newest time to a record that is gone.
            let mut below = Timestamp::NONE;
            let mut at = start;
            while let Some((extent, run, next)) = self.run_at_least(at, Timestamp::NONE)? {
                if run.max_timestamp >= most {
                    let found = self.in_run(&extent, &run, at, |record| {
                        below = below.max(record.1);
                        record.1 >= most
                    })?;
                    if found.is_some() {
                        return Ok(found);
                    }
                } else {
                    below = below.max(run.max_timestamp);
                }
                at = next;
            }
            newest = Some(below);
        }
        Ok(None)
    }

    /// The first run from `at` on with a record of `target` or later, and the offset after it.
    fn run_at_least(
        &self,
        mut at: Offset,
        target: Timestamp,
    ) -> Result<Option<(Extent, Run, Offset)>, ReadError> {
        loop {
            let Some(extent) = self.lock().extent_at_least(at, target) else {
                return Ok(None);
            };
            match self
                .reader
                .indexes
                .run_at_least(&extent, self.id, at, target)?
            {
                Some((run, next)) => return Ok(Some((extent, run, next))),
                None => at = extent.next,
            }
        }
    }

    /// The first record of a run, from `at` on, that `wanted` accepts.
    fn in_run(
        &self,
        extent: &Extent,
        run: &Run,
        at: Offset,
        mut wanted: impl FnMut(TimedOffset) -> bool,
    ) -> Result<Option<TimedOffset>, ReadError> {
        let bytes = read_bytes(extent, run.position, run.len as usize)?;
        let mut from = 0;
        while from < bytes.len() {
            let header = self.batch_at(extent, run.position, &bytes, from)?;
            let batch = bytes.slice(from..from + header.size());
            from += header.size();
            if header.next_offset() > at
                && let Some(found) = self.in_batch(extent, run, &header, &batch, at, &mut wanted)?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn in_batch(
        &self,
        extent: &Extent,
        run: &Run,
        header: &BatchHeader,
        batch: &Bytes,
        at: Offset,
        wanted: &mut impl FnMut(TimedOffset) -> bool,
    ) -> Result<Option<TimedOffset>, ReadError> {
        // Most batches are passed by their header alone.
        if header.base_offset >= at
            && !wanted((
                header.base_offset,
                header.max_timestamp,
                header.leader_epoch,
            ))
        {
            return Ok(None);
        }
        let damaged =
            |e: outlast_records::BatchError| self.corrupt(extent, run.position, 0, e.to_string());
        for record in records(batch, MAX_DECOMPRESSED).map_err(damaged)? {
            let record = record.map_err(damaged)?;
            let timed = (record.offset, record.timestamp, header.leader_epoch);
            if record.offset >= at && wanted(timed) {
                return Ok(Some(timed));
            }
        }
        Ok(None)
    }
}
