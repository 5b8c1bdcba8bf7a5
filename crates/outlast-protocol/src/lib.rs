//! Kafka's wire protocol: messages, headers, frames and the record formats of the internal topics.
//!
//! Each message is written once, as a declarative schema in `messages/` or `records/`; the `message!` macro makes the
//! struct, its defaults, decode and encode from it. Strings and bytes are slices of the frame they came in, and no
//! length is believed before it was compared with what is left. There is no I/O here, and no opinion about what a
//! request means.

mod api_key;
mod codec;
mod error;
mod error_code;
pub mod frame;
#[cfg(any(test, feature = "generate"))]
pub mod generate;
mod header;
pub mod messages;
pub mod records;
mod records_chain;
mod schema;
#[cfg(test)]
mod tests;

pub use api_key::ApiKey;
pub use codec::{Nullable, Reader, Wire, Writer};
pub use error::{DecodeError, EncodeError};
pub use error_code::ErrorCode;
pub use header::{RequestHeader, ResponseHeader};
pub use records_chain::Records;
pub use schema::{Message, Request};

/// A string that was checked to be UTF-8 and is usually a slice of the frame it came in.
///
/// It keeps that whole frame in memory: what outlives the request must be copied (`Str::from(&*name)`).
pub type Str = bytestring::ByteString;
