//! The bytes of one write-ahead log entry: everything that one fsync made durable, atomically.
//!
//! ```text
//! header   80 bytes   ┐ under `crc`
//! table    64 bytes × │
//!          sections   ┘
//! data     the batches of the first section, of the second, …, each as it came from its producer
//! padding  zeros up to a multiple of 8
//! ```
//! A batch's CRC-32C covers all of it but its first 21 bytes (base offset, length, leader epoch, magic, CRC).
//! Those are covered by `fronts_crc` of the section, so that every byte is under a checksum and none is
//! summed twice: the writer never reads the batches.
//!
//! `file`, `position`, `salt` and `sequence` say where the entry belongs: bytes of another file, another place
//! or another life of the disk are not taken for it. `synced_through` says which entries were known to be on
//! stable storage when this one was put together; it tells a torn tail from damage.

use outlast_records::{LeaderEpoch, Offset, PartitionId, crc32c};

use crate::codec::{Fields, Put, Short};

pub(crate) const HEADER_SIZE: usize = 80;
pub(crate) const SECTION_SIZE: usize = 64;
/// Entries start at multiples of this, so that a search for one need not look at every byte.
pub(crate) const ALIGNMENT: u64 = 8;
/// The bytes at the front of a batch that its own CRC does not cover.
pub(crate) const BATCH_FRONT: usize = 21;
pub(crate) const MAGIC: u32 = u32::from_le_bytes(*b"OLWE");
pub(crate) const VERSION: u16 = 1;
const CRC_AT: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryHeader {
    /// Random number of the file, so that nobody can make bytes that pass for an entry.
    pub(crate) salt: u64,
    pub(crate) file: u64,
    pub(crate) position: u64,
    /// One more than the entry before, across files.
    pub(crate) sequence: u64,
    /// Every entry up to this sequence is durable.
    pub(crate) synced_through: u64,
    /// When it was written: for people and for point-in-time restores.
    pub(crate) timestamp: i64,
    pub(crate) sections: u32,
    pub(crate) data_len: u64,
}

impl EntryHeader {
    pub(crate) fn table_len(&self) -> u64 {
        u64::from(self.sections) * SECTION_SIZE as u64
    }

    /// From the header's first byte to the padding's last.
    pub(crate) fn total_len(&self) -> u64 {
        padded((HEADER_SIZE as u64 + self.table_len()).saturating_add(self.data_len))
    }
}

pub(crate) fn padded(len: u64) -> u64 {
    len.saturating_add(ALIGNMENT - 1) & !(ALIGNMENT - 1)
}

/// What an entry does to one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) partition: PartitionId,
    pub(crate) content: Content,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// `batches` batches of `len` bytes in all, with the offsets from `base` up to before `next`.
    Batches {
        leader_epoch: LeaderEpoch,
        batches: u32,
        base: Offset,
        next: Offset,
        len: u64,
        fronts_crc: u32,
    },
    /// Records below `to` are gone for good.
    LogStart { to: Offset },
    /// The partition is gone for good; its id never comes back.
    Delete,
}

impl Content {
    pub(crate) fn data_len(&self) -> u64 {
        match self {
            Content::Batches { len, .. } => *len,
            Content::LogStart { .. } | Content::Delete => 0,
        }
    }
}

const BATCHES: u8 = 1;
const LOG_START: u8 = 2;
const DELETE: u8 = 3;

/// Puts header and table into `out`, which is emptied first.
pub(crate) fn encode(
    header: &EntryHeader,
    sections: impl Iterator<Item = Section>,
    out: &mut Vec<u8>,
) {
    out.clear();
    out.put_u32(MAGIC);
    out.put_u16(VERSION);
    out.put_u8(0); // cipher: none
    out.put_u8(0); // reserved
    out.put_u32(0); // key id
    out.put_u32(0); // crc, below
    out.put_u64(header.salt);
    out.put_u64(header.file);
    out.put_u64(header.position);
    out.put_u64(header.sequence);
    out.put_u64(header.synced_through);
    out.put_i64(header.timestamp);
    out.put_u32(header.sections);
    out.put_u32(0); // reserved
    out.put_u64(header.data_len);
    for section in sections {
        encode_section(&section, out);
    }
    let crc = crc32c(out);
    out[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
}

fn encode_section(section: &Section, out: &mut Vec<u8>) {
    let (kind, batches, epoch, from, next, len, crc) = match section.content {
        Content::Batches {
            leader_epoch,
            batches,
            base,
            next,
            len,
            fronts_crc,
        } => (
            BATCHES,
            batches,
            leader_epoch.0,
            base.0,
            next.0,
            len,
            fronts_crc,
        ),
        Content::LogStart { to } => (LOG_START, 0, -1, to.0, -1, 0, 0),
        Content::Delete => (DELETE, 0, -1, -1, -1, 0, 0),
    };
    out.put(&[kind, 0, 0, 0]);
    out.put_u32(batches);
    out.put_partition(section.partition);
    out.put_i32(epoch);
    out.put_i64(from);
    out.put_i64(next);
    out.put_u64(len);
    out.put_u32(crc);
    out.put_u32(0); // reserved
}

/// Why bytes are not an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotAnEntry {
    /// Zeros, or anything else without the magic number.
    NoMagic,
    Newer(u16),
    Encrypted(u8),
    /// It has the magic number and is not whole.
    Damaged(&'static str),
}

/// Decodes the fixed part. Not trusted before [`decode_table`] has checked the sum over it.
pub(crate) fn decode_header(bytes: &[u8; HEADER_SIZE]) -> Result<EntryHeader, NotAnEntry> {
    decode_fields(bytes).unwrap_or(Err(NotAnEntry::NoMagic))
}

fn decode_fields(bytes: &[u8; HEADER_SIZE]) -> Result<Result<EntryHeader, NotAnEntry>, Short> {
    let mut fields = Fields::new(bytes);
    if fields.u32()? != MAGIC {
        return Ok(Err(NotAnEntry::NoMagic));
    }
    let version = fields.u16()?;
    let cipher = fields.u8()?;
    let (_reserved, _key_id, _crc) = (fields.u8()?, fields.u32()?, fields.u32()?);
    let header = EntryHeader {
        salt: fields.u64()?,
        file: fields.u64()?,
        position: fields.u64()?,
        sequence: fields.u64()?,
        synced_through: fields.u64()?,
        timestamp: fields.i64()?,
        sections: fields.u32()?,
        data_len: {
            fields.u32()?;
            fields.u64()?
        },
    };
    Ok(match (version, cipher) {
        (VERSION, 0) => Ok(header),
        (VERSION, cipher) => Err(NotAnEntry::Encrypted(cipher)),
        (version, _) => Err(NotAnEntry::Newer(version)),
    })
}

/// Checks the sum over header and table and decodes the table.
pub(crate) fn decode_table(
    header: &[u8; HEADER_SIZE],
    table: &[u8],
) -> Result<Vec<Section>, NotAnEntry> {
    let mut summed = Vec::with_capacity(HEADER_SIZE + table.len());
    summed.put(header);
    summed.put(table);
    let stored = u32::from_le_bytes([
        summed[CRC_AT],
        summed[CRC_AT + 1],
        summed[CRC_AT + 2],
        summed[CRC_AT + 3],
    ]);
    summed[CRC_AT..CRC_AT + 4].fill(0);
    if crc32c(&summed) != stored {
        return Err(NotAnEntry::Damaged("header checksum"));
    }
    table
        .chunks_exact(SECTION_SIZE)
        .map(|bytes| decode_section(bytes).unwrap_or(Err(NotAnEntry::Damaged("section table"))))
        .collect()
}

fn decode_section(bytes: &[u8]) -> Result<Result<Section, NotAnEntry>, Short> {
    let mut fields = Fields::new(bytes);
    let [kind, _, _, _] = fields.array()?;
    let batches = fields.u32()?;
    let partition = fields.partition()?;
    let leader_epoch = LeaderEpoch(fields.i32()?);
    let (from, next) = (Offset(fields.i64()?), Offset(fields.i64()?));
    let (len, fronts_crc) = (fields.u64()?, fields.u32()?);
    let content = match kind {
        BATCHES => Content::Batches {
            leader_epoch,
            batches,
            base: from,
            next,
            len,
            fronts_crc,
        },
        LOG_START => Content::LogStart { to: from },
        DELETE => Content::Delete,
        _ => return Ok(Err(NotAnEntry::Damaged("unknown kind of section"))),
    };
    Ok(Ok(Section { partition, content }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> (EntryHeader, Vec<Section>) {
        let partition = |index| PartitionId {
            topic: uuid::Uuid::from_u128(0xABCD),
            index,
        };
        let sections = vec![
            Section {
                partition: partition(3),
                content: Content::Batches {
                    leader_epoch: LeaderEpoch(2),
                    batches: 2,
                    base: Offset(100),
                    next: Offset(107),
                    len: 345,
                    fronts_crc: 0xDEAD_BEEF,
                },
            },
            Section {
                partition: partition(4),
                content: Content::LogStart { to: Offset(50) },
            },
            Section {
                partition: partition(5),
                content: Content::Delete,
            },
        ];
        let header = EntryHeader {
            salt: 0x0102_0304_0506_0708,
            file: 7,
            position: 4096,
            sequence: 99,
            synced_through: 98,
            timestamp: 1_700_000_000_000,
            sections: 3,
            data_len: 345,
        };
        (header, sections)
    }

    fn encoded() -> Vec<u8> {
        let (header, sections) = example();
        let mut out = vec![1, 2, 3];
        encode(&header, sections.into_iter(), &mut out);
        out
    }

    fn decode(bytes: &[u8]) -> Result<(EntryHeader, Vec<Section>), NotAnEntry> {
        let (header, table) = bytes.split_first_chunk().ok_or(NotAnEntry::NoMagic)?;
        Ok((decode_header(header)?, decode_table(header, table)?))
    }

    #[test]
    fn what_was_written_is_read() {
        let bytes = encoded();
        assert_eq!(bytes.len(), HEADER_SIZE + 3 * SECTION_SIZE);
        assert_eq!(decode(&bytes), Ok(example()));
        assert_eq!(example().0.total_len(), 624);
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let bytes = encoded();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                assert!(decode(&flipped).is_err(), "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn a_newer_format_is_named() {
        let mut bytes = encoded();
        bytes[4] = 9;
        assert_eq!(decode(&bytes), Err(NotAnEntry::Newer(9)));
        bytes[4] = 1;
        bytes[6] = 2;
        assert_eq!(decode(&bytes), Err(NotAnEntry::Encrypted(2)));
    }
}
