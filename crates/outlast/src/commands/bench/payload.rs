//! What benches send: made before the clock starts, and only ever borrowed.

use clap::ValueEnum;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Content {
    /// JSON-like events, which compress about as well as real ones do
    Text,
    /// Random bytes, which don't compress
    Random,
}

/// A stretch of bytes from which records are cut at different places, so that they are not all alike.
pub struct Payloads {
    bytes: Vec<u8>,
    size: usize,
    next: usize,
}

/// How much is made: more than any compressor's window for a batch needs, and little memory.
const STRETCH: usize = 1 << 20;
/// From one record's beginning to the next one's. Prime, so that places repeat only after the whole stretch.
const STEP: usize = 4099;

impl Payloads {
    pub fn new(content: Content, size: usize, seed: u64) -> Self {
        let mut random = Xorshift(seed | 1);
        let wanted = STRETCH + size;
        let mut bytes = Vec::with_capacity(wanted + 64);
        while bytes.len() < wanted {
            match content {
                Content::Random => bytes.extend_from_slice(&random.next().to_le_bytes()),
                Content::Text => {
                    let event = format!(
                        "{{\"account\":{},\"amount\":{},\"state\":\"accepted\"}},",
                        random.next() % 100_000_000,
                        random.next() % 10_000
                    );
                    bytes.extend_from_slice(event.as_bytes());
                }
            }
        }
        Self {
            bytes,
            size,
            next: 0,
        }
    }

    pub fn next(&mut self) -> &[u8] {
        let start = self.next;
        self.next = (self.next + STEP) % STRETCH;
        &self.bytes[start..start + self.size]
    }
}

/// Good enough to look random, the same on every machine.
struct Xorshift(u64);

impl Xorshift {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_the_size_asked_for_and_differ() {
        for content in [Content::Text, Content::Random] {
            for size in [0, 1, 100, 5000] {
                let mut payloads = Payloads::new(content, size, 7);
                let first = payloads.next().to_vec();
                let second = payloads.next().to_vec();
                assert_eq!(first.len(), size);
                assert!(size < 100 || first != second);
                // All the way round.
                for _ in 0..STRETCH {
                    assert_eq!(payloads.next().len(), size);
                }
            }
        }
    }
}
