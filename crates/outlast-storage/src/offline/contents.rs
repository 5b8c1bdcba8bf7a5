//! What the scan of a write-ahead log file found, to hold the file's side-car against.

use std::collections::{BTreeMap, HashMap};

use outlast_records::{Offset, PartitionId};

use crate::wal::entry::Content;
use crate::wal::file::WalFile;
use crate::wal::scan::{Found, ScanEnd};
use crate::wal::sidecar::{self, PartitionSummary, Summary};

/// What a file holds, summed up.
#[derive(Default)]
pub(super) struct Contents {
    first_sequence: Option<u64>,
    /// For each partition that the file speaks of, the offsets in it, holes left out.
    partitions: BTreeMap<PartitionId, Vec<(Offset, Offset)>>,
    /// Where each batch begins, and its base offset.
    batches: HashMap<u32, Offset>,
}

impl Contents {
    pub(super) fn note(&mut self, found: &Found) {
        match found {
            Found::Entry(header) => {
                self.first_sequence.get_or_insert(header.sequence);
            }
            Found::Section {
                section, batches, ..
            } => {
                let stretches = self.partitions.entry(section.partition).or_default();
                if let Content::Batches { base, next, .. } = section.content {
                    match stretches.last_mut() {
                        Some(last) if last.1 == base => last.1 = next,
                        _ => stretches.push((base, next)),
                    }
                }
                let placed = batches
                    .iter()
                    .map(|batch| (batch.position, batch.header.base_offset));
                self.batches.extend(placed);
            }
            // A side-car that was made before the damage knows more than the file.
            Found::DamagedSection { .. } | Found::Lost { .. } => {}
        }
    }

    /// The first thing that the side-car `summary` (of which `bytes` is the whole) says otherwise than its file.
    /// A side-car may leave out what lies below the log start, and deleted partitions.
    pub(super) fn contradiction(
        &self,
        file: &WalFile,
        store_id: u128,
        end: &ScanEnd,
        summary: &Summary,
        bytes: &[u8],
    ) -> Option<String> {
        let first = self.first_sequence.unwrap_or(summary.first_sequence);
        let whole_file = [
            (
                summary.store_id == store_id,
                "the data directory it belongs to",
            ),
            (summary.file == file.number, "the file it belongs to"),
            (summary.end == end.position, "where the entries end"),
            (summary.first_sequence == first, "the first sequence"),
            (
                summary.next_sequence == end.next_sequence,
                "the next sequence",
            ),
        ];
        if let Some((_, what)) = whole_file.iter().find(|(agrees, _)| !agrees) {
            return Some(format!("the side-car contradicts its file: {what}"));
        }
        for (id, stretches) in &self.partitions {
            let told = summary
                .partitions
                .iter()
                .filter(|partition| partition.id == *id);
            let told: Vec<&PartitionSummary> = told.collect();
            if told.is_empty() && !summary.deleted.contains(id) {
                return Some(format!("the side-car leaves out partition {id}"));
            }
            let reaches = |(base, next): &(Offset, Offset)| {
                let covers = |line: &&PartitionSummary| {
                    line.base <= (*base).max(line.start) && line.next >= *next
                };
                told.iter().any(|line| *next <= line.start) || told.iter().any(covers)
            };
            if !told.is_empty() && !stretches.iter().all(reaches) {
                return Some(format!("the side-car leaves out offsets of partition {id}"));
            }
        }
        summary
            .partitions
            .iter()
            .find_map(|told| self.partition_contradiction(file, told, bytes))
    }

    /// Whether the index of one line leads to batches, all of them.
    fn partition_contradiction(
        &self,
        file: &WalFile,
        told: &PartitionSummary,
        bytes: &[u8],
    ) -> Option<String> {
        let fault = |what: &str| Some(format!("the index of partition {} {what}", told.id));
        let mut indexed = 0;
        for block in 0..told.blocks.blocks() {
            let (position, len) = told.blocks.block(block);
            let runs = usize::try_from(position)
                .ok()
                .and_then(|at| bytes.get(at..)?.get(..len))
                .and_then(|block_bytes| {
                    sidecar::decode_block(block_bytes, file.number, told.id, block)
                });
            let Some(runs) = runs else {
                return fault("has a damaged block");
            };
            for run in runs {
                if self.batches.get(&run.position) != Some(&run.base) {
                    return fault("leads to where no batch begins");
                }
                indexed += u64::from(run.len);
            }
        }
        if indexed != told.bytes {
            return fault("does not lead to all of its batches");
        }
        None
    }
}
