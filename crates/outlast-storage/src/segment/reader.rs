//! Reads a segment: opened by its tail, then by offset or by time, chunk by chunk. Whatever it returns has been
//! checked; damage is reported with its place and harms only the partition it lies in.

use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use outlast_records::{
    BatchHeader, Crc32c, LeaderEpoch, Offset, PartitionId, RecordSet, Timestamp, check_at, crc32c,
    stored_batches,
};

use super::format::{self, BATCH_FRONT, Tail, Unreadable};
use super::source::ByteSource;
use super::{Chunk, PartitionIndex, SegmentId, SegmentPartition};
use crate::error::StorageError;

/// An open segment: its directory is in memory, its indexes and data are not.
#[derive(Debug)]
pub struct SegmentReader<S> {
    pub(super) source: S,
    path: PathBuf,
    pub(super) tail: Tail,
    pub(super) directory: Vec<SegmentPartition>,
}

/// What a read found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentRead {
    /// Whole batches, one after the other.
    pub bytes: Bytes,
    /// Where to go on: in this segment, or in what follows it.
    pub next_offset: Offset,
}

impl<S: ByteSource> SegmentReader<S> {
    /// Opens a segment by its tail and directory. `path` is what errors call it.
    pub fn open(source: S, path: &Path) -> Result<Self, StorageError> {
        let place = Place(path);
        let len = source
            .len()
            .map_err(StorageError::io("reading the length of", path))?;
        let tail_position = len
            .checked_sub(format::TAIL_SIZE as u64)
            .ok_or_else(|| place.damaged(0, "it is too short for a segment"))?;
        let read = |position, len: u64| {
            let len = usize::try_from(len)
                .map_err(|_| place.damaged(position, "it is too large for this machine"))?;
            source
                .read(position, len)
                .map_err(StorageError::io("reading", path))
        };
        let bytes = read(tail_position, format::TAIL_SIZE as u64)?;
        let tail =
            format::decode_tail(&bytes).map_err(|e| place.unreadable(e, "tail", tail_position))?;
        let directory_len = u64::from(tail.partitions) * format::DIRECTORY_ENTRY as u64;
        if tail.total_len != len
            || tail.directory_position.checked_add(directory_len) != Some(tail_position)
        {
            return Err(place.damaged(tail_position, "its length is not the one its tail says"));
        }
        let bytes = read(tail.directory_position, directory_len)?;
        if crc32c(&bytes) != tail.directory_crc {
            return Err(place.damaged(
                tail.directory_position,
                "the checksum of the directory does not match",
            ));
        }
        let directory = format::decode_directory(&bytes)
            .map_err(|e| place.unreadable(e, "directory", tail.directory_position))?;
        if let Some(what) = layout_fault(&directory, tail.directory_position) {
            return Err(place.damaged(tail.directory_position, what));
        }
        Ok(SegmentReader {
            source,
            path: path.to_owned(),
            tail,
            directory,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads and checks the header, which nothing else depends on.
    pub fn id(&self) -> Result<SegmentId, StorageError> {
        let bytes = self.read_range(0, format::HEADER_SIZE as u64)?;
        let id =
            format::decode_header(&bytes).map_err(|e| self.place().unreadable(e, "header", 0))?;
        if id.segment_id != self.tail.segment_id {
            return Err(self
                .place()
                .damaged(0, "its header belongs to another segment"));
        }
        Ok(id)
    }

    /// Bytes of the whole segment.
    pub fn total_len(&self) -> u64 {
        self.tail.total_len
    }

    /// The directory, in the order of partition ids.
    pub fn partitions(&self) -> &[SegmentPartition] {
        &self.directory
    }

    pub fn partition(&self, id: PartitionId) -> Option<&SegmentPartition> {
        let at = self
            .directory
            .binary_search_by_key(&id, |entry| entry.partition)
            .ok()?;
        self.directory.get(at)
    }

    /// Loads a partition's index. The caller keeps it for as long as it is worth the memory.
    pub fn index(&self, entry: &SegmentPartition) -> Result<PartitionIndex, StorageError> {
        let position = entry.index_position;
        let bytes = self.read_range(position, u64::from(entry.index_len))?;
        if crc32c(&bytes) != entry.index_crc {
            return Err(self.place().damaged(
                position,
                "the checksum of a partition's index does not match",
            ));
        }
        let index = format::decode_index(&bytes)
            .map_err(|e| self.place().unreadable(e, "index", position))?;
        match index_fault(&index, entry) {
            Some(what) => Err(self.place().damaged(position, what)),
            None => Ok(index),
        }
    }

    /// Reads the batches that hold offsets from `from` up to before `limit`: at most `max_bytes` of them, but at
    /// least one. The first batch may begin before `from`, and the last one may end after `limit`.
    pub fn read(
        &self,
        entry: &SegmentPartition,
        index: &PartitionIndex,
        from: Offset,
        limit: Offset,
        max_bytes: usize,
    ) -> Result<SegmentRead, StorageError> {
        let mut at = chunk_of(&index.chunks, from);
        while at < index.chunks.len() && index.chunks[at].base < limit {
            let run = self.chunk_run(entry, index, at, limit, max_bytes);
            let bytes = self.read_chunks(entry, index, run.clone())?;
            let mut taken = 0..0;
            let mut next_offset = from;
            for batch in stored_batches(bytes.clone()) {
                // Cannot fail: `read_chunks` has walked the same bytes.
                let Ok((header, batch)) = batch else { break };
                if header.next_offset() <= from {
                    taken = taken.end + batch.len()..taken.end + batch.len();
                    continue;
                }
                let enough = !taken.is_empty() && taken.len() + batch.len() > max_bytes;
                if enough || header.base_offset >= limit {
                    if taken.is_empty() {
                        // A gap before the batch is no reason to come back.
                        next_offset = from.max(header.base_offset.min(limit));
                    }
                    return Ok(SegmentRead {
                        bytes: bytes.slice(taken),
                        next_offset,
                    });
                }
                taken.end += batch.len();
                next_offset = header.next_offset();
            }
            if !taken.is_empty() {
                return Ok(SegmentRead {
                    bytes: bytes.slice(taken),
                    next_offset,
                });
            }
            // Everything in the run lies before `from`: the rest of it was compacted away.
            at = run.end;
        }
        let past_the_end = at >= index.chunks.len();
        Ok(SegmentRead {
            bytes: Bytes::new(),
            next_offset: if past_the_end {
                from.max(entry.next.min(limit))
            } else {
                from.max(limit)
            },
        })
    }

    /// All batches of one chunk of the index.
    pub fn read_chunk(
        &self,
        entry: &SegmentPartition,
        index: &PartitionIndex,
        chunk: usize,
    ) -> Result<Bytes, StorageError> {
        self.read_chunks(entry, index, chunk..chunk + 1)
    }

    /// The first record at or after `from` whose timestamp is at least `timestamp`: its offset, timestamp and
    /// leader epoch. Batches may decompress to `max_decompressed` bytes; one that can't be decoded (brokers store
    /// records as they came) answers with its first offset.
    pub fn find_timestamp(
        &self,
        entry: &SegmentPartition,
        index: &PartitionIndex,
        from: Offset,
        timestamp: Timestamp,
        max_decompressed: usize,
    ) -> Result<Option<(Offset, Timestamp, LeaderEpoch)>, StorageError> {
        if entry.max_timestamp < timestamp {
            return Ok(None);
        }
        for at in chunk_of(&index.chunks, from)..index.chunks.len() {
            if index.chunks[at].max_timestamp < timestamp {
                continue;
            }
            let bytes = self.read_chunks(entry, index, at..at + 1)?;
            for (header, batch) in stored_batches(bytes).flatten() {
                if header.max_timestamp < timestamp || header.next_offset() <= from {
                    continue;
                }
                if let Some((offset, found)) =
                    first_at_or_after(&header, &batch, from, timestamp, max_decompressed)
                {
                    return Ok(Some((offset, found, header.leader_epoch)));
                }
            }
        }
        Ok(None)
    }

    /// The chunks from `at` that one read takes: as many as fit into `max_bytes`, at least one.
    fn chunk_run(
        &self,
        entry: &SegmentPartition,
        index: &PartitionIndex,
        at: usize,
        limit: Offset,
        max_bytes: usize,
    ) -> Range<usize> {
        let start = index.chunks[at].position;
        let fits = |end: usize| chunk_end(entry, &index.chunks, end) - start <= max_bytes as u64;
        let mut end = at + 1;
        while end < index.chunks.len() && index.chunks[end].base < limit && fits(end) {
            end += 1;
        }
        at..end
    }

    /// Reads consecutive chunks and checks every batch and every chunk of them.
    pub(super) fn read_chunks(
        &self,
        entry: &SegmentPartition,
        index: &PartitionIndex,
        run: Range<usize>,
    ) -> Result<Bytes, StorageError> {
        let start = index.chunks[run.start].position;
        let end = chunk_end(entry, &index.chunks, run.end - 1);
        let bytes = self.read_range(entry.data_position + start, end - start)?;
        for at in run {
            let chunk = &index.chunks[at];
            let range = (chunk.position - start) as usize
                ..(chunk_end(entry, &index.chunks, at) - start) as usize;
            let next_base = index
                .chunks
                .get(at + 1)
                .map_or(entry.next, |next| next.base);
            check_chunk(&bytes[range], chunk, next_base).map_err(|(position, what)| {
                self.place()
                    .damaged(entry.data_position + chunk.position + position as u64, what)
            })?;
        }
        Ok(bytes)
    }

    pub(super) fn read_range(&self, position: u64, len: u64) -> Result<Bytes, StorageError> {
        let fits = usize::try_from(len).map_err(|_| {
            self.place()
                .damaged(position, "it is too large for this machine")
        })?;
        self.source
            .read(position, fits)
            .map_err(StorageError::io("reading", &self.path))
    }

    fn place(&self) -> Place<'_> {
        Place(&self.path)
    }
}

/// The chunk that holds `offset`, or the next one after it.
fn chunk_of(chunks: &[Chunk], offset: Offset) -> usize {
    chunks
        .partition_point(|chunk| chunk.base <= offset)
        .saturating_sub(1)
}

/// Where chunk `at` ends, from the start of the partition's data.
pub(super) fn chunk_end(entry: &SegmentPartition, chunks: &[Chunk], at: usize) -> u64 {
    chunks
        .get(at + 1)
        .map_or(entry.data_len, |next| next.position)
}

/// Checks the batches of one chunk; the error is where in it, and what.
fn check_chunk(bytes: &[u8], chunk: &Chunk, next_base: Offset) -> Result<(), (usize, String)> {
    let mut fronts = Crc32c::new();
    let mut position = 0;
    let mut batches = 0u32;
    let mut next = chunk.base;
    while position < bytes.len() {
        let header = check_at(&bytes[position..]).map_err(|e| (position, e.to_string()))?;
        if header.base_offset < next || header.next_offset() > next_base {
            return Err((
                position,
                format!("offset {} is not where it belongs", header.base_offset),
            ));
        }
        fronts.update(&bytes[position..position + BATCH_FRONT]);
        position += header.size();
        next = header.next_offset();
        batches += 1;
    }
    if batches != chunk.batches || fronts.finish() != chunk.fronts_crc {
        return Err((
            0,
            "the checksum of a chunk's batch headers does not match".to_owned(),
        ));
    }
    Ok(())
}

fn first_at_or_after(
    header: &BatchHeader,
    batch: &[u8],
    from: Offset,
    timestamp: Timestamp,
    max_decompressed: usize,
) -> Option<(Offset, Timestamp)> {
    let whole_batch = Some((header.base_offset.max(from), header.max_timestamp));
    let Ok(records) = RecordSet::decode(batch, max_decompressed) else {
        return whole_batch;
    };
    for record in records.iter() {
        match record {
            Ok(record) if record.timestamp >= timestamp && record.offset >= from => {
                return Some((record.offset, record.timestamp));
            }
            Ok(_) => {}
            Err(_) => return whole_batch,
        }
    }
    None
}

/// What is wrong with a directory whose checksum matches: written wrong, or made up.
fn layout_fault(directory: &[SegmentPartition], directory_position: u64) -> Option<&'static str> {
    let mut data_end = format::HEADER_SIZE as u64;
    for entry in directory {
        if entry.data_position != data_end || entry.start > entry.next {
            return Some("the directory contradicts itself");
        }
        data_end = data_end.saturating_add(entry.data_len);
    }
    let mut index_end = data_end;
    for entry in directory {
        if entry.index_position != index_end {
            return Some("the directory contradicts itself");
        }
        index_end = index_end.saturating_add(u64::from(entry.index_len));
    }
    if index_end != directory_position {
        return Some("there are bytes that the directory does not know");
    }
    if !directory.is_sorted_by(|a, b| a.partition < b.partition) {
        return Some("the directory is not in order");
    }
    None
}

fn index_fault(index: &PartitionIndex, entry: &SegmentPartition) -> Option<&'static str> {
    let chunks = &index.chunks;
    let in_order = chunks.is_sorted_by(|a, b| a.base < b.base && a.position < b.position);
    let starts = match chunks.first() {
        Some(first) => first.position == 0 && first.base >= entry.start,
        None => entry.data_len == 0,
    };
    let ends = chunks
        .last()
        .is_none_or(|last| last.position < entry.data_len && last.base < entry.next);
    let counted = index.state.aborted.len() == entry.aborted as usize;
    (!in_order || !starts || !ends || !counted)
        .then_some("a partition's index contradicts the directory")
}

/// Makes errors that say where.
struct Place<'a>(&'a Path);

impl Place<'_> {
    fn damaged(&self, position: u64, what: impl Into<String>) -> StorageError {
        StorageError::Damaged {
            path: self.0.to_owned(),
            position,
            what: what.into(),
        }
    }

    fn unreadable(&self, why: Unreadable, part: &str, position: u64) -> StorageError {
        const STRUCTURE: &str = "segment";
        match why {
            Unreadable::Newer(found) => StorageError::NewerFormat {
                path: self.0.to_owned(),
                structure: STRUCTURE,
                found,
                supported: format::VERSION,
            },
            Unreadable::Encrypted(cipher) => StorageError::Encrypted {
                path: self.0.to_owned(),
                structure: STRUCTURE,
                cipher,
            },
            Unreadable::Damaged(what) => self.damaged(
                position,
                format!("the segment's {part} can't be read: {what}"),
            ),
        }
    }
}
