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
    pub wal_written_bytes: Counter,
    pub queued_bytes: Gauge,
}

impl Default for StorageMetrics {
    fn default() -> Self {
        StorageMetrics {
            fsync_seconds: Histogram::new(exponential_buckets(50e-6, 2.0, 16)),
            entry_bytes: Histogram::new(exponential_buckets(256.0, 4.0, 10)),
            wal_written_bytes: Counter::default(),
            queued_bytes: Gauge::default(),
        }
    }
}

impl StorageMetrics {
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("outlast_storage");
        registry.register_with_unit(
            "fsync",
            "Time to make one write-ahead log entry durable",
            Unit::Seconds,
            self.fsync_seconds.clone(),
        );
        registry.register_with_unit(
            "wal_entry",
            "Size of write-ahead log entries",
            Unit::Bytes,
            self.entry_bytes.clone(),
        );
        registry.register_with_unit(
            "wal_written",
            "Bytes written to the write-ahead log",
            Unit::Bytes,
            self.wal_written_bytes.clone(),
        );
        registry.register_with_unit(
            "queued",
            "Bytes that wait to become durable",
            Unit::Bytes,
            self.queued_bytes.clone(),
        );
    }
}
