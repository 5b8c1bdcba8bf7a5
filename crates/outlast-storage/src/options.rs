//! What can be set about a store. Validated once, when it is opened.

use crate::error::StorageError;

#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// A write-ahead log file is sealed at this size. Smaller files mean finer retention and a shorter scan after
    /// a crash; larger ones mean fewer side-cars.
    pub wal_file_bytes: u64,
    /// A write-ahead log file that holds something is sealed at this age, so that retention can get at it.
    pub wal_file_age_ms: i64,
    /// A write-ahead log file is sealed when its index has this many runs of batches: bounds the memory for it.
    pub wal_file_runs: usize,
    /// What waits is written as one entry of up to this many bytes; one append is never cut.
    pub max_entry_bytes: usize,
    /// Write-ahead log files that hold something may have this many bytes; beyond, the oldest are emptied into segments.
    pub l0_bytes: u64,
    /// How quickly segments are written.
    pub l1_bytes_per_second: u64,
    /// Memory for the newest batches of all partitions.
    pub tail_cache_bytes: usize,
    /// Appends in flight: [`crate::Store::reserve`] waits beyond it.
    pub max_in_flight_bytes: usize,
    /// Memory for the indexes of sealed files that readers use.
    pub index_cache_bytes: usize,
    /// `producer.id.expiration.ms`: how long an idle producer's sequences are remembered.
    pub producer_expiry_ms: i64,
    /// `log.retention.check.interval.ms`: how often retention is applied at most; 0: at every tick. Records that were written with old
    /// timestamps can be read for about this long.
    pub retention_check_ms: u64,
    /// Space that is set aside so that a full disk can be emptied: removing files needs a little of it first.
    pub ballast_bytes: u64,
    /// Check the CRC of batches read from disk.
    pub verify_reads: bool,
    /// `true`: threads of the store's own write and tidy. `false`: the caller drives them by
    /// [`crate::Store::step_writer`] and [`crate::Store::tick`], as a simulator does.
    pub threads: bool,
    /// Go on without the newest write-ahead log file when it is listed and missing, by number: what it held is lost. Without
    /// this, opening refuses.
    pub accept_lost_files: Vec<u64>,
    /// How often the store's own thread calls [`crate::Store::tick`].
    pub tick_ms: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            wal_file_bytes: 128 << 20,
            wal_file_age_ms: 60 * 60 * 1000,
            wal_file_runs: 256 << 10,
            max_entry_bytes: 8 << 20,
            l0_bytes: 16 << 30,
            l1_bytes_per_second: 64 << 20,
            tail_cache_bytes: 40 << 20,
            max_in_flight_bytes: 64 << 20,
            index_cache_bytes: 4 << 20,
            producer_expiry_ms: 24 * 60 * 60 * 1000,
            retention_check_ms: 5 * 60 * 1000,
            ballast_bytes: 4 << 20,
            verify_reads: true,
            threads: true,
            accept_lost_files: Vec::new(),
            tick_ms: 5_000,
        }
    }
}

impl StoreOptions {
    pub(crate) fn validate(&self) -> Result<(), StorageError> {
        // Positions inside a file are kept in 32 bits.
        const FILE_LIMIT: u64 = 2 << 30;
        if self.wal_file_bytes == 0 || self.wal_file_bytes > FILE_LIMIT {
            return Err(StorageError::Options(format!(
                "wal_file_bytes is {}, allowed are 1 to {FILE_LIMIT}",
                self.wal_file_bytes
            )));
        }
        if self.max_in_flight_bytes == 0 || self.max_in_flight_bytes > u32::MAX as usize {
            return Err(StorageError::Options(format!(
                "max_in_flight_bytes is {}, allowed are 1 to {}",
                self.max_in_flight_bytes,
                u32::MAX
            )));
        }
        Ok(())
    }
}
