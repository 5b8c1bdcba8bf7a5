//! Where a segment's bytes come from and go to: memory, a file, later a bucket.

use std::io::{self, IoSlice, Write};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::io::{IoFile, read_exact, write_all};

/// Random access to an immutable object.
pub trait ByteSource: Send + Sync {
    fn len(&self) -> io::Result<u64>;

    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Exactly the bytes asked for, or `UnexpectedEof`.
    fn read(&self, position: u64, len: usize) -> io::Result<Bytes>;
}

impl ByteSource for Bytes {
    fn len(&self) -> io::Result<u64> {
        Ok(Bytes::len(self) as u64)
    }

    fn read(&self, position: u64, len: usize) -> io::Result<Bytes> {
        let start = usize::try_from(position).ok();
        let end = start.and_then(|start| start.checked_add(len));
        match (start, end) {
            (Some(start), Some(end)) if end <= Bytes::len(self) => Ok(self.slice(start..end)),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// A segment in a file.
#[derive(Clone)]
pub struct FileSource(pub Arc<dyn IoFile>);

impl ByteSource for FileSource {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, position: u64, len: usize) -> io::Result<Bytes> {
        let mut bytes = BytesMut::zeroed(len);
        read_exact(&*self.0, &mut bytes, position)?;
        Ok(bytes.freeze())
    }
}

/// Writes a file from its start. Nothing is durable before the caller has synced file and directory.
pub struct FileSink {
    file: Arc<dyn IoFile>,
    position: u64,
}

impl FileSink {
    pub fn new(file: Arc<dyn IoFile>) -> Self {
        FileSink { file, position: 0 }
    }
}

impl Write for FileSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write_all(&*self.file, &mut [IoSlice::new(bytes)], self.position)?;
        self.position += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
