//! A batch without some of its records, as compaction leaves one: what stays keeps its offset, time and sequence.
//!
//! Kept records are copied as they are encoded. When none is left the batch is its header alone, which still says which
//! offsets and which of its producer's sequence numbers it stands for.

use bytes::{BufMut, BytesMut};

use crate::batch::{CheckedBatch, HEADER_SIZE, LENGTH_END};
use crate::{BatchError, Compression, RecordRef, RecordSet, Timestamp};

impl CheckedBatch {
    /// Keeps the records for which `keep` says so. `max_decompressed` bounds what compressed records may grow to.
    pub fn retain(
        &self,
        max_decompressed: usize,
        mut keep: impl FnMut(&RecordRef<'_>) -> bool,
    ) -> Result<CheckedBatch, BatchError> {
        let set = RecordSet::decode(self.bytes(), max_decompressed)?;
        let mut header = *self.header();
        let mut bytes = BytesMut::with_capacity(HEADER_SIZE + set.payload().len());
        bytes.put_bytes(0, HEADER_SIZE);
        header.records_count = 0;
        let mut newest = Timestamp::NONE;
        let mut records = set.iter();
        loop {
            let before = records.rest();
            let Some(record) = records.next() else { break };
            let record = record?;
            if keep(&record) {
                bytes.extend_from_slice(&before[..before.len() - records.rest().len()]);
                header.records_count += 1;
                newest = newest.max(record.timestamp);
            }
        }
        let mut compression = header.attributes.compression()?;
        if header.records_count == 0 {
            // Readers decompress no empty payload.
            compression = Compression::None;
        } else {
            header.max_timestamp = newest;
        }
        if compression != Compression::None {
            let kept = bytes.split_off(HEADER_SIZE);
            compression.compress(&kept, None, &mut bytes);
        }
        header.attributes = header.attributes.with_compression(compression);
        header.length =
            i32::try_from(bytes.len() - LENGTH_END).map_err(|_| BatchError::TooLarge {
                size: bytes.len(),
                limit: i32::MAX as usize,
            })?;
        Ok(CheckedBatch::from_parts(header, bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        BatchBuilder, NewRecord, ProducerEpoch, ProducerId, Sequence, TimestampType, check_at,
    };

    const LIMIT: usize = 1 << 20;

    fn batch(compression: Compression, records: usize, stamped: bool) -> CheckedBatch {
        let mut builder =
            BatchBuilder::new(compression).producer(ProducerId(7), ProducerEpoch(1), Sequence(40));
        for at in 0..records {
            let value = format!("value {at}");
            builder.append(NewRecord {
                timestamp: Timestamp(1_000 + (at as i64 * 7) % 5),
                key: (at % 3 > 0).then_some(b"key".as_slice()),
                value: Some(value.as_bytes()),
                headers: &[(b"h", Some(b"v")), (b"n", None)],
            });
        }
        let mut batch = builder.build().unwrap();
        if stamped {
            batch.set_log_append_time(Timestamp(9_000));
        }
        batch
    }

    proptest! {
        #[test]
        fn what_is_kept_is_unchanged_and_the_rest_leaves_a_gap(
            codec in 0_u8..5,
            keep in proptest::collection::vec(any::<bool>(), 1..40),
            stamped: bool,
        ) {
            let before = batch(Compression::from_id(codec).unwrap(), keep.len(), stamped);
            let after = before
                .retain(LIMIT, |record| keep[record.offset.0 as usize])
                .unwrap();
            prop_assert_eq!(check_at(after.bytes()).unwrap(), *after.header());
            let all = RecordSet::decode(before.bytes(), LIMIT).unwrap();
            let expect: Vec<_> = all
                .iter()
                .map(Result::unwrap)
                .filter(|record| keep[record.offset.0 as usize])
                .collect();
            let kept = RecordSet::decode(after.bytes(), LIMIT).unwrap();
            let kept: Vec<_> = kept.iter().map(Result::unwrap).collect();
            prop_assert_eq!(&kept, &expect);
            let (old, new) = (before.header(), after.header());
            prop_assert_eq!(new.last_offset_delta, old.last_offset_delta);
            prop_assert_eq!(new.last_sequence(), old.last_sequence());
            prop_assert_eq!(new.base_timestamp, old.base_timestamp);
            prop_assert_eq!(new.attributes.timestamp_type(), old.attributes.timestamp_type());
            prop_assert_eq!(new.records_count as usize, kept.len());
            let newest = kept.iter().map(|record| record.timestamp).max();
            prop_assert_eq!(new.max_timestamp, newest.unwrap_or(old.max_timestamp));
        }
    }

    #[test]
    fn an_empty_batch_is_its_header() {
        let empty = batch(Compression::Zstd, 3, false)
            .retain(LIMIT, |_| false)
            .unwrap();
        assert_eq!(empty.size(), HEADER_SIZE);
        assert_eq!(empty.header().next_offset().0, 3);
        assert_eq!(empty.header().last_sequence(), Sequence(42));
        assert_eq!(
            empty.header().attributes.compression(),
            Ok(Compression::None)
        );
        assert_eq!(
            empty.header().attributes.timestamp_type(),
            TimestampType::CreateTime
        );
    }
}
