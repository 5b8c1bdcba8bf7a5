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
    pub(crate) created: Timestamp,
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
    /// Creates file `number` with its header, durably: a file without one has been damaged.
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
            .and_then(|()| file.sync_data())
            .and_then(|()| io.sync_dir(dir));
        if let Err(e) = written {
            // The next attempt must find the name free; if this fails too, that one will say so.
            let _ = io.remove(&path);
            return Err(e);
        }
        Ok(WalFile::new(number, path, salt, now, file))
    }

    pub(crate) fn new(
        number: u64,
        path: PathBuf,
        salt: u64,
        created: Timestamp,
        file: Arc<dyn IoFile>,
    ) -> WalFile {
        WalFile {
            number,
            path,
            salt,
            created,
            file,
        }
    }

    /// Opens an existing file and checks its header.
    pub(crate) fn open(
        io: &dyn Io,
        dir: &Path,
        store_id: u128,
        number: u64,
    ) -> Result<Opened, StorageError> {
        let path = wal_path(dir, number);
        let file = io.open(&path).map_err(StorageError::io("opening", &path))?;
        let mut bytes = [0; FILE_HEADER_SIZE as usize];
        match read_exact(&*file, &mut bytes, 0) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(Opened::NoHeader {
                    file,
                    what: "the file header is cut off",
                });
            }
            Err(e) => return Err(StorageError::io("reading", &path)(e)),
        }
        let header = match decode_header(&bytes, &path)? {
            Ok(header) => header,
            Err(what) => return Ok(Opened::NoHeader { file, what }),
        };
        if header.store_id != store_id {
            return Ok(Opened::Foreign("it belongs to another data directory"));
        }
        if header.number != number {
            return Ok(Opened::Foreign("it has the name of another file"));
        }
        Ok(Opened::Whole(WalFile::new(
            number,
            path,
            header.salt,
            header.created,
            file,
        )))
    }
}

/// What a file with the name of a write-ahead log file is.
pub(crate) enum Opened {
    Whole(WalFile),
    /// Its entries may be good all the same.
    NoHeader {
        file: Arc<dyn IoFile>,
        what: &'static str,
    },
    Foreign(&'static str),
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

struct FileHeader {
    store_id: u128,
    number: u64,
    salt: u64,
    created: Timestamp,
}

/// Decodes the header; the inner error says what is damaged.
fn decode_header(
    bytes: &[u8; FILE_HEADER_SIZE as usize],
    path: &Path,
) -> Result<Result<FileHeader, &'static str>, StorageError> {
    const STRUCTURE: &str = "write-ahead log file";
    let (body, crc) = bytes.split_at(bytes.len() - 4);
    let mut fields = Fields::new(body);
    let mut decode = || -> Result<_, Short> {
        let (magic, version, cipher) = (fields.u32()?, fields.u16()?, fields.u8()?);
        fields.take(9)?;
        let header = FileHeader {
            store_id: fields.u128()?,
            number: fields.u64()?,
            salt: fields.u64()?,
            created: Timestamp(fields.i64()?),
        };
        Ok((magic, version, cipher, header))
    };
    let Ok((magic, version, cipher, header)) = decode() else {
        return Ok(Err("the file header is cut off"));
    };
    if magic != MAGIC {
        return Ok(Err("there is no file header"));
    }
    if crc32c(body).to_le_bytes() != *crc {
        return Ok(Err("the checksum of the file header does not match"));
    }
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
    Ok(Ok(header))
}
