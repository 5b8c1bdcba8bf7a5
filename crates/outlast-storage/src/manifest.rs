//! The manifest: the identity of the data directory, which files belong to it, and what its files can't say because
//! the ones that could are gone.
//!
//! It is not a log: a start folds the files over it, oldest first. Everything in it only grows or is replaced by
//! something newer (offsets rise, deletions stay, a producer's newer entry wins), so that it does not matter how
//! old it is. Invariant: a file is removed only after a manifest without it, which has what the file said, is durable.
//!
//! There are two copies, because what it says can't be had from anywhere else: either one suffices.

use std::io::ErrorKind;
use std::path::Path;

use outlast_records::{LeaderEpoch, Offset, PartitionId, ProducerId};

use crate::codec::{Fields, Put, Short};
use crate::epochs;
use crate::error::StorageError;
use crate::frame::Structure;
use crate::io::{Io, read_file, replace_file};
use crate::producers::ProducerEntry;
use crate::segment::AbortedTxn;
use crate::transactions::{decode_aborted_lists, encode_aborted_lists};

const STRUCTURE: Structure = Structure {
    name: "manifest",
    magic: *b"OLMF",
    version: 1,
};
pub(crate) const FILE: &str = "MANIFEST";
pub(crate) const COPY: &str = "MANIFEST.copy";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) store_id: u128,
    /// One more with every manifest that is stored.
    pub(crate) generation: u64,
    /// Files from this number on are not known to the manifest yet; older ones are, if they are in `files`.
    pub(crate) next_file: u64,
    /// A lower bound for the sequence of the next entry.
    pub(crate) next_sequence: u64,
    /// The write-ahead log files that hold something.
    pub(crate) files: Vec<u64>,
    /// Files that this manifest is the first to leave out: their names may still be there.
    pub(crate) removing: Vec<u64>,
    /// The segments that hold something.
    pub(crate) segments: Vec<u128>,
    pub(crate) removing_segments: Vec<u128>,
    /// Segments that are being written: part of the log when a later manifest lists them, leftovers otherwise.
    pub(crate) making: Vec<u128>,
    pub(crate) partitions: Vec<PartitionRecord>,
    /// Deleted partitions of which an older file may still speak, and the file that says so.
    pub(crate) deleted: Vec<(PartitionId, u64)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionRecord {
    pub(crate) id: PartitionId,
    pub(crate) start: Offset,
    pub(crate) end: Offset,
    pub(crate) epochs: Vec<(LeaderEpoch, Offset)>,
    /// Producers whose last batch lies in no file any more, and those with an open transaction that began in a segment.
    pub(crate) producers: Vec<(ProducerId, ProducerEntry)>,
    /// Aborted transactions that began in a segment and ended in a write-ahead log file: of those, a scan of that file
    /// would find the end only.
    pub(crate) aborted: Vec<AbortedTxn>,
}

/// What [`Manifest::load`] found.
#[allow(clippy::large_enum_variant, reason = "there is one, once a start")]
pub(crate) enum Loaded {
    Found {
        manifest: Manifest,
        /// A copy that can't be used, and what is wrong with it; `None`: it is missing, as a crash may leave it.
        bad: Option<(&'static str, Option<String>)>,
    },
    /// Neither copy is there.
    Nothing,
}

impl Manifest {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u128(self.store_id);
        out.put_u64(self.generation);
        out.put_u64(self.next_file);
        out.put_u64(self.next_sequence);
        for numbers in [&self.files, &self.removing] {
            out.put_count(numbers.len());
            numbers.iter().for_each(|number| out.put_u64(*number));
        }
        for ids in [&self.segments, &self.removing_segments, &self.making] {
            out.put_count(ids.len());
            ids.iter().for_each(|id| out.put_u128(*id));
        }
        out.put_count(self.partitions.len());
        for partition in &self.partitions {
            out.put_partition(partition.id);
            out.put_i64(partition.start.0);
            out.put_i64(partition.end.0);
            epochs::encode(&partition.epochs, &mut out);
            ProducerEntry::encode_all(&partition.producers, &mut out);
        }
        out.put_count(self.deleted.len());
        for (id, file) in &self.deleted {
            out.put_partition(*id);
            out.put_u64(*file);
        }
        encode_aborted_lists(
            self.partitions.iter().map(|record| &record.aborted),
            &mut out,
        );
        STRUCTURE.frame(&out)
    }

    pub(crate) fn decode(bytes: &[u8], path: &Path) -> Result<Manifest, StorageError> {
        let body = STRUCTURE.unframe(bytes, path, 0)?;
        decode_body(body).map_err(|Short| StorageError::Damaged {
            path: path.to_owned(),
            position: 0,
            what: "the manifest is cut off".to_owned(),
        })
    }

    /// Makes both copies durable, one after the other.
    pub(crate) fn store(&self, io: &dyn Io, dir: &Path) -> Result<(), StorageError> {
        let bytes = self.encode();
        for name in [FILE, COPY] {
            let path = dir.join(name);
            replace_file(io, &path, &bytes).map_err(StorageError::io("writing", &path))?;
        }
        Ok(())
    }

    /// Reads the newer of the copies that can be read.
    pub(crate) fn load(io: &dyn Io, dir: &Path) -> Result<Loaded, StorageError> {
        let mut newest: Option<Manifest> = None;
        let mut missing = Vec::new();
        let mut damaged = Vec::new();
        for name in [FILE, COPY] {
            let path = dir.join(name);
            let bytes = match read_file(io, &path) {
                Ok(bytes) => bytes,
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    missing.push((name, None));
                    continue;
                }
                Err(e) => return Err(StorageError::io("reading", &path)(e)),
            };
            match Manifest::decode(&bytes, &path) {
                Ok(manifest) => {
                    if newest
                        .as_ref()
                        .is_none_or(|known| known.generation < manifest.generation)
                    {
                        newest = Some(manifest);
                    }
                }
                Err(StorageError::Damaged { what, .. }) => damaged.push((name, Some(what))),
                Err(other) => return Err(other),
            }
        }
        match newest {
            Some(manifest) => Ok(Loaded::Found {
                manifest,
                bad: damaged.into_iter().chain(missing).next(),
            }),
            None => match damaged.pop() {
                None => Ok(Loaded::Nothing),
                Some((name, what)) => Err(StorageError::ManifestLost {
                    dir: dir.to_owned(),
                    reason: format!("{name}: {}", what.unwrap_or_default()),
                }),
            },
        }
    }
}

fn decode_body(body: &[u8]) -> Result<Manifest, Short> {
    let mut fields = Fields::new(body);
    let mut manifest = Manifest {
        store_id: fields.u128()?,
        generation: fields.u64()?,
        next_file: fields.u64()?,
        next_sequence: fields.u64()?,
        ..Manifest::default()
    };
    for numbers in [&mut manifest.files, &mut manifest.removing] {
        for _ in 0..fields.count(8)? {
            numbers.push(fields.u64()?);
        }
    }
    for ids in [
        &mut manifest.segments,
        &mut manifest.removing_segments,
        &mut manifest.making,
    ] {
        for _ in 0..fields.count(16)? {
            ids.push(fields.u128()?);
        }
    }
    for _ in 0..fields.count(20 + 8 + 8 + 4 + 4)? {
        manifest.partitions.push(PartitionRecord {
            id: fields.partition()?,
            start: Offset(fields.i64()?),
            end: Offset(fields.i64()?),
            epochs: epochs::decode(&mut fields)?,
            producers: ProducerEntry::decode_all(&mut fields)?,
            aborted: Vec::new(),
        });
    }
    for _ in 0..fields.count(28)? {
        manifest.deleted.push((fields.partition()?, fields.u64()?));
    }
    for (at, aborted) in decode_aborted_lists(&mut fields)? {
        manifest.partitions.get_mut(at).ok_or(Short)?.aborted = aborted;
    }
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use outlast_records::ProducerEpoch;

    #[test]
    fn what_was_written_is_read() {
        let id = |index| PartitionId {
            topic: uuid::Uuid::from_u128(3),
            index,
        };
        let manifest = Manifest {
            store_id: 1 << 100,
            generation: 4,
            next_file: 9,
            next_sequence: 77,
            files: vec![5, 7, 8],
            removing: vec![6],
            segments: vec![1 << 99],
            removing_segments: vec![1 << 98, 2],
            making: vec![3],
            partitions: vec![PartitionRecord {
                id: id(0),
                start: Offset(5),
                end: Offset(50),
                epochs: vec![(LeaderEpoch(0), Offset(5))],
                producers: vec![(ProducerId(4), ProducerEntry::new(ProducerEpoch(1)))],
                aborted: vec![AbortedTxn {
                    producer_id: ProducerId(4),
                    first_offset: Offset(6),
                    last_offset: Offset(8),
                    last_stable_offset: Offset(9),
                }],
            }],
            deleted: vec![(id(1), 6)],
        };
        let bytes = manifest.encode();
        assert_eq!(
            Manifest::decode(&bytes, Path::new("M")).ok(),
            Some(manifest)
        );
    }
}
