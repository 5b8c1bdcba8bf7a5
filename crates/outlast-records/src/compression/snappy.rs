//! Snappy as Kafka's clients frame it.
//!
//! Java, and most clients after it, write xerial's stream: an 8-byte magic, two 32-bit versions, then blocks, each
//! a 32-bit big-endian length and a bare snappy block. Some clients write one bare block and nothing else.

use bytes::{BufMut, BytesMut};

use super::Compression;
use crate::{BatchError, Corruption};

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const HEADER: usize = 16;
const VERSION: u32 = 1;
/// What xerial's writer cuts its input into.
const BLOCK: usize = 32 * 1024;

/// Three compressed bytes copy at most 64: a block that claims to grow more is lying about its length.
const MOST_GROWTH: usize = 64 / 3 + 1;

pub(super) fn compress(input: &[u8], out: &mut BytesMut) {
    out.put_slice(&MAGIC);
    out.put_u32(VERSION);
    out.put_u32(VERSION); // oldest version that can read it
    let mut encoder = snap::raw::Encoder::new();
    for block in input.chunks(BLOCK) {
        let start = out.len();
        out.put_u32(0);
        out.resize(start + 4 + snap::raw::max_compress_len(block.len()), 0);
        // The buffer is as large as the codec asks for, which is its only way to fail.
        let size = encoder
            .compress(block, &mut out[start + 4..])
            .unwrap_or_default();
        out[start..start + 4].copy_from_slice(&(size as u32).to_be_bytes());
        out.truncate(start + 4 + size);
    }
}

pub(super) fn decompress(input: &[u8], limit: usize) -> Result<Vec<u8>, BatchError> {
    let mut out = Vec::new();
    if !input.starts_with(&MAGIC) {
        append_block(input, limit, &mut out)?;
        return Ok(out);
    }
    let mut rest = input.get(HEADER..).ok_or_else(|| cut("stream header"))?;
    while !rest.is_empty() {
        // Streams may be joined: a header can stand where a block is due.
        if rest.starts_with(&MAGIC) {
            rest = rest.get(HEADER..).ok_or_else(|| cut("stream header"))?;
            continue;
        }
        let (length, after) = rest
            .split_first_chunk::<4>()
            .ok_or_else(|| cut("block length"))?;
        let length = u32::from_be_bytes(*length) as usize;
        let block = after.get(..length).ok_or_else(|| cut("block"))?;
        append_block(block, limit, &mut out)?;
        rest = &after[length..];
    }
    Ok(out)
}

fn append_block(block: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), BatchError> {
    let corrupt = |error: snap::Error| Compression::Snappy.corrupt(error);
    let size = snap::raw::decompress_len(block).map_err(corrupt)?;
    if size > limit - out.len() {
        return Err(Corruption::Bomb { limit }.into());
    }
    if size > block.len().saturating_mul(MOST_GROWTH) {
        return Err(Compression::Snappy.corrupt("claims to grow more than snappy can"));
    }
    let start = out.len();
    out.resize(start + size, 0);
    let written = snap::raw::Decoder::new()
        .decompress(block, &mut out[start..])
        .map_err(corrupt)?;
    out.truncate(start + written);
    Ok(())
}

fn cut(what: &str) -> BatchError {
    Compression::Snappy.corrupt(format!("{what} is cut short"))
}
