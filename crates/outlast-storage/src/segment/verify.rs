//! Checks a whole segment: every byte and everything that one part says of another. Goes on after damage, so that
//! one report tells all of it.

use outlast_records::{Timestamp, stored_batches};

use super::reader::SegmentReader;
use super::source::ByteSource;
use super::{PartitionIndex, SegmentPartition};
use crate::error::{Damage, StorageError};

impl<S: ByteSource> SegmentReader<S> {
    /// Every damage in the segment, in the order of the file. Errors are failures to read at all.
    pub fn verify(&self) -> Result<Vec<Damage>, StorageError> {
        let mut found = Vec::new();
        self.keep_damage(self.id().map(drop), None, &mut found)?;
        for entry in &self.directory {
            let index = self.index(entry);
            if let Some(index) = self.keep_damage(index, Some(entry), &mut found)? {
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
        let mut newest = Timestamp::NONE;
        for (at, chunk) in index.chunks.iter().enumerate() {
            newest = newest.max(chunk.max_timestamp);
            let bytes = self.read_chunks(entry, index, at..at + 1);
            let Some(bytes) = self.keep_damage(bytes, Some(entry), found)? else {
                continue;
            };
            let in_batches = stored_batches(bytes)
                .flatten()
                .map(|(header, _)| header.max_timestamp)
                .max();
            if in_batches.unwrap_or(Timestamp::NONE).max(Timestamp::NONE) != chunk.max_timestamp {
                found.push(self.damage(entry, entry.data_position + chunk.position, "the index has another max timestamp"));
            }
        }
        if newest != entry.max_timestamp {
            found.push(self.damage(entry, entry.index_position, "the directory has another max timestamp"));
        }
        Ok(())
    }

    /// Sorts what went wrong into damage, which is reported, and failures, which end the check.
    fn keep_damage<T>(
        &self,
        result: Result<T, StorageError>,
        entry: Option<&SegmentPartition>,
        found: &mut Vec<Damage>,
    ) -> Result<Option<T>, StorageError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(StorageError::Damaged { path, position, what }) => {
                let partition = entry.map(|entry| entry.partition);
                found.push(Damage { path, position, what, partition });
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    fn damage(&self, entry: &SegmentPartition, position: u64, what: &str) -> Damage {
        Damage {
            path: self.path().to_owned(),
            position,
            what: what.to_owned(),
            partition: Some(entry.partition),
        }
    }
}
