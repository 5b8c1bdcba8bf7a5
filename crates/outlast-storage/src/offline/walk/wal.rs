//! The part of the walk that goes through the write-ahead log. Every file is scanned, also a sealed one: its side-car
//! is what is checked against it.

use std::collections::BTreeSet;
use std::io;

use bytes::Bytes;
use outlast_records::Timestamp;

use super::{Walk, Walker, damage};
use crate::error::StorageError;
use crate::io::{DirEntry, read_exact, read_file};
use crate::manifest::Manifest;
use crate::offline::Depth;
use crate::offline::contents::Contents;
use crate::offline::item::Item;
use crate::offline::report::{Finding, NOTHING, Severity};
use crate::recovery::WAL_DIR;
use crate::transactions::StoredBatch;
use crate::wal::entry::{Content, Section};
use crate::wal::file::{self, Opened, WalFile, number_of, wal_path};
use crate::wal::scan::{Found, ScanEnd, find_salt, first_entry, scan};
use crate::wal::sidecar;

impl<V: FnMut(Item<'_>) -> Walk> Walker<'_, V> {
    pub(super) fn wal(&mut self, manifest: &Manifest) -> Result<(), StorageError> {
        let wal_dir = self.dir.join(WAL_DIR);
        let names = self.list_if_there(&wal_dir)?.unwrap_or_default();
        let number = |entry: &DirEntry, extension| {
            let number = number_of(&entry.name, extension).filter(|_| !entry.is_dir)?;
            // Older numbers must be in the manifest's list.
            let known = number >= manifest.next_file || manifest.files.contains(&number);
            known.then_some(number)
        };
        let numbers = |extension| {
            names
                .iter()
                .filter_map(move |entry| number(entry, extension))
        };
        let files: BTreeSet<u64> = numbers(file::EXTENSION).collect();
        let side_cars: BTreeSet<u64> = numbers(sidecar::EXTENSION).collect();
        self.strangers(&wal_dir, &names, |entry| {
            number(entry, file::EXTENSION).is_some() || number(entry, sidecar::EXTENSION).is_some()
        });
        for number in manifest
            .files
            .iter()
            .filter(|number| !files.contains(number))
        {
            if !self.held {
                let path = wal_path(&wal_dir, *number);
                self.finding(&Finding {
                    advice: "put it back, from quarantine or a backup; without it what it held is lost",
                    ..damage(&path, "a write-ahead log file is missing that the manifest lists")
                });
            }
        }
        let mut before = None;
        for number in &files {
            let follows = before
                .filter(|(last, _)| last + 1 == *number)
                .map(|(_, next)| next);
            let walked = Numbered {
                manifest,
                number: *number,
                has_side_car: side_cars.contains(number),
                follows,
                later: files.range(number + 1..).copied().collect(),
            };
            before = self
                .wal_file(&walked)?
                .map(|next_sequence| (*number, next_sequence));
            if self.stopped {
                break;
            }
        }
        Ok(())
    }

    /// Walks one file; the sequence that must follow in the next.
    fn wal_file(&mut self, of: &Numbered<'_>) -> Result<Option<u64>, StorageError> {
        let wal_dir = self.dir.join(WAL_DIR);
        let file = match self.open_wal_file(of) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(None),
            // Retention of a running server removed it meanwhile.
            Err(StorageError::Io { source, .. })
                if self.held && source.kind() == io::ErrorKind::NotFound =>
            {
                return Ok(None);
            }
            Err(error) => {
                self.failed(&error);
                return Ok(None);
            }
        };
        let bytes = file
            .file
            .len()
            .map_err(StorageError::io("reading the length of", &file.path))?;
        self.visit(Item::WalFile {
            path: &file.path,
            number: file.number,
            bytes,
            created: file.created,
        });
        if self.depth == Depth::Files {
            return Ok(None);
        }
        let mut contents = Contents::default();
        let mut sequence = None;
        let proven = self.proven_later(of);
        let end = scan(&file, of.follows, proven, &mut |found| {
            if !self.stopped {
                contents.note(&found);
                self.headless(&file, &found, &mut sequence);
                self.found(&file, found);
            }
        });
        let end = match end {
            Ok(end) => end,
            Err(error) => {
                self.failed(&error);
                return Ok(None);
            }
        };
        self.wal_end(&file, &end, bytes);
        if of.has_side_car && !self.stopped {
            let path = sidecar::side_car_path(&wal_dir, file.number);
            self.side_car(&path, &file, of.manifest.store_id, &end, &contents);
        }
        Ok(Some(end.next_sequence))
    }

    fn open_wal_file(&mut self, of: &Numbered<'_>) -> Result<Option<WalFile>, StorageError> {
        let wal_dir = self.dir.join(WAL_DIR);
        let path = wal_path(&wal_dir, of.number);
        match WalFile::open(self.io, &wal_dir, of.manifest.store_id, of.number)? {
            Opened::Whole(file) => Ok(Some(file)),
            Opened::Foreign(what) => {
                self.note(&path, what.to_owned(), "move it elsewhere");
                Ok(None)
            }
            Opened::NoHeader { file, what } => {
                let salt =
                    find_salt(&*file, of.number).map_err(StorageError::io("reading", &path))?;
                let Some(salt) = salt else {
                    self.note(
                        &path,
                        format!("{what}, and there is no entry in it"),
                        NOTHING,
                    );
                    return Ok(None);
                };
                self.finding(&Finding {
                    position: Some(0),
                    advice: "nothing to do: its entries can be read all the same",
                    ..damage(&path, what)
                });
                Ok(Some(WalFile::new(
                    of.number,
                    path,
                    salt,
                    Timestamp::NONE,
                    file,
                )))
            }
        }
    }

    /// The newest sequence that a later file says was durable.
    fn proven_later(&self, of: &Numbered<'_>) -> u64 {
        let wal_dir = self.dir.join(WAL_DIR);
        let first_of =
            |number: &u64| match WalFile::open(self.io, &wal_dir, of.manifest.store_id, *number) {
                Ok(Opened::Whole(file)) => first_entry(&file).ok().flatten(),
                _ => None,
            };
        of.later
            .iter()
            .find_map(first_of)
            .map_or(0, |header| header.synced_through)
    }

    /// The scan reads the sections of an entry whose header is damaged all the same; that is worth knowing, once.
    /// `sequence` is that of the entry which the walk is in.
    fn headless(&mut self, file: &WalFile, found: &Found, sequence: &mut Option<u64>) {
        match found {
            Found::Entry(header) => *sequence = Some(header.sequence),
            Found::Section {
                sequence: of,
                batches,
                ..
            } if *sequence != Some(*of) => {
                *sequence = Some(*of);
                self.finding(&Finding {
                    severity: Severity::Note,
                    position: batches.first().map(|batch| u64::from(batch.position)),
                    advice: NOTHING,
                    ..damage(
                        &file.path,
                        "the header of this entry is damaged, and what it holds could be read",
                    )
                });
            }
            Found::Section { .. } | Found::DamagedSection { .. } | Found::Lost { .. } => {}
        }
    }

    fn found(&mut self, file: &WalFile, found: Found) {
        match found {
            Found::Entry(header) => self.visit(Item::Entry { header: &header }),
            Found::Section {
                section, batches, ..
            } => {
                self.visit(Item::Section { section: &section });
                self.batches(file, &section, &batches);
            }
            Found::DamagedSection {
                section,
                position,
                what,
                ..
            } => self.finding(&Finding {
                position: Some(position),
                partition: Some(section.partition),
                offsets: match section.content {
                    Content::Batches { base, next, .. } => Some((base, next)),
                    Content::LogStart { .. } | Content::Delete => None,
                },
                ..damage(&file.path, what)
            }),
            Found::Lost {
                position,
                len,
                what,
                ..
            } => self.finding(&Finding {
                position: Some(position),
                ..damage(
                    &file.path,
                    &format!("{what} ({len} bytes, of an unknown partition)"),
                )
            }),
        }
    }

    fn batches(&mut self, file: &WalFile, section: &Section, batches: &[StoredBatch]) {
        if self.depth < Depth::Batches {
            return;
        }
        for StoredBatch {
            header,
            position,
            marker,
        } in batches
        {
            let position = u64::from(*position);
            let bytes = self.batch_bytes(file, position, header.size());
            self.visit(Item::Batch {
                partition: section.partition,
                position,
                header,
                marker: *marker,
                bytes: bytes.clone(),
            });
            if let Some(bytes) = bytes {
                self.records(&file.path, position, section.partition, &bytes);
            }
        }
    }

    /// The scan has checked the batch and let it go; only those whose records are shown are read again.
    fn batch_bytes(&mut self, file: &WalFile, position: u64, len: usize) -> Option<Bytes> {
        if self.depth < Depth::Records {
            return None;
        }
        let mut bytes = vec![0; len];
        match read_exact(&*file.file, &mut bytes, position) {
            Ok(()) => Some(bytes.into()),
            Err(e) => {
                self.failed(&StorageError::io("reading", &file.path)(e));
                None
            }
        }
    }

    fn wal_end(&mut self, file: &WalFile, end: &ScanEnd, len: u64) {
        self.visit(Item::WalEnd {
            position: end.position,
            reserved: len.saturating_sub(end.position),
        });
        if end.torn_bytes == 0 {
            return;
        }
        let (what, advice) = match self.held {
            true => ("is an entry that is being written", NOTHING),
            false => (
                "is left of a write that was cut off before it was acknowledged",
                "nothing to do: the next start cuts it, and keeps a copy in quarantine",
            ),
        };
        self.finding(&Finding {
            severity: Severity::Note,
            position: Some(end.position),
            advice,
            ..damage(
                &file.path,
                &format!("what lies here ({} bytes) {what}", end.torn_bytes),
            )
        });
    }

    /// Checks the side-car against its file. It can always be made again, so that nothing wrong with it is a loss.
    fn side_car(
        &mut self,
        path: &std::path::Path,
        file: &WalFile,
        store_id: u128,
        end: &ScanEnd,
        contents: &Contents,
    ) {
        let bytes = match read_file(self.io, path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return,
            Err(e) => return self.failed(&StorageError::io("reading", path)(e)),
        };
        let fault = match sidecar::decode(&bytes, path) {
            Ok(summary) => {
                self.visit(Item::SideCar {
                    path,
                    summary: &summary,
                });
                for line in &summary.partitions {
                    self.visit(Item::SideCarPartition(line));
                }
                contents.contradiction(file, store_id, end, &summary, &bytes)
            }
            Err(StorageError::Damaged { what, .. }) => Some(what),
            Err(error) => return self.failed(&error),
        };
        if let Some(what) = fault {
            let advice = "stop the server and remove it: the next start makes it again from its write-ahead log file";
            self.note(path, what, advice);
        }
    }
}

/// One file of the write-ahead log, and what is known about it from elsewhere.
struct Numbered<'a> {
    manifest: &'a Manifest,
    number: u64,
    has_side_car: bool,
    /// The sequence that its first entry must have, when the file before tells.
    follows: Option<u64>,
    later: Vec<u64>,
}
