//! Reading from one frame that the reader owns.
//!
//! Every length is compared with the bytes that are left before anything is allocated for it, and all the arrays of
//! a frame together may use only so much memory as a frame of that size can honestly need.

use bytes::{Buf, Bytes, BytesMut};
use uuid::Uuid;

use crate::{DecodeError, Str};

/// Memory that arrays may take whatever the size of the frame.
const ARRAY_BUDGET_BASE: usize = 1 << 20;
/// Memory that arrays may take for each byte of the frame. An element's struct is larger than its bytes on the wire
/// (an empty string is 2 bytes there and 32 here), but in an honest large frame never by that much.
const ARRAY_BUDGET_PER_BYTE: usize = 16;

/// A cursor over a frame. Slices it hands out share the frame's memory; slices of type `BytesMut` are exclusive.
#[derive(Debug)]
pub struct Reader {
    frame: BytesMut,
    version: i16,
    flexible: bool,
    array_budget: usize,
}

impl Reader {
    pub fn new(frame: BytesMut) -> Self {
        let array_budget = frame
            .len()
            .saturating_mul(ARRAY_BUDGET_PER_BYTE)
            .saturating_add(ARRAY_BUDGET_BASE);
        Self {
            frame,
            version: 0,
            flexible: false,
            array_budget,
        }
    }

    pub fn remaining(&self) -> usize {
        self.frame.len()
    }

    /// What has not been read, such as the body after its header.
    pub fn into_rest(self) -> BytesMut {
        self.frame
    }

    /// Fails when something is left. Kafka itself ignores bytes that follow a request.
    pub fn expect_end(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(DecodeError::TrailingBytes(left)),
        }
    }

    pub(crate) fn begin(&mut self, version: i16, flexible: bool) {
        self.version = version;
        self.flexible = flexible;
    }

    pub(crate) fn version(&self) -> i16 {
        self.version
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.need(1)?;
        Ok(self.frame.get_u8())
    }

    pub(crate) fn i16(&mut self) -> Result<i16, DecodeError> {
        self.need(2)?;
        Ok(self.frame.get_i16())
    }

    pub(crate) fn i32(&mut self) -> Result<i32, DecodeError> {
        self.need(4)?;
        Ok(self.frame.get_i32())
    }

    pub(crate) fn i64(&mut self) -> Result<i64, DecodeError> {
        self.need(8)?;
        Ok(self.frame.get_i64())
    }

    pub(crate) fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        self.need(16)?;
        Ok(Uuid::from_u128(self.frame.get_u128()))
    }

    /// An unsigned varint of at most 32 bits, as Kafka uses it for lengths, counts and tags.
    pub(crate) fn varint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.u8()?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && bits > 0x0f {
                return Err(DecodeError::InvalidVarint);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::InvalidVarint)
    }

    pub(crate) fn string(&mut self) -> Result<Option<Str>, DecodeError> {
        let length = if self.flexible {
            self.compact_length()?
        } else {
            i64::from(self.i16()?)
        };
        self.take_string(length)
    }

    /// A string whose length is 16 bits in every version: the client id of a request header.
    pub(crate) fn short_string(&mut self) -> Result<Option<Str>, DecodeError> {
        let length = i64::from(self.i16()?);
        self.take_string(length)
    }

    pub(crate) fn bytes(&mut self) -> Result<Option<BytesMut>, DecodeError> {
        let length = if self.flexible {
            self.compact_length()?
        } else {
            i64::from(self.i32()?)
        };
        self.take(length)
    }

    /// The number of elements of an array, each of which will take `element_size` bytes of memory; `None` for null.
    pub(crate) fn array_length(
        &mut self,
        element_size: usize,
    ) -> Result<Option<usize>, DecodeError> {
        let length = if self.flexible {
            self.compact_length()?
        } else {
            i64::from(self.i32()?)
        };
        let Some(count) = self.check_length(length)? else {
            return Ok(None);
        };
        // Each element takes a byte of the frame at least, so `count` is no more than its size.
        self.array_budget = count
            .checked_mul(element_size)
            .and_then(|memory| self.array_budget.checked_sub(memory))
            .ok_or(DecodeError::ArrayTooLarge { count })?;
        Ok(Some(count))
    }

    /// Calls `known` for each tagged field with its tag; it reads the field and says true, or leaves it and says
    /// false, so that it is skipped. Tags must ascend. In a version without tagged fields there is nothing to read.
    pub(crate) fn tagged_fields(
        &mut self,
        mut known: impl FnMut(&mut Self, u32) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        if !self.flexible {
            return Ok(());
        }
        let count = self.varint()?;
        let mut lowest = 0u64;
        for _ in 0..count {
            let tag = self.varint()?;
            if u64::from(tag) < lowest {
                return Err(DecodeError::TagOrder { tag });
            }
            lowest = u64::from(tag) + 1;
            let declared = self.varint()? as usize;
            self.need(declared)?;
            let before = self.remaining();
            if known(self, tag)? {
                let actual = before - self.remaining();
                if actual != declared {
                    return Err(DecodeError::TagSize {
                        tag,
                        declared,
                        actual,
                    });
                }
            } else {
                self.frame.advance(declared);
            }
        }
        Ok(())
    }

    pub(crate) fn skip_tagged_fields(&mut self) -> Result<(), DecodeError> {
        self.tagged_fields(|_, _| Ok(false))
    }

    /// The length before a compact string, bytes or array; −1 for null.
    fn compact_length(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from(self.varint()?) - 1)
    }

    fn take_string(&mut self, length: i64) -> Result<Option<Str>, DecodeError> {
        let Some(bytes) = self.take(length)? else {
            return Ok(None);
        };
        Str::try_from(bytes.freeze())
            .map(Some)
            .map_err(|_| DecodeError::InvalidUtf8)
    }

    fn take(&mut self, length: i64) -> Result<Option<BytesMut>, DecodeError> {
        let length = self.check_length(length)?;
        Ok(length.map(|length| self.frame.split_to(length)))
    }

    fn check_length(&self, length: i64) -> Result<Option<usize>, DecodeError> {
        let left = self.remaining();
        match usize::try_from(length) {
            Ok(length) if length <= left => Ok(Some(length)),
            _ if length == -1 => Ok(None),
            _ => Err(DecodeError::InvalidLength { length, left }),
        }
    }

    fn need(&self, needed: usize) -> Result<(), DecodeError> {
        let left = self.remaining();
        if needed <= left {
            Ok(())
        } else {
            Err(DecodeError::Truncated { needed, left })
        }
    }
}

impl From<BytesMut> for Reader {
    fn from(frame: BytesMut) -> Self {
        Self::new(frame)
    }
}

impl From<Bytes> for Reader {
    /// Copies unless these are the only reference to their memory.
    fn from(bytes: Bytes) -> Self {
        Self::new(BytesMut::from(bytes))
    }
}
