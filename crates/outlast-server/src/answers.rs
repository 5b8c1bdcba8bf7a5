//! Answers on their way to a client: a chain of byte slices, written in order with vectored writes.
//!
//! Whatever is ready when the socket takes bytes goes out in one system call, however many answers it is.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::ready;

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

/// Slices handed to one system call. Linux takes 1024 at most; more than this gains nothing.
const SLICES_PER_WRITE: usize = 128;

#[derive(Default)]
pub(crate) struct Answers {
    chain: VecDeque<Bytes>,
    unsent: usize,
    written: u64,
}

impl Answers {
    pub(crate) fn push(&mut self, answer: Vec<Bytes>) {
        for slice in answer {
            if !slice.is_empty() {
                self.unsent += slice.len();
                self.chain.push_back(slice);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chain.is_empty()
    }

    pub(crate) fn unsent(&self) -> usize {
        self.unsent
    }

    /// Bytes that the socket has taken so far.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    pub(crate) fn clear(&mut self) {
        self.chain.clear();
        self.unsent = 0;
    }

    /// Writes what the socket takes now, at least one byte, and says how much.
    ///
    /// Cancel safe: either bytes were written and taken off the chain, or nothing happened.
    pub(crate) async fn write<W>(&mut self, sink: &mut W) -> io::Result<usize>
    where
        W: AsyncWrite + Unpin,
    {
        let written = poll_fn(|cx| {
            let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE];
            let mut used = 0;
            for (slot, slice) in slices.iter_mut().zip(&self.chain) {
                *slot = IoSlice::new(slice);
                used += 1;
            }
            let written = ready!(Pin::new(&mut *sink).poll_write_vectored(cx, &slices[..used]))?;
            std::task::Poll::Ready(io::Result::Ok(written))
        })
        .await?;
        if written == 0 && !self.is_empty() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.advance(written);
        Ok(written)
    }

    fn advance(&mut self, mut written: usize) {
        self.unsent -= written;
        self.written += written as u64;
        while written > 0 {
            let Some(first) = self.chain.front_mut() else {
                break;
            };
            if written < first.len() {
                first.advance(written);
                break;
            }
            written -= first.len();
            self.chain.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, duplex};

    #[tokio::test]
    async fn a_long_chain_arrives_whole_through_a_narrow_pipe() {
        let (mut ours, mut theirs) = duplex(7);
        let expect: Vec<u8> = (0..2_000u32).flat_map(|i| i.to_be_bytes()).collect();
        let mut answers = Answers::default();
        answers.push(
            expect
                .chunks(4)
                .flat_map(|slice| [Bytes::copy_from_slice(slice), Bytes::new()])
                .collect(),
        );
        assert_eq!(answers.unsent(), expect.len());
        let reader = tokio::spawn(async move {
            let mut got = Vec::new();
            theirs.read_to_end(&mut got).await.unwrap();
            got
        });
        while !answers.is_empty() {
            answers.write(&mut ours).await.unwrap();
        }
        drop(ours);
        assert_eq!(reader.await.unwrap(), expect);
        assert_eq!(
            (answers.unsent(), answers.written()),
            (0, expect.len() as u64)
        );
    }
}
