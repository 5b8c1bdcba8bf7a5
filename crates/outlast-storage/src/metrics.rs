//! What the store counts, under the names that its metrics endpoint shows.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug)]
pub struct StorageMetrics {
    /// From the first byte written to the sync's return, per entry.
    pub fsync_seconds: Histogram,
    pub entry_bytes: Histogram,
    /// Bytes of entries, with their headers.
    pub wal_written_bytes: Counter,
    /// Appends that a full disk turned away, by entry.
    pub full_entries: Counter,
    /// Batch bytes that wait to become durable.
    pub queued_bytes: Gauge,
    /// Entries that wait for the one before them.
    pub queued_entries: Gauge,
    pub tail_cache_bytes: Gauge,
    pub partitions: Gauge,
    /// Write-ahead log files, the unsealed one included.
    pub wal_files: Gauge,
    /// Live batch bytes in write-ahead log files (L0).
    pub l0_bytes: Gauge,
    /// Live batch bytes in segments (L1).
    pub l1_bytes: Gauge,
    /// Batch bytes that were read from disk, not from memory.
    pub cold_read_bytes: Counter,
}

impl Default for StorageMetrics {
    fn default() -> Self {
        StorageMetrics {
            fsync_seconds: Histogram::new(exponential_buckets(50e-6, 2.0, 16)),
            entry_bytes: Histogram::new(exponential_buckets(256.0, 4.0, 10)),
            wal_written_bytes: Counter::default(),
            full_entries: Counter::default(),
            queued_bytes: Gauge::default(),
            queued_entries: Gauge::default(),
            tail_cache_bytes: Gauge::default(),
            partitions: Gauge::default(),
            wal_files: Gauge::default(),
            l0_bytes: Gauge::default(),
            l1_bytes: Gauge::default(),
            cold_read_bytes: Counter::default(),
        }
    }
}

impl StorageMetrics {
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("outlast_storage");
        let help = "Time to write one write-ahead log entry and make it durable";
        registry.register_with_unit("fsync", help, Unit::Seconds, self.fsync_seconds.clone());
        let help = "Size of write-ahead log entries";
        registry.register_with_unit("wal_entry", help, Unit::Bytes, self.entry_bytes.clone());
        for (name, help, counter) in [
            (
                "wal_written",
                "Written to the write-ahead log",
                &self.wal_written_bytes,
            ),
            (
                "cold_read",
                "Batches read from disk, not from memory",
                &self.cold_read_bytes,
            ),
        ] {
            registry.register_with_unit(name, help, Unit::Bytes, counter.clone());
        }
        for (name, help, gauge) in [
            (
                "queued",
                "Batches that wait to become durable",
                &self.queued_bytes,
            ),
            (
                "tail_cache",
                "Batches served from memory",
                &self.tail_cache_bytes,
            ),
            (
                "l0",
                "Live batches in write-ahead log files",
                &self.l0_bytes,
            ),
            ("l1", "Live batches in segments", &self.l1_bytes),
        ] {
            registry.register_with_unit(name, help, Unit::Bytes, gauge.clone());
        }
        for (name, help, gauge) in [
            (
                "queued_entries",
                "Entries that wait to be written",
                &self.queued_entries,
            ),
            ("partitions", "Partitions that have a log", &self.partitions),
            ("wal_files", "Write-ahead log files", &self.wal_files),
        ] {
            registry.register(name, help, gauge.clone());
        }
        let help = "Entries that a full disk turned away";
        registry.register("full_entries", help, self.full_entries.clone());
    }
}
