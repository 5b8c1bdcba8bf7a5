//! Checks a whole segment: every byte and everything that one part says of another. Goes on after damage, so that
//! one report tells all of it.

use outlast_records::{Offset, PartitionId, Timestamp, stored_batches};

use super::reader::SegmentReader;
use super::source::ByteSource;
use super::{PartitionIndex, SegmentPartition};
use crate::error::{Damage, StorageError};

impl<S: ByteSource> SegmentReader<S> {
    /// Every damage in the segment, in the order of the file. Errors are failures to read at all.
    pub fn verify(&self) -> Result<Vec<Damage>, StorageError> {
        let mut found = Vec::new();
        keep_damage(self.id().map(drop), None, &mut found)?;
        for entry in &self.directory {
            let of = Some((entry.partition, entry.start, entry.next));
            if let Some(index) = keep_damage(self.index(entry), of, &mut found)? {
                self.verify_data(entry, &index, &mut found)?;
            }
        }
        Ok(found)
    }

    fn verify_data(
        &self,
        entry: &SegmentPartition,
        index: &PartitionIndex,
        found: &mut Vec<Damage>,
    ) -> Result<(), StorageError> {
        let contradicts = |position, what| StorageError::Damaged {
            path: self.path().to_owned(),
            position,
            what: format!("its max timestamp is not the one {what} says"),
        };
        let mut newest = Timestamp::NONE;
        for (at, chunk) in index.chunks.iter().enumerate() {
            newest = newest.max(chunk.max_timestamp);
            let next = index
                .chunks
                .get(at + 1)
                .map_or(entry.next, |next| next.base);
            let checked = self
                .read_chunks(entry, index, at..at + 1)
                .and_then(|bytes| {
                    let timestamps = stored_batches(bytes)
                        .flatten()
                        .map(|(header, _)| header.max_timestamp);
                    match timestamps.fold(Timestamp::NONE, Timestamp::max) == chunk.max_timestamp {
                        true => Ok(()),
                        false => Err(contradicts(
                            entry.data_position + chunk.position,
                            "the index",
                        )),
                    }
                });
            keep_damage(checked, Some((entry.partition, chunk.base, next)), found)?;
        }
        let checked = match newest == entry.max_timestamp {
            true => Ok(()),
            false => Err(contradicts(entry.data_position, "the directory")),
        };
        keep_damage(
            checked,
            Some((entry.partition, entry.start, entry.next)),
            found,
        )?;
        Ok(())
    }
}

/// Sorts what went wrong into damage, which is noted with whom it concerns, and failures, which end the check.
fn keep_damage<T>(
    result: Result<T, StorageError>,
    of: Option<(PartitionId, Offset, Offset)>,
    found: &mut Vec<Damage>,
) -> Result<Option<T>, StorageError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(StorageError::Damaged {
            path,
            position,
            what,
        }) => {
            found.push(Damage {
                path,
                position,
                what,
                partition: of.map(|(partition, _, _)| partition),
                offsets: of.map(|(_, from, to)| (from, to)),
            });
            Ok(None)
        }
        Err(other) => Err(other),
    }
}
