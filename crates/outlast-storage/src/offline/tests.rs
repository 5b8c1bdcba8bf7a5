use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outlast_records::{
    BatchBuilder, CheckedBatch, Compression, LeaderEpoch, NewRecord, Offset, PartitionId,
    ProducerEpoch, ProducerId, Sequence, Timestamp,
};
use uuid::Uuid;

use super::*;
use crate::recovery::WAL_DIR;
use crate::segment::{PartitionState, SegmentId, SegmentWriter};
use crate::{AppendSection, DiskIo, Store, StoreOptions, SystemClock};

const TOPIC: Uuid = Uuid::from_u128(0xABCD);

fn id(index: i32) -> PartitionId {
    PartitionId {
        topic: TOPIC,
        index,
    }
}

fn batch(values: &[&str]) -> CheckedBatch {
    let mut builder =
        BatchBuilder::new(Compression::Lz4).producer(ProducerId(5), ProducerEpoch(0), Sequence(0));
    for value in values {
        builder.append(NewRecord {
            timestamp: Timestamp(1_700_000_000_000),
            key: Some(b"key"),
            value: Some(value.as_bytes()),
            headers: &[(b"h", Some(b"x"))],
        });
    }
    builder.build().unwrap()
}

fn open(dir: &Path) -> Store {
    let options = StoreOptions {
        threads: false,
        // Little is reserved, so that a walk has few zeros to look through.
        wal_file_bytes: 16 << 10,
        ..StoreOptions::default()
    };
    Store::open(Arc::new(DiskIo), Arc::new(SystemClock), dir, options)
        .unwrap()
        .0
}

fn append(store: &Store, partitions: &[i32], values: &[&str]) {
    let section = |index: &i32| AppendSection {
        log: store.log(id(*index)),
        batches: vec![batch(values)],
        leader_epoch: LeaderEpoch(0),
    };
    let append = store.append(partitions.iter().map(section).collect());
    assert!(store.step_writer());
    append.durable.wait().unwrap();
}

/// A sealed file with a side-car, then an unsealed one: what a killed server leaves.
fn example(dir: &Path) {
    let store = open(dir);
    append(&store, &[0, 1], &["first", "second"]);
    append(&store, &[2], &["third"]);
    store.shutdown().unwrap();
    drop(store);
    let store = open(dir);
    append(&store, &[3], &["fourth"]);
    append(&store, &[4], &["fifth"]);
}

fn file(dir: &Path, name: &str) -> PathBuf {
    dir.join(WAL_DIR).join(name)
}

const SEALED: &str = "00000000000000000001.wal";
const SIDE_CAR: &str = "00000000000000000001.idx";
const UNSEALED: &str = "00000000000000000002.wal";

fn dumped(dir: &Path, filter: &DumpFilter) -> String {
    let mut out = Vec::new();
    dump(dir, filter, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Changes a file, verifies, and puts it back.
fn verify_with(path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Report {
    let before = std::fs::read(path).unwrap();
    let mut bytes = before.clone();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
    let dir = path
        .ancestors()
        .find(|dir| dir.join(crate::manifest::FILE).exists())
        .unwrap();
    let report = verify(dir).unwrap();
    std::fs::write(path, before).unwrap();
    report
}

#[test]
fn a_sound_directory_is_sound() {
    let dir = tempfile::tempdir().unwrap();
    example(dir.path());
    let report = verify(dir.path()).unwrap();
    assert_eq!(report.findings, []);
    assert!(report.is_sound());
    assert_eq!(
        (report.partitions, report.wal_files, report.entries),
        (5, 2, 4)
    );
    assert_eq!((report.batches, report.records), (5, 7));
    assert!(
        report
            .to_string()
            .ends_with("in 2 write-ahead log files and 0 segments: sound"),
        "{report}"
    );
}

#[test]
fn nothing_is_written_and_a_holder_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    append(&store, &[0], &["first"]);
    let names = || {
        let list = |dir: &Path| {
            std::fs::read_dir(dir)
                .unwrap()
                .map(|e| e.unwrap().path())
                .collect::<Vec<_>>()
        };
        let mut all = [list(dir.path()), list(&dir.path().join(WAL_DIR))].concat();
        all.sort();
        all
    };
    let before = names();
    let report = verify(dir.path()).unwrap();
    let holder = format!("process {}", std::process::id());
    assert_eq!(report.holder.as_deref(), Some(&holder[..]));
    assert!(report.is_sound(), "{report}");
    assert_eq!(names(), before);
    drop(store);
    assert_eq!(verify(dir.path()).unwrap().holder, None);
}

#[test]
fn a_dump_shows_what_it_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    example(dir.path());
    let filter = DumpFilter::default();
    let text = dumped(dir.path(), &filter);
    let lines = |text: &str, item: &str| {
        text.lines()
            .filter(|line| line.trim_start().starts_with(item))
            .count()
    };
    assert_eq!(
        (lines(&text, "wal_file "), lines(&text, "side_car ")),
        (2, 1)
    );
    assert_eq!((lines(&text, "entry "), lines(&text, "append ")), (4, 5));
    assert_eq!(lines(&text, "batch "), 0);

    let one = DumpFilter {
        index: Some(1),
        from: Some(Offset(1)),
        depth: Depth::Records,
        ..DumpFilter::default()
    };
    let text = dumped(dir.path(), &one);
    assert_eq!(
        (
            lines(&text, "entry "),
            lines(&text, "append "),
            lines(&text, "batch ")
        ),
        (0, 1, 1)
    );
    let record = "record offset=1 timestamp=2023-11-14T22:13:20.000Z key=key value_bytes=6 value=second headers=h=x";
    assert!(text.contains(record), "{text}");

    let json = dumped(
        dir.path(),
        &DumpFilter {
            format: Format::Json,
            ..one
        },
    );
    assert!(
        json.lines()
            .all(|line| line.starts_with("{\"item\":\"") && line.ends_with('}'))
    );
    assert!(
        json.contains(r#"{"item":"record","offset":1,"timestamp":1700000000000,"key":"key""#),
        "{json}"
    );
}

#[test]
fn one_partition_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    example(dir.path());
    let mut read = Vec::new();
    read_partition(dir.path(), id(3), |header, bytes| {
        read.push((header.base_offset, bytes.len() == header.size()));
        true
    })
    .unwrap();
    assert_eq!(read, [(Offset(0), true)]);
}

#[test]
fn damage_is_located_and_named() {
    let dir = tempfile::tempdir().unwrap();
    example(dir.path());
    let text = dumped(
        dir.path(),
        &DumpFilter {
            depth: Depth::Batches,
            ..DumpFilter::default()
        },
    );
    let first_batch = text
        .lines()
        .find(|line| line.trim_start().starts_with("batch "))
        .unwrap();
    let field = |name: &str| {
        first_batch
            .split(name)
            .nth(1)
            .unwrap()
            .split(' ')
            .next()
            .unwrap()
    };
    let position: usize = field(" position=").parse().unwrap();
    let report = verify_with(&file(dir.path(), SEALED), |bytes| bytes[position + 70] ^= 1);
    let damage: Vec<_> = report
        .findings
        .iter()
        .filter(|f| f.severity == Severity::Damage)
        .collect();
    assert_eq!(damage.len(), 1, "{report}");
    assert_eq!(damage[0].position, Some(position as u64));
    assert_eq!(
        damage[0].partition.unwrap().to_string(),
        field(" partition=")
    );
    assert_eq!(damage[0].offsets, Some((Offset(0), Offset(2))));
    assert!(
        report.json().starts_with("{\"item\":\"report\""),
        "{}",
        report.json()
    );
    assert!(report.json().contains(r#""sound":false"#));
}

/// Bit flips in every structure: each is found, and none is taken for damage that is none.
#[test]
fn every_flipped_byte_is_found() {
    let dir = tempfile::tempdir().unwrap();
    example(dir.path());
    let sealed = file(dir.path(), SEALED);
    let len = std::fs::metadata(&sealed).unwrap().len() as usize;
    let unseen = (0..len).filter(|at| {
        let report = verify_with(&sealed, |bytes| bytes[*at] ^= 1 << (at % 8));
        report.findings.is_empty()
    });
    // Entries end in up to seven bytes of padding, under no checksum and of no meaning; there are two of them.
    let unseen: Vec<usize> = unseen.collect();
    assert!(unseen.len() <= 14, "{unseen:?}");
    let side_car = file(dir.path(), SIDE_CAR);
    for at in 0..std::fs::metadata(&side_car).unwrap().len() as usize {
        let report = verify_with(&side_car, |bytes| bytes[at] ^= 1 << (at % 8));
        assert!(!report.findings.is_empty(), "byte {at} of the side-car");
        assert!(report.is_sound(), "{report}");
    }
    let manifest = dir.path().join(crate::manifest::FILE);
    for at in 0..std::fs::metadata(&manifest).unwrap().len() as usize {
        let report = verify_with(&manifest, |bytes| bytes[at] ^= 1 << (at % 8));
        assert!(!report.findings.is_empty(), "byte {at} of the manifest");
    }
}

#[test]
fn a_cut_off_write_is_a_note_and_a_hole_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    example(dir.path());
    let text = dumped(dir.path(), &DumpFilter::default());
    let mut positions = text
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("entry position="));
    let last: usize = positions
        .next_back()
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();

    let unsealed = file(dir.path(), UNSEALED);
    let torn = verify_with(&unsealed, |bytes| bytes[last + 150..].fill(0));
    assert_eq!(torn.findings.len(), 1, "{torn}");
    assert!(torn.is_sound());
    assert_eq!(torn.findings[0].position, Some(last as u64));

    // The same bytes are damage when a later entry says that they were synced.
    let damaged = verify_with(&unsealed, |bytes| bytes[64 + 150] ^= 1);
    assert!(!damaged.is_sound(), "{damaged}");
}

#[test]
fn missing_and_strange_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    example(dir.path());
    let check = |name: &str, severity: Severity, what: &str| {
        let report = verify(dir.path()).unwrap();
        let found = report.findings.iter().any(|finding| {
            finding.path.ends_with(name)
                && finding.severity == severity
                && finding.what.contains(what)
        });
        assert!(found, "{name}: {report}");
    };
    std::fs::write(dir.path().join("notes.txt"), "x").unwrap();
    check("notes.txt", Severity::Note, "not known");
    std::fs::write(file(dir.path(), "00000000000000000009.tmp"), "x").unwrap();
    check("00000000000000000009.tmp", Severity::Note, "never finished");
    std::fs::remove_file(file(dir.path(), SEALED)).unwrap();
    check(SEALED, Severity::Damage, "missing");
    let offsets = |report: Report| {
        report
            .findings
            .into_iter()
            .filter_map(|f| f.offsets)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        offsets(verify(dir.path()).unwrap()),
        [(0, 2), (0, 2), (0, 1)].map(|(a, b)| (Offset(a), Offset(b)))
    );
    std::fs::remove_file(dir.path().join(crate::manifest::COPY)).unwrap();
    check(crate::manifest::COPY, Severity::Note, "missing");
    std::fs::remove_file(dir.path().join(crate::manifest::FILE)).unwrap();
    check(crate::manifest::FILE, Severity::Damage, "manifest");
    // Whatever else lies in what is no data directory is nobody's business.
    assert_eq!(verify(dir.path()).unwrap().findings.len(), 1);
}

#[test]
fn segments_are_shown_and_checked() {
    let dir = tempfile::tempdir().unwrap();
    example(dir.path());
    let segments = dir.path().join(crate::segment::DIR);
    std::fs::create_dir_all(&segments).unwrap();
    let path = segments.join("1.segment");
    let of = SegmentId {
        store_id: 1,
        segment_id: 2,
        created: Timestamp(0),
    };
    let mut writer = SegmentWriter::new(std::fs::File::create(&path).unwrap(), &of).unwrap();
    let mut partition = writer.partition(id(9), Offset(0)).unwrap();
    partition.append(batch(&["in a segment"]).bytes()).unwrap();
    partition
        .finish(Offset(1), PartitionState::default())
        .unwrap();
    writer.finish().unwrap();

    let report = verify(dir.path()).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(
        (report.segments, report.partitions, report.records),
        (1, 6, 8)
    );
    let filter = DumpFilter {
        index: Some(9),
        depth: Depth::Records,
        ..DumpFilter::default()
    };
    assert!(dumped(dir.path(), &filter).contains("value=\"in a segment\""));
    let damaged = verify_with(&path, |bytes| bytes[64 + 70] ^= 1);
    assert_eq!(damaged.findings.len(), 1, "{damaged}");
    assert_eq!(damaged.findings[0].offsets, Some((Offset(0), Offset(1))));
    let short = verify_with(&path, |bytes| bytes.truncate(100));
    assert!(!short.is_sound());
}

#[test]
fn what_is_no_data_directory_is_said() {
    let dir = tempfile::tempdir().unwrap();
    assert!(
        verify(dir.path()).unwrap().findings[0]
            .what
            .contains("empty")
    );
    let missing = verify(&dir.path().join("nowhere"));
    assert!(
        matches!(missing, Err(StorageError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound)
    );
}
