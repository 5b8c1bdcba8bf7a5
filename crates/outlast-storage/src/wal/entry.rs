//! The bytes of one write-ahead log entry: everything that one fsync made durable, atomically.
//!
//! ```text
//! header   80 bytes, with a checksum of its own
//! table    64 bytes × sections, each with a checksum of its own
//! data     the batches of the first section, of the second, …, each as it came from its producer
//! padding  zeros up to a multiple of 8
//! ```
//! A batch's CRC-32C covers all of it but its first 21 bytes (base offset, length, leader epoch, magic, CRC).
//! Those are covered by `fronts_crc` of the section, so that every byte is under a checksum and none is
//! summed twice: the writer never reads the batches.
//!
//! The checksums are separate, and a section says where its data begins, so that damage stays small: with a header
//! that can't be read the sections still can, and a bad section takes nothing with it but its own batches.
//!
//! `file`, `position`, `salt` and `sequence` say where the entry belongs: bytes of another file, another place
//! or another life of the disk are not taken for it. `synced_through` says which entries were known to be on
//! stable storage when this one was put together; it tells a torn tail from damage.

use outlast_records::{BatchHeader, LeaderEpoch, Offset, PartitionId, crc32c};

use crate::codec::{Fields, Put, Short};

pub(crate) const HEADER_SIZE: usize = 80;
pub(crate) const SECTION_SIZE: usize = 64;
/// Entries start at multiples of this, so that a search for one need not look at every byte.
pub(crate) const ALIGNMENT: u64 = 8;
/// The bytes at the front of a batch that its own CRC does not cover.
pub(crate) const BATCH_FRONT: usize = 21;

/// Those bytes, from the header that is in memory anyway: the batch itself need not be touched again.
pub(crate) fn batch_front(header: &BatchHeader) -> [u8; BATCH_FRONT] {
    const BATCH_MAGIC: u8 = 2;
    let mut front = [0; BATCH_FRONT];
    front[..8].copy_from_slice(&header.base_offset.0.to_be_bytes());
    front[8..12].copy_from_slice(&header.length.to_be_bytes());
    front[12..16].copy_from_slice(&header.leader_epoch.0.to_be_bytes());
    front[16] = BATCH_MAGIC;
    front[17..].copy_from_slice(&header.crc.to_be_bytes());
    front
}

pub(crate) const MAGIC: u32 = u32::from_le_bytes(*b"OLWE");
pub(crate) const VERSION: u16 = 1;
/// An append of more batch bytes than this is refused: positions inside a file have 32 bits.
pub(crate) const MAX_DATA: usize = 1 << 30;

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
    /// Entries before it in the same file: what the file before ended with follows from any entry that can be read.
    pub(crate) index: u32,
    pub(crate) data_len: u64,
}

impl EntryHeader {
    /// The sequence of the first entry of the file.
    pub(crate) fn first_sequence(&self) -> u64 {
        self.sequence.saturating_sub(u64::from(self.index))
    }

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
        len: u32,
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
            Content::Batches { len, .. } => u64::from(*len),
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
    out.put_u64(header.salt);
    out.put_u64(header.file);
    out.put_u64(header.position);
    out.put_u64(header.sequence);
    out.put_u64(header.synced_through);
    out.put_i64(header.timestamp);
    out.put_u32(header.sections);
    out.put_u64(header.data_len);
    out.put_u32(header.index);
    out.put_u32(crc32c(out));
    let mut data_at = HEADER_SIZE as u64 + header.table_len();
    for (index, section) in (0..).zip(sections) {
        encode_section(header, index, &section, data_at, out);
        data_at += section.content.data_len();
    }
}

fn encode_section(
    header: &EntryHeader,
    index: u32,
    section: &Section,
    data_at: u64,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    let (kind, batches, epoch, from, next, len, fronts) = match section.content {
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
    out.put_u32(data_at as u32); // entries are smaller than 2 GiB, see MAX_DATA
    out.put_u32(len);
    out.put_u32(fronts);
    out.put_u32(section_crc(header, index, &out[start..]));
}

fn section_crc(header: &EntryHeader, index: u32, fields: &[u8]) -> u32 {
    let mut summed = [0; 36 + SECTION_SIZE - 4];
    let seed = [header.salt, header.file, header.position, header.sequence];
    for (place, number) in summed.chunks_exact_mut(8).zip(seed) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    summed[32..36].copy_from_slice(&index.to_le_bytes());
    summed[36..].copy_from_slice(fields);
    crc32c(&summed)
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

/// Decodes and checks the fixed part.
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
    let (_reserved, _key_id) = (fields.u8()?, fields.u32()?);
    let header = EntryHeader {
        salt: fields.u64()?,
        file: fields.u64()?,
        position: fields.u64()?,
        sequence: fields.u64()?,
        synced_through: fields.u64()?,
        timestamp: fields.i64()?,
        sections: fields.u32()?,
        data_len: fields.u64()?,
        index: fields.u32()?,
    };
    let stored = fields.u32()?;
    // The checksum comes first: a flipped bit in the version is damage, not a newer release.
    if crc32c(&bytes[..HEADER_SIZE - 4]) != stored {
        return Ok(Err(NotAnEntry::Damaged(
            "the checksum of an entry's header does not match",
        )));
    }
    Ok(match (version, cipher) {
        (VERSION, 0) => Ok(header),
        (VERSION, cipher) => Err(NotAnEntry::Encrypted(cipher)),
        (version, _) => Err(NotAnEntry::Newer(version)),
    })
}

/// A section that was read, and where its data begins, counted from the entry's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlacedSection {
    pub(crate) section: Section,
    pub(crate) data_at: u64,
}

/// Decodes and checks section `index` of the entry; `None` when it is damaged. Of `header` only salt, file, position and
/// sequence are used.
pub(crate) fn decode_section(
    header: &EntryHeader,
    index: u32,
    bytes: &[u8; SECTION_SIZE],
) -> Option<PlacedSection> {
    let (summed, crc) = bytes.split_last_chunk::<4>()?;
    if section_crc(header, index, summed) != u32::from_le_bytes(*crc) {
        return None;
    }
    decode_section_fields(bytes).ok().flatten()
}

fn decode_section_fields(bytes: &[u8]) -> Result<Option<PlacedSection>, Short> {
    let mut fields = Fields::new(bytes);
    let [kind, _, _, _] = fields.array()?;
    let batches = fields.u32()?;
    let partition = fields.partition()?;
    let leader_epoch = LeaderEpoch(fields.i32()?);
    let (from, next) = (Offset(fields.i64()?), Offset(fields.i64()?));
    let (data_at, len, fronts_crc) = (u64::from(fields.u32()?), fields.u32()?, fields.u32()?);
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
        _ => return Ok(None),
    };
    Ok(Some(PlacedSection {
        section: Section { partition, content },
        data_at,
    }))
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
            index: 12,
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
        let (fixed, table) = bytes.split_first_chunk().ok_or(NotAnEntry::NoMagic)?;
        let header = decode_header(fixed)?;
        let sections = (0..)
            .zip(table.as_chunks().0)
            .map(|(index, section)| {
                decode_section(&header, index, section).map(|placed| placed.section)
            })
            .collect::<Option<Vec<_>>>();
        Ok((header, sections.ok_or(NotAnEntry::Damaged("section"))?))
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
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_section_of_another_place_is_not_taken() {
        let (header, _) = example();
        let bytes = encoded();
        let table = bytes[HEADER_SIZE..].as_chunks().0;
        let check = |header: EntryHeader, index: u32, expect: bool| {
            assert_eq!(
                decode_section(&header, index, &table[1]).is_some(),
                expect,
                "{header:?} {index}"
            );
        };
        check(header, 1, true);
        check(header, 0, false);
        check(
            EntryHeader {
                position: 8192,
                ..header
            },
            1,
            false,
        );
        check(
            EntryHeader {
                sequence: 98,
                ..header
            },
            1,
            false,
        );
        check(EntryHeader { salt: 1, ..header }, 1, false);
    }

    #[test]
    fn a_newer_format_is_named() {
        let with = |at: usize, value: u8| {
            let mut bytes = encoded();
            bytes[at] = value;
            let crc = crc32c(&bytes[..HEADER_SIZE - 4]);
            bytes[HEADER_SIZE - 4..HEADER_SIZE].copy_from_slice(&crc.to_le_bytes());
            decode(&bytes)
        };
        assert_eq!(with(4, 9), Err(NotAnEntry::Newer(9)));
        assert_eq!(with(6, 2), Err(NotAnEntry::Encrypted(2)));
    }
}
