//! Reads a write-ahead log file that has no side-car, entry by entry, and decides where it ends.

use outlast_records::{BatchHeader, check_at, crc32c};

use super::entry::{self, BATCH_FRONT, Content, EntryHeader, HEADER_SIZE, NotAnEntry, Section};
use super::file::{FILE_HEADER_SIZE, WalFile};
use crate::codec::Put;
use crate::error::StorageError;
use crate::io::read_exact;

/// A whole, checked entry.
pub(crate) struct ScannedEntry {
    pub(crate) header: EntryHeader,
    pub(crate) sections: Vec<ScannedSection>,
}

pub(crate) struct ScannedSection {
    pub(crate) section: Section,
    /// Headers and positions in the file.
    pub(crate) batches: Vec<(BatchHeader, u32)>,
}

/// Where the good entries of a file end.
pub(crate) struct ScanEnd {
    pub(crate) position: u64,
    pub(crate) next_sequence: u64,
    /// Why the scan ended before the end of the file, when it met more than zeros.
    pub(crate) torn: Option<&'static str>,
}

/// Calls `each` for every whole entry. `sequence`: what the first must have, when that is known.
pub(crate) fn scan(
    file: &WalFile,
    sequence: Option<u64>,
    mut each: impl FnMut(ScannedEntry),
) -> Result<ScanEnd, StorageError> {
    let io = |e| StorageError::io("reading", &file.path)(e);
    let len = file.file.len().map_err(io)?;
    let mut position = FILE_HEADER_SIZE;
    let mut expected = sequence;
    let mut next_sequence = sequence.unwrap_or(0);
    let mut torn = None;
    let mut buffer = Vec::new();
    while position + HEADER_SIZE as u64 <= len {
        match entry_at(file, position, len, expected, &mut buffer) {
            Ok(entry) => {
                next_sequence = entry.header.sequence + 1;
                expected = Some(next_sequence);
                position += entry.header.total_len();
                each(entry);
            }
            Err(Refused::Io(e)) => return Err(io(e)),
            Err(Refused::Entry(NotAnEntry::NoMagic)) => break,
            Err(Refused::Entry(NotAnEntry::Damaged(what))) => {
                torn = Some(what);
                break;
            }
            Err(Refused::Entry(NotAnEntry::Newer(found))) => {
                return Err(StorageError::NewerFormat {
                    path: file.path.clone(),
                    structure: "write-ahead log entry",
                    found,
                    supported: entry::VERSION,
                });
            }
            Err(Refused::Entry(NotAnEntry::Encrypted(cipher))) => {
                return Err(StorageError::Encrypted {
                    path: file.path.clone(),
                    structure: "write-ahead log entry",
                    cipher,
                });
            }
        }
    }
    Ok(ScanEnd {
        position,
        next_sequence,
        torn,
    })
}

enum Refused {
    Io(std::io::Error),
    Entry(NotAnEntry),
}

impl From<NotAnEntry> for Refused {
    fn from(e: NotAnEntry) -> Self {
        Refused::Entry(e)
    }
}

fn entry_at(
    file: &WalFile,
    position: u64,
    len: u64,
    expected: Option<u64>,
    buffer: &mut Vec<u8>,
) -> Result<ScannedEntry, Refused> {
    let damaged = |what| Refused::Entry(NotAnEntry::Damaged(what));
    let mut fixed = [0; HEADER_SIZE];
    read_exact(&*file.file, &mut fixed, position).map_err(Refused::Io)?;
    let header = entry::decode_header(&fixed)?;
    if header.salt != file.salt || header.file != file.number || header.position != position {
        return Err(damaged("an entry that belongs elsewhere"));
    }
    if header.total_len() > len - position {
        return Err(damaged("an entry longer than the file"));
    }
    buffer.clear();
    buffer.resize((header.total_len() as usize) - HEADER_SIZE, 0);
    read_exact(&*file.file, buffer, position + HEADER_SIZE as u64).map_err(Refused::Io)?;
    let (table, data) = buffer.split_at(header.table_len() as usize);
    let sections = entry::decode_table(&fixed, table)?;
    if expected.is_some_and(|expected| expected != header.sequence) {
        return Err(damaged("an entry out of sequence"));
    }
    let mut at = 0;
    let start = position + HEADER_SIZE as u64 + header.table_len();
    let mut scanned = Vec::with_capacity(sections.len());
    for section in sections {
        let section_len = section.content.data_len() as usize;
        let bytes = data
            .get(at..)
            .and_then(|rest| rest.get(..section_len))
            .ok_or(damaged("a section longer than its entry"))?;
        let batches = check_section(&section, bytes, start + at as u64)?;
        scanned.push(ScannedSection { section, batches });
        at += section_len;
    }
    Ok(ScannedEntry {
        header,
        sections: scanned,
    })
}

/// Checks every byte of a section's batches, and that they are what the section says.
fn check_section(
    section: &Section,
    bytes: &[u8],
    position: u64,
) -> Result<Vec<(BatchHeader, u32)>, Refused> {
    let damaged = |what| Refused::Entry(NotAnEntry::Damaged(what));
    let Content::Batches {
        batches,
        base,
        next,
        fronts_crc,
        ..
    } = section.content
    else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    let mut fronts = Vec::new();
    let (mut at, mut expected) = (0, base);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let header = check_at(rest).map_err(|_| damaged("a batch"))?;
        fronts.put(&rest[..BATCH_FRONT]);
        if header.base_offset != expected {
            return Err(damaged("a batch with an offset that does not follow"));
        }
        expected = header.next_offset();
        found.push((
            header,
            u32::try_from(position + at as u64).map_err(|_| damaged("a position"))?,
        ));
        at += header.size();
    }
    if found.len() != batches as usize || expected != next || crc32c(&fronts) != fronts_crc {
        return Err(damaged("the section's batches"));
    }
    Ok(found)
}
