//! The fixed structures of a segment as bytes. Decoding allocates no more than the bytes that are there.

use outlast_records::{LeaderEpoch, Offset, ProducerId, Timestamp, crc32c};

use super::{AbortedTxn, Chunk, PartitionIndex, PartitionState, SegmentId, SegmentPartition};
use crate::codec::{Fields, Put, Short};

pub(super) const HEADER_SIZE: usize = 64;
pub(super) const TAIL_SIZE: usize = 64;
pub(super) const DIRECTORY_ENTRY: usize = 80;
pub(super) const VERSION: u16 = 1;
/// The bytes at the front of a batch that its own CRC does not cover.
pub(super) const BATCH_FRONT: usize = 21;

const HEADER_MAGIC: u32 = u32::from_le_bytes(*b"OLSH");
const INDEX_MAGIC: u32 = u32::from_le_bytes(*b"OLSI");
const TAIL_MAGIC: u32 = u32::from_le_bytes(*b"OLST");
const CHUNK_ENTRY: usize = 32;
const EPOCH_ENTRY: usize = 12;
const ABORTED_ENTRY: usize = 32;

/// Why bytes are not the structure they should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    Newer(u16),
    Encrypted(u8),
    Damaged(&'static str),
}

impl From<Short> for Unreadable {
    fn from(_: Short) -> Self {
        Unreadable::Damaged("it is cut off")
    }
}

/// Magic number, version, cipher and key id: the first 12 bytes of header and tail.
fn put_preamble(out: &mut Vec<u8>, magic: u32) {
    out.put_u32(magic);
    out.put_u16(VERSION);
    out.put_u8(0); // cipher: none
    out.put_u8(0); // reserved
    out.put_u32(0); // key id
}

/// Checks the checksum over all of `bytes` and then what the preamble says: a flipped bit in the version is damage,
/// not a newer release. Every version keeps the checksum at the end.
fn open_structure(bytes: &[u8], magic: u32) -> Result<Fields<'_>, Unreadable> {
    let mut fields = Fields::new(bytes);
    if fields.u32()? != magic {
        return Err(Unreadable::Damaged("its magic number is wrong"));
    }
    check_crc(bytes)?;
    let (version, cipher) = (fields.u16()?, fields.u8()?);
    let (_reserved, _key_id) = (fields.u8()?, fields.u32()?);
    match (version, cipher) {
        (VERSION, 0) => Ok(fields),
        (VERSION, cipher) => Err(Unreadable::Encrypted(cipher)),
        (version, _) => Err(Unreadable::Newer(version)),
    }
}

fn put_crc(out: &mut Vec<u8>) {
    out.put_u32(crc32c(out));
}

fn check_crc(bytes: &[u8]) -> Result<(), Unreadable> {
    let (body, crc) = bytes.split_last_chunk::<4>().ok_or(Short)?;
    match crc32c(body) == u32::from_le_bytes(*crc) {
        true => Ok(()),
        false => Err(Unreadable::Damaged("its checksum does not match")),
    }
}

pub(super) fn encode_header(id: &SegmentId) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_SIZE);
    put_preamble(&mut out, HEADER_MAGIC);
    out.put_u32(0); // reserved
    out.put_u128(id.store_id);
    out.put_u128(id.segment_id);
    out.put_i64(id.created.0);
    out.put_u32(0); // reserved
    put_crc(&mut out);
    out
}

pub(super) fn decode_header(bytes: &[u8]) -> Result<SegmentId, Unreadable> {
    let mut fields = open_structure(bytes, HEADER_MAGIC)?;
    fields.u32()?;
    Ok(SegmentId {
        store_id: fields.u128()?,
        segment_id: fields.u128()?,
        created: Timestamp(fields.i64()?),
    })
}

/// The last bytes of a segment: where everything else is found from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) partitions: u32,
    pub(super) directory_position: u64,
    pub(super) directory_crc: u32,
    pub(super) segment_id: u128,
    /// Of the whole segment, tail included.
    pub(super) total_len: u64,
}

pub(super) fn encode_tail(tail: &Tail) -> Vec<u8> {
    let mut out = Vec::with_capacity(TAIL_SIZE);
    put_preamble(&mut out, TAIL_MAGIC);
    out.put_u32(tail.partitions);
    out.put_u64(tail.directory_position);
    out.put_u32(tail.directory_crc);
    out.put_u32(0); // reserved
    out.put_u128(tail.segment_id);
    out.put_u64(tail.total_len);
    out.put_u32(0); // reserved
    put_crc(&mut out);
    out
}

pub(super) fn decode_tail(bytes: &[u8]) -> Result<Tail, Unreadable> {
    let mut fields = open_structure(bytes, TAIL_MAGIC)?;
    let (partitions, directory_position, directory_crc) =
        (fields.u32()?, fields.u64()?, fields.u32()?);
    fields.u32()?;
    Ok(Tail {
        partitions,
        directory_position,
        directory_crc,
        segment_id: fields.u128()?,
        total_len: fields.u64()?,
    })
}

pub(super) fn encode_directory(partitions: &[SegmentPartition]) -> Vec<u8> {
    let mut out = Vec::with_capacity(partitions.len() * DIRECTORY_ENTRY);
    for entry in partitions {
        out.put_partition(entry.partition);
        out.put_i64(entry.start.0);
        out.put_i64(entry.next.0);
        out.put_i64(entry.max_timestamp.0);
        out.put_u64(entry.data_position);
        out.put_u64(entry.data_len);
        out.put_u64(entry.index_position);
        out.put_u32(entry.index_len);
        out.put_u32(entry.index_crc);
        out.put_u32(entry.aborted);
    }
    out
}

/// The caller has checked the directory's checksum.
pub(super) fn decode_directory(bytes: &[u8]) -> Result<Vec<SegmentPartition>, Unreadable> {
    let entry = |bytes| {
        let mut fields = Fields::new(bytes);
        Ok(SegmentPartition {
            partition: fields.partition()?,
            start: Offset(fields.i64()?),
            next: Offset(fields.i64()?),
            max_timestamp: Timestamp(fields.i64()?),
            data_position: fields.u64()?,
            data_len: fields.u64()?,
            index_position: fields.u64()?,
            index_len: fields.u32()?,
            index_crc: fields.u32()?,
            aborted: fields.u32()?,
        })
    };
    bytes.chunks_exact(DIRECTORY_ENTRY).map(entry).collect()
}

pub(super) fn encode_index(index: &PartitionIndex) -> Vec<u8> {
    let PartitionState {
        epochs,
        aborted,
        producers,
    } = &index.state;
    let mut out = Vec::with_capacity(32 + index.chunks.len() * CHUNK_ENTRY + producers.len());
    out.put_u32(INDEX_MAGIC);
    out.put_count(index.chunks.len());
    out.put_count(epochs.len());
    out.put_count(aborted.len());
    out.put_count(producers.len());
    for chunk in &index.chunks {
        out.put_i64(chunk.base.0);
        out.put_u64(chunk.position);
        out.put_i64(chunk.max_timestamp.0);
        out.put_u32(chunk.batches);
        out.put_u32(chunk.fronts_crc);
    }
    for (epoch, start) in epochs {
        out.put_i32(epoch.0);
        out.put_i64(start.0);
    }
    for txn in aborted {
        out.put_i64(txn.producer_id.0);
        out.put_i64(txn.first_offset.0);
        out.put_i64(txn.last_offset.0);
        out.put_i64(txn.last_stable_offset.0);
    }
    out.put(producers);
    out
}

/// The caller has checked the index's checksum.
pub(super) fn decode_index(bytes: &[u8]) -> Result<PartitionIndex, Unreadable> {
    let mut fields = Fields::new(bytes);
    if fields.u32()? != INDEX_MAGIC {
        return Err(Unreadable::Damaged("its magic number is wrong"));
    }
    let mut counts = [0usize; 4];
    for count in &mut counts {
        *count = fields.u32()? as usize;
    }
    let [chunks, epochs, aborted, producers] = counts;
    let mut rows = |count: usize, size: usize| fields.take(count.checked_mul(size).ok_or(Short)?);
    let (chunks, epochs, aborted, producers) = (
        rows(chunks, CHUNK_ENTRY)?,
        rows(epochs, EPOCH_ENTRY)?,
        rows(aborted, ABORTED_ENTRY)?,
        rows(producers, 1)?,
    );
    if fields.remaining() > 0 {
        return Err(Unreadable::Damaged("it is longer than what it counts"));
    }
    let chunk = |bytes| {
        let mut fields = Fields::new(bytes);
        Ok(Chunk {
            base: Offset(fields.i64()?),
            position: fields.u64()?,
            max_timestamp: Timestamp(fields.i64()?),
            batches: fields.u32()?,
            fronts_crc: fields.u32()?,
        })
    };
    let epoch = |bytes| {
        let mut fields = Fields::new(bytes);
        Ok((LeaderEpoch(fields.i32()?), Offset(fields.i64()?)))
    };
    let txn = |bytes| {
        let mut fields = Fields::new(bytes);
        Ok(AbortedTxn {
            producer_id: ProducerId(fields.i64()?),
            first_offset: Offset(fields.i64()?),
            last_offset: Offset(fields.i64()?),
            last_stable_offset: Offset(fields.i64()?),
        })
    };
    Ok(PartitionIndex {
        chunks: chunks
            .chunks_exact(CHUNK_ENTRY)
            .map(chunk)
            .collect::<Result<_, Unreadable>>()?,
        state: PartitionState {
            epochs: epochs
                .chunks_exact(EPOCH_ENTRY)
                .map(epoch)
                .collect::<Result<_, Unreadable>>()?,
            aborted: aborted
                .chunks_exact(ABORTED_ENTRY)
                .map(txn)
                .collect::<Result<_, Unreadable>>()?,
            producers: producers.to_vec(),
        },
    })
}
