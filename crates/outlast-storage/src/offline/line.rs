//! How an item is shown: described once as a list of named fields, which make a line of text or a line of JSON.

use std::fmt;
use std::path::Path;

use outlast_records::{
    BatchHeader, EndTxnMarker, PartitionId, RecordRef, Timestamp, TimestampType,
};

use super::item::Item;
use super::report::{Finding, Report, Severity};
use crate::manifest::{Manifest, PartitionRecord};
use crate::segment::{PartitionIndex, SegmentPartition};
use crate::wal::entry::{Content, EntryHeader, Section};
use crate::wal::sidecar::{PartitionSummary, Summary};

/// An item as named fields.
pub(super) struct Line {
    indent: usize,
    item: &'static str,
    fields: Vec<(&'static str, Value)>,
}

enum Value {
    Number(i128),
    Time(Timestamp),
    Text(String),
    Flag(bool),
}

impl Line {
    pub(super) fn of(item: &Item<'_>) -> Line {
        let (indent, name, fields) = describe(item);
        Line {
            indent,
            item: name,
            fields: fields
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect(),
        }
    }

    /// Says the name of the topic that it is about.
    pub(super) fn put_topic(&mut self, name: &str) {
        let topic = ("topic", Value::Text(name.to_owned()));
        self.fields.insert(0, topic);
    }

    pub(super) fn json(&self) -> String {
        let mut out = format!("{{\"item\":\"{}\"", self.item);
        for (name, value) in &self.fields {
            out.push_str(&format!(",\"{name}\":"));
            match value {
                Value::Number(number) => out.push_str(&number.to_string()),
                Value::Time(time) => out.push_str(&time.to_string()),
                Value::Flag(flag) => out.push_str(&flag.to_string()),
                Value::Text(text) => push_json_string(&mut out, text),
            }
        }
        out.push('}');
        out
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:indent$}{}", "", self.item, indent = self.indent * 2)?;
        for (name, value) in &self.fields {
            match value {
                Value::Number(number) => write!(f, " {name}={number}")?,
                Value::Time(time) => write!(f, " {name}={}", Iso(*time))?,
                Value::Flag(true) => write!(f, " {name}")?,
                Value::Flag(false) => {}
                Value::Text(text) if text.contains([' ', '"', '\n']) || text.is_empty() => {
                    write!(f, " {name}={text:?}")?
                }
                Value::Text(text) => write!(f, " {name}={text}")?,
            }
        }
        Ok(())
    }
}

type Fields = Vec<(&'static str, Option<Value>)>;

fn describe(item: &Item<'_>) -> (usize, &'static str, Fields) {
    match item {
        Item::Directory { path, holder } => (
            0,
            "directory",
            vec![
                ("path", path_text(path)),
                ("in_use_by", holder.map(|h| Value::Text(h.to_owned()))),
            ],
        ),
        Item::Manifest { path, manifest } => (0, "manifest", manifest_fields(path, manifest)),
        Item::ManifestPartition(record) => (1, "partition", remembered_fields(record)),
        Item::WalFile {
            path,
            number,
            bytes,
            created,
        } => (
            0,
            "wal_file",
            vec![
                ("path", path_text(path)),
                ("number", n(*number)),
                ("bytes", n(*bytes)),
                ("created", Some(Value::Time(*created))),
            ],
        ),
        Item::SideCar { path, summary } => (0, "side_car", side_car_fields(path, summary)),
        Item::SideCarPartition(line) => (1, "partition", side_car_line_fields(line)),
        Item::Entry { header } => (1, "entry", entry_fields(header)),
        Item::Section { section } => section_fields(section),
        Item::Batch {
            partition,
            position,
            header,
            marker,
            ..
        } => (
            3,
            "batch",
            batch_fields(*partition, *position, header, *marker),
        ),
        Item::Record { record, .. } => (4, "record", record_fields(record)),
        Item::WalEnd { position, reserved } => (
            1,
            "end",
            vec![("position", n(*position)), ("reserved_bytes", n(*reserved))],
        ),
        Item::Segment {
            path,
            bytes,
            id: of,
            partitions,
        } => (
            0,
            "segment",
            vec![
                ("path", path_text(path)),
                ("bytes", n(*bytes)),
                ("segment_id", of.and_then(|of| id(of.segment_id))),
                ("store_id", of.and_then(|of| id(of.store_id))),
                ("created", of.map(|of| Value::Time(of.created))),
                ("partitions", n(*partitions as u64)),
            ],
        ),
        Item::SegmentPartition { entry, index, .. } => {
            (1, "partition", segment_fields(entry, *index))
        }
        Item::Finding(finding) => (0, "finding", finding_fields(finding)),
        Item::Summary(report) => (0, "report", summary_fields(report)),
    }
}

fn manifest_fields(path: &Path, manifest: &Manifest) -> Fields {
    vec![
        ("path", path_text(path)),
        ("store_id", id(manifest.store_id)),
        ("generation", n(manifest.generation)),
        ("next_file", n(manifest.next_file)),
        ("next_sequence", n(manifest.next_sequence)),
        ("wal_files", n(manifest.files.len() as u64)),
        ("partitions", n(manifest.partitions.len() as u64)),
        ("deleted_partitions", n(manifest.deleted.len() as u64)),
    ]
}

fn remembered_fields(record: &PartitionRecord) -> Fields {
    vec![
        ("partition", Some(Value::Text(record.id.to_string()))),
        ("log_start", n(record.start.0)),
        ("log_end", n(record.end.0)),
        ("leader_epochs", n(record.epochs.len() as u64)),
        ("producers", n(record.producers.len() as u64)),
        ("aborted_transactions", n(record.aborted.len() as u64)),
    ]
}

fn side_car_fields(path: &Path, summary: &Summary) -> Fields {
    vec![
        ("path", path_text(path)),
        ("number", n(summary.file)),
        ("entries_end", n(summary.end)),
        ("first_sequence", n(summary.first_sequence)),
        ("next_sequence", n(summary.next_sequence)),
        ("partitions", n(summary.partitions.len() as u64)),
        ("deleted_partitions", n(summary.deleted.len() as u64)),
    ]
}

fn side_car_line_fields(line: &PartitionSummary) -> Fields {
    vec![
        ("partition", Some(Value::Text(line.id.to_string()))),
        ("log_start", n(line.start.0)),
        ("first_offset", n(line.base.0)),
        ("next_offset", n(line.next.0)),
        ("log_end", n(line.end.0)),
        ("bytes", n(line.bytes)),
        ("max_timestamp", Some(Value::Time(line.max_timestamp))),
        ("runs", n(line.blocks.runs)),
        ("leader_epochs", n(line.epochs.len() as u64)),
        ("producers", n(line.producers.len() as u64)),
        ("aborted_transactions", n(line.aborted.len() as u64)),
    ]
}

fn entry_fields(header: &EntryHeader) -> Fields {
    vec![
        ("position", n(header.position)),
        ("sequence", n(header.sequence)),
        ("synced_through", n(header.synced_through)),
        ("written", Some(Value::Time(Timestamp(header.timestamp)))),
        ("sections", n(header.sections)),
        ("data_bytes", n(header.data_len)),
    ]
}

fn section_fields(section: &Section) -> (usize, &'static str, Fields) {
    let partition = (
        "partition",
        Some(Value::Text(section.partition.to_string())),
    );
    match section.content {
        Content::Batches {
            leader_epoch,
            batches,
            base,
            next,
            len,
            ..
        } => (
            2,
            "append",
            vec![
                partition,
                ("first_offset", n(base.0)),
                ("last_offset", n(next.0 - 1)),
                ("leader_epoch", n(leader_epoch.0)),
                ("batches", n(batches)),
                ("bytes", n(len)),
            ],
        ),
        Content::LogStart { to } => (2, "log_start", vec![partition, ("to", n(to.0))]),
        Content::Delete => (2, "delete_partition", vec![partition]),
    }
}

fn batch_fields(
    partition: PartitionId,
    position: u64,
    header: &BatchHeader,
    marker: Option<EndTxnMarker>,
) -> Fields {
    let attributes = header.attributes;
    let codec = match attributes.compression() {
        Ok(codec) => codec.name(),
        Err(_) => "unknown",
    };
    let of_producer = |value: i64| header.has_producer().then_some(Value::Number(value.into()));
    vec![
        ("partition", Some(Value::Text(partition.to_string()))),
        ("position", n(position)),
        ("first_offset", n(header.base_offset.0)),
        ("last_offset", n(header.last_offset().0)),
        ("records", n(header.records_count)),
        ("bytes", n(header.size() as u64)),
        ("leader_epoch", n(header.leader_epoch.0)),
        ("compression", Some(Value::Text(codec.to_owned()))),
        ("max_timestamp", Some(Value::Time(header.max_timestamp))),
        (
            "log_append_time",
            flag(attributes.timestamp_type() == TimestampType::LogAppendTime),
        ),
        ("producer_id", of_producer(header.producer_id.0)),
        (
            "producer_epoch",
            of_producer(header.producer_epoch.0.into()),
        ),
        ("first_sequence", of_producer(header.base_sequence.0.into())),
        ("transactional", flag(attributes.is_transactional())),
        ("control", flag(attributes.is_control())),
        (
            "ends_transaction",
            marker.map(|marker| {
                let how = if marker.commit { "commit" } else { "abort" };
                Value::Text(how.to_owned())
            }),
        ),
        (
            "coordinator_epoch",
            marker.map(|marker| Value::Number(marker.coordinator_epoch.into())),
        ),
        ("crc", Some(Value::Text(format!("{:08x}", header.crc)))),
    ]
}

fn record_fields(record: &RecordRef<'_>) -> Fields {
    let headers: Vec<String> = record
        .headers
        .map(|(key, value)| {
            format!(
                "{}={}",
                excerpt(key),
                value.map_or("null".to_owned(), excerpt)
            )
        })
        .collect();
    vec![
        ("offset", n(record.offset.0)),
        ("timestamp", Some(Value::Time(record.timestamp))),
        ("key", record.key.map(|key| Value::Text(excerpt(key)))),
        (
            "value_bytes",
            record.value.map(|value| Value::Number(value.len() as i128)),
        ),
        (
            "value",
            record.value.map(|value| Value::Text(excerpt(value))),
        ),
        (
            "headers",
            (!headers.is_empty()).then(|| Value::Text(headers.join(", "))),
        ),
    ]
}

fn segment_fields(entry: &SegmentPartition, index: Option<&PartitionIndex>) -> Fields {
    let count = |of: fn(&PartitionIndex) -> usize| index.and_then(|index| n(of(index) as u64));
    vec![
        ("partition", Some(Value::Text(entry.partition.to_string()))),
        ("position", n(entry.data_position)),
        ("first_offset", n(entry.start.0)),
        ("next_offset", n(entry.next.0)),
        ("bytes", n(entry.data_len)),
        ("max_timestamp", Some(Value::Time(entry.max_timestamp))),
        ("chunks", count(|index| index.chunks.len())),
        ("leader_epochs", count(|index| index.state.epochs.len())),
        (
            "aborted_transactions",
            count(|index| index.state.aborted.len()),
        ),
        (
            "producer_state_bytes",
            count(|index| index.state.producers.len()),
        ),
    ]
}

fn finding_fields(finding: &Finding) -> Fields {
    let severity = match finding.severity {
        Severity::Note => "note",
        Severity::Damage => "damage",
    };
    vec![
        ("severity", Some(Value::Text(severity.to_owned()))),
        ("path", path_text(&finding.path)),
        ("position", finding.position.and_then(n)),
        (
            "partition",
            finding.partition.map(|id| Value::Text(id.to_string())),
        ),
        (
            "first_offset",
            finding.offsets.and_then(|(from, _)| n(from.0)),
        ),
        (
            "last_offset",
            finding.offsets.and_then(|(_, to)| n(to.0 - 1)),
        ),
        ("what", Some(Value::Text(finding.what.clone()))),
        ("advice", Some(Value::Text(finding.advice.to_owned()))),
    ]
}

fn summary_fields(report: &Report) -> Fields {
    vec![
        ("path", path_text(&report.dir)),
        ("in_use_by", report.holder.clone().map(Value::Text)),
        ("sound", flag(report.is_sound())),
        ("partitions", n(report.partitions)),
        ("wal_files", n(report.wal_files)),
        ("entries", n(report.entries)),
        ("segments", n(report.segments)),
        ("batches", n(report.batches)),
        ("records", n(report.records)),
        ("bytes", n(report.bytes)),
    ]
}

fn n(number: impl Into<i128>) -> Option<Value> {
    Some(Value::Number(number.into()))
}

fn flag(set: bool) -> Option<Value> {
    Some(Value::Flag(set))
}

fn id(id: u128) -> Option<Value> {
    Some(Value::Text(format!("{id:032x}")))
}

fn path_text(path: &Path) -> Option<Value> {
    Some(Value::Text(path.display().to_string()))
}

/// The start of some bytes, readable.
fn excerpt(bytes: &[u8]) -> String {
    const SHOWN: usize = 80;
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]).into_owned();
    match bytes.len() > SHOWN {
        true => shown + "…",
        false => shown,
    }
}

fn push_json_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A timestamp as people read it, in UTC; those outside of years 1970 to 9999 as the number they are.
struct Iso(Timestamp);

impl fmt::Display for Iso {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAY: i64 = 86_400_000;
        const YEAR_10000: i64 = 253_402_300_800_000;
        let ms = self.0.0;
        if !(0..YEAR_10000).contains(&ms) {
            return write!(f, "{ms}");
        }
        let (year, month, day) = civil(ms / DAY);
        let (h, m, s) = (ms / 3_600_000 % 24, ms / 60_000 % 60, ms / 1000 % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:03}Z",
            ms % 1000
        )
    }
}

/// Days since 1970 as year, month, day. Counts in years that begin in March, so that a leap day comes last.
fn civil(days: i64) -> (i64, i64, i64) {
    const DAYS_400: i64 = 146_097;
    const DAYS_TO_1970_FROM_MARCH_0000: i64 = 719_468;
    let days = days + DAYS_TO_1970_FROM_MARCH_0000;
    let of_400 = days % DAYS_400;
    let year_of_400 = (of_400 - of_400 / 1_460 + of_400 / 36_524 - of_400 / 146_096) / 365;
    let of_year = of_400 - (365 * year_of_400 + year_of_400 / 4 - year_of_400 / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = days / DAYS_400 * 400 + year_of_400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_readable() {
        let check = |ms: i64, expect: &str| assert_eq!(Iso(Timestamp(ms)).to_string(), expect);
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_782_400_000, "2000-02-29T00:00:00.000Z");
        check(1_700_000_000_123, "2023-11-14T22:13:20.123Z");
        check(253_402_300_799_999, "9999-12-31T23:59:59.999Z");
        check(253_402_300_800_000, "253402300800000");
        check(-1, "-1");
    }

    #[test]
    fn a_line_is_text_and_json() {
        let finding = Finding {
            severity: Severity::Damage,
            path: "wal/1.wal".into(),
            position: Some(64),
            partition: None,
            offsets: None,
            what: "say \"no\"".to_owned(),
            advice: "none",
        };
        let line = Line::of(&Item::Finding(&finding));
        assert_eq!(
            line.to_string(),
            r#"finding severity=damage path=wal/1.wal position=64 what="say \"no\"" advice=none"#
        );
        assert_eq!(
            line.json(),
            r#"{"item":"finding","severity":"damage","path":"wal/1.wal","position":64,"what":"say \"no\"","advice":"none"}"#
        );
    }
}
