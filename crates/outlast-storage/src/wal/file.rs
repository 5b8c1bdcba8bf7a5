//! A write-ahead log file as an object: its name, its header, its open handle.
//!
//! Readers hold it by `Arc`: a file that retention removes while somebody reads it stays readable for them.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outlast_records::{Timestamp, crc32c};

use crate::codec::{Fields, Put, Short};
use crate::error::StorageError;
use crate::io::{Io, IoFile, read_exact, write_all};

pub(crate) const FILE_HEADER_SIZE: u64 = 64;
const MAGIC: u32 = u32::from_le_bytes(*b"OLWF");
const VERSION: u16 = 1;
pub(crate) const EXTENSION: &str = "wal";

/// One file of the write-ahead log.
pub(crate) struct WalFile {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    pub(crate) salt: u64,
    pub(crate) file: Arc<dyn IoFile>,
}

impl std::fmt::Debug for WalFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WalFile({})", self.number)
    }
}

pub(crate) fn wal_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.{EXTENSION}"))
}

/// The number in a name of ours, such as `00000000000000000007.wal`.
pub(crate) fn number_of(name: &str, extension: &str) -> Option<u64> {
    let digits = name.strip_suffix(extension)?.strip_suffix('.')?;
    (digits.len() == 20).then(|| digits.parse().ok()).flatten()
}

impl WalFile {
    /// Creates file `number` with its header, and makes its name durable.
    pub(crate) fn create(
        io: &dyn Io,
        dir: &Path,
        store_id: u128,
        number: u64,
        now: Timestamp,
        reserve: u64,
    ) -> io::Result<WalFile> {
        let path = wal_path(dir, number);
        let file = io.create(&path)?;
        let salt = io.entropy() as u64;
        let written = reserve_space(&*file, 0, reserve)
            .and_then(|()| {
                write_all(
                    &*file,
                    &mut [IoSlice::new(&encode_header(store_id, number, salt, now))],
                    0,
                )
            })
            .and_then(|()| io.sync_dir(dir));
        if let Err(e) = written {
            // The next attempt must find the name free; if this fails too, that one will say so.
            let _ = io.remove(&path);
            return Err(e);
        }
        Ok(WalFile {
            number,
            path,
            salt,
            file,
        })
    }

    /// Opens an existing file and checks its header.
    pub(crate) fn open(
        io: &dyn Io,
        dir: &Path,
        store_id: u128,
        number: u64,
    ) -> Result<WalFile, StorageError> {
        let path = wal_path(dir, number);
        let file = io.open(&path).map_err(StorageError::io("opening", &path))?;
        let mut header = [0; FILE_HEADER_SIZE as usize];
        match read_exact(&*file, &mut header, 0) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(damaged(&path, "the file header is cut off"));
            }
            Err(e) => return Err(StorageError::io("reading", &path)(e)),
        }
        let salt = decode_header(&header, &path, store_id, number)?;
        Ok(WalFile {
            number,
            path,
            salt,
            file,
        })
    }
}

/// Reserves space where the file system can; where it can't, a full disk shows at the write instead.
pub(crate) fn reserve_space(file: &dyn IoFile, position: u64, len: u64) -> io::Result<()> {
    match file.allocate(position, len) {
        Err(e) if e.kind() == io::ErrorKind::Unsupported => Ok(()),
        other => other,
    }
}

fn encode_header(store_id: u128, number: u64, salt: u64, now: Timestamp) -> Vec<u8> {
    let mut out = Vec::with_capacity(FILE_HEADER_SIZE as usize);
    out.put_u32(MAGIC);
    out.put_u16(VERSION);
    out.put_u8(0); // cipher: none
    out.put_u8(0); // reserved
    out.put_u32(0); // key id
    out.put_u32(0); // reserved
    out.put_u128(store_id);
    out.put_u64(number);
    out.put_u64(salt);
    out.put_i64(now.0);
    out.put_u32(0); // reserved
    out.put_u32(crc32c(&out));
    out
}

fn decode_header(
    bytes: &[u8; FILE_HEADER_SIZE as usize],
    path: &Path,
    store_id: u128,
    number: u64,
) -> Result<u64, StorageError> {
    let (body, crc) = bytes.split_at(bytes.len() - 4);
    let mut fields = Fields::new(body);
    let mut decode = || -> Result<_, Short> {
        let (magic, version, cipher) = (fields.u32()?, fields.u16()?, fields.u8()?);
        fields.take(9)?;
        Ok((
            magic,
            version,
            cipher,
            fields.u128()?,
            fields.u64()?,
            fields.u64()?,
        ))
    };
    let Ok((magic, version, cipher, found_store, found_number, salt)) = decode() else {
        return Err(damaged(path, "the file header is cut off"));
    };
    if magic != MAGIC {
        return Err(damaged(path, "this is not a write-ahead log file"));
    }
    const STRUCTURE: &str = "write-ahead log file";
    if version != VERSION {
        return Err(StorageError::NewerFormat {
            path: path.to_owned(),
            structure: STRUCTURE,
            found: version,
            supported: VERSION,
        });
    }
    if cipher != 0 {
        return Err(StorageError::Encrypted {
            path: path.to_owned(),
            structure: STRUCTURE,
            cipher,
        });
    }
    if crc32c(body).to_le_bytes() != *crc {
        return Err(damaged(
            path,
            "the checksum of the file header does not match",
        ));
    }
    if found_store != store_id {
        return Err(damaged(path, "this file belongs to another data directory"));
    }
    if found_number != number {
        return Err(damaged(path, "this file has the name of another one"));
    }
    Ok(salt)
}

fn damaged(path: &Path, what: &str) -> StorageError {
    StorageError::Damaged {
        path: path.to_owned(),
        position: 0,
        what: what.to_owned(),
    }
}
