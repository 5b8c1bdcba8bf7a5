//! Builds record batches: for the client, for coordinators' own logs, for compaction and tests.
//!
//! Records are encoded as they are appended, behind room for the header, so that an uncompressed batch is never
//! copied; compression happens once, in [`BatchBuilder::build`].

use bytes::{BufMut, BytesMut};

use crate::batch::{Attributes, BatchHeader, CheckedBatch, HEADER_SIZE, LENGTH_END, TimestampType};
use crate::{
    BatchError, Compression, EndTxnMarker, InvalidRecord, LeaderEpoch, Offset, ProducerEpoch,
    ProducerId, RecordRef, RecordSet, Sequence, Timestamp, varint,
};

/// One record to append. `NewRecord::default()` is a null key, a null value and no headers at the epoch.
#[derive(Copy, Clone, Debug, Default)]
pub struct NewRecord<'a> {
    pub timestamp: Timestamp,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(&'a [u8], Option<&'a [u8]>)],
}

#[derive(Clone, Debug)]
pub struct BatchBuilder {
    header: BatchHeader,
    compression: Compression,
    level: Option<i32>,
    /// Room for the header, then the encoded records.
    bytes: BytesMut,
}

impl BatchBuilder {
    pub fn new(compression: Compression) -> Self {
        Self::with_capacity(compression, HEADER_SIZE)
    }

    /// With room for a batch of `bytes` before compression, so that it doesn't grow step by step.
    pub fn with_capacity(compression: Compression, bytes: usize) -> Self {
        let mut bytes = BytesMut::with_capacity(bytes.max(HEADER_SIZE));
        bytes.put_bytes(0, HEADER_SIZE);
        BatchBuilder {
            header: BatchHeader {
                base_offset: Offset(0),
                length: 0,
                leader_epoch: LeaderEpoch::NONE,
                crc: 0,
                attributes: Attributes::default(),
                last_offset_delta: -1,
                base_timestamp: Timestamp::NONE,
                max_timestamp: Timestamp::NONE,
                producer_id: ProducerId::NONE,
                producer_epoch: ProducerEpoch::NONE,
                base_sequence: Sequence::NONE,
                records_count: 0,
            },
            compression,
            level: None,
            bytes,
        }
    }

    /// A batch with the one record that ends a transaction in a partition.
    pub fn end_txn_marker(
        marker: EndTxnMarker,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
        timestamp: Timestamp,
    ) -> CheckedBatch {
        let mut builder = BatchBuilder::new(Compression::None)
            .producer(producer_id, producer_epoch, Sequence::NONE)
            .transactional()
            .control();
        builder.append(NewRecord {
            timestamp,
            key: Some(&marker.key()),
            value: Some(&marker.value()),
            headers: &[],
        });
        builder.seal()
    }

    pub fn compression_level(mut self, level: Option<i32>) -> Self {
        self.level = level;
        self
    }

    /// The batch comes from an idempotent or transactional producer.
    pub fn producer(mut self, id: ProducerId, epoch: ProducerEpoch, base: Sequence) -> Self {
        self.header.producer_id = id;
        self.header.producer_epoch = epoch;
        self.header.base_sequence = base;
        self
    }

    pub fn transactional(mut self) -> Self {
        self.header.attributes = self.header.attributes.with_transactional();
        self
    }

    pub fn control(mut self) -> Self {
        self.header.attributes = self.header.attributes.with_control();
        self
    }

    pub fn log_append_time(mut self) -> Self {
        let stamped = TimestampType::LogAppendTime;
        self.header.attributes = self.header.attributes.with_timestamp_type(stamped);
        self
    }

    /// The batch counts as this new at least, for retention and for look-ups by time, whatever its records say.
    pub fn as_new_as(mut self, at: Timestamp) -> Self {
        self.header.max_timestamp = self.header.max_timestamp.max(at);
        self
    }

    pub fn base_offset(mut self, base: Offset) -> Self {
        self.header.base_offset = base;
        self
    }

    pub fn leader_epoch(mut self, epoch: LeaderEpoch) -> Self {
        self.header.leader_epoch = epoch;
        self
    }

    /// Appends a record at the next offset.
    pub fn append(&mut self, record: NewRecord<'_>) {
        self.append_at(self.header.last_offset_delta.saturating_add(1), record);
    }

    /// Appends a record with a gap before it, as compaction leaves them. `offset_delta` counts from the base offset
    /// and must be larger than the one before.
    pub fn append_at(&mut self, offset_delta: i32, record: NewRecord<'_>) {
        debug_assert!(offset_delta > self.header.last_offset_delta);
        if self.is_empty() {
            self.header.base_timestamp = record.timestamp;
        }
        let timestamp_delta = record
            .timestamp
            .0
            .wrapping_sub(self.header.base_timestamp.0);
        self.header.max_timestamp = self.header.max_timestamp.max(record.timestamp);
        self.header.last_offset_delta = offset_delta;
        self.header.records_count += 1;

        let offset_delta = i64::from(offset_delta);
        let out = &mut self.bytes;
        let body = body_size(timestamp_delta, offset_delta, &record);
        out.reserve(varint::size(body as i64) + body);
        varint::put(out, body as i64);
        out.put_u8(0); // a record's attributes are unused
        varint::put(out, timestamp_delta);
        varint::put(out, offset_delta);
        put_nullable(out, record.key);
        put_nullable(out, record.value);
        varint::put(out, record.headers.len() as i64);
        for (key, value) in record.headers {
            put_nullable(out, Some(key));
            put_nullable(out, *value);
        }
    }

    /// Copies a record of another batch to the next offset here.
    pub fn append_ref(&mut self, record: &RecordRef<'_>) {
        let headers: Vec<_> = record.headers.collect();
        self.append(NewRecord {
            timestamp: record.timestamp,
            key: record.key,
            value: record.value,
            headers: &headers,
        });
    }

    pub fn is_empty(&self) -> bool {
        self.header.records_count == 0
    }

    pub fn records_count(&self) -> usize {
        self.header.records_count as usize
    }

    /// Bytes the batch would have without compression.
    pub fn uncompressed_size(&self) -> usize {
        self.bytes.len()
    }

    /// Compresses and seals the batch. Fails when it holds no record, or more than a batch can (2 GiB).
    pub fn build(self) -> Result<CheckedBatch, BatchError> {
        if self.is_empty() {
            return Err(InvalidRecord::Count { count: 0, span: 0 }.into());
        }
        let batch = self.seal();
        let limit = i32::MAX as usize;
        if batch.size() > limit {
            return Err(BatchError::TooLarge {
                size: batch.size(),
                limit,
            });
        }
        Ok(batch)
    }

    fn seal(mut self) -> CheckedBatch {
        if self.compression != Compression::None {
            let records = self.bytes.split_off(HEADER_SIZE);
            self.compression
                .compress(&records, self.level, &mut self.bytes);
        }
        self.header.attributes = self.header.attributes.with_compression(self.compression);
        self.header.length = (self.bytes.len() - LENGTH_END) as i32;
        CheckedBatch::from_parts(self.header, self.bytes)
    }
}

impl CheckedBatch {
    /// The same batch with its records under another codec, for topics whose `compression.type` is not `producer`.
    /// The records themselves are neither decoded nor changed.
    pub fn recompress(
        &self,
        to: Compression,
        level: Option<i32>,
        max_decompressed: usize,
    ) -> Result<CheckedBatch, BatchError> {
        let set = RecordSet::decode(self.bytes(), max_decompressed)?;
        let mut bytes = BytesMut::with_capacity(self.size());
        bytes.put_bytes(0, HEADER_SIZE);
        to.compress(set.payload(), level, &mut bytes);
        let mut header = *self.header();
        header.attributes = header.attributes.with_compression(to);
        header.length =
            i32::try_from(bytes.len() - LENGTH_END).map_err(|_| BatchError::TooLarge {
                size: bytes.len(),
                limit: i32::MAX as usize,
            })?;
        Ok(CheckedBatch::from_parts(header, bytes))
    }
}

fn body_size(timestamp_delta: i64, offset_delta: i64, record: &NewRecord<'_>) -> usize {
    let headers: usize = record
        .headers
        .iter()
        .map(|(key, value)| nullable_size(Some(key)) + nullable_size(*value))
        .sum();
    1 + varint::size(timestamp_delta)
        + varint::size(offset_delta)
        + nullable_size(record.key)
        + nullable_size(record.value)
        + varint::size(record.headers.len() as i64)
        + headers
}

fn nullable_size(bytes: Option<&[u8]>) -> usize {
    match bytes {
        None => 1,
        Some(bytes) => varint::size(bytes.len() as i64) + bytes.len(),
    }
}

fn put_nullable(out: &mut BytesMut, bytes: Option<&[u8]>) {
    match bytes {
        None => varint::put(out, -1),
        Some(bytes) => {
            varint::put(out, bytes.len() as i64);
            out.put_slice(bytes);
        }
    }
}
