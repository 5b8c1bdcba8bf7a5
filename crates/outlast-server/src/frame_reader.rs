//! Reads request frames: a length of four bytes, big-endian and signed, then that many bytes.
//!
//! A frame is read once, into a buffer of exactly its size, because its record batches live on in the log's cache.
//! Memory grows with the bytes that have arrived, never with the length that was announced. Only what arrives together
//! with a length passes through a small staging buffer, so that one system call reads many small frames.

use std::future::Future;
use std::io;
use std::pin::Pin;

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::byte_budget::{ByteBudget, BytePermit};

/// What an idle connection costs; the largest frame that is copied whole.
const STAGING_BYTES: usize = 4 * 1024;
/// What a frame may use before it has its place in the byte budget.
const UNPERMITTED_BYTES: usize = 64 * 1024;
/// A frame up to this size is allocated in one step once it has its place; a larger one doubles as it arrives.
const ONE_STEP_BYTES: usize = 1024 * 1024;

const LENGTH_BYTES: usize = 4;

/// A whole request, without its length, and its place in the byte budget.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) bytes: BytesMut,
    pub(crate) permit: BytePermit,
}

/// Why no further frame can be read from a connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("the frame length is {0}, which is negative")]
    Negative(i32),
    #[error("the frame length is {length}, more than socket.request.max.bytes = {max}")]
    TooLarge { length: usize, max: usize },
    #[error("the client closed the connection within a frame")]
    Truncated,
    #[error(transparent)]
    Io(#[from] io::Error),
}

pub(crate) struct FrameReader {
    staging: Box<[u8]>,
    staged: std::ops::Range<usize>,
    partial: Option<Partial>,
    max_frame_bytes: usize,
    budget: ByteBudget,
}

struct Partial {
    length: usize,
    bytes: BytesMut,
    place: Place,
}

/// A frame's place in the byte budget.
enum Place {
    NotAsked,
    // Kept across calls: a new request for bytes would go to the end of the queue.
    Waiting(Pin<Box<dyn Future<Output = BytePermit> + Send>>),
    Taken(BytePermit),
}

impl FrameReader {
    pub(crate) fn new(max_frame_bytes: usize, budget: ByteBudget) -> Self {
        Self {
            staging: vec![0; STAGING_BYTES].into_boxed_slice(),
            staged: 0..0,
            partial: None,
            max_frame_bytes,
            budget,
        }
    }

    /// The length of the frame that has begun to arrive and waits for its sender, not for room in the byte budget.
    pub(crate) fn awaited_from_peer(&self) -> Option<usize> {
        match &self.partial {
            Some(partial) if matches!(partial.place, Place::Waiting(_)) => None,
            Some(partial) => Some(partial.length),
            None if self.staged.is_empty() => None,
            None => Some(LENGTH_BYTES),
        }
    }

    /// The next frame, or None when the client has closed the connection between two frames.
    ///
    /// Cancel safe: everything read so far is kept in `self`.
    pub(crate) async fn next<R>(&mut self, source: &mut R) -> Result<Option<Frame>, FrameError>
    where
        R: AsyncRead + Unpin,
    {
        while self.partial.is_none() {
            if let Some(length) = self.staged_length()? {
                self.partial = Some(self.begin(length));
            } else if !self.fill_staging(source).await? {
                return if self.staged.is_empty() {
                    Ok(None)
                } else {
                    Err(FrameError::Truncated)
                };
            }
        }
        let Some(partial) = &mut self.partial else {
            return Ok(None);
        };
        while partial.bytes.len() < partial.length {
            if partial.bytes.len() >= UNPERMITTED_BYTES {
                partial.place.take(&self.budget, partial.length).await;
            }
            partial.make_room();
            let missing = partial.length - partial.bytes.len();
            let mut room = (&mut partial.bytes).limit(missing);
            if source.read_buf(&mut room).await? == 0 {
                return Err(FrameError::Truncated);
            }
        }
        partial.place.take(&self.budget, partial.length).await;
        match self.partial.take() {
            Some(Partial {
                bytes,
                place: Place::Taken(permit),
                ..
            }) => Ok(Some(Frame { bytes, permit })),
            _ => unreachable!("the place was taken above"),
        }
    }

    /// The announced length, once its four bytes are there.
    fn staged_length(&mut self) -> Result<Option<usize>, FrameError> {
        let Some(prefix) = self.staging[self.staged.clone()].first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let announced = i32::from_be_bytes(*prefix);
        let length = usize::try_from(announced).map_err(|_| FrameError::Negative(announced))?;
        if length > self.max_frame_bytes {
            return Err(FrameError::TooLarge {
                length,
                max: self.max_frame_bytes,
            });
        }
        self.staged.start += LENGTH_BYTES;
        Ok(Some(length))
    }

    /// A frame with what has arrived of it together with its length.
    fn begin(&mut self, length: usize) -> Partial {
        let there = self.staged.len().min(length);
        let mut bytes = BytesMut::with_capacity(length.min(UNPERMITTED_BYTES));
        bytes.extend_from_slice(&self.staging[self.staged.start..self.staged.start + there]);
        self.staged.start += there;
        Partial {
            length,
            bytes,
            place: Place::NotAsked,
        }
    }

    /// False at the end of the stream.
    async fn fill_staging<R>(&mut self, source: &mut R) -> io::Result<bool>
    where
        R: AsyncRead + Unpin,
    {
        // At most three bytes of a length are left over, so there is always room behind them.
        self.staging.copy_within(self.staged.clone(), 0);
        self.staged = 0..self.staged.len();
        let read = source.read(&mut self.staging[self.staged.end..]).await?;
        self.staged.end += read;
        Ok(read > 0)
    }
}

impl Place {
    async fn take(&mut self, budget: &ByteBudget, length: usize) {
        if matches!(self, Place::NotAsked) {
            *self = match budget.try_take(length) {
                Some(permit) => Place::Taken(permit),
                None => Place::Waiting(Box::pin(budget.take(length))),
            };
        }
        if let Place::Waiting(permit) = self {
            *self = Place::Taken(permit.await);
        }
    }
}

impl Partial {
    /// Room for at least one more byte, and never for more than the frame's length.
    fn make_room(&mut self) {
        if self.bytes.len() < self.bytes.capacity() {
            return;
        }
        let target = (self.bytes.len() * 2).clamp(ONE_STEP_BYTES, self.length.max(ONE_STEP_BYTES));
        let mut larger = BytesMut::with_capacity(target.min(self.length));
        larger.extend_from_slice(&self.bytes);
        self.bytes = larger;
    }
}

#[cfg(test)]
mod tests;
