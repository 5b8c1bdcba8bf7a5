//! The messages of the crash workloads: each says who sent it, to which partition, as which one.
//!
//! `<producer> <partition> <sequence> ` in ASCII, then a filler whose length and byte follow from
//! the sequence. Producers in other languages build the same bytes (see `clients/`), so a reader
//! can tell a message that came back whole from one that did not.

use std::fmt;

/// Counts the messages of one producer in one partition, from 0.
pub type Sequence = u32;

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Message {
    pub producer: String,
    pub partition: i32,
    pub sequence: Sequence,
}

impl Message {
    pub fn encode(&self) -> Vec<u8> {
        let mut value = format!("{self} ").into_bytes();
        let filler = b'0' + (self.sequence % 10) as u8;
        value.resize(value.len() + filler_length(self.sequence), filler);
        value
    }

    /// The message whose bytes these are exactly, or nothing.
    pub fn decode(value: &[u8]) -> Option<Self> {
        let mut words = value.splitn(4, |&byte| byte == b' ');
        let mut word = || std::str::from_utf8(words.next()?).ok();
        let message = Self {
            producer: word()?.to_owned(),
            partition: word()?.parse().ok()?,
            sequence: word()?.parse().ok()?,
        };
        (message.encode() == value).then_some(message)
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.producer, self.partition, self.sequence)
    }
}

/// Mostly small, now and then large enough to be a request of its own.
fn filler_length(sequence: Sequence) -> usize {
    if sequence % 400 == 399 {
        60_000
    } else {
        (sequence as usize * 7919) % 1500
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_messages_decode() {
        let message = Message {
            producer: "rust-0".to_owned(),
            partition: 2,
            sequence: 1399,
        };
        let value = message.encode();
        assert_eq!(Message::decode(&value), Some(message));
        assert_eq!(Message::decode(&value[..value.len() - 1]), None);
        let mut damaged = value.clone();
        damaged[100] ^= 1;
        assert_eq!(Message::decode(&damaged), None);
        assert_eq!(Message::decode(b"rust-0 2"), None);
    }
}
