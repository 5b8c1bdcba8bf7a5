//! Record batches on their way out: a chain of slices that is never joined just to be sent.

use bytes::{Bytes, BytesMut};

/// The records field of a response: the batches' bytes, in order, as slices of wherever they live.
///
/// Two chains are equal when their bytes are, however they are cut.
#[derive(Debug, Clone, Default)]
pub struct Records(pub Vec<Bytes>);

impl Records {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Bytes::is_empty)
    }

    /// One contiguous slice; copies only when the chain has more than one link.
    pub fn into_bytes(mut self) -> Bytes {
        match self.0.len() {
            0 => Bytes::new(),
            1 => self.0.remove(0),
            _ => {
                let mut joined = BytesMut::with_capacity(self.len());
                self.0
                    .iter()
                    .for_each(|link| joined.extend_from_slice(link));
                joined.freeze()
            }
        }
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Self {
        Self(vec![bytes])
    }
}

impl From<Vec<Bytes>> for Records {
    fn from(links: Vec<Bytes>) -> Self {
        Self(links)
    }
}

impl PartialEq for Records {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.0.iter().flatten().eq(other.0.iter().flatten())
    }
}

impl Eq for Records {}
