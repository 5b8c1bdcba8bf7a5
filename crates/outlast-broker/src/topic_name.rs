//! Which names a topic may have, and which topics are the broker's own.

use thiserror::Error;

/// Kafka's limit: a directory name of 255 bytes with room for `-<partition>`.
const MAX_LENGTH: usize = 249;

pub const CONSUMER_OFFSETS: &str = "__consumer_offsets";
pub const TRANSACTION_STATE: &str = "__transaction_state";
pub const SHARE_GROUP_STATE: &str = "__share_group_state";

/// Topics that clients may read but not write.
pub fn is_internal(name: &str) -> bool {
    matches!(
        name,
        CONSUMER_OFFSETS | SHARE_GROUP_STATE | TRANSACTION_STATE
    )
}

/// Names that nobody may create a topic under: what they stand for is not a topic here, or not yet.
pub fn is_reserved(name: &str) -> bool {
    matches!(name, "__cluster_metadata")
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidTopicName {
    #[error("a topic name must not be empty")]
    Empty,
    #[error("a topic cannot be named {0:?}")]
    Reserved(String),
    #[error("the topic name has {0} characters, more than the {MAX_LENGTH} allowed")]
    TooLong(usize),
    #[error(
        "the topic name {0:?} has characters other than ASCII letters, digits, '.', '_' and '-'"
    )]
    Characters(String),
}

pub fn validate(name: &str) -> Result<(), InvalidTopicName> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if name.is_empty() {
        Err(InvalidTopicName::Empty)
    } else if name == "." || name == ".." {
        Err(InvalidTopicName::Reserved(name.to_owned()))
    } else if !name.bytes().all(allowed) {
        // Before the length, so that a message never carries an unbounded name of odd characters.
        Err(InvalidTopicName::Characters(
            name.chars().take(MAX_LENGTH).collect(),
        ))
    } else if name.len() > MAX_LENGTH {
        Err(InvalidTopicName::TooLong(name.len()))
    } else {
        Ok(())
    }
}

/// Whether two different names would be one metric name: Kafka's metrics turn `.` into `_`, and tools built on them
/// cannot tell such topics apart.
pub fn collide(a: &str, b: &str) -> bool {
    let fold = |c: u8| if c == b'.' { b'_' } else { c };
    a.len() == b.len() && a != b && a.bytes().map(fold).eq(b.bytes().map(fold))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let long = "x".repeat(MAX_LENGTH);
        let too_long = "x".repeat(MAX_LENGTH + 1);
        for good in ["a", "A.b_c-9", "__consumer_offsets", "...", long.as_str()] {
            assert_eq!(validate(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "..", "a b", "a/b", "ü", "a\0", too_long.as_str()] {
            assert!(validate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn dots_and_underscores_collide() {
        for (a, b, expect) in [
            ("a.b", "a_b", true),
            ("a_b", "a_b", false),
            ("a.b", "a-b", false),
            ("a.b", "a_bc", false),
        ] {
            assert_eq!(collide(a, b), expect, "{a} {b}");
        }
    }
}
