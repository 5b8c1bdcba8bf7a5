//! The side-car index of a sealed write-ahead log file: what the file holds, so that neither a start nor a read
//! needs to scan it.
//!
//! ```text
//! frame    "OLIX": the summary: identity of the file, and for every partition that the file says anything about:
//!          offsets, newest timestamp, bytes, epochs that began here, producers that wrote here, where its runs are;
//!          then the partitions that were deleted, and the aborted transactions that were known when it was made and
//!          did not end before the file
//! blocks   per partition, its runs in blocks of up to 256: 24 bytes a run, then the block's CRC-32C
//! ```
//! A start reads the summaries only. A reader fetches single blocks, so that an index never has to fit in memory.
//! A side-car is derived from its file: when it is missing or damaged, the file is scanned and it is made again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use outlast_records::{Crc32c, LeaderEpoch, Offset, PartitionId, ProducerId, Timestamp};

use crate::codec::{Fields, Put, Short};
use crate::epochs;
use crate::error::StorageError;
use crate::frame::{FRAME_SIZE, Structure};
use crate::io::IoFile;
use crate::partition::Run;
use crate::producers::ProducerEntry;
use crate::segment::AbortedTxn;
use crate::transactions::{decode_aborted_lists, encode_aborted_lists};

const STRUCTURE: Structure = Structure {
    name: "side-car index",
    magic: *b"OLIX",
    version: 1,
};
pub(crate) const EXTENSION: &str = "idx";
/// Runs in one block.
pub(crate) const BLOCK_RUNS: usize = 256;
const RUN_SIZE: usize = 24;

pub(crate) fn side_car_path(wal_dir: &Path, number: u64) -> PathBuf {
    wal_dir.join(format!("{number:020}.{EXTENSION}"))
}

/// An open side-car. Readers hold it by `Arc`, so that it can be replaced under them.
pub(crate) struct SideCar {
    /// Tells this one from every other that this process has opened, for caches.
    pub(crate) number: u64,
    pub(crate) file: Arc<dyn IoFile>,
}

impl SideCar {
    pub(crate) fn new(file: Arc<dyn IoFile>) -> Arc<SideCar> {
        static OPENED: AtomicU64 = AtomicU64::new(0);
        Arc::new(SideCar {
            number: OPENED.fetch_add(1, Ordering::Relaxed),
            file,
        })
    }
}

impl std::fmt::Debug for SideCar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SideCar({})", self.number)
    }
}

/// What a side-car says, without the runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) store_id: u128,
    pub(crate) file: u64,
    /// Where the file's last entry ends.
    pub(crate) end: u64,
    pub(crate) first_sequence: u64,
    pub(crate) next_sequence: u64,
    pub(crate) partitions: Vec<PartitionSummary>,
    pub(crate) deleted: Vec<PartitionId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionSummary {
    pub(crate) id: PartitionId,
    pub(crate) start: Offset,
    /// The offsets that lie in this file: none when `base == next`. A partition with a hole has two lines.
    pub(crate) base: Offset,
    pub(crate) next: Offset,
    /// The high watermark when the side-car was made: offsets below it were given out.
    pub(crate) end: Offset,
    pub(crate) max_timestamp: Timestamp,
    pub(crate) bytes: u64,
    pub(crate) epochs: Vec<(LeaderEpoch, Offset)>,
    pub(crate) producers: Vec<(ProducerId, ProducerEntry)>,
    /// As of the same moment as the producers: an end that these have seen must be in here.
    pub(crate) aborted: Vec<AbortedTxn>,
    pub(crate) blocks: BlocksAt,
}

/// Where the blocks of a partition's runs are, in the side-car file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlocksAt {
    pub(crate) position: u64,
    pub(crate) runs: u32,
}

impl Summary {
    /// Bytes of all batches that it lists.
    pub(crate) fn content(&self) -> u64 {
        self.partitions
            .iter()
            .map(|partition| partition.bytes)
            .sum()
    }

    /// How long the side-car must be.
    pub(crate) fn len(&self) -> u64 {
        let end = |at: &BlocksAt| match at.blocks() {
            0 => 0,
            blocks => {
                let (position, len) = at.block(blocks - 1);
                position.saturating_add(len as u64)
            }
        };
        self.partitions
            .iter()
            .map(|partition| end(&partition.blocks))
            .max()
            .unwrap_or(0)
    }
}

impl BlocksAt {
    pub(crate) fn blocks(&self) -> usize {
        (self.runs as usize).div_ceil(BLOCK_RUNS)
    }

    /// Position and length of one block.
    pub(crate) fn block(&self, block: usize) -> (u64, usize) {
        let runs = (self.runs as usize)
            .saturating_sub(block * BLOCK_RUNS)
            .min(BLOCK_RUNS);
        let before = (block * (BLOCK_RUNS * RUN_SIZE + 4)) as u64;
        (self.position.saturating_add(before), runs * RUN_SIZE + 4)
    }
}

/// The whole side-car; `runs[i]` belongs to `summary.partitions[i]`, whose `blocks` are filled in.
pub(crate) fn encode(summary: &mut Summary, runs: &[Vec<Run>]) -> Vec<u8> {
    let mut blocks = Vec::new();
    for (partition, runs) in summary.partitions.iter_mut().zip(runs) {
        partition.blocks = BlocksAt {
            position: blocks.len() as u64,
            runs: runs.len() as u32,
        };
        for (at, block) in runs.chunks(BLOCK_RUNS).enumerate() {
            encode_block(block, &seed(summary.file, partition.id, at), &mut blocks);
        }
    }
    let mut out = STRUCTURE.frame(&encode_body(summary));
    // The body has the positions relative to its end; from here on they are those of the file.
    for partition in &mut summary.partitions {
        partition.blocks.position += out.len() as u64;
    }
    out.put(&blocks);
    out
}

fn encode_body(summary: &Summary) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_u128(summary.store_id);
    out.put_u64(summary.file);
    out.put_u64(summary.end);
    out.put_u64(summary.first_sequence);
    out.put_u64(summary.next_sequence);
    out.put_count(summary.partitions.len());
    for partition in &summary.partitions {
        out.put_partition(partition.id);
        out.put_i64(partition.start.0);
        out.put_i64(partition.base.0);
        out.put_i64(partition.next.0);
        out.put_i64(partition.end.0);
        out.put_i64(partition.max_timestamp.0);
        out.put_u64(partition.bytes);
        out.put_u64(partition.blocks.position);
        out.put_u32(partition.blocks.runs);
        epochs::encode(&partition.epochs, &mut out);
        ProducerEntry::encode_all(&partition.producers, &mut out);
    }
    out.put_count(summary.deleted.len());
    for id in &summary.deleted {
        out.put_partition(*id);
    }
    let aborted = summary.partitions.iter();
    encode_aborted_lists(aborted.map(|partition| &partition.aborted), &mut out);
    out
}

/// Reads the summary at the front of a side-car.
pub(crate) fn decode(bytes: &[u8], path: &Path) -> Result<Summary, StorageError> {
    let body = STRUCTURE.unframe(bytes, path, 0)?;
    decode_body(body).map_err(|Short| StorageError::Damaged {
        path: path.to_owned(),
        position: FRAME_SIZE as u64,
        what: "the summary is cut off".to_owned(),
    })
}

/// Bytes at the front of a side-car that hold its summary, from the frame's first bytes.
pub(crate) fn summary_len(frame: &[u8; FRAME_SIZE]) -> Option<usize> {
    let len = u64::from_le_bytes(*frame[12..].first_chunk()?);
    usize::try_from(len).ok()?.checked_add(FRAME_SIZE)
}

fn decode_body(body: &[u8]) -> Result<Summary, Short> {
    const LEAST: usize = 20 + 7 * 8 + 4 + 4 + 4;
    let blocks_start = (FRAME_SIZE + body.len()) as u64;
    let mut fields = Fields::new(body);
    let mut summary = Summary {
        store_id: fields.u128()?,
        file: fields.u64()?,
        end: fields.u64()?,
        first_sequence: fields.u64()?,
        next_sequence: fields.u64()?,
        ..Summary::default()
    };
    for _ in 0..fields.count(LEAST)? {
        summary.partitions.push(PartitionSummary {
            id: fields.partition()?,
            start: Offset(fields.i64()?),
            base: Offset(fields.i64()?),
            next: Offset(fields.i64()?),
            end: Offset(fields.i64()?),
            max_timestamp: Timestamp(fields.i64()?),
            bytes: fields.u64()?,
            blocks: BlocksAt {
                position: fields.u64()?.checked_add(blocks_start).ok_or(Short)?,
                runs: fields.u32()?,
            },
            epochs: epochs::decode(&mut fields)?,
            producers: ProducerEntry::decode_all(&mut fields)?,
            aborted: Vec::new(),
        });
    }
    for _ in 0..fields.count(20)? {
        summary.deleted.push(fields.partition()?);
    }
    for (at, aborted) in decode_aborted_lists(&mut fields)? {
        summary.partitions.get_mut(at).ok_or(Short)?.aborted = aborted;
    }
    Ok(summary)
}

/// What a block's checksum starts with, so that a block is not taken for another one.
fn seed(file: u64, id: PartitionId, block: usize) -> Vec<u8> {
    let mut seed = Vec::with_capacity(36);
    seed.put_u64(file);
    seed.put_partition(id);
    seed.put_u64(block as u64);
    seed
}

fn block_crc(seed: &[u8], runs: &[u8]) -> u32 {
    let mut crc = Crc32c::new();
    crc.update(seed);
    crc.update(runs);
    crc.finish()
}

fn encode_block(runs: &[Run], seed: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    for run in runs {
        out.put_i64(run.base.0);
        out.put_i64(run.max_timestamp.0);
        out.put_u32(run.position);
        out.put_u32(run.len);
    }
    out.put_u32(block_crc(seed, &out[start..]));
}

/// The runs of one block; `None` when it is damaged.
pub(crate) fn decode_block(
    bytes: &[u8],
    file: u64,
    id: PartitionId,
    block: usize,
) -> Option<Vec<Run>> {
    let (runs, crc) = bytes.split_last_chunk::<4>()?;
    if block_crc(&seed(file, id, block), runs) != u32::from_le_bytes(*crc) {
        return None;
    }
    let decode = |bytes: &[u8]| -> Result<Run, Short> {
        let mut fields = Fields::new(bytes);
        Ok(Run {
            base: Offset(fields.i64()?),
            max_timestamp: Timestamp(fields.i64()?),
            position: fields.u32()?,
            len: fields.u32()?,
        })
    };
    runs.chunks_exact(RUN_SIZE)
        .map(|run| decode(run).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use outlast_records::ProducerEpoch;

    fn id(index: i32) -> PartitionId {
        PartitionId {
            topic: uuid::Uuid::from_u128(7),
            index,
        }
    }

    fn runs(count: i64) -> Vec<Run> {
        (0..count)
            .map(|i| Run {
                base: Offset(i * 10),
                max_timestamp: Timestamp(1_000 + i),
                position: 64 + i as u32 * 100,
                len: 100,
            })
            .collect()
    }

    fn example() -> (Summary, Vec<Vec<Run>>) {
        let partition = |index, count: i64| PartitionSummary {
            id: id(index),
            start: Offset(3),
            base: Offset(0),
            next: Offset(count * 10),
            end: Offset(count * 10),
            max_timestamp: Timestamp(1_000 + count),
            bytes: 100 * count as u64,
            epochs: vec![(LeaderEpoch(1), Offset(0))],
            producers: vec![(ProducerId(5), ProducerEntry::new(ProducerEpoch(2)))],
            aborted: (0..index.into())
                .map(|n| AbortedTxn {
                    producer_id: ProducerId(n),
                    first_offset: Offset(n * 10),
                    last_offset: Offset(n * 10 + 4),
                    last_stable_offset: Offset(n * 10 + 5),
                })
                .collect(),
            blocks: BlocksAt::default(),
        };
        let summary = Summary {
            store_id: 99,
            file: 4,
            end: 123_456,
            first_sequence: 10,
            next_sequence: 20,
            partitions: vec![partition(0, 600), partition(1, 0), partition(2, 256)],
            deleted: vec![id(8)],
        };
        (summary, vec![runs(600), runs(0), runs(256)])
    }

    #[test]
    fn what_was_written_is_read() {
        let (mut summary, runs) = example();
        let bytes = encode(&mut summary, &runs);
        let path = Path::new("x.idx");
        assert_eq!(decode(&bytes, path).ok().as_ref(), Some(&summary));
        assert_eq!(
            bytes.first_chunk().and_then(summary_len),
            Some(summary.partitions[0].blocks.position as usize)
        );
        for (partition, runs) in summary.partitions.iter().zip(&runs) {
            let mut read = Vec::new();
            for block in 0..partition.blocks.blocks() {
                let (position, len) = partition.blocks.block(block);
                let bytes = &bytes[position as usize..][..len];
                assert_eq!(
                    decode_block(bytes, 4, id(9), block),
                    None,
                    "another partition's block"
                );
                read.extend(decode_block(bytes, 4, partition.id, block).expect("block"));
            }
            assert_eq!(&read, runs);
        }
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let (mut summary, runs) = example();
        let mut bytes = encode(&mut summary, &runs);
        let front = summary.partitions[0].blocks.position as usize;
        let check = |bytes: &[u8]| -> bool {
            decode(bytes, Path::new("x.idx")).is_ok()
                && summary.partitions.iter().all(|partition| {
                    (0..partition.blocks.blocks()).all(|block| {
                        let (position, len) = partition.blocks.block(block);
                        decode_block(&bytes[position as usize..][..len], 4, partition.id, block)
                            .is_some()
                    })
                })
        };
        assert!(check(&bytes));
        for at in (0..front).chain((front..bytes.len()).step_by(97)) {
            bytes[at] ^= 1 << (at % 8);
            assert!(!check(&bytes), "byte {at}");
            bytes[at] ^= 1 << (at % 8);
        }
    }
}
