//! Damage at rest: flipped bits, missing and strange files. What can be read is, what can't says so, nothing is made up.

use std::path::{Path, PathBuf};

use outlast_records::{Offset, crc32c};

use super::harness::*;
use crate::io::fault::{FaultDisk, Survives};
use crate::{ReadError, StorageError};

/// Three partitions over two sealed files and an unsealed one, the second without a side-car. Each entry has one batch of
/// each partition.
struct Directory {
    machine: Machine,
    values: Vec<Vec<String>>,
}

fn directory() -> Directory {
    let machine = Machine::new(crate::StoreOptions {
        wal_file_bytes: 2_300,
        ..small_files()
    });
    let mut values = vec![Vec::new(); 3];
    for round in 0..9 {
        let mut sections = Vec::new();
        for index in 0..3 {
            let value = format!("{index}/{round}/{}", "x".repeat(60));
            sections.push(machine.section(index, vec![batch(&[&value])]));
            values[index as usize].push(value);
        }
        drop(machine.store.append(sections).durable);
        machine.store.step_writer();
        if round == 4 {
            machine.store.tick();
        }
    }
    machine.disk.crash(Survives::Nothing);
    assert!(machine.disk.content(&machine.idx(1)).is_some());
    assert!(machine.disk.content(&machine.idx(2)).is_none());
    assert!(machine.disk.content(&machine.wal(3)).is_some());
    Directory { machine, values }
}

impl Directory {
    fn path(&self, name: &str) -> PathBuf {
        Path::new(DIR).join(name)
    }

    fn reopen(self) -> Result<Directory, StorageError> {
        Ok(Directory {
            machine: self.machine.try_reopen()?,
            values: self.values,
        })
    }

    /// The same directory on another disk.
    fn on(&self, disk: FaultDisk) -> Result<Directory, StorageError> {
        let (clock, options) = (self.machine.clock.clone(), self.machine.options.clone());
        let (store, report) = open(&disk, &clock, &options)?;
        let machine = Machine {
            disk,
            clock,
            options,
            store,
            report,
        };
        Ok(Directory {
            machine,
            values: self.values.clone(),
        })
    }

    /// Reads every offset by itself: each is what it was, or an error. The offsets that are errors.
    fn unreadable(&self, what: &str) -> Vec<(i32, usize)> {
        let mut unreadable = Vec::new();
        for (index, values) in (0..).zip(&self.values) {
            let Some(log) = self.machine.store.existing(id(index)) else {
                unreadable.extend((0..values.len()).map(|at| (index, at)));
                continue;
            };
            for (at, value) in values.iter().enumerate() {
                let from = Offset(at as i64);
                match log.read(from, from.next(), 1) {
                    Ok(found) if !found.is_empty() => {
                        let bytes = &found.batches[0];
                        assert!(
                            bytes
                                .windows(value.len())
                                .any(|part| part == value.as_bytes()),
                            "{what}: {index} {at}"
                        );
                    }
                    Ok(_) | Err(ReadError::OutOfRange { .. } | ReadError::Corrupt(_)) => {
                        unreadable.push((index, at))
                    }
                    Err(ReadError::Io { source, .. }) => panic!("{what}: {source}"),
                }
            }
        }
        unreadable
    }

    /// The next append gets an offset that nothing acknowledged ever had, and can be read.
    fn goes_on(&self, what: &str) {
        for (index, values) in (0..).zip(&self.values) {
            let log = self.machine.store.log(id(index));
            assert!(
                log.end_offset() >= Offset(values.len() as i64),
                "{what}: {index} ends at {}",
                log.end_offset()
            );
            let at = log.end_offset();
            self.machine.append(index, &["new"]).expect("durable");
            let found = log.read(at, Offset(i64::MAX), 1_000).expect("read");
            assert_eq!(found.next_offset, at.next(), "{what}");
        }
    }
}

/// The centre of it: any one bit, anywhere.
#[test]
fn any_flipped_bit_is_survived_or_named() {
    let original = directory();
    let snapshot: Vec<_> = original
        .machine
        .disk
        .paths()
        .into_iter()
        .map(|path| {
            (
                path.clone(),
                original.machine.disk.content(&path).unwrap_or_default(),
            )
        })
        .collect();
    let last_entry = last_entry(&original.machine);
    for (path, bytes) in &snapshot {
        if path.ends_with("LOCK") {
            continue;
        }
        let name = path.to_string_lossy().into_owned();
        for at in 0..bytes.len() {
            let what = format!("{name} byte {at}");
            let disk = FaultDisk::new();
            for (path, bytes) in &snapshot {
                disk.tamper(path, |_| Some(bytes.clone()));
            }
            disk.flip_bit(path, at * 8 + at % 8);
            let directory = original.on(disk).unwrap_or_else(|e| panic!("{what}: {e}"));
            let mut unreadable = directory.unreadable(&what);
            if name.ends_with(".idx") && !unreadable.is_empty() {
                // The reader has noticed, and the index is made again.
                directory.machine.store.tick();
                unreadable = directory.unreadable(&what);
                assert!(unreadable.is_empty(), "{what}: {unreadable:?}");
            }
            // The newest entry can't be told from one that was never finished; only it may go, whole.
            if name.ends_with("3.wal") && at >= last_entry {
                assert!(
                    unreadable.is_empty() || unreadable == [(0, 8), (1, 8), (2, 8)],
                    "{what}: {unreadable:?}"
                );
                assert!(
                    unreadable.is_empty() || directory.machine.report.torn_bytes > 0,
                    "{what}"
                );
                continue;
            }
            assert!(unreadable.len() <= 1, "{what}: {unreadable:?}");
            directory.goes_on(&what);
            if !unreadable.is_empty() && !name.ends_with("1.wal") {
                assert!(
                    !directory.machine.report.damage.is_empty(),
                    "{what} is reported"
                );
                assert!(
                    !directory.machine.quarantined().is_empty(),
                    "{what} is kept"
                );
                // And it is not forgotten, nor does it spread.
                let again = directory.machine.reopen();
                let again = Directory {
                    machine: again,
                    values: original.values.clone(),
                };
                assert_eq!(
                    again.unreadable(&what),
                    unreadable,
                    "{what}, the second time"
                );
            }
        }
    }
}

/// Where the newest entry begins.
fn last_entry(machine: &Machine) -> usize {
    let bytes = machine.disk.content(&machine.wal(3)).expect("file");
    (0..bytes.len() - 4)
        .rfind(|at| bytes[*at..].starts_with(b"OLWE"))
        .expect("entry")
}

#[test]
fn a_damaged_batch_takes_nothing_with_it() {
    for file in [1, 2, 3] {
        let directory = directory();
        let path = directory.machine.wal(file);
        let bytes = directory.machine.disk.content(&path).expect("file");
        // A byte of the first entry's value of partition 1.
        let at = bytes
            .windows(2)
            .position(|part| part == b"1/")
            .expect("value");
        directory.machine.disk.flip_bit(&path, at * 8);
        let directory = directory.reopen().expect("open");
        let unreadable = directory.unreadable("");
        assert_eq!(unreadable.len(), 1, "file {file}");
        let (index, lost) = unreadable[0];
        assert_eq!(index, 1);
        let log = directory.machine.store.log(id(1));
        let Err(ReadError::Corrupt(damage)) = log.read(Offset(lost as i64), Offset(99), 1) else {
            panic!()
        };
        assert_eq!(
            (damage.path.as_path(), damage.partition),
            (path.as_path(), Some(id(1)))
        );
        assert!(
            damage.to_string().contains("outlast log verify"),
            "{damage}"
        );
        // A read that comes from before ends before it.
        if lost > 0 {
            let found = log.read(Offset(0), Offset(99), 1 << 20).expect("read");
            assert!(found.next_offset <= Offset(lost as i64));
        }
        directory.goes_on("");
    }
}

#[test]
fn missing_files_have_their_outcomes() {
    let check = |missing: &[&str], expect: Result<usize, &str>| {
        let directory = directory();
        for name in missing {
            directory
                .machine
                .disk
                .tamper(&directory.path(name), |bytes| {
                    assert!(bytes.is_some(), "{name} is there");
                    None
                });
        }
        match (directory.reopen(), expect) {
            (Ok(directory), Ok(lost)) => {
                assert_eq!(
                    directory.unreadable(&missing.join(" ")).len(),
                    lost,
                    "{missing:?}"
                );
                assert_eq!(
                    directory.machine.report.damage.is_empty(),
                    lost == 0,
                    "{missing:?}"
                );
                directory.goes_on(&missing.join(" "));
            }
            (Err(e), Err(expect)) => assert!(e.to_string().contains(expect), "{missing:?}: {e}"),
            (Ok(_), Err(expect)) => panic!("{missing:?}: expected {expect}"),
            (Err(e), Ok(_)) => panic!("{missing:?}: {e}"),
        }
    };
    const ONE: &str = "wal/00000000000000000001.wal";
    const ONE_IDX: &str = "wal/00000000000000000001.idx";
    const TWO: &str = "wal/00000000000000000002.wal";
    check(&["MANIFEST"], Ok(0));
    check(&["MANIFEST.copy"], Ok(0));
    check(
        &["MANIFEST", "MANIFEST.copy"],
        Err("deleted data could come back"),
    );
    check(&[ONE_IDX], Ok(0));
    check(&[ONE], Ok(9));
    check(&[ONE, ONE_IDX], Ok(9));
    // Listed in the manifest as the newest, and nothing says how far it went.
    check(&[TWO], Err("put it back"));
}

#[test]
fn the_loss_of_the_newest_file_can_be_accepted() {
    let mut directory = directory();
    directory
        .machine
        .disk
        .tamper(&directory.machine.wal(2), |_| None);
    directory.machine.options.accept_lost_files = vec![2];
    let directory = directory.reopen().expect("open");
    assert_eq!(directory.unreadable("").len(), 9);
    directory.goes_on("");
}

#[test]
fn leftovers_and_strangers_are_told_apart() {
    let directory = directory();
    let disk = &directory.machine.disk;
    let put = |name: &str| disk.tamper(&directory.path(name), |_| Some(b"bytes".to_vec()));
    put("wal/00000000000000000002.tmp");
    put("MANIFEST.tmp");
    put("wal/notes.txt");
    put("wal/00000000000000000099.wal");
    put("somebody's.file");
    let directory = directory.reopen().expect("open");
    assert_eq!(directory.unreadable(""), []);
    let names: Vec<_> = directory
        .machine
        .disk
        .paths()
        .iter()
        .map(|p| p.to_string_lossy().into_owned())
        .collect();
    assert!(
        !names.iter().any(|name| name.ends_with(".tmp")),
        "{names:?}"
    );
    assert!(
        names.contains(&"/data/somebody's.file".to_owned()),
        "only the engine's own directories are tidied"
    );
    let quarantined = directory.machine.quarantined();
    assert_eq!(quarantined.len(), 2, "{quarantined:?}");
    assert!(quarantined.iter().any(|name| name.ends_with("notes.txt")));
    assert!(quarantined.iter().any(|name| name.ends_with("99.wal")));
    directory.goes_on("");
}

#[test]
fn files_of_another_directory_are_not_taken_in() {
    let other = directory();
    // The same number, whole in itself, of another store.
    let bytes = other
        .machine
        .disk
        .content(&other.machine.wal(3))
        .expect("file");
    let directory = directory();
    directory.machine.disk.crash(Survives::Nothing);
    let mut foreign = bytes.clone();
    foreign[16..32].fill(7);
    let crc = crc32c(&foreign[..60]).to_le_bytes();
    foreign[60..64].copy_from_slice(&crc);
    directory
        .machine
        .disk
        .tamper(&directory.machine.wal(9), |_| Some(foreign));
    let directory = directory.reopen().expect("open");
    assert_eq!(directory.unreadable(""), []);
    assert!(
        directory
            .machine
            .quarantined()
            .iter()
            .any(|name| name.ends_with("9.wal"))
    );
}

#[test]
fn a_newer_format_is_refused_by_name() {
    /// Where the structure begins, its version, and its checksum, which covers all bytes before it and some behind.
    struct Place {
        name: &'static str,
        start: usize,
        crc_at: usize,
        behind: bool,
    }
    let check = |place: Place, expect: &str| {
        let directory = directory();
        directory
            .machine
            .disk
            .tamper(&directory.path(place.name), |bytes| {
                let mut bytes = bytes?;
                let crc_at = place.start + place.crc_at;
                bytes[place.start + 4] = 9;
                let mut summed = bytes[place.start..crc_at].to_vec();
                if place.behind {
                    let body = u64::from_le_bytes(*bytes[12..].first_chunk()?) as usize;
                    summed.extend_from_slice(&bytes[24..24 + body]);
                }
                bytes[crc_at..crc_at + 4].copy_from_slice(&crc32c(&summed).to_le_bytes());
                Some(bytes)
            });
        let error = directory.reopen().map(drop).map_err(|e| e.to_string());
        assert!(
            error.as_ref().is_err_and(|e| e.contains(expect)),
            "{}: {error:?}",
            place.name
        );
    };
    const THREE: &str = "wal/00000000000000000003.wal";
    const ONE_IDX: &str = "wal/00000000000000000001.idx";
    check(
        Place {
            name: THREE,
            start: 0,
            crc_at: 60,
            behind: false,
        },
        "write-ahead log file has format version 9",
    );
    check(
        Place {
            name: THREE,
            start: 64,
            crc_at: 76,
            behind: false,
        },
        "write-ahead log entry has format version 9",
    );
    check(
        Place {
            name: ONE_IDX,
            start: 0,
            crc_at: 20,
            behind: true,
        },
        "side-car index has format version 9",
    );
    check(
        Place {
            name: "MANIFEST",
            start: 0,
            crc_at: 20,
            behind: true,
        },
        "manifest has format version 9",
    );
}

#[test]
fn a_bad_block_of_an_index_is_made_again_without_a_restart() {
    let directory = directory();
    let path = directory.machine.idx(1);
    let directory = directory.reopen().expect("open");
    // Behind the summary, under the open store.
    directory.machine.disk.overwrite(&path, |bytes| {
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
    });
    assert_eq!(
        directory.unreadable("").len(),
        3,
        "one partition's part of the file"
    );
    directory.machine.store.tick();
    assert_eq!(directory.unreadable(""), []);
}

/// Whose a damaged line of the table was can't be told; who may have been meant doesn't give the same offsets again.
#[test]
fn offsets_of_a_lost_section_are_not_given_again() {
    // With the batch readable, its offsets are known; without, an upper bound is.
    for batch_too in [false, true] {
        let machine = Machine::new(small_files());
        machine.append(0, &["zero"]).expect("durable");
        machine.append(2, &["by", "stander"]).expect("durable");
        let both = vec![
            machine.section(0, vec![batch(&["lost"])]),
            machine.section(1, vec![batch(&["kept"])]),
        ];
        drop(machine.store.append(both).durable);
        machine.store.step_writer();
        machine.append(1, &["later"]).expect("durable");
        let path = machine.wal(1);
        let bytes = machine.disk.content(&path).expect("file");
        let lost = bytes
            .windows(4)
            .position(|part| part == b"lost")
            .expect("value");
        let entry = (0..lost)
            .rfind(|at| bytes[*at..].starts_with(b"OLWE"))
            .expect("entry");
        machine.disk.flip_bit(&path, (entry + 80 + 10) * 8);
        if batch_too {
            machine.disk.flip_bit(&path, lost * 8);
        }
        let mut machine = machine.reopen();
        for again in [false, true] {
            if again {
                machine = machine.reopen();
            }
            assert_eq!(machine.values(1), ["kept", "later"]);
            let log = machine.store.log(id(0));
            assert!(log.end_offset() >= Offset(2), "{}", log.end_offset());
            assert_eq!(log.end_offset() == Offset(2), !batch_too);
            assert!(matches!(
                log.read(Offset(1), Offset(99), 100),
                Err(ReadError::Corrupt(_))
            ));
            // Only where the offsets are not known, one who can't have been meant is met, too.
            let bystander = machine.store.log(id(2)).end_offset();
            assert_eq!(bystander == Offset(2), !batch_too, "{bystander}");
        }
    }
}
