//! Writing a message as a chain of slices: small things are gathered, large ones are linked in as they are.
//!
//! A mistake of the caller (a value that the version cannot carry) is remembered and reported at the end, so that
//! the code of a message needs no error path at each field.

use bytes::{BufMut, Bytes, BytesMut};

use crate::EncodeError;

/// Bytes of at least this length become a link of their own; below it a copy is cheaper than another I/O vector.
const LINK_MIN_BYTES: usize = 1024;
const FRAME_LENGTH_BYTES: usize = 4;
/// Room for what most frames need beside their records, so that they don't grow step by step.
const FRAME_FIRST_ALLOCATION: usize = 256;

#[derive(Debug, Default)]
pub struct Writer {
    /// What precedes the first link. Not frozen, so that a frame's length can be filled in at the end.
    head: BytesMut,
    chain: Vec<Bytes>,
    chain_bytes: usize,
    tail: BytesMut,
    version: i16,
    flexible: bool,
    error: Option<EncodeError>,
}

impl Writer {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn len(&self) -> usize {
        self.chain_bytes + self.tail.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The chain, none of whose links is empty.
    pub fn finish(mut self) -> Result<Vec<Bytes>, EncodeError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if !self.tail.is_empty() {
            self.chain.push(self.tail.freeze());
        }
        if !self.head.is_empty() {
            self.chain.insert(0, self.head.freeze());
        }
        Ok(self.chain)
    }

    /// Starts a frame: room for the length that `finish_frame` fills in.
    pub fn frame() -> Self {
        let mut writer = Self::new();
        writer.tail.reserve(FRAME_FIRST_ALLOCATION);
        writer.i32(0);
        writer
    }

    /// The chain of a frame, with its length in front.
    pub fn finish_frame(mut self) -> Result<Vec<Bytes>, EncodeError> {
        let length = self.len() - FRAME_LENGTH_BYTES;
        let Ok(prefix) = i32::try_from(length) else {
            return Err(EncodeError::TooLong { length });
        };
        let first = if self.chain.is_empty() {
            &mut self.tail
        } else {
            &mut self.head
        };
        first[..FRAME_LENGTH_BYTES].copy_from_slice(&prefix.to_be_bytes());
        self.finish()
    }

    /// Everything in one slice; copies when large fields were linked.
    pub fn finish_joined(self) -> Result<Bytes, EncodeError> {
        self.finish()
            .map(|chain| crate::Records(chain).into_bytes())
    }

    pub(crate) fn begin(&mut self, version: i16, flexible: bool) {
        self.version = version;
        self.flexible = flexible;
    }

    pub(crate) fn version(&self) -> i16 {
        self.version
    }

    /// Only the first mistake is kept: the others may follow from it.
    pub(crate) fn fail(&mut self, error: EncodeError) {
        self.error.get_or_insert(error);
    }

    pub(crate) fn error(&self) -> Option<&EncodeError> {
        self.error.as_ref()
    }

    /// Reports a field that this version does not have and whose value is not the default.
    pub(crate) fn unsupported_field(&mut self, field: &'static str) {
        let version = self.version;
        self.fail(EncodeError::UnsupportedField { field, version });
    }

    /// Reports a null in a field that must have a value in this version.
    pub(crate) fn unexpected_null(&mut self, field: &'static str) {
        let version = self.version;
        self.fail(EncodeError::UnexpectedNull { field, version });
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.tail.put_u8(value);
    }

    pub(crate) fn i16(&mut self, value: i16) {
        self.tail.put_i16(value);
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.tail.put_i32(value);
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.tail.put_i64(value);
    }

    pub(crate) fn slice(&mut self, bytes: &[u8]) {
        self.tail.put_slice(bytes);
    }

    pub(crate) fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.u8(value as u8);
    }

    pub(crate) fn string(&mut self, value: Option<&str>) {
        let length = value.map(str::len);
        if self.flexible {
            self.compact_length(length);
        } else {
            self.short_length(length);
        }
        self.slice(value.unwrap_or_default().as_bytes());
    }

    /// A string whose length is 16 bits in every version: the client id of a request header.
    pub(crate) fn short_string(&mut self, value: Option<&str>) {
        self.short_length(value.map(str::len));
        self.slice(value.unwrap_or_default().as_bytes());
    }

    /// The length before bytes, records or an array.
    pub(crate) fn length(&mut self, length: Option<usize>) {
        if self.flexible {
            return self.compact_length(length);
        }
        match length.map(i32::try_from) {
            None => self.i32(-1),
            Some(Ok(length)) => self.i32(length),
            Some(Err(_)) => self.too_long(length),
        }
    }

    /// Appends without a length; links instead of copying when that is worth it.
    pub(crate) fn link(&mut self, bytes: &Bytes) {
        if bytes.len() < LINK_MIN_BYTES {
            return self.slice(bytes);
        }
        self.seal_tail();
        self.chain_bytes += bytes.len();
        self.chain.push(bytes.clone());
    }

    /// Starts the tagged fields of a struct; `finish_tagged_fields` must follow.
    pub(crate) fn tagged_fields(&self) -> TaggedFields {
        let mut fields = Writer::new();
        fields.begin(self.version, self.flexible);
        TaggedFields { count: 0, fields }
    }

    pub(crate) fn finish_tagged_fields(&mut self, tagged: TaggedFields) {
        if self.flexible {
            self.varint(tagged.count);
        }
        self.append(tagged.fields);
    }

    pub(crate) fn no_tagged_fields(&mut self) {
        if self.flexible {
            self.u8(0);
        }
    }

    fn append(&mut self, other: Writer) {
        match other.finish() {
            Ok(chain) => chain.iter().for_each(|link| self.link(link)),
            Err(error) => self.fail(error),
        }
    }

    fn seal_tail(&mut self) {
        self.chain_bytes += self.tail.len();
        if self.chain.is_empty() && self.head.is_empty() {
            self.head = self.tail.split();
        } else if !self.tail.is_empty() {
            self.chain.push(self.tail.split().freeze());
        }
    }

    fn compact_length(&mut self, length: Option<usize>) {
        match length.map(|length| u32::try_from(length + 1)) {
            None => self.varint(0),
            Some(Ok(length)) if length <= i32::MAX as u32 => self.varint(length),
            Some(_) => self.too_long(length),
        }
    }

    fn short_length(&mut self, length: Option<usize>) {
        match length.map(i16::try_from) {
            None => self.i16(-1),
            Some(Ok(length)) => self.i16(length),
            Some(Err(_)) => self.too_long(length),
        }
    }

    fn too_long(&mut self, length: Option<usize>) {
        let length = length.unwrap_or_default();
        self.fail(EncodeError::TooLong { length });
    }
}

/// The tagged fields of one struct, gathered aside because their number comes before the first of them.
#[derive(Debug)]
pub struct TaggedFields {
    count: u32,
    fields: Writer,
}

impl TaggedFields {
    /// Adds a field; tags must come in ascending order.
    pub(crate) fn add(&mut self, tag: u32, write: impl FnOnce(&mut Writer)) {
        let mut field = Writer::new();
        field.begin(self.fields.version, self.fields.flexible);
        write(&mut field);
        self.count += 1;
        self.fields.varint(tag);
        match u32::try_from(field.len()) {
            Ok(length) => self.fields.varint(length),
            Err(_) => self.fields.too_long(Some(field.len())),
        }
        self.fields.append(field);
    }

    /// Reports a field that this version does not have and whose value is not the default.
    pub(crate) fn unsupported_field(&mut self, field: &'static str) {
        self.fields.unsupported_field(field);
    }
}
