//! The records inside a batch, decoded only when somebody asks.
//!
//! ```text
//! length varint | attributes i8 | timestamp delta varlong | offset delta varint
//! | key length varint (-1 = null), key | value length varint (-1 = null), value
//! | header count varint | { key length varint, key | value length varint (-1 = null), value } …
//! ```
//! [`RecordSet`] lends records out of borrowed bytes; [`records`] gives owned ones that share the batch's memory.

use std::borrow::Cow;

use bytes::Bytes;

use crate::batch::{BatchHeader, HEADER_SIZE, TimestampType, header_at};
use crate::{BatchError, Compression, Corruption, InvalidRecord, Offset, Timestamp, varint};

/// A record that owns (shares) its bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Record {
    pub offset: Offset,
    pub timestamp: Timestamp,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<RecordHeader>,
}

/// A record header. Keys are meant to be UTF-8, but nothing on the way enforces it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RecordHeader {
    pub key: Bytes,
    pub value: Option<Bytes>,
}

/// A record that borrows from its batch.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct RecordRef<'a> {
    pub offset: Offset,
    pub timestamp: Timestamp,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: HeaderRefs<'a>,
}

/// Iterates the records of one batch as owned [`Record`]s.
///
/// `batch` starts with a batch (anything after it is ignored) whose CRC has been checked before; records are still
/// checked as they come. `max_decompressed` bounds what compressed records may grow to.
pub fn records(batch: &Bytes, max_decompressed: usize) -> Result<RecordIter, BatchError> {
    let (header, compression, stored) = open(batch)?;
    let payload = match compression {
        Compression::None => batch.slice_ref(stored),
        codec => codec.decompress(stored, max_decompressed)?.into(),
    };
    Ok(RecordIter {
        cursor: Cursor::new(header),
        payload,
        at: 0,
    })
}

/// See [`records`]. Ends after the first error.
#[derive(Clone, Debug)]
pub struct RecordIter {
    cursor: Cursor,
    payload: Bytes,
    at: usize,
}

impl RecordIter {
    pub fn header(&self) -> &BatchHeader {
        &self.cursor.header
    }
}

impl Iterator for RecordIter {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut rest = &self.payload[self.at..];
        let record = self.cursor.next(&mut rest)?;
        self.at = self.payload.len() - rest.len();
        let own = |bytes| self.payload.slice_ref(bytes);
        Some(record.map(|record| {
            Record {
                offset: record.offset,
                timestamp: record.timestamp,
                key: record.key.map(own),
                value: record.value.map(own),
                headers: record
                    .headers
                    .map(|(key, value)| RecordHeader {
                        key: own(key),
                        value: value.map(own),
                    })
                    .collect(),
            }
        }))
    }
}

/// The records of one batch: borrowed from it when it is not compressed, else decompressed here.
#[derive(Clone, Debug)]
pub struct RecordSet<'a> {
    header: BatchHeader,
    payload: Cow<'a, [u8]>,
}

impl<'a> RecordSet<'a> {
    /// As [`records`], of borrowed bytes.
    pub fn decode(batch: &'a [u8], max_decompressed: usize) -> Result<Self, BatchError> {
        let (header, compression, stored) = open(batch)?;
        let payload = match compression {
            Compression::None => Cow::Borrowed(stored),
            codec => Cow::Owned(codec.decompress(stored, max_decompressed)?),
        };
        Ok(RecordSet { header, payload })
    }

    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    pub fn iter(&self) -> RecordRefs<'_> {
        RecordRefs {
            cursor: Cursor::new(self.header),
            rest: &self.payload,
        }
    }

    /// The encoded records, decompressed.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }
}

/// See [`RecordSet::iter`]. Ends after the first error.
#[derive(Clone, Debug)]
pub struct RecordRefs<'a> {
    cursor: Cursor,
    rest: &'a [u8],
}

impl<'a> RecordRefs<'a> {
    /// The encoded records that are still to come.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for RecordRefs<'a> {
    type Item = Result<RecordRef<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.cursor.next(&mut self.rest)
    }
}

/// A record's headers, in their order: (key, value).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct HeaderRefs<'a> {
    count: usize,
    /// Already walked once: every length in it fits.
    encoded: &'a [u8],
}

impl<'a> Iterator for HeaderRefs<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.count == 0 {
            return None;
        }
        self.count -= 1;
        take_header(&mut self.encoded).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count, Some(self.count))
    }
}

impl ExactSizeIterator for HeaderRefs<'_> {}

fn open(batch: &[u8]) -> Result<(BatchHeader, Compression, &[u8]), BatchError> {
    let header = header_at(batch)?;
    let stored = batch
        .get(HEADER_SIZE..header.size())
        .ok_or(Corruption::Truncated {
            needed: header.size(),
            available: batch.len(),
        })?;
    Ok((header, header.attributes.compression()?, stored))
}

/// Where an iteration stands, apart from the bytes.
#[derive(Clone, Debug)]
struct Cursor {
    header: BatchHeader,
    index: usize,
    failed: bool,
}

impl Cursor {
    fn new(header: BatchHeader) -> Self {
        Cursor {
            header,
            index: 0,
            failed: false,
        }
    }

    fn next<'a>(&mut self, rest: &mut &'a [u8]) -> Option<Result<RecordRef<'a>, BatchError>> {
        if self.failed {
            return None;
        }
        let result = if self.index as i64 >= i64::from(self.header.records_count) {
            if rest.is_empty() {
                return None;
            }
            Err(InvalidRecord::TrailingBytes(rest.len()).into())
        } else {
            take_record(rest, &self.header).map_err(|what| {
                let index = self.index;
                InvalidRecord::Structure { index, what }.into()
            })
        };
        self.index += 1;
        self.failed = result.is_err();
        Some(result)
    }
}

/// Takes one record off the front of `input`. The error says what is wrong with it.
fn take_record<'a>(
    input: &mut &'a [u8],
    batch: &BatchHeader,
) -> Result<RecordRef<'a>, &'static str> {
    let length = varint::take_i32(input).ok_or("length is cut short")?;
    let length = usize::try_from(length).map_err(|_| "length is negative")?;
    let (mut body, rest) = input
        .split_at_checked(length)
        .ok_or("length is more than what is left")?;
    *input = rest;

    let (_attributes, after) = body.split_first().ok_or("attributes are cut short")?;
    body = after;
    let timestamp_delta = varint::take_i64(&mut body).ok_or("timestamp delta is cut short")?;
    let offset_delta = varint::take_i32(&mut body).ok_or("offset delta is cut short")?;
    let key = take_nullable(&mut body).map_err(|_| "key is cut short")?;
    let value = take_nullable(&mut body).map_err(|_| "value is cut short")?;
    let headers = take_headers(&mut body)?;
    if !body.is_empty() {
        return Err("length is more than its fields");
    }
    Ok(RecordRef {
        offset: batch.base_offset.plus(i64::from(offset_delta)),
        timestamp: match batch.attributes.timestamp_type() {
            TimestampType::CreateTime => {
                Timestamp(batch.base_timestamp.0.wrapping_add(timestamp_delta))
            }
            TimestampType::LogAppendTime => batch.max_timestamp,
        },
        key,
        value,
        headers,
    })
}

fn take_headers<'a>(body: &mut &'a [u8]) -> Result<HeaderRefs<'a>, &'static str> {
    let count = varint::take_i32(body).ok_or("header count is cut short")?;
    let count = usize::try_from(count).map_err(|_| "header count is negative")?;
    let encoded = *body;
    for _ in 0..count {
        take_header(body)?;
    }
    Ok(HeaderRefs { count, encoded })
}

type HeaderRef<'a> = (&'a [u8], Option<&'a [u8]>);

fn take_header<'a>(input: &mut &'a [u8]) -> Result<HeaderRef<'a>, &'static str> {
    let key = take_nullable(input)
        .map_err(|_| "header key is cut short")?
        .ok_or("header key is null")?;
    let value = take_nullable(input).map_err(|_| "header value is cut short")?;
    Ok((key, value))
}

struct CutShort;

/// Any negative length means null, as Kafka reads it.
fn take_nullable<'a>(input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, CutShort> {
    let length = varint::take_i32(input).ok_or(CutShort)?;
    let Ok(length) = usize::try_from(length) else {
        return Ok(None);
    };
    let (bytes, rest) = input.split_at_checked(length).ok_or(CutShort)?;
    *input = rest;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests;
