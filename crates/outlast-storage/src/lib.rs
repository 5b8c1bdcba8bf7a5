//! Outlast's storage engine: one write-ahead log a data directory, shared by all partitions.
//!
//! It makes appends durable before it says so, serves them from memory and from disk, and gets all of it back after
//! a crash. It knows batches and offsets; it does not know topics by name, groups or requests.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod cache;
mod codec;
mod durable;
mod epochs;
mod error;
mod frame;
pub mod io;
mod l1;
mod lru;
mod maintenance;
mod manifest;
mod metrics;
pub mod offline;
mod options;
mod partition;
mod producers;
mod recovery;
pub mod segment;
mod store;
#[cfg(test)]
mod tests;
mod wal;
mod watch;

pub use durable::Durable;
pub use error::{AppendError, Damage, EpochEnd, ReadError, Rejection, StorageError};
pub use io::{Clock, DiskIo, Io, SystemClock};
pub use metrics::StorageMetrics;
pub use options::StoreOptions;
pub use partition::{FetchedBatches, PartitionLog, Retention, TimedOffset};
pub use producers::ActiveProducer;
pub use recovery::RecoveryReport;
pub use store::{Append, AppendPermit, AppendSection, SectionOutcome, Store};
pub use watch::{Marked, Watcher};
