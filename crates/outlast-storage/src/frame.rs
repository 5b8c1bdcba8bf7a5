//! The frame around a structure that is written and read as a whole (manifest, side-car parts):
//!
//! ```text
//! magic 4 | version 2 | cipher 1 | reserved 1 | key id 4 | length of the body 8 | CRC-32C of all the rest 4 | body
//! ```
//! Cipher and key id are the room for encryption at rest; today they are 0, and anything else is refused by name.

use std::path::Path;

use outlast_records::Crc32c;

use crate::codec::{Fields, Put, Short};
use crate::error::StorageError;

pub(crate) const FRAME_SIZE: usize = 24;

/// What a kind of structure is called and how it is recognised.
pub(crate) struct Structure {
    pub(crate) name: &'static str,
    pub(crate) magic: [u8; 4],
    pub(crate) version: u16,
}

impl Structure {
    pub(crate) fn frame(&self, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(FRAME_SIZE + body.len());
        out.put(&self.magic);
        out.put_u16(self.version);
        out.put_u8(0); // cipher: none
        out.put_u8(0); // reserved
        out.put_u32(0); // key id
        out.put_u64(body.len() as u64);
        let mut crc = Crc32c::new();
        crc.update(&out);
        crc.update(body);
        out.put_u32(crc.finish());
        out.put(body);
        out
    }

    /// The body of the frame that `bytes` start with. `path` and `position` are for the error.
    pub(crate) fn unframe<'a>(
        &self,
        bytes: &'a [u8],
        path: &Path,
        position: u64,
    ) -> Result<&'a [u8], StorageError> {
        let damaged = |what: &str| StorageError::Damaged {
            path: path.to_owned(),
            position,
            what: format!("{} {what}", self.name),
        };
        let mut fields = Fields::new(bytes);
        let mut decode = || -> Result<_, Short> {
            let (magic, version, cipher) = (fields.array::<4>()?, fields.u16()?, fields.u8()?);
            fields.take(5)?;
            Ok((magic, version, cipher, fields.u64()?, fields.u32()?))
        };
        let (magic, version, cipher, len, stored) =
            decode().map_err(|Short| damaged("is cut off"))?;
        if magic != self.magic {
            return Err(damaged("expected, something else found"));
        }
        let body = usize::try_from(len)
            .ok()
            .and_then(|len| fields.take(len).ok())
            .ok_or_else(|| damaged("is cut off"))?;
        let mut crc = Crc32c::new();
        crc.update(&bytes[..FRAME_SIZE - 4]);
        crc.update(body);
        if crc.finish() != stored {
            return Err(damaged("has a checksum that does not match"));
        }
        if version != self.version {
            return Err(StorageError::NewerFormat {
                path: path.to_owned(),
                structure: self.name,
                found: version,
                supported: self.version,
            });
        }
        if cipher != 0 {
            return Err(StorageError::Encrypted {
                path: path.to_owned(),
                structure: self.name,
                cipher,
            });
        }
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRUCTURE: Structure = Structure {
        name: "test structure",
        magic: *b"TEST",
        version: 3,
    };

    #[test]
    fn every_flipped_bit_is_seen() {
        let framed = STRUCTURE.frame(b"body");
        let path = Path::new("x");
        assert_eq!(STRUCTURE.unframe(&framed, path, 0).ok(), Some(&b"body"[..]));
        for bit in 0..framed.len() * 8 {
            let mut flipped = framed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(STRUCTURE.unframe(&flipped, path, 0).is_err(), "bit {bit}");
        }
        for len in 0..framed.len() {
            assert!(
                STRUCTURE.unframe(&framed[..len], path, 0).is_err(),
                "cut at {len}"
            );
        }
    }

    #[test]
    fn a_newer_version_is_refused_by_name() {
        let framed = Structure {
            version: 4,
            ..STRUCTURE
        }
        .frame(b"");
        let error = STRUCTURE
            .unframe(&framed, Path::new("x"), 0)
            .map(drop)
            .map_err(|e| e.to_string());
        assert_eq!(
            error,
            Err(
                "x: test structure has format version 4, and this release reads up to 3: \
                 use the release that wrote it, or a newer one"
                    .to_owned()
            )
        );
    }
}
