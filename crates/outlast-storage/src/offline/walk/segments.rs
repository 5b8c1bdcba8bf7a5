//! The part of the walk that goes through segments.

use std::path::{Path, PathBuf};

use outlast_records::stored_batches;

use super::{Walk, Walker, damage};
use crate::error::StorageError;
use crate::io::DirEntry;
use crate::offline::Depth;
use crate::offline::item::Item;
use crate::offline::report::Finding;
use crate::segment::{self, FileSource, PartitionIndex, SegmentPartition, SegmentReader};
use crate::transactions::marker_of;

impl<V: FnMut(Item<'_>) -> Walk> Walker<'_, V> {
    pub(super) fn segments(&mut self) -> Result<(), StorageError> {
        let dir = self.dir.join(segment::DIR);
        let Some(names) = self.list_if_there(&dir)? else {
            return Ok(());
        };
        let is_segment = |entry: &DirEntry| {
            let extension = Path::new(&entry.name).extension();
            !entry.is_dir && extension.is_some_and(|extension| extension == segment::EXTENSION)
        };
        self.strangers(&dir, &names, is_segment);
        let segments = names.iter().filter(|entry| is_segment(entry));
        let mut paths: Vec<PathBuf> = segments.map(|entry| dir.join(&entry.name)).collect();
        paths.sort_unstable();
        for path in paths {
            let opened = self
                .io
                .open(&path)
                .map_err(StorageError::io("opening", &path))
                .and_then(|file| SegmentReader::open(FileSource(file), &path));
            match opened {
                Ok(reader) => self.segment(&reader),
                Err(error) => self.failed(&error),
            }
            if self.stopped {
                break;
            }
        }
        Ok(())
    }

    fn segment(&mut self, reader: &SegmentReader<FileSource>) {
        self.visit(Item::Segment {
            path: reader.path(),
            bytes: reader.total_len(),
            id: reader.id().ok(),
            partitions: reader.partitions().len(),
        });
        if self.depth == Depth::Files {
            return;
        }
        match reader.verify() {
            Ok(found) => {
                for found in found {
                    self.finding(&Finding {
                        position: Some(found.position),
                        partition: found.partition,
                        offsets: found.offsets,
                        ..damage(&found.path, &found.what)
                    });
                }
            }
            Err(error) => self.failed(&error),
        }
        for entry in reader.partitions() {
            let index = reader.index(entry);
            self.visit(Item::SegmentPartition {
                path: reader.path(),
                entry,
                index: index.as_ref().ok(),
            });
            // What can't be read was reported by the verification.
            if let Ok(index) = index {
                self.segment_batches(reader, entry, &index);
            }
        }
    }

    fn segment_batches(
        &mut self,
        reader: &SegmentReader<FileSource>,
        entry: &SegmentPartition,
        index: &PartitionIndex,
    ) {
        if self.depth < Depth::Batches {
            return;
        }
        for (at, chunk) in index.chunks.iter().enumerate() {
            let Ok(batches) = reader.read_chunk(entry, index, at) else {
                continue;
            };
            let mut position = entry.data_position + chunk.position;
            for (header, batch) in stored_batches(batches).flatten() {
                self.visit(Item::Batch {
                    partition: entry.partition,
                    position,
                    header: &header,
                    marker: marker_of(&header, &batch),
                    bytes: (self.depth >= Depth::Records).then(|| batch.clone()),
                });
                self.records(reader.path(), position, entry.partition, &batch);
                position += batch.len() as u64;
            }
        }
    }
}
