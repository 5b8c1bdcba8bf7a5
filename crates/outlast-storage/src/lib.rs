//! Outlast's storage engine: one write-ahead log a data directory, shared by all partitions.
//!
//! It makes appends durable before it says so, serves them from memory and from disk, and gets all of it back after
//! a crash. It knows batches and offsets; it does not know topics by name, groups or requests.
//!
//! # The way of an append
//!
//! [`Store::append`] checks producers, gives offsets and queues, all under one lock and without I/O (`partition::append`,
//! `wal::queue`). The writer takes what has gathered as one entry, writes and syncs it, moves high watermarks and resolves
//! everybody's [`Durable`] (`wal::writer`). A full file is sealed and gets a side-car index (`maintenance::side_cars`);
//! readers find batches by it (`partition::read`). What retention leaves is emptied into segments when there is reason to
//! (`l1::emptying`). [`Store::open`] puts it all together again (`recovery`, with a table of what it does about what).
//!
//! ```text
//! DIR/LOCK                      who has the directory
//! DIR/MANIFEST, MANIFEST.copy   which files are part of the log (`manifest`)
//! DIR/wal/N.wal                 entries of all partitions (`wal::entry`): the first home of everything (L0)
//! DIR/wal/N.idx                 what lies where in a sealed one (`wal::sidecar`)
//! DIR/segments/ID.segment       batches by partition (L1, [`segment`])
//! DIR/quarantine/               what was not understood
//! DIR/BALLAST                   space for the manifest of a full disk
//! ```
//!
//! # What always holds
//!
//! | # | invariant | where it is enforced | which test would notice |
//! |---|---|---|---|
//! | 1 | A `Durable` resolves to `Ok` only after the sync that covers its batches returned. | `WriterCore::step`: write, sync, then `complete` | `tests::model`, `crashes::power_may_fail_at_any_call` |
//! | 2 | An entry is there whole or not at all, over all its partitions. | one checksummed header and table an entry; `wal::scan` | `crashes::an_entry_torn_at_any_byte_…`, `model::check_atomic` |
//! | 3 | The order of a partition's offsets is the order of the log. | offsets are given and sections queued under the sequencer's lock; one writer, one entry at a time | `tests::model`, `tests/threads.rs` |
//! | 4 | The high watermark is durable and contiguous; it and the log start never go backwards. | only `State::{add_batches, raise_end, raise_start}` move them, each with `max` | `tests::model` |
//! | 5 | Nobody reads what could still be lost. | every read is limited by the high watermark | `serving::the_tail_is_served_from_memory_and_only_when_durable` |
//! | 6 | After a write that failed for lack of space, offsets, producers and cache are what is durable, and the next append continues there. | `WriterCore::fall_back`, under the sequencer's lock | `full_disk::appends_fail_with_full_and_resume`, `tests::model` |
//! | 7 | After a failed sync, or any other write error, nothing is acknowledged. | `Shared::fail` closes the queue for good | `crashes::a_failed_sync_is_final`, `crashes::a_write_error_is_final` |
//! | 8 | A torn tail is cut only when nothing behind it says it had been synced. | `EntryHeader::synced_through`, `wal::scan` | `damage::any_flipped_bit_is_survived_or_named` |
//! | 9 | Every byte is under a checksum; damage stays in its batch, section or block, and is kept. | `wal::entry`, `frame`, `wal::sidecar`, `segment`, `recovery::quarantine` | `damage::…`, `segment::tests`, `offline::tests` |
//! | 10 | An acknowledged offset is never given to another record, whatever was damaged. | `Fold::skip_lost`, `State::raise_end` | `damage::any_flipped_bit_…` (`goes_on`) |
//! | 11 | A file is removed only after a manifest without it is durable, and that has what only the file said. | `Shared::{remove_dead_files, store_manifest}` | `tests::model`, `producers::producers_outlive_their_data_and_expire` |
//! | 12 | A repeated batch is answered as the first time, in flight, durable, after a crash, and after its data is gone. | `producers`, side-cars, manifest | `tests::producers` |
//! | 13 | A deleted partition never comes back. | tombstones in `Logs`, side-cars, manifest | `retention::a_deleted_partition_stays_deleted`, `tests::model` |
//! | 14 | A reader keeps the file it reads, whoever removes it. | files, side-cars and segments are held by `Arc` | `retention::a_reader_keeps_the_file_that_retention_removes` |
//! | 15 | A transaction counts as open until its marker is durable: the last stable offset is where the oldest open one began, and never goes back. | `producers` (`open`), `State::last_stable_offset`; published with the high watermark | `tests::transactions`, `tests::model` |
//! | 16 | Whoever reads below the last stable offset is told of every aborted transaction there, wherever the bytes lie: memory, L0, L1, after a crash. | `transactions::AbortedTxns`; side-cars and segments list what ended in them | `transactions::the_list_survives_…`, `tests::model` |
//! | 17 | A marker of an older producer epoch, or of an older coordinator, ends nothing. | `ProducerEntry::check` | `transactions::markers_end_or_are_refused` |
//! | 18 | What is appended on the condition of an earlier append is not there without that one. | `Store::append_if`, under the sequencer's lock; entries become durable in order | `full_disk::what_follows_from_a_lost_append_is_not_appended` |
//! | 19 | Memory for data, indexes and appends in flight has budgets. | `cache`, `lru`, `Store::reserve` | `serving::the_cache_keeps_to_its_budget_…`, `lru::tests` |
//!
//! # Locks
//!
//! Sequencer, then one partition's state at a time, never two; `Logs` and the registries of files inside of neither for
//! longer than a look. No lock is held over I/O but the writer's own and the manifest's.

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
mod transactions;
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
pub use segment::AbortedTxn;
pub use store::{Append, AppendPermit, AppendSection, Expected, SectionOutcome, Store};
pub use watch::{Marked, Watcher};
