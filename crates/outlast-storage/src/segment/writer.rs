//! Writes a segment from front to back. Batches go straight to the sink; only the indexes are held, 32 bytes for
//! every 16 KiB of data.

use std::io::{self, Write};

use outlast_records::{
    BatchError, BatchHeader, Crc32c, Offset, PartitionId, Timestamp, check_at, crc32c,
};
use thiserror::Error;

use super::format::{self, BATCH_FRONT, Tail};
use super::{CHUNK_BYTES, Chunk, PartitionIndex, PartitionState, SegmentId, SegmentPartition};

/// Why a segment was not written. It is then abandoned; nothing refers to it yet.
#[derive(Debug, Error)]
pub enum SegmentWriteError {
    #[error("writing a segment: {0}")]
    Io(#[from] io::Error),
    /// What was read from the log to be moved is not what was written there.
    #[error("a batch of {partition} that is to be moved into a segment is damaged: {source}")]
    Batch {
        partition: PartitionId,
        source: BatchError,
    },
    #[error("batches of {partition} are out of order: {found} where {least} or later must follow")]
    Order {
        partition: PartitionId,
        least: Offset,
        found: Offset,
    },
    #[error("partition {0} comes after one with a larger id, or twice")]
    PartitionOrder(PartitionId),
    #[error("the index of {0} is too large for one segment")]
    IndexTooLarge(PartitionId),
}

/// Streams a segment into `W`. Partitions come in the order of their ids.
pub struct SegmentWriter<W> {
    sink: W,
    position: u64,
    segment_id: u128,
    directory: Vec<SegmentPartition>,
    /// Encoded, in the order of the directory.
    indexes: Vec<Vec<u8>>,
}

impl<W: Write> SegmentWriter<W> {
    pub fn new(mut sink: W, id: &SegmentId) -> Result<Self, SegmentWriteError> {
        let header = format::encode_header(id);
        sink.write_all(&header)?;
        Ok(SegmentWriter {
            sink,
            position: header.len() as u64,
            segment_id: id.segment_id,
            directory: Vec::new(),
            indexes: Vec::new(),
        })
    }

    /// Begins the next partition, whose history before `start` lies elsewhere or is gone.
    pub fn partition(
        &mut self,
        partition: PartitionId,
        start: Offset,
    ) -> Result<PartitionWriter<'_, W>, SegmentWriteError> {
        if self
            .directory
            .last()
            .is_some_and(|last| last.partition >= partition)
        {
            return Err(SegmentWriteError::PartitionOrder(partition));
        }
        Ok(PartitionWriter {
            partition,
            start,
            next: start,
            max_timestamp: Timestamp::NONE,
            data_position: self.position,
            chunks: Vec::new(),
            chunk: None,
            segment: self,
        })
    }

    /// Writes the indexes, the directory and the tail. Returns the sink and the segment's length.
    pub fn finish(mut self) -> Result<(W, u64), SegmentWriteError> {
        for (entry, index) in self.directory.iter_mut().zip(&self.indexes) {
            entry.index_position = self.position;
            self.sink.write_all(index)?;
            self.position += index.len() as u64;
        }
        let directory = format::encode_directory(&self.directory);
        self.sink.write_all(&directory)?;
        let total_len = self.position + (directory.len() + format::TAIL_SIZE) as u64;
        self.sink.write_all(&format::encode_tail(&Tail {
            partitions: self.directory.len() as u32,
            directory_position: self.position,
            directory_crc: crc32c(&directory),
            segment_id: self.segment_id,
            total_len,
        }))?;
        self.sink.flush()?;
        Ok((self.sink, total_len))
    }
}

/// Takes one partition's batches. Must be ended by [`PartitionWriter::finish`].
#[must_use = "a partition that is not finished is not in the segment's directory"]
pub struct PartitionWriter<'a, W> {
    segment: &'a mut SegmentWriter<W>,
    partition: PartitionId,
    start: Offset,
    next: Offset,
    max_timestamp: Timestamp,
    data_position: u64,
    chunks: Vec<Chunk>,
    chunk: Option<OpenChunk>,
}

struct OpenChunk {
    entry: Chunk,
    fronts: Crc32c,
    len: u64,
}

impl<W: Write> PartitionWriter<'_, W> {
    /// Appends whole batches that lie one after the other. Each is checked before it is written: damage must not
    /// travel into a second copy.
    pub fn append(&mut self, mut batches: &[u8]) -> Result<(), SegmentWriteError> {
        while !batches.is_empty() {
            let header = check_at(batches).map_err(|source| SegmentWriteError::Batch {
                partition: self.partition,
                source,
            })?;
            let (batch, rest) = batches.split_at(header.size());
            self.append_one(&header, batch)?;
            batches = rest;
        }
        Ok(())
    }

    fn append_one(&mut self, header: &BatchHeader, batch: &[u8]) -> Result<(), SegmentWriteError> {
        if header.base_offset < self.next {
            return Err(SegmentWriteError::Order {
                partition: self.partition,
                least: self.next,
                found: header.base_offset,
            });
        }
        self.segment.sink.write_all(batch)?;
        let position = self.segment.position - self.data_position;
        self.segment.position += batch.len() as u64;
        self.next = header.next_offset();
        self.max_timestamp = self.max_timestamp.max(header.max_timestamp);

        let chunk = self.chunk.get_or_insert_with(|| OpenChunk {
            entry: Chunk {
                base: header.base_offset,
                position,
                max_timestamp: Timestamp::NONE,
                batches: 0,
                fronts_crc: 0,
            },
            fronts: Crc32c::new(),
            len: 0,
        });
        chunk.entry.batches += 1;
        chunk.entry.max_timestamp = chunk.entry.max_timestamp.max(header.max_timestamp);
        chunk.fronts.update(&batch[..BATCH_FRONT]);
        chunk.len += batch.len() as u64;
        if chunk.len >= CHUNK_BYTES {
            self.end_chunk();
        }
        Ok(())
    }

    fn end_chunk(&mut self) {
        if let Some(OpenChunk {
            mut entry, fronts, ..
        }) = self.chunk.take()
        {
            entry.fronts_crc = fronts.finish();
            self.chunks.push(entry);
        }
    }

    /// Ends the partition. `next` is where its history goes on: not before the last batch's end, and after it when
    /// what followed was compacted away.
    pub fn finish(
        mut self,
        next: Offset,
        state: PartitionState,
    ) -> Result<SegmentPartition, SegmentWriteError> {
        if next < self.next {
            return Err(SegmentWriteError::Order {
                partition: self.partition,
                least: self.next,
                found: next,
            });
        }
        self.end_chunk();
        let aborted = state.aborted.len() as u32;
        let index = format::encode_index(&PartitionIndex {
            chunks: std::mem::take(&mut self.chunks),
            state,
        });
        let entry = SegmentPartition {
            partition: self.partition,
            start: self.start,
            next,
            max_timestamp: self.max_timestamp,
            data_position: self.data_position,
            data_len: self.segment.position - self.data_position,
            aborted,
            index_position: 0, // known when the segment is finished
            index_len: u32::try_from(index.len())
                .map_err(|_| SegmentWriteError::IndexTooLarge(self.partition))?,
            index_crc: crc32c(&index),
        };
        self.segment.indexes.push(index);
        self.segment.directory.push(entry);
        Ok(entry)
    }
}
