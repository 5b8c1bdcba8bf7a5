//! Reads a write-ahead log file that has no side-car, entry by entry, and decides where it ends.
//!
//! Bytes that are no whole entry are one of two things. If a later entry, here or in a later file, says that what
//! was here had been synced, it is *damage*: what can be read of it is kept, what can't is reported, and the scan
//! goes on behind it. Otherwise the entry was never acknowledged: a *torn tail*, and the log ends before it.

use std::io;

use outlast_records::{Offset, check_at, crc32c};

use super::entry::{
    self, ALIGNMENT, BATCH_FRONT, Content, EntryHeader, HEADER_SIZE, NotAnEntry, PlacedSection,
    SECTION_SIZE, Section, decode_section,
};
use super::file::{FILE_HEADER_SIZE, WalFile};
use crate::codec::Put;
use crate::error::StorageError;
use crate::io::{IoFile, read_exact};
use crate::transactions::{StoredBatch, marker_of};

/// What a scan finds, in the order of the log.
#[derive(Debug)]
pub(crate) enum Found {
    /// A whole entry begins; its sections follow.
    Entry(EntryHeader),
    /// A section, with its batches.
    Section {
        sequence: u64,
        section: Section,
        batches: Vec<StoredBatch>,
    },
    /// A section whose batches are damaged.
    DamagedSection {
        sequence: u64,
        section: Section,
        position: u64,
        what: &'static str,
    },
    /// Something was durable here, and whose it was can't be told. `offsets` if at least its batches can be read.
    Lost {
        sequence: u64,
        position: u64,
        len: u64,
        offsets: Option<(Offset, Offset)>,
        what: &'static str,
    },
}

/// Where the entries of a file end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ScanEnd {
    pub(crate) position: u64,
    pub(crate) next_sequence: u64,
    /// Bytes at `position` that are left of an entry which was never acknowledged.
    pub(crate) torn_bytes: u64,
}

/// Scans a file whose first entry has the sequence `first` (`None`: whatever it has). `proven`: every entry up to this
/// sequence is known from elsewhere to have been durable.
pub(crate) fn scan(
    file: &WalFile,
    first: Option<u64>,
    proven: u64,
    found: &mut dyn FnMut(Found),
) -> Result<ScanEnd, StorageError> {
    let len = file.file.len().map_err(|e| reading(file, e))?;
    let mut scanner = Scanner {
        file,
        len,
        position: FILE_HEADER_SIZE,
        expected: first,
        proven,
        buffer: Vec::new(),
    };
    while let Some(bad) = scanner.good_entries(found)? {
        if let Some(end) = scanner.pass(bad, found)? {
            return Ok(end);
        }
    }
    Ok(ScanEnd {
        position: scanner.position,
        next_sequence: scanner.expected.unwrap_or(1),
        torn_bytes: 0,
    })
}

/// The first whole header of a file, which says how the file before it ended.
pub(crate) fn first_entry(file: &WalFile) -> Result<Option<EntryHeader>, StorageError> {
    let len = file.file.len().map_err(|e| reading(file, e))?;
    next_header(file, FILE_HEADER_SIZE, len, 0)
}

/// The salt of a file that has lost its header: that of the first entry which says it belongs where it is.
pub(crate) fn find_salt(file: &dyn IoFile, number: u64) -> io::Result<Option<u64>> {
    let here = |header: &EntryHeader| header.file == number;
    Ok(search(file, FILE_HEADER_SIZE, file.len()?, here)?.map(|header| header.salt))
}

struct Scanner<'a> {
    file: &'a WalFile,
    len: u64,
    position: u64,
    expected: Option<u64>,
    proven: u64,
    buffer: Vec<u8>,
}

/// What is wrong at the scanner's position.
struct Bad {
    /// The entry's header, when that is whole.
    header: Option<EntryHeader>,
    what: &'static str,
}

impl Scanner<'_> {
    /// Passes whole entries; stops at the first thing that is none. `None` at the end of the file.
    fn good_entries(&mut self, found: &mut dyn FnMut(Found)) -> Result<Option<Bad>, StorageError> {
        while self.position + HEADER_SIZE as u64 <= self.len {
            let header = match self.header()? {
                Ok(header) => header,
                Err(what) => return Ok(Some(Bad { header: None, what })),
            };
            self.read_entry(header.total_len())?;
            let sections = self.sections(&header);
            let whole = sections
                .iter()
                .all(|section| matches!(section, Found::Section { .. }));
            if !whole || sections.len() != header.sections as usize {
                return Ok(Some(Bad {
                    header: Some(header),
                    what: "an entry is not whole",
                }));
            }
            self.emit(header, sections, found);
        }
        Ok(None)
    }

    fn emit(&mut self, header: EntryHeader, sections: Vec<Found>, found: &mut dyn FnMut(Found)) {
        found(Found::Entry(header));
        sections.into_iter().for_each(found);
        self.position += header.total_len();
        self.expected = Some(header.sequence + 1);
    }

    /// Decides what the bad bytes are. `Some`: the log ends here.
    fn pass(
        &mut self,
        bad: Bad,
        found: &mut dyn FnMut(Found),
    ) -> Result<Option<ScanEnd>, StorageError> {
        let behind = match bad.header {
            Some(header) => self.position + header.total_len(),
            None => self.position + ALIGNMENT,
        };
        let expected = bad.header.map(|header| header.sequence).or(self.expected);
        let least = expected.map_or(1, |expected| expected + 1);
        let next = next_header(self.file, behind, self.len, least)?;
        let proven = next.map_or(0, |next| next.synced_through).max(self.proven);
        // Without an entry before it, it is the one before the next that is there.
        let sequence = expected
            .unwrap_or(next.map_or(proven, |next| next.sequence - 1))
            .max(1);
        if proven < sequence {
            let torn_bytes = last_byte(self.file, self.position, self.len)? - self.position;
            return Ok(Some(ScanEnd {
                position: self.position,
                next_sequence: sequence,
                torn_bytes,
            }));
        }
        let end = next.map_or(self.len, |next| next.position);
        match bad.header {
            Some(header) => {
                let sections = self.sections(&header);
                self.emit(header, sections, found);
            }
            None => self.salvage(sequence, end, next, bad.what, found)?,
        }
        Ok(None)
    }

    /// The header can't be read. Its sections can, each by itself, if they are whole.
    fn salvage(
        &mut self,
        sequence: u64,
        end: u64,
        next: Option<EntryHeader>,
        what: &'static str,
        found: &mut dyn FnMut(Found),
    ) -> Result<(), StorageError> {
        self.read_entry(end - self.position)?;
        let mut header = EntryHeader {
            salt: self.file.salt,
            file: self.file.number,
            position: self.position,
            sequence,
            synced_through: 0,
            timestamp: 0,
            sections: 0,
            index: 0,
            data_len: 0,
        };
        let first = self.buffer[HEADER_SIZE.min(self.buffer.len())..]
            .first_chunk::<SECTION_SIZE>()
            .and_then(|bytes| decode_section(&header, 0, bytes));
        // The first section's data begins where the table ends.
        let table = first.map_or(0, |first| first.data_at.saturating_sub(HEADER_SIZE as u64));
        header.sections = (table / SECTION_SIZE as u64) as u32;
        self.sections(&header).into_iter().for_each(&mut *found);
        let passed_more = next.is_some_and(|next| next.sequence > sequence + 1);
        if first.is_none() || passed_more {
            found(Found::Lost {
                sequence: next.map_or(self.proven.max(sequence), |next| next.sequence - 1),
                position: self.position,
                len: end - self.position,
                offsets: None,
                what,
            });
        }
        self.position = end;
        self.expected = Some(next.map_or(self.proven.max(sequence) + 1, |next| next.sequence));
        Ok(())
    }

    /// The header at the scanner's position, if it is one that belongs there.
    fn header(&self) -> Result<Result<EntryHeader, &'static str>, StorageError> {
        let mut fixed = [0; HEADER_SIZE];
        read_exact(&*self.file.file, &mut fixed, self.position)
            .map_err(|e| reading(self.file, e))?;
        let header = match entry::decode_header(&fixed) {
            Ok(header) => header,
            Err(NotAnEntry::NoMagic) => return Ok(Err("no entry where one must be")),
            Err(NotAnEntry::Damaged(what)) => return Ok(Err(what)),
            Err(NotAnEntry::Newer(found)) => {
                return Err(StorageError::NewerFormat {
                    path: self.file.path.clone(),
                    structure: "write-ahead log entry",
                    found,
                    supported: entry::VERSION,
                });
            }
            Err(NotAnEntry::Encrypted(cipher)) => {
                return Err(StorageError::Encrypted {
                    path: self.file.path.clone(),
                    structure: "write-ahead log entry",
                    cipher,
                });
            }
        };
        let here = belongs(&header, self.file, self.position);
        if !here
            || self
                .expected
                .is_some_and(|expected| expected != header.sequence)
        {
            return Ok(Err("an entry that belongs elsewhere"));
        }
        if header.total_len() > self.len - self.position {
            return Ok(Err("an entry longer than its file"));
        }
        Ok(Ok(header))
    }

    /// Fills the buffer with the bytes of the entry at the scanner's position.
    fn read_entry(&mut self, len: u64) -> Result<(), StorageError> {
        let len = len.min(self.len - self.position);
        self.buffer.clear();
        self.buffer.resize(len as usize, 0);
        read_exact(&*self.file.file, &mut self.buffer, self.position)
            .map_err(|e| reading(self.file, e))
    }

    /// The sections of the entry in the buffer, good and bad.
    fn sections(&self, header: &EntryHeader) -> Vec<Found> {
        let (sequence, start) = (header.sequence, header.position);
        let table = self
            .buffer
            .get(HEADER_SIZE..)
            .unwrap_or_default()
            .as_chunks()
            .0;
        let placed: Vec<Option<PlacedSection>> = (0..header.sections)
            .zip(table)
            .map(|(index, bytes)| decode_section(header, index, bytes))
            .collect();
        let data_end = start + self.buffer.len() as u64;
        let mut data_at = HEADER_SIZE as u64 + header.table_len();
        let mut sections = Vec::with_capacity(placed.len());
        for (index, section) in placed.iter().enumerate() {
            let Some(PlacedSection {
                section,
                data_at: at,
            }) = section
            else {
                // Its data reaches to where the next good section's begins.
                let next = placed[index..].iter().flatten().next();
                let end = next.map_or(data_end - start, |next| next.data_at);
                let bytes = self
                    .buffer
                    .get(data_at as usize..end as usize)
                    .unwrap_or_default();
                sections.push(Found::Lost {
                    sequence,
                    position: start + data_at,
                    len: bytes.len() as u64,
                    offsets: offsets_of(bytes),
                    what: "a section of an entry can't be read",
                });
                continue;
            };
            let len = section.content.data_len();
            let bytes = self
                .buffer
                .get(*at as usize..)
                .and_then(|rest| rest.get(..len as usize));
            data_at = at + len;
            let checked = bytes
                .ok_or("the section is longer than its entry")
                .and_then(|bytes| check_section(section, bytes, start + at));
            sections.push(match checked {
                Ok(batches) => Found::Section {
                    sequence,
                    section: *section,
                    batches,
                },
                Err(what) => Found::DamagedSection {
                    sequence,
                    section: *section,
                    position: start + at,
                    what,
                },
            });
        }
        sections
    }
}

fn reading(file: &WalFile, e: io::Error) -> StorageError {
    StorageError::io("reading", &file.path)(e)
}

fn belongs(header: &EntryHeader, file: &WalFile, position: u64) -> bool {
    header.salt == file.salt && header.file == file.number && header.position == position
}

/// Checks every byte of a section's batches, and that they are what the section says.
fn check_section(
    section: &Section,
    bytes: &[u8],
    position: u64,
) -> Result<Vec<StoredBatch>, &'static str> {
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
        let header = check_at(rest).map_err(|_| "a batch is damaged")?;
        fronts.put(&rest[..BATCH_FRONT]);
        if header.base_offset != expected {
            return Err("the offset of a batch does not follow");
        }
        expected = header.next_offset();
        let position = u32::try_from(position + at as u64).map_err(|_| "the file is too long")?;
        found.push(StoredBatch {
            header,
            marker: marker_of(&header, rest),
            position,
        });
        at += header.size();
    }
    if found.len() != batches as usize || expected != next || crc32c(&fronts) != fronts_crc {
        return Err("the batches are not those of the section");
    }
    Ok(found)
}

/// The offsets of batches without a section, if all of them can be read.
fn offsets_of(bytes: &[u8]) -> Option<(Offset, Offset)> {
    let mut offsets: Option<(Offset, Offset)> = None;
    let mut rest = bytes;
    while rest.len() >= ALIGNMENT as usize {
        let header = check_at(rest).ok()?;
        let (base, _) = offsets.unwrap_or((header.base_offset, header.base_offset));
        offsets = Some((base, header.next_offset()));
        rest = &rest[header.size()..];
    }
    offsets
}

const SEARCH_STEP: u64 = 1 << 20;

/// The first whole header at or behind `from` that belongs where it is and has at least the sequence `least`.
fn next_header(
    file: &WalFile,
    from: u64,
    len: u64,
    least: u64,
) -> Result<Option<EntryHeader>, StorageError> {
    let wanted =
        |header: &EntryHeader| belongs(header, file, header.position) && header.sequence >= least;
    search(&*file.file, from, len, wanted).map_err(|e| reading(file, e))
}

/// The first whole header from `from` on that says its own position and is wanted.
fn search(
    file: &dyn IoFile,
    from: u64,
    len: u64,
    wanted: impl Fn(&EntryHeader) -> bool,
) -> io::Result<Option<EntryHeader>> {
    let zeros = vec![0; SEARCH_STEP as usize];
    let mut chunk = vec![0; SEARCH_STEP as usize];
    let mut start = from.next_multiple_of(ALIGNMENT);
    while start + HEADER_SIZE as u64 <= len {
        let chunk = &mut chunk[..SEARCH_STEP.min(len - start) as usize];
        read_exact(file, chunk, start)?;
        // Most of what was reserved was never written: compared as a whole, which is much quicker than by header.
        if *chunk == zeros[..chunk.len()] {
            start += chunk.len() as u64;
            continue;
        }
        for (at, eight) in chunk.chunks_exact(ALIGNMENT as usize).enumerate() {
            let position = start + at as u64 * ALIGNMENT;
            if eight[..4] != entry::MAGIC.to_le_bytes() || position + HEADER_SIZE as u64 > len {
                continue;
            }
            let mut fixed = [0; HEADER_SIZE];
            read_exact(file, &mut fixed, position)?;
            if let Ok(header) = entry::decode_header(&fixed)
                && header.position == position
                && wanted(&header)
            {
                return Ok(Some(header));
            }
        }
        start += chunk.len() as u64;
    }
    Ok(None)
}

/// Behind the last byte from `from` on that is not zero.
fn last_byte(file: &WalFile, from: u64, len: u64) -> Result<u64, StorageError> {
    let zeros = vec![0; SEARCH_STEP as usize];
    let mut chunk = vec![0; SEARCH_STEP as usize];
    let (mut start, mut last) = (from, from);
    while start < len {
        let size = SEARCH_STEP.min(len - start) as usize;
        let chunk = &mut chunk[..size];
        read_exact(&*file.file, chunk, start).map_err(|e| reading(file, e))?;
        // As in `search`.
        if *chunk != zeros[..size]
            && let Some(at) = chunk.iter().rposition(|byte| *byte != 0)
        {
            last = start + at as u64 + 1;
        }
        start += size as u64;
    }
    Ok(last)
}
