//! The primitive types of the protocol, read from a frame and written into one.
//!
//! Whether a version is flexible (varint lengths, tagged fields) is a state of the reader and the writer, set once a
//! message, so that the code of a struct needs to know its version only where its fields depend on it.

mod reader;
mod wire;
mod writer;

pub use reader::Reader;
pub use wire::{Nullable, Wire};
pub(crate) use wire::{read_nullable_struct, write_nullable_struct};
pub use writer::Writer;
