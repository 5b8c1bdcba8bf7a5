//! The variable-length integers of records: zig-zag, seven bits a byte, lowest first.
//!
//! 32-bit ones take at most 5 bytes and 64-bit ones at most 10; longer ones are refused as Kafka does.

use bytes::{BufMut, BytesMut};

/// Takes a 32-bit number off the front of `input`. `None`: cut short, or more than 5 bytes.
#[inline]
pub(crate) fn take_i32(input: &mut &[u8]) -> Option<i32> {
    // Lengths and deltas below 64 are one byte, which is most of them.
    if let Some((&first, rest)) = input.split_first()
        && first < 0x80
    {
        *input = rest;
        return Some(unzigzag(u64::from(first)) as i32);
    }
    take_unsigned(input, 5).map(|raw| unzigzag(u64::from(raw as u32)) as i32)
}

/// Takes a 64-bit number off the front of `input`. `None`: cut short, or more than 10 bytes.
#[inline]
pub(crate) fn take_i64(input: &mut &[u8]) -> Option<i64> {
    take_unsigned(input, 10).map(unzigzag)
}

pub(crate) fn put(out: &mut BytesMut, value: i64) {
    let mut raw = zigzag(value);
    while raw >= 0x80 {
        out.put_u8(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.put_u8(raw as u8);
}

/// How many bytes [`put`] writes for `value`.
pub(crate) fn size(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

#[inline]
fn take_unsigned(input: &mut &[u8], longest: usize) -> Option<u64> {
    let mut raw = 0u64;
    for (i, &byte) in input.iter().take(longest).enumerate() {
        raw |= u64::from(byte & 0x7F) << (7 * i);
        if byte < 0x80 {
            *input = &input[i + 1..];
            return Some(raw);
        }
    }
    None
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(raw: u64) -> i64 {
    (raw >> 1) as i64 ^ -((raw & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip(value: i64) {
            let mut out = BytesMut::new();
            put(&mut out, value);
            prop_assert_eq!(out.len(), size(value));
            let mut input = &out[..];
            prop_assert_eq!(take_i64(&mut input), Some(value));
            prop_assert!(input.is_empty());
        }

        #[test]
        fn round_trip_32(value: i32) {
            let mut out = BytesMut::new();
            put(&mut out, i64::from(value));
            prop_assert!(out.len() <= 5);
            prop_assert_eq!(take_i32(&mut &out[..]), Some(value));
        }
    }

    #[test]
    fn golden() {
        let check = |value: i64, expect: &[u8]| {
            let mut out = BytesMut::new();
            put(&mut out, value);
            assert_eq!(&out[..], expect, "{value}");
        };
        check(0, &[0]);
        check(-1, &[1]);
        check(63, &[0x7E]);
        check(-64, &[0x7F]);
        check(64, &[0x80, 0x01]);
        check(8191, &[0xFE, 0x7F]);
        check(i64::from(i32::MIN), &[0xFF, 0xFF, 0xFF, 0xFF, 0x0F]);
    }

    #[test]
    fn too_long_and_cut_short_are_refused() {
        assert_eq!(
            take_i32(&mut &[0x80, 0x80, 0x80, 0x80, 0x80, 0x00][..]),
            None
        );
        assert_eq!(take_i64(&mut &[0x80; 11][..]), None);
        assert_eq!(take_i32(&mut &[0x80, 0x80][..]), None);
        assert_eq!(take_i32(&mut &[][..]), None);
    }
}
