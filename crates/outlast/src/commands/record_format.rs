//! How `consume` prints a record: the value, key and value, JSON, hexadecimal, or a template.

use std::io::{self, Write};
use std::str::FromStr;

use outlast_records::Record;
use serde::Serialize;

use super::when::rfc3339;

pub const FORMAT_HELP: &str = "How to print a record: value, key=value, json, hex, raw (no newline), or a template \
    with {topic} {partition} {offset} {timestamp} {time} {key} {value} {headers}, where {key:hex} and {value:hex} \
    print bytes";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    Value,
    KeyValue,
    Json,
    Hex,
    Raw,
    Template(Vec<Piece>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    Topic,
    Partition,
    Offset,
    Timestamp,
    Time,
    Key { hex: bool },
    Value { hex: bool },
    Headers,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "value" => Self::Value,
            "key=value" => Self::KeyValue,
            "json" => Self::Json,
            "hex" => Self::Hex,
            "raw" => Self::Raw,
            template if template.contains('{') => Self::Template(pieces(template)?),
            _ => {
                return Err(
                    "expected value, key=value, json, hex, raw or a template such as '{offset} {value}'"
                        .to_owned(),
                );
            }
        })
    }
}

fn pieces(template: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = template;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("{{") {
            text.push('{');
            rest = after;
        } else if let Some(after) = rest.strip_prefix("}}") {
            text.push('}');
            rest = after;
        } else if let Some(after) = rest.strip_prefix("\\t") {
            text.push('\t');
            rest = after;
        } else if let Some(after) = rest.strip_prefix("\\n") {
            text.push('\n');
            rest = after;
        } else if c == '{' {
            let (name, after) = rest[1..]
                .split_once('}')
                .ok_or("a { is never closed; a brace itself is written {{")?;
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(placeholder(name)?);
            rest = after;
        } else {
            text.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

fn placeholder(name: &str) -> Result<Piece, String> {
    Ok(match name {
        "topic" => Piece::Topic,
        "partition" => Piece::Partition,
        "offset" => Piece::Offset,
        "timestamp" => Piece::Timestamp,
        "time" => Piece::Time,
        "key" => Piece::Key { hex: false },
        "key:hex" => Piece::Key { hex: true },
        "value" => Piece::Value { hex: false },
        "value:hex" => Piece::Value { hex: true },
        "headers" => Piece::Headers,
        other => {
            return Err(format!(
                "unknown placeholder {{{other}}}; known are topic, partition, offset, timestamp, time, key, key:hex, value, value:hex, headers"
            ));
        }
    })
}

#[derive(Serialize)]
struct JsonRecord<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: i64,
    time: String,
    #[serde(flatten)]
    key: JsonBytes<'a>,
    #[serde(flatten)]
    value: JsonValue<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<JsonHeader<'a>>,
}

/// Text as text; what isn't UTF-8 as hexadecimal, under a name that says so.
#[derive(Serialize)]
struct JsonBytes<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key_hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
}

#[derive(Serialize)]
struct JsonValue<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    value_hex: Option<String>,
    value: Option<&'a str>,
}

#[derive(Serialize)]
struct JsonHeader<'a> {
    name: std::borrow::Cow<'a, str>,
    #[serde(flatten)]
    value: JsonValue<'a>,
}

impl Format {
    pub fn write(
        &self,
        out: &mut impl Write,
        topic: &str,
        partition: i32,
        record: &Record,
    ) -> io::Result<()> {
        let value = record.value.as_deref().unwrap_or_default();
        match self {
            Self::Value => {
                out.write_all(value)?;
            }
            Self::KeyValue => {
                out.write_all(record.key.as_deref().unwrap_or_default())?;
                out.write_all(b"=")?;
                out.write_all(value)?;
            }
            Self::Json => write_json(out, topic, partition, record)?,
            Self::Hex => write_hex(out, value)?,
            Self::Raw => return out.write_all(value),
            Self::Template(pieces) => {
                for piece in pieces {
                    write_piece(out, piece, topic, partition, record)?;
                }
            }
        }
        out.write_all(b"\n")
    }
}

fn write_piece(
    out: &mut impl Write,
    piece: &Piece,
    topic: &str,
    partition: i32,
    record: &Record,
) -> io::Result<()> {
    let bytes = |out: &mut _, bytes: Option<&[u8]>, hex: bool| {
        let bytes = bytes.unwrap_or_default();
        if hex {
            write_hex(out, bytes)
        } else {
            Write::write_all(out, bytes)
        }
    };
    match piece {
        Piece::Text(text) => out.write_all(text.as_bytes()),
        Piece::Topic => out.write_all(topic.as_bytes()),
        Piece::Partition => write!(out, "{partition}"),
        Piece::Offset => write!(out, "{}", record.offset),
        Piece::Timestamp => write!(out, "{}", record.timestamp),
        Piece::Time => out.write_all(rfc3339(record.timestamp.0).as_bytes()),
        Piece::Key { hex } => bytes(out, record.key.as_deref(), *hex),
        Piece::Value { hex } => bytes(out, record.value.as_deref(), *hex),
        Piece::Headers => {
            for (i, header) in record.headers.iter().enumerate() {
                if i > 0 {
                    out.write_all(b",")?;
                }
                out.write_all(&header.key)?;
                out.write_all(b"=")?;
                out.write_all(header.value.as_deref().unwrap_or_default())?;
            }
            Ok(())
        }
    }
}

fn write_json(
    out: &mut impl Write,
    topic: &str,
    partition: i32,
    record: &Record,
) -> io::Result<()> {
    let (key, key_hex) = text_or_hex(record.key.as_deref());
    let line = JsonRecord {
        topic,
        partition,
        offset: record.offset.0,
        timestamp: record.timestamp.0,
        time: rfc3339(record.timestamp.0),
        key: JsonBytes { key, key_hex },
        value: json_value(record.value.as_deref()),
        headers: record
            .headers
            .iter()
            .map(|header| JsonHeader {
                name: String::from_utf8_lossy(&header.key),
                value: json_value(header.value.as_deref()),
            })
            .collect(),
    };
    serde_json::to_writer(out, &line).map_err(io::Error::from)
}

fn json_value(bytes: Option<&[u8]>) -> JsonValue<'_> {
    let (value, value_hex) = text_or_hex(bytes);
    JsonValue { value, value_hex }
}

fn text_or_hex(bytes: Option<&[u8]>) -> (Option<&str>, Option<String>) {
    match bytes.map(std::str::from_utf8) {
        None => (None, None),
        Some(Ok(text)) => (Some(text), None),
        Some(Err(_)) => (None, bytes.map(hex)),
    }
}

fn write_hex(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    out.write_all(hex(bytes).as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |d: u8| char::from(d).to_digit(16);
    digits
        .chunks_exact(2)
        .map(|pair| u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use outlast_records::{Offset, RecordHeader, Timestamp};

    fn record(key: Option<&'static [u8]>, value: Option<&'static [u8]>) -> Record {
        Record {
            offset: Offset(7),
            timestamp: Timestamp(1_769_860_800_500),
            key: key.map(Into::into),
            value: value.map(Into::into),
            headers: vec![RecordHeader {
                key: "source".into(),
                value: Some("test".into()),
            }],
        }
    }

    fn shown(format: &str, record: &Record) -> String {
        let format: Format = format.parse().unwrap();
        let mut out = Vec::new();
        format.write(&mut out, "orders", 3, record).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_format_prints_its_own_way() {
        let given = record(Some(b"k"), Some(b"v"));
        let check =
            |format: &str, expect: &str| assert_eq!(shown(format, &given), expect, "{format}");
        check("value", "v\n");
        check("key=value", "k=v\n");
        check("hex", "76\n");
        check("raw", "v");
        check("{topic}/{partition}@{offset}", "orders/3@7\n");
        check("{key:hex}\\t{value} {{x}}", "6b\tv {x}\n");
        check("{time} {headers}", "2026-01-31T12:00:00.500Z source=test\n");
        check(
            "json",
            "{\"topic\":\"orders\",\"partition\":3,\"offset\":7,\"timestamp\":1769860800500,\
             \"time\":\"2026-01-31T12:00:00.500Z\",\"key\":\"k\",\"value\":\"v\",\
             \"headers\":[{\"name\":\"source\",\"value\":\"test\"}]}\n",
        );
    }

    #[test]
    fn bytes_that_are_no_text_become_hexadecimal_and_null_stays_null() {
        let binary = shown("json", &record(None, Some(b"\xff\x00")));
        assert!(
            binary.contains("\"value_hex\":\"ff00\",\"value\":null"),
            "{binary}"
        );
        let tombstone = shown("json", &record(Some(b"k"), None));
        assert!(tombstone.contains("\"value\":null"), "{tombstone}");
        assert!(!tombstone.contains("value_hex"), "{tombstone}");
    }

    #[test]
    fn wrong_formats_say_what_is_known() {
        let check = |format: &str, expect: &str| {
            let error = format.parse::<Format>().unwrap_err();
            assert!(error.contains(expect), "{format}: {error}");
        };
        check("yaml", "expected value");
        check("{valu}", "unknown placeholder {valu}");
        check("{value", "never closed");
    }

    #[test]
    fn hexadecimal_goes_both_ways() {
        assert_eq!(from_hex(&hex(b"\x00\xfe!")), Some(b"\x00\xfe!".to_vec()));
        assert_eq!(from_hex("abc"), None);
        assert_eq!(from_hex("zz"), None);
    }
}
