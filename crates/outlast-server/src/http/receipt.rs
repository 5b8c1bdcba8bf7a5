//! Receipts: what a worker shows to say something about a message that it holds.
//!
//! Opaque to clients. Everything that is needed is inside, so that a receipt is worth as much after a restart of the
//! broker as before: the lock itself is durable, and whether it still is the worker's is decided there.
//!
//! ```text
//! version u8 | checksum u32 of what follows and of the group's name
//! | topic id 16 bytes | partition i32 | offset i64 | delivery count u16 | worker, UTF-8        all in URL-safe base64
//! ```

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use outlast_records::{Crc32c, Offset, PartitionId};
use uuid::Uuid;

const VERSION: u8 = 1;
const HEAD: usize = 5;
const FIXED: usize = 16 + 4 + 8 + 2;
/// The longest name of a worker, in bytes.
pub(crate) const MAX_WORKER: usize = 200;
/// No receipt of ours is longer; a longer one isn't even decoded.
const MAX_TEXT: usize = (HEAD + FIXED + MAX_WORKER) * 4 / 3 + 4;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) partition: PartitionId,
    pub(crate) offset: Offset,
    pub(crate) delivery_count: u16,
    pub(crate) worker: String,
}

impl Receipt {
    pub(crate) fn encode(&self, group: &str) -> String {
        let mut body = Vec::with_capacity(FIXED + self.worker.len());
        body.extend_from_slice(self.partition.topic.as_bytes());
        body.extend_from_slice(&self.partition.index.to_be_bytes());
        body.extend_from_slice(&self.offset.0.to_be_bytes());
        body.extend_from_slice(&self.delivery_count.to_be_bytes());
        body.extend_from_slice(self.worker.as_bytes());
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&checksum(&body, group).to_be_bytes());
        bytes.append(&mut body);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// `None` for anything that is no receipt of this group.
    pub(crate) fn decode(text: &str, group: &str) -> Option<Self> {
        if text.len() > MAX_TEXT {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (head, body) = bytes.split_at_checked(HEAD)?;
        let given = u32::from_be_bytes(head[1..].try_into().ok()?);
        if head[0] != VERSION || given != checksum(body, group) {
            return None;
        }
        let (topic, rest) = body.split_first_chunk::<16>()?;
        let (index, rest) = rest.split_first_chunk::<4>()?;
        let (offset, rest) = rest.split_first_chunk::<8>()?;
        let (count, worker) = rest.split_first_chunk::<2>()?;
        Some(Self {
            partition: PartitionId {
                topic: Uuid::from_bytes(*topic),
                index: i32::from_be_bytes(*index),
            },
            offset: Offset(i64::from_be_bytes(*offset)),
            delivery_count: u16::from_be_bytes(*count),
            worker: std::str::from_utf8(worker).ok()?.to_owned(),
        })
    }
}

/// Against mistakes, such as the receipt of another group's queue; not against forgery, from which nobody gains what the
/// API doesn't give anyway.
fn checksum(body: &[u8], group: &str) -> u32 {
    let mut crc = Crc32c::new();
    crc.update(group.as_bytes());
    crc.update(body);
    crc.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(worker: &str) -> Receipt {
        Receipt {
            partition: PartitionId {
                topic: Uuid::from_u128(7),
                index: 3,
            },
            offset: Offset(1 << 40),
            delivery_count: 2,
            worker: worker.to_owned(),
        }
    }

    #[test]
    fn a_receipt_comes_back_as_it_was() {
        for worker in ["", "w", &"ö".repeat(MAX_WORKER / 2)] {
            let given = receipt(worker);
            let text = given.encode("g");
            assert_eq!(Receipt::decode(&text, "g"), Some(given));
        }
    }

    #[test]
    fn what_is_no_receipt_of_the_group_is_none() {
        let text = receipt("w").encode("g");
        assert_eq!(Receipt::decode(&text, "other"), None);
        for at in 0..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[at] = if wrong[at] == b'A' { b'B' } else { b'A' };
            let wrong = String::from_utf8(wrong).unwrap();
            // The last character may hold bits that mean nothing; base64 refuses those that are set.
            assert_ne!(Receipt::decode(&wrong, "g"), Some(receipt("w")), "{at}");
        }
        for wrong in ["", "x", "not a receipt", &"A".repeat(10_000)] {
            assert_eq!(Receipt::decode(wrong, "g"), None, "{wrong}");
        }
    }

    /// Receipts are in the hands of workers while the broker is replaced by its next release.
    #[test]
    fn golden() {
        let text = receipt("w").encode("g");
        assert_eq!(text, GOLDEN);
    }

    const GOLDEN: &str = "ATir_vsAAAAAAAAAAAAAAAAAAAAHAAAAAwAAAQAAAAAAAAJ3";
}
