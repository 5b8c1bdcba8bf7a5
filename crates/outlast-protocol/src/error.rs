//! What can be wrong with bytes that came in, and with a message that should go out.

use thiserror::Error;

/// Why bytes are not the message they should be. Nothing was allocated for what they claimed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    #[error("{needed} bytes needed where {left} are left")]
    Truncated { needed: usize, left: usize },
    #[error("length {length} with {left} bytes left")]
    InvalidLength { length: i64, left: usize },
    #[error(
        "an array of {count} elements would need more memory than a frame of this size may use"
    )]
    ArrayTooLarge { count: usize },
    #[error("a varint is longer than 32 bits")]
    InvalidVarint,
    #[error("a string is not UTF-8")]
    InvalidUtf8,
    #[error("null where a value is required")]
    UnexpectedNull,
    #[error("tagged field {tag} is repeated or out of order")]
    TagOrder { tag: u32 },
    #[error("tagged field {tag} is {actual} bytes long but says {declared}")]
    TagSize {
        tag: u32,
        declared: usize,
        actual: usize,
    },
    #[error("{message} has no version {version}")]
    UnsupportedVersion { message: &'static str, version: i16 },
    #[error("API key {0} is not known")]
    UnknownApiKey(i16),
    #[error("{0} bytes follow the end of the message")]
    TrailingBytes(usize),
}

/// Why a message cannot be written in the version that was asked for: a mistake of the caller.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EncodeError {
    #[error("{message} has no version {version}")]
    UnsupportedVersion { message: &'static str, version: i16 },
    #[error("version {version} cannot carry a value in `{field}`")]
    UnsupportedField { field: &'static str, version: i16 },
    #[error("version {version} does not allow null in `{field}`")]
    UnexpectedNull { field: &'static str, version: i16 },
    #[error("{length} is more than the length prefix of this field can say")]
    TooLong { length: usize },
}
