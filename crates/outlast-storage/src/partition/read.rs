//! Reading a log: from the cached tail, or from the files by position.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use outlast_records::{BatchHeader, HEADER_SIZE, Offset, check_at, header_at};

use super::index::{Indexes, unreadable};
use super::{Extent, PartitionLog, Place};
use crate::error::{Damage, ReadError};
use crate::io::read_exact;
use crate::l1::Segment;
use crate::wal::file::WalFile;

/// What a read found: whole batches, in order.
#[derive(Clone, Debug, Default)]
pub struct FetchedBatches {
    /// Each piece holds one or more whole batches.
    pub batches: Vec<Bytes>,
    /// Where the next read goes on. Equals the asked offset when nothing was found.
    pub next_offset: Offset,
    /// Bytes of all pieces.
    pub bytes: usize,
}

impl FetchedBatches {
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    fn nothing(from: Offset) -> FetchedBatches {
        FetchedBatches {
            next_offset: from,
            ..FetchedBatches::default()
        }
    }
}

/// What reading from disk needs and all logs share.
pub(crate) struct Reader {
    /// Check the CRC of every batch that is read.
    pub(crate) verify: bool,
    pub(crate) indexes: Indexes,
    /// Bytes that were read from disk since somebody asked.
    bytes_read: AtomicU64,
}

impl Reader {
    pub(crate) fn new(verify: bool, index_cache_bytes: usize) -> Reader {
        Reader {
            verify,
            indexes: Indexes::new(index_cache_bytes),
            bytes_read: AtomicU64::new(0),
        }
    }

    pub(crate) fn take_bytes_read(&self) -> u64 {
        self.bytes_read.swap(0, Ordering::Relaxed)
    }
}

impl PartitionLog {
    /// Reads from memory only. `Some(empty)` when there is nothing between `from` and `limit` (or the high
    /// watermark) yet; `None` when [`PartitionLog::read`] must answer.
    pub fn read_cached(
        &self,
        from: Offset,
        limit: Offset,
        max_bytes: usize,
    ) -> Option<FetchedBatches> {
        let state = self.lock();
        let limit = limit.min(state.high_watermark);
        if from < state.start || from > state.end {
            return None;
        }
        if from >= limit {
            return Some(FetchedBatches::nothing(from));
        }
        let found = state.tail.read(from, limit, max_bytes)?;
        let next_offset = found.last().map_or(from, |(next, _)| *next);
        let bytes = found.iter().map(|(_, bytes)| bytes.len()).sum();
        let batches = found.into_iter().map(|(_, bytes)| bytes).collect();
        Some(FetchedBatches {
            batches,
            next_offset,
            bytes,
        })
    }

    /// Reads whole batches from the one that holds `from`, below `limit` and the high watermark, up to `max_bytes` but
    /// at least one. May block on the disk.
    pub fn read(
        &self,
        from: Offset,
        limit: Offset,
        max_bytes: usize,
    ) -> Result<FetchedBatches, ReadError> {
        if let Some(found) = self.read_cached(from, limit, max_bytes) {
            return Ok(found);
        }
        let (extents, limit) = {
            let state = self.lock();
            if from < state.start || from > state.end {
                return Err(ReadError::OutOfRange {
                    start: state.start,
                    end: state.end,
                });
            }
            let limit = limit.min(state.high_watermark);
            // An append that failed since may have taken the offset away again.
            if from >= limit {
                return Ok(FetchedBatches::nothing(from));
            }
            (state.extents_from(from, max_bytes), limit)
        };
        let found = self.read_extents(extents, from, limit, max_bytes)?;
        if found.is_empty() {
            return Err(ReadError::Corrupt(self.hole_at(from)));
        }
        self.reader
            .bytes_read
            .fetch_add(found.bytes as u64, Ordering::Relaxed);
        Ok(found)
    }

    pub(crate) fn read_extents(
        &self,
        extents: Vec<Extent>,
        from: Offset,
        limit: Offset,
        max_bytes: usize,
    ) -> Result<FetchedBatches, ReadError> {
        let mut found = FetchedBatches::nothing(from);
        for extent in extents {
            let done = found.bytes >= max_bytes && !found.is_empty();
            if done || extent.base >= limit || extent.base > found.next_offset {
                break;
            }
            if !self.read_extent(&extent, limit, max_bytes, &mut found)? {
                break;
            }
        }
        Ok(found)
    }

    /// False when the limits are reached.
    fn read_extent(
        &self,
        extent: &Extent,
        limit: Offset,
        max_bytes: usize,
        found: &mut FetchedBatches,
    ) -> Result<bool, ReadError> {
        let (file, runs) = match &extent.place {
            Place::Segment(segment) => return self.read_segment(segment, limit, max_bytes, found),
            Place::Wal { file, runs } => (file, runs),
        };
        let room = max_bytes.saturating_sub(found.bytes);
        let from = found.next_offset;
        let runs = self
            .reader
            .indexes
            .runs_from(extent, runs, self.id, from, room)?;
        let mut at = 0;
        while at < runs.len()
            && runs[at].base < limit
            && (found.bytes < max_bytes || found.is_empty())
        {
            // Neighbours on disk are read at once.
            let start = runs[at];
            let mut len = start.len as usize;
            let room = max_bytes.saturating_sub(found.bytes);
            at += 1;
            while at < runs.len()
                && runs[at].base < limit
                && u64::from(runs[at].position) == u64::from(start.position) + len as u64
                && len + runs[at].len as usize <= room
            {
                len += runs[at].len as usize;
                at += 1;
            }
            let bytes = read_bytes(file, start.position, len)?;
            if !self.take_batches(extent, start.position, &bytes, limit, max_bytes, found)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn read_segment(
        &self,
        segment: &Segment,
        limit: Offset,
        max_bytes: usize,
        found: &mut FetchedBatches,
    ) -> Result<bool, ReadError> {
        let Some(entry) = segment.reader.partition(self.id) else {
            return Ok(false); // the extent was made from this entry
        };
        let index = self.reader.indexes.of_segment(segment, entry)?;
        let limit = limit.min(entry.next);
        while found.next_offset < limit && (found.bytes < max_bytes || found.is_empty()) {
            let room = max_bytes.saturating_sub(found.bytes);
            let from = found.next_offset;
            let read = segment
                .reader
                .read(entry, &index, from, limit, room)
                .map_err(|e| unreadable(e, entry))?;
            if read.bytes.len() > room && !found.is_empty() {
                return Ok(false);
            }
            found.next_offset = read.next_offset;
            if read.bytes.is_empty() {
                // What followed was compacted away, or does not fit under the limit.
                return Ok(read.next_offset > from);
            }
            found.bytes += read.bytes.len();
            found.batches.push(read.bytes);
        }
        Ok(true)
    }

    /// What recovery said about the hole that `offset` lies in.
    fn hole_at(&self, offset: Offset) -> Arc<Damage> {
        let state = self.lock();
        let covers = |damage: &&Arc<Damage>| {
            damage
                .offsets
                .is_some_and(|(from, to)| from <= offset && offset < to)
        };
        match state.damage.iter().find(covers) {
            Some(damage) => Arc::clone(damage),
            None => Arc::new(Damage {
                path: std::path::PathBuf::new(),
                position: 0,
                what: format!("offset {offset} of {} is not there", self.id),
                partition: Some(self.id),
                offsets: Some((offset, offset.next())),
            }),
        }
    }

    /// Keeps those batches of a stretch that were asked for. False when the limits are reached.
    fn take_batches(
        &self,
        extent: &Extent,
        position: u32,
        bytes: &Bytes,
        limit: Offset,
        max_bytes: usize,
        found: &mut FetchedBatches,
    ) -> Result<bool, ReadError> {
        let (mut at, mut from) = (0, 0);
        let mut next = found.next_offset;
        let mut more = true;
        while at < bytes.len() {
            if let Some(size) = passed_over(&bytes[at..], found.next_offset) {
                at += size;
                from = at;
                continue;
            }
            let header = match self.batch_at(extent, position, bytes, at) {
                Ok(header) => header,
                // What comes before damage is given out; who asks for what is damaged hears of it.
                Err(_) if at > from || !found.is_empty() => {
                    more = false;
                    break;
                }
                Err(error) => return Err(error),
            };
            let taken = found.bytes + (at - from);
            let first = taken == 0;
            let hole = header.base_offset > next;
            if hole || header.base_offset >= limit || (!first && taken + header.size() > max_bytes)
            {
                more = false;
                break;
            }
            at += header.size();
            next = header.next_offset();
        }
        if at > from {
            found.bytes += at - from;
            found.batches.push(bytes.slice(from..at));
            found.next_offset = next;
        }
        Ok(more)
    }

    /// Decodes and checks the batch at `at` of bytes that were read from `position`.
    pub(crate) fn batch_at(
        &self,
        extent: &Extent,
        position: u32,
        bytes: &Bytes,
        at: usize,
    ) -> Result<BatchHeader, ReadError> {
        let rest = bytes.get(at..).unwrap_or_default();
        let header = match self.reader.verify {
            true => check_at(rest),
            false => header_at(rest),
        };
        let damaged = |what: String| self.corrupt(extent, position, at, what);
        match header {
            Ok(header) if header.size() > rest.len() => {
                Err(damaged("the batch is longer than its place".to_owned()))
            }
            Ok(header)
                if header.base_offset < extent.base || header.next_offset() > extent.next =>
            {
                let offset = header.base_offset;
                Err(damaged(format!(
                    "the batch has offset {offset}, which does not belong here"
                )))
            }
            Ok(header) => Ok(header),
            Err(e) => Err(damaged(e.to_string())),
        }
    }

    pub(crate) fn corrupt(
        &self,
        extent: &Extent,
        position: u32,
        at: usize,
        what: String,
    ) -> ReadError {
        ReadError::Corrupt(Arc::new(Damage {
            path: extent.path().to_owned(),
            position: u64::from(position) + at as u64,
            what,
            partition: Some(self.id),
            offsets: Some((extent.base, extent.next)),
        }))
    }
}

/// The size of the batch at the front if all of it lies before `wanted`: it is not given out, and need not be checked.
fn passed_over(bytes: &[u8], wanted: Offset) -> Option<usize> {
    let header = header_at(bytes).ok()?;
    (header.next_offset() <= wanted && header.size() <= bytes.len()).then(|| header.size())
}

/// Bytes of a file, in a buffer of just that size.
pub(crate) fn read_bytes(file: &WalFile, position: u32, len: usize) -> Result<Bytes, ReadError> {
    debug_assert!(len >= HEADER_SIZE);
    let mut bytes = BytesMut::zeroed(len);
    read_exact(&*file.file, &mut bytes, u64::from(position)).map_err(|source| ReadError::Io {
        path: file.path.clone(),
        source: Arc::new(source),
    })?;
    Ok(bytes.freeze())
}
