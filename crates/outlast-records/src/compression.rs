//! The codecs of record batches, in the framings that Kafka's clients write and read.
//!
//! | codec  | framing |
//! |--------|---------|
//! | gzip   | RFC 1952, members may follow each other |
//! | snappy | xerial's blocks (Java and most others) or one bare snappy block (some others); both are read |
//! | lz4    | LZ4 frame; 64 KiB independent blocks are written |
//! | zstd   | zstd frames, windows up to 128 MiB as Kafka's own reader allows |
//!
//! Decompression takes a limit and holds no more than it (plus the codec's window), whatever the data claims.

mod snappy;

use std::io::{Read, Write};

use bytes::BytesMut;
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use crate::{BatchError, Corruption};

/// What a zstd frame may ask for as its window, as a power of two: zstd's own default limit.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum Compression {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Compression {
    pub const ALL: [Compression; 5] = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];

    /// The number in a batch's attributes.
    pub fn id(self) -> u8 {
        match self {
            Compression::None => 0,
            Compression::Gzip => 1,
            Compression::Snappy => 2,
            Compression::Lz4 => 3,
            Compression::Zstd => 4,
        }
    }

    pub fn from_id(id: u8) -> Result<Self, BatchError> {
        Self::ALL
            .get(usize::from(id))
            .copied()
            .ok_or(BatchError::UnsupportedCompression { id })
    }

    /// Kafka's name for it, as in `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }

    /// Appends `input`, compressed, to `out`. `level` as in `compression.gzip.level` and its siblings; `None` is
    /// the codec's default, and snappy has none. lz4 has one level here.
    pub(crate) fn compress(self, input: &[u8], level: Option<i32>, out: &mut BytesMut) {
        match self {
            Compression::None => out.extend_from_slice(input),
            Compression::Gzip => {
                let level = match level {
                    Some(level @ 0..=9) => flate2::Compression::new(level as u32),
                    _ => flate2::Compression::default(),
                };
                let mut encoder = flate2::write::GzEncoder::new(Appender(out), level);
                written(encoder.write_all(input));
                written(encoder.finish());
            }
            Compression::Snappy => snappy::compress(input, out),
            Compression::Lz4 => {
                let frame = FrameInfo::new()
                    .block_size(BlockSize::Max64KB)
                    .block_mode(BlockMode::Independent);
                let mut encoder = FrameEncoder::with_frame_info(frame, Appender(out));
                written(encoder.write_all(input));
                written(encoder.finish());
            }
            Compression::Zstd => {
                let level = level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL);
                let encoder = zstd::Encoder::new(Appender(out), level);
                if let Some(mut encoder) = written(encoder) {
                    written(encoder.write_all(input));
                    written(encoder.finish());
                }
            }
        }
    }

    /// Decompresses the whole of `input`; more than `limit` bytes are refused without being produced.
    pub(crate) fn decompress(self, input: &[u8], limit: usize) -> Result<Vec<u8>, BatchError> {
        let bounded = |reader: &mut dyn Read| read_bounded(reader, input.len(), limit);
        let result = match self {
            Compression::None => Ok(input.to_vec()),
            Compression::Gzip => bounded(&mut flate2::bufread::MultiGzDecoder::new(input)),
            Compression::Snappy => return snappy::decompress(input, limit),
            Compression::Lz4 => bounded(&mut FrameDecoder::new(input)),
            Compression::Zstd => zstd::Decoder::with_buffer(input).and_then(|mut decoder| {
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                bounded(&mut decoder)
            }),
        };
        match result {
            Ok(bytes) if bytes.len() > limit => Err(Corruption::Bomb { limit }.into()),
            Ok(bytes) => Ok(bytes),
            Err(error) => Err(self.corrupt(error)),
        }
    }

    fn corrupt(self, reason: impl ToString) -> BatchError {
        BatchError::Corrupt(Corruption::Compressed {
            codec: self.name(),
            reason: reason.to_string(),
        })
    }
}

/// Reads to the end, or to one byte past `limit`, which tells the caller that there was more.
fn read_bounded(
    reader: &mut dyn Read,
    compressed: usize,
    limit: usize,
) -> std::io::Result<Vec<u8>> {
    // Records shrink to a third or so; the vector doubles from there as the data really comes.
    let mut out = Vec::with_capacity(compressed.saturating_mul(3).min(limit));
    reader.take(limit as u64 + 1).read_to_end(&mut out)?;
    Ok(out)
}

/// Writing to memory cannot fail; an encoder that still says so leaves a batch that no reader will accept.
fn written<T, E: std::fmt::Debug>(result: Result<T, E>) -> Option<T> {
    debug_assert!(result.is_ok(), "{:?}", result.err());
    result.ok()
}

/// `BytesMut` as `io::Write`, borrowed.
struct Appender<'a>(&'a mut BytesMut);

impl Write for Appender<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
