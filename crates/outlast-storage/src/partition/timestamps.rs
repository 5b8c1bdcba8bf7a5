//! Finding records by time.

use outlast_records::{LeaderEpoch, Offset, Timestamp, records};

use super::PartitionLog;
use crate::error::ReadError;

/// A record: where it is, when it was, and the epoch that wrote it.
pub type TimedOffset = (Offset, Timestamp, LeaderEpoch);

impl PartitionLog {
    /// The first record whose timestamp is `target` or later. May block on the disk.
    pub fn offset_for_timestamp(
        &self,
        target: Timestamp,
    ) -> Result<Option<TimedOffset>, ReadError> {
        self.first_at_least(target)
    }

    /// The first of the records with the largest timestamp. May block on the disk.
    pub fn max_timestamp(&self) -> Result<Option<TimedOffset>, ReadError> {
        let newest = self.lock().max_timestamp();
        match newest {
            Some(newest) => self.first_at_least(newest),
            None => Ok(None),
        }
    }

    fn first_at_least(&self, target: Timestamp) -> Result<Option<TimedOffset>, ReadError> {
        let (mut at, end) = (self.start_offset(), self.high_watermark());
        while at < end {
            let found = self.read(at, end, 1 << 20)?;
            for piece in found.batches {
                for batch in outlast_records::stored_batches(piece) {
                    let Ok((header, bytes)) = batch else { continue };
                    if header.max_timestamp < target {
                        continue;
                    }
                    let Ok(records) = records(&bytes, 64 << 20) else {
                        continue;
                    };
                    for record in records.flatten() {
                        if record.timestamp >= target && record.offset >= at {
                            return Ok(Some((
                                record.offset,
                                record.timestamp,
                                header.leader_epoch,
                            )));
                        }
                    }
                }
            }
            if found.next_offset <= at {
                break;
            }
            at = found.next_offset;
        }
        Ok(None)
    }
}
