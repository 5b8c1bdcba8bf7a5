//! The write-ahead log: one sequence of entries that all partitions share, cut into numbered files.
//!
//! ```text
//! wal/00000000000000000007.wal   file header, entry, entry, …, (zeros that were reserved)
//! wal/00000000000000000007.idx   side-car: what the sealed file holds, and where (see `sidecar`)
//! ```
//! A file is written by the [`writer`], sealed when it is full, and from then on is the first home (L0) of its
//! batches. `entry` has the byte layout, `scan` reads a file without a side-car.

pub(crate) mod entry;
pub(crate) mod file;
pub(crate) mod queue;
pub(crate) mod scan;
pub(crate) mod sidecar;
pub(crate) mod writer;
