//! What a store does besides appends, away from the writer.
//!
//! Invariants:
//! - Retention moves the log start by an entry of the write-ahead log, like everybody else; extents go when that is
//!   durable, and a file goes when no partition has an extent in it.
//! - A file is removed after a manifest that leaves it out is durable. Readers that hold it go on reading.
//! - A full disk stops nothing for good: what could not be written is tried again at the next tick.

mod removal;
mod side_cars;

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use outlast_records::{Offset, Timestamp};

use crate::error::StorageError;
use crate::partition::{Extent, PartitionLog, Place};
use crate::store::Shared;
use crate::wal::file::reserve_space;
use crate::wal::queue::QueuedContent;

pub(crate) use removal::Leaving;

/// A file that does nothing but take up space.
pub(crate) const BALLAST: &str = "BALLAST";

type Step = fn(&Shared) -> Result<(), StorageError>;

enum Outcome {
    Done,
    Full,
    Failed,
}

impl Outcome {
    fn is_full(&self) -> bool {
        matches!(self, Outcome::Full)
    }
}

fn is_full(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

impl Shared {
    /// Everything that is due.
    pub(crate) fn maintain(&self) {
        if self.maintain_once().is_full() && self.release_ballast() {
            // What the ballast gave is enough for the manifest that lets files go, and there is no time to wait.
            *self.retention_due.lock() = Duration::ZERO;
            self.maintain_once();
        } else {
            self.keep_ballast();
        }
        self.expire_producers();
        self.measure();
    }

    /// Gives sealed files their side-cars.
    pub(crate) fn side_cars_now(&self) {
        self.run(Shared::index_sealed);
    }

    /// Does each thing that is due, whatever becomes of the others.
    fn maintain_once(&self) -> Outcome {
        let steps: [Step; 5] = [
            Shared::reindex_damaged,
            Shared::index_sealed,
            Shared::apply_retention,
            Shared::empty_files,
            Shared::remove_dead_files,
        ];
        let mut outcome = Outcome::Done;
        for step in steps {
            match self.run(step) {
                Outcome::Done => {}
                Outcome::Full => outcome = Outcome::Full,
                Outcome::Failed => return Outcome::Failed,
            }
        }
        outcome
    }

    /// An error other than a full disk is final.
    fn run(&self, step: Step) -> Outcome {
        match step(self) {
            Ok(()) => Outcome::Done,
            Err(StorageError::Io {
                operation,
                path,
                source,
            }) if is_full(&source) => {
                let path = path.display();
                tracing::warn!(operation, %path, "the disk is full; this is tried again");
                Outcome::Full
            }
            Err(error) => {
                self.fail(error);
                Outcome::Failed
            }
        }
    }

    /// Sees to it that a few bytes are set aside for when the disk is full: to remove files, one must write a manifest.
    fn keep_ballast(&self) {
        let bytes = self.options.ballast_bytes;
        let path = self.dir.join(BALLAST);
        if bytes == 0 || self.ballast.load(Ordering::Relaxed) {
            return;
        }
        let made = self.remove(&path).and_then(|()| {
            let failed = StorageError::io("reserving space in", &path);
            let file = self.io.create(&path).map_err(failed)?;
            reserve_space(&*file, 0, bytes).map_err(failed)
        });
        match made {
            Ok(()) => self.ballast.store(true, Ordering::Relaxed),
            // No room, no ballast; and nothing depends on it.
            Err(_) => drop(self.remove(&path)),
        }
    }

    /// Gives the ballast's space back; false when there was none.
    fn release_ballast(&self) -> bool {
        self.ballast.swap(false, Ordering::Relaxed) && self.remove(&self.dir.join(BALLAST)).is_ok()
    }

    fn retention_is_due(&self) -> bool {
        let now = self.io.uptime();
        let mut due = self.retention_due.lock();
        if now < *due {
            return false;
        }
        *due = now + Duration::from_millis(self.options.retention_check_ms);
        true
    }

    /// Raises the log starts that retention asks for, in one entry. Does not wait for it.
    fn apply_retention(&self) -> Result<(), StorageError> {
        if !self.retention_is_due() {
            return Ok(());
        }
        let now = self.clock.now();
        let due = self
            .all_logs()
            .into_iter()
            .filter_map(|log| log.retention_start(now).map(|to| (log, to)));
        let due: Vec<_> = due.collect();
        let mut queue = self.sequencer.lock();
        if queue.closed().is_some() {
            return Ok(());
        }
        for (log, to) in due {
            if !log.lock().deleted {
                // Whoever waits for the log start watches the log.
                self.control(&mut queue, log, QueuedContent::LogStart { to });
            }
        }
        Ok(())
    }

    fn expire_producers(&self) {
        let before = Timestamp(
            self.clock
                .now()
                .0
                .saturating_sub(self.options.producer_expiry_ms),
        );
        for log in self.all_logs() {
            log.lock().producers.expire(before);
        }
    }

    fn measure(&self) {
        let metrics = &self.metrics;
        let logs = self.all_logs();
        let (mut l0, mut l1) = (0, 0);
        for log in &logs {
            for extent in &log.lock().extents {
                match &extent.place {
                    Place::Wal { .. } => l0 += extent.bytes,
                    Place::Segment(_) => l1 += extent.bytes,
                }
            }
        }
        metrics.partitions.set(logs.len() as i64);
        metrics.wal_files.set(self.files.lock().len() as i64);
        metrics.l0_bytes.set(l0 as i64);
        metrics.l1_bytes.set(l1 as i64);
        metrics
            .cold_read_bytes
            .inc_by(self.reader.take_bytes_read());
    }
}

impl PartitionLog {
    /// Where retention wants the log to start, if not where it does.
    fn retention_start(&self, now: Timestamp) -> Option<Offset> {
        let state = self.lock();
        let mut to = state.start;
        if let Some(ms) = state.retention.ms {
            let expired = |extent: &&Extent| extent.newest().0.saturating_add(ms) < now.0;
            to = state
                .extents
                .iter()
                .take_while(expired)
                .last()
                .map_or(to, |extent| extent.next);
        }
        if let Some(most) = state.retention.bytes {
            let mut bytes = state.bytes;
            for extent in &state.extents {
                // As Kafka does: what stays is never less than the limit, and the unsealed file is left alone.
                if extent.needs_side_car() || bytes.saturating_sub(extent.bytes) < most {
                    break;
                }
                bytes -= extent.bytes;
                to = to.max(extent.next);
            }
        }
        let to = to.min(state.high_watermark);
        (to > state.start).then_some(to)
    }
}
