//! Record batch v2 as bytes: its header, its integrity, and the fields a broker may patch in place.
//!
//! ```text
//!  0 base offset i64 | 8 length i32 (of what follows) | 12 leader epoch i32 | 16 magic i8 = 2 | 17 CRC-32C u32
//! 21 attributes i16 | 23 last offset delta i32 | 27 base timestamp i64 | 35 max timestamp i64
//! 43 producer id i64 | 51 producer epoch i16 | 53 base sequence i32 | 57 record count i32 | 61 records …
//! ```
//! The CRC covers everything from the attributes on. Base offset and leader epoch lie before it, so that a broker
//! assigns both without touching the records or the checksum.

use bytes::{Bytes, BytesMut};

use crate::{
    BatchError, Compression, Corruption, InvalidRecord, LeaderEpoch, Offset, ProducerEpoch,
    ProducerId, Sequence, Timestamp, crc32c,
};

/// The bytes of a batch before its records.
pub const HEADER_SIZE: usize = 61;

/// Base offset and length field: what the length field does not count.
pub(crate) const LENGTH_END: usize = 12;
pub(crate) const CRC_START: usize = 17;
/// The first byte under the CRC.
pub(crate) const CHECKED_START: usize = 21;
pub(crate) const MAGIC: u8 = 2;

const EPOCH_START: usize = 12;
const MAGIC_AT: usize = 16;
const MAX_TIMESTAMP_START: usize = 35;

/// The low bits of a batch's attributes field. Unused bits are kept as they came, as Kafka does.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Attributes(pub i16);

impl Attributes {
    const COMPRESSION: i16 = 0b111;
    const LOG_APPEND_TIME: i16 = 1 << 3;
    const TRANSACTIONAL: i16 = 1 << 4;
    const CONTROL: i16 = 1 << 5;
    const DELETE_HORIZON: i16 = 1 << 6;

    pub fn compression(self) -> Result<Compression, BatchError> {
        Compression::from_id((self.0 & Self::COMPRESSION) as u8)
    }

    pub fn timestamp_type(self) -> TimestampType {
        match self.0 & Self::LOG_APPEND_TIME {
            0 => TimestampType::CreateTime,
            _ => TimestampType::LogAppendTime,
        }
    }

    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// The base timestamp is the moment from which compaction may drop the batch's tombstones or marker.
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    pub(crate) fn with_compression(self, compression: Compression) -> Self {
        Attributes(self.0 & !Self::COMPRESSION | i16::from(compression.id()))
    }

    pub(crate) fn with_timestamp_type(self, timestamp_type: TimestampType) -> Self {
        match timestamp_type {
            TimestampType::CreateTime => Attributes(self.0 & !Self::LOG_APPEND_TIME),
            TimestampType::LogAppendTime => Attributes(self.0 | Self::LOG_APPEND_TIME),
        }
    }

    pub(crate) fn with_transactional(self) -> Self {
        Attributes(self.0 | Self::TRANSACTIONAL)
    }

    pub(crate) fn with_control(self) -> Self {
        Attributes(self.0 | Self::CONTROL)
    }
}

#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum TimestampType {
    /// Each record carries the time its producer gave it.
    #[default]
    CreateTime,
    /// All records carry the batch's max timestamp: the time the broker appended it.
    LogAppendTime,
}

/// The decoded header of a batch.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct BatchHeader {
    pub base_offset: Offset,
    /// The length field: bytes after itself. [`BatchHeader::size`] is the whole batch.
    pub length: i32,
    pub leader_epoch: LeaderEpoch,
    pub crc: u32,
    pub attributes: Attributes,
    pub last_offset_delta: i32,
    pub base_timestamp: Timestamp,
    pub max_timestamp: Timestamp,
    pub producer_id: ProducerId,
    pub producer_epoch: ProducerEpoch,
    pub base_sequence: Sequence,
    pub records_count: i32,
}

impl BatchHeader {
    /// Bytes of the whole batch, header included.
    pub fn size(&self) -> usize {
        self.length as usize + LENGTH_END
    }

    pub fn last_offset(&self) -> Offset {
        self.base_offset.plus(i64::from(self.last_offset_delta))
    }

    /// The offset that the batch after this one starts at, or would.
    pub fn next_offset(&self) -> Offset {
        self.last_offset().next()
    }

    pub fn has_producer(&self) -> bool {
        self.producer_id.is_some()
    }

    /// Sequence of the last record; [`Sequence::NONE`] without a producer id.
    pub fn last_sequence(&self) -> Sequence {
        if self.base_sequence.0 < 0 {
            return Sequence::NONE;
        }
        self.base_sequence.plus(self.last_offset_delta)
    }
}

/// Decodes the header at the front of stored or received bytes: length, magic and field ranges are checked, the
/// CRC is not (see [`check_at`]). `bytes` may end before the batch does.
pub fn header_at(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
    let truncated = |needed| Corruption::Truncated {
        needed,
        available: bytes.len(),
    };
    if bytes.len() <= MAGIC_AT {
        return Err(truncated(HEADER_SIZE).into());
    }
    // The magic comes first: formats 0 and 1 have a shorter header, and deserve their own answer.
    match bytes[MAGIC_AT] {
        MAGIC => {}
        magic @ (0 | 1) => return Err(BatchError::LegacyFormat { magic }),
        magic => return Err(Corruption::Magic(magic).into()),
    }
    let Some((header, _)) = bytes.split_first_chunk::<HEADER_SIZE>() else {
        return Err(truncated(HEADER_SIZE).into());
    };
    let header = decode(header);
    if header.length < (HEADER_SIZE - LENGTH_END) as i32 {
        return Err(Corruption::Length(header.length).into());
    }
    if header.last_offset_delta < 0 {
        return Err(InvalidRecord::LastOffsetDelta(header.last_offset_delta).into());
    }
    Ok(header)
}

/// Decodes and checks the batch at the front of `bytes`: whole, and its CRC matches.
pub fn check_at(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = header_at(bytes)?;
    let Some(batch) = bytes.get(..header.size()) else {
        return Err(Corruption::Truncated {
            needed: header.size(),
            available: bytes.len(),
        }
        .into());
    };
    let computed = crc32c(&batch[CHECKED_START..]);
    if computed != header.crc {
        return Err(Corruption::Checksum {
            stored: header.crc,
            computed,
        }
        .into());
    }
    Ok(header)
}

fn decode(bytes: &[u8; HEADER_SIZE]) -> BatchHeader {
    // The ranges are constant, so that the bounds checks fold away.
    fn at<const N: usize>(bytes: &[u8; HEADER_SIZE], start: usize) -> [u8; N] {
        let mut field = [0; N];
        field.copy_from_slice(&bytes[start..start + N]);
        field
    }
    BatchHeader {
        base_offset: Offset(i64::from_be_bytes(at(bytes, 0))),
        length: i32::from_be_bytes(at(bytes, 8)),
        leader_epoch: LeaderEpoch(i32::from_be_bytes(at(bytes, EPOCH_START))),
        crc: u32::from_be_bytes(at(bytes, CRC_START)),
        attributes: Attributes(i16::from_be_bytes(at(bytes, CHECKED_START))),
        last_offset_delta: i32::from_be_bytes(at(bytes, 23)),
        base_timestamp: Timestamp(i64::from_be_bytes(at(bytes, 27))),
        max_timestamp: Timestamp(i64::from_be_bytes(at(bytes, MAX_TIMESTAMP_START))),
        producer_id: ProducerId(i64::from_be_bytes(at(bytes, 43))),
        producer_epoch: ProducerEpoch(i16::from_be_bytes(at(bytes, 51))),
        base_sequence: Sequence(i32::from_be_bytes(at(bytes, 53))),
        records_count: i32::from_be_bytes(at(bytes, 57)),
    }
}

pub(crate) fn encode(header: &BatchHeader, out: &mut [u8; HEADER_SIZE]) {
    let mut put = |start: usize, field: &[u8]| {
        out[start..start + field.len()].copy_from_slice(field);
    };
    put(0, &header.base_offset.0.to_be_bytes());
    put(8, &header.length.to_be_bytes());
    put(EPOCH_START, &header.leader_epoch.0.to_be_bytes());
    put(MAGIC_AT, &[MAGIC]);
    put(CRC_START, &header.crc.to_be_bytes());
    put(CHECKED_START, &header.attributes.0.to_be_bytes());
    put(23, &header.last_offset_delta.to_be_bytes());
    put(27, &header.base_timestamp.0.to_be_bytes());
    put(MAX_TIMESTAMP_START, &header.max_timestamp.0.to_be_bytes());
    put(43, &header.producer_id.0.to_be_bytes());
    put(51, &header.producer_epoch.0.to_be_bytes());
    put(53, &header.base_sequence.0.to_be_bytes());
    put(57, &header.records_count.to_be_bytes());
}

/// A batch whose length, magic and CRC have been checked, or that was built here.
///
/// The header always says what the bytes say: both change only through the methods below.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckedBatch {
    header: BatchHeader,
    bytes: BytesMut,
}

impl CheckedBatch {
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    pub fn into_bytes(self) -> Bytes {
        self.bytes.freeze()
    }

    /// Makes it a batch of this producer, from `base` on. Reads the whole batch once, because the CRC changes.
    pub fn set_producer(&mut self, id: ProducerId, epoch: ProducerEpoch, base: Sequence) {
        self.header.producer_id = id;
        self.header.producer_epoch = epoch;
        self.header.base_sequence = base;
        self.seal();
    }

    /// Gives the batch its place in the log. Costs twelve bytes: neither field is under the CRC.
    pub fn assign(&mut self, base: Offset, epoch: LeaderEpoch) {
        self.header.base_offset = base;
        self.header.leader_epoch = epoch;
        self.bytes[..8].copy_from_slice(&base.0.to_be_bytes());
        self.bytes[EPOCH_START..MAGIC_AT].copy_from_slice(&epoch.0.to_be_bytes());
    }

    /// Stamps all records with `now` (topics with `message.timestamp.type=LogAppendTime`). Reads the whole batch
    /// once, because the CRC changes.
    pub fn set_log_append_time(&mut self, now: Timestamp) {
        self.header.max_timestamp = now;
        self.header.attributes = self
            .header
            .attributes
            .with_timestamp_type(TimestampType::LogAppendTime);
        self.seal();
    }

    /// Writes the header in front of `bytes` (which has room for it) and computes the CRC.
    pub(crate) fn from_parts(header: BatchHeader, bytes: BytesMut) -> Self {
        let mut batch = CheckedBatch { header, bytes };
        batch.seal();
        batch
    }

    fn seal(&mut self) {
        let Some((front, records)) = self.bytes.split_first_chunk_mut::<HEADER_SIZE>() else {
            return; // no batch is shorter than its header: see the constructors
        };
        encode(&self.header, front);
        let mut crc = crate::Crc32c::new();
        crc.update(&front[CHECKED_START..]);
        crc.update(records);
        self.header.crc = crc.finish();
        front[CRC_START..CHECKED_START].copy_from_slice(&self.header.crc.to_be_bytes());
    }
}

/// Cuts received bytes into batches and checks each one's integrity: length, magic, CRC, a known compression.
///
/// Every byte must belong to a whole batch. What a *client* may not say is not checked here but by
/// [`crate::check_produced`]: batches copied from another log (compacted, with markers) pass.
pub fn split_batches(
    mut records: BytesMut,
    max_batch_bytes: usize,
) -> Result<Vec<CheckedBatch>, BatchError> {
    let mut batches = Vec::with_capacity(1);
    while !records.is_empty() {
        batches.push(take_batch(&mut records, max_batch_bytes)?);
    }
    Ok(batches)
}

pub(crate) fn take_batch(
    records: &mut BytesMut,
    max_batch_bytes: usize,
) -> Result<CheckedBatch, BatchError> {
    let size = header_at(records)?.size();
    // Before the CRC: a batch that is refused anyway is not worth reading.
    if size > max_batch_bytes && size <= records.len() {
        return Err(BatchError::TooLarge {
            size,
            limit: max_batch_bytes,
        });
    }
    let header = check_at(records)?;
    header.attributes.compression()?;
    Ok(CheckedBatch {
        header,
        bytes: records.split_to(size),
    })
}

/// The batches that lie one after the other in bytes read from a log. Headers are decoded, CRCs are not checked:
/// the log did that when it read them.
pub fn stored_batches(bytes: Bytes) -> StoredBatches {
    StoredBatches { rest: bytes }
}

/// See [`stored_batches`]. Ends after the first error.
#[derive(Clone, Debug)]
pub struct StoredBatches {
    rest: Bytes,
}

impl Iterator for StoredBatches {
    type Item = Result<(BatchHeader, Bytes), BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let available = self.rest.len();
        let next = header_at(&self.rest).and_then(|header| match header.size() {
            size if size <= available => Ok((header, self.rest.split_to(size))),
            needed => Err(Corruption::Truncated { needed, available }.into()),
        });
        if next.is_err() {
            self.rest.clear();
        }
        Some(next)
    }
}

#[cfg(test)]
mod tests;
