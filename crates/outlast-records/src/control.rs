//! Control records: what the broker itself writes into a partition, chiefly the end of a transaction.
//!
//! Key: version i16, type i16. Value of an end marker: version i16, coordinator epoch i32. Later versions may only
//! add to them, so more bytes than we know are accepted.

use crate::RecordSet;

/// What a control record says.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum ControlRecordType {
    Abort,
    Commit,
    /// Kafka's Raft records, and types that are not known here; consumers skip them.
    Other(i16),
}

impl ControlRecordType {
    /// `None`: the key of a control record is at least four bytes.
    pub fn from_key(key: &[u8]) -> Option<Self> {
        match i16::from_be_bytes([*key.get(2)?, *key.get(3)?]) {
            0 => Some(ControlRecordType::Abort),
            1 => Some(ControlRecordType::Commit),
            other => Some(ControlRecordType::Other(other)),
        }
    }
}

/// The record that ends a transaction in one partition.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct EndTxnMarker {
    pub commit: bool,
    pub coordinator_epoch: i32,
}

impl EndTxnMarker {
    /// What a control batch says of a transaction. `None`: it is another control batch, an empty one (compaction leaves
    /// them), or can't be read.
    pub fn of_batch(batch: &[u8]) -> Option<Self> {
        // Markers are a few bytes long, and nobody compresses them; a larger one is none of ours.
        const MOST: usize = 4096;
        let set = RecordSet::decode(batch, MOST).ok()?;
        let record = set.iter().next()?.ok()?;
        EndTxnMarker::decode(record.key?, record.value?)
    }

    /// `None`: it is another control record, or cut short.
    pub fn decode(key: &[u8], value: &[u8]) -> Option<Self> {
        let commit = match ControlRecordType::from_key(key)? {
            ControlRecordType::Abort => false,
            ControlRecordType::Commit => true,
            ControlRecordType::Other(_) => return None,
        };
        let coordinator_epoch = i32::from_be_bytes(*value.get(2..)?.first_chunk()?);
        Some(EndTxnMarker {
            commit,
            coordinator_epoch,
        })
    }

    pub(crate) fn key(self) -> [u8; 4] {
        [0, 0, 0, u8::from(self.commit)]
    }

    pub(crate) fn value(self) -> [u8; 6] {
        let [a, b, c, d] = self.coordinator_epoch.to_be_bytes();
        [0, 0, a, b, c, d]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_round_trip() {
        for commit in [false, true] {
            let marker = EndTxnMarker {
                commit,
                coordinator_epoch: 7,
            };
            let (key, value) = (marker.key(), marker.value());
            assert_eq!(EndTxnMarker::decode(&key, &value), Some(marker));
            assert_eq!(EndTxnMarker::decode(&key[..3], &value), None);
            assert_eq!(EndTxnMarker::decode(&key, &value[..5]), None);
        }
        assert_eq!(
            ControlRecordType::from_key(&[0, 0, 0, 2]),
            Some(ControlRecordType::Other(2))
        );
    }
}
