//! Fixed-width little-endian fields with bounds: the alphabet of everything this crate puts on disk
//! (record batches keep Kafka's own big-endian form).

use outlast_records::PartitionId;
use uuid::Uuid;

/// The structure ended before the field did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Short;

/// Reads fields one after another.
#[derive(Clone)]
pub(crate) struct Fields<'a>(&'a [u8]);

macro_rules! number {
    ($($name:ident: $type:ty),*) => { $(
        pub(crate) fn $name(&mut self) -> Result<$type, Short> {
            self.array().map(<$type>::from_le_bytes)
        }
    )* };
}

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Fields(bytes)
    }

    number!(u8: u8, u16: u16, u32: u32, u64: u64, u128: u128, i16: i16, i32: i32, i64: i64);

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Short)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Short> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(Short)?;
        self.0 = rest;
        Ok(head)
    }

    pub(crate) fn partition(&mut self) -> Result<PartitionId, Short> {
        Ok(PartitionId {
            topic: Uuid::from_bytes(self.array()?),
            index: self.i32()?,
        })
    }

    /// A count of things that each take at least `least` bytes: refused when they can't be there, so that
    /// nothing is allocated for a number that damage made up.
    pub(crate) fn count(&mut self, least: usize) -> Result<usize, Short> {
        let count = self.u32()? as usize;
        match count.checked_mul(least) {
            Some(bytes) if bytes <= self.0.len() => Ok(count),
            _ => Err(Short),
        }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.0.len()
    }
}

/// Appends fields to a buffer.
pub(crate) trait Put {
    fn put(&mut self, bytes: &[u8]);

    fn put_u8(&mut self, v: u8) {
        self.put(&[v]);
    }
    fn put_u16(&mut self, v: u16) {
        self.put(&v.to_le_bytes());
    }
    fn put_u32(&mut self, v: u32) {
        self.put(&v.to_le_bytes());
    }
    fn put_u64(&mut self, v: u64) {
        self.put(&v.to_le_bytes());
    }
    fn put_u128(&mut self, v: u128) {
        self.put(&v.to_le_bytes());
    }
    fn put_i16(&mut self, v: i16) {
        self.put(&v.to_le_bytes());
    }
    fn put_i32(&mut self, v: i32) {
        self.put(&v.to_le_bytes());
    }
    fn put_i64(&mut self, v: i64) {
        self.put(&v.to_le_bytes());
    }
    fn put_partition(&mut self, id: PartitionId) {
        self.put(id.topic.as_bytes());
        self.put_i32(id.index);
    }
    /// A number of things in a `u32`; structures are far smaller than its limit.
    fn put_count(&mut self, count: usize) {
        self.put_u32(u32::try_from(count).unwrap_or(u32::MAX));
    }
}

impl Put for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_cannot_be_there_is_refused() {
        let mut bytes = Vec::new();
        bytes.put_u32(3);
        bytes.put(&[0; 24]);
        assert_eq!(Fields::new(&bytes).count(8), Ok(3));
        assert_eq!(Fields::new(&bytes).count(9), Err(Short));
        bytes[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Fields::new(&bytes).count(8), Err(Short));
    }

    #[test]
    fn a_field_past_the_end_is_refused() {
        assert_eq!(Fields::new(&[1, 2, 3]).u32(), Err(Short));
        assert_eq!(Fields::new(&[1, 2, 3]).take(4), Err(Short));
    }
}
