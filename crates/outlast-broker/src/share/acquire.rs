//! Acquiring records for a share consumer, and waiting until there are enough.
//!
//! What was acquired is the consumer's from that moment on, so that a fetch with records ends as soon as it has the bytes
//! that the consumer asked for at least.

use std::time::Duration;

use outlast_protocol::ErrorCode;
use outlast_records::PartitionId;
use tokio::sync::watch;
use tokio::time::Instant;

use super::SessionTicket;
use crate::queues::{QueueCoordinator, ReceiveLimits, Received, Worker};

/// After this a shard that is loading is asked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// What the consumer asked of the whole response.
#[derive(Clone, Copy, Debug)]
pub struct AcquireLimits {
    pub max_records: usize,
    pub min_bytes: usize,
    pub max_bytes: usize,
    pub max_wait: Duration,
    /// `batch_optimized`: a batch that is begun is acquired to its end. Otherwise `max_records` is never passed.
    pub whole_batches: bool,
}

/// What a fetch has found so far.
#[derive(Default)]
struct Found {
    partitions: Vec<(PartitionId, Result<Received, ErrorCode>)>,
    records: usize,
    bytes: usize,
    /// A shard could not be asked for the moment.
    loading: bool,
}

/// Acquires from the partitions, in this order, what the limits allow. Partitions without records are not in the result.
/// Ends when there is enough, when the wait is over, when nothing can come, when the session ends, or when the broker is
/// closing.
pub async fn acquire(
    queues: &QueueCoordinator,
    group: &str,
    worker: &Worker,
    mut partitions: Vec<PartitionId>,
    limits: AcquireLimits,
    session: &mut SessionTicket,
    mut closing: watch::Receiver<bool>,
) -> Vec<(PartitionId, Result<Received, ErrorCode>)> {
    let deadline = Instant::now() + limits.max_wait;
    let mut found = Found::default();
    let mut watcher = None;
    while limits.max_records > 0 && limits.max_bytes > 0 && session.is_open() {
        found
            .collect(queues, group, worker, &mut partitions, &limits)
            .await;
        let enough = found.records >= limits.max_records
            || found.bytes >= limits.max_bytes
            || found.records > 0 && found.bytes >= limits.min_bytes;
        if enough || partitions.is_empty() || Instant::now() >= deadline {
            break;
        }
        let Some(watcher) = &mut watcher else {
            // Watch first, then look once more: what came in between is not missed.
            watcher = Some(queues.watch(group, &partitions));
            continue;
        };
        let wake_at = match std::mem::take(&mut found.loading) {
            true => deadline.min(Instant::now() + ASK_AGAIN_AFTER),
            false => deadline,
        };
        tokio::select! {
            () = watcher.changed() => {}
            () = tokio::time::sleep_until(wake_at) => {}
            () = session.closed() => break,
            _ = closing.wait_for(|closing| *closing) => break,
        }
    }
    found.partitions
}

impl Found {
    /// Looks at each partition once. Those with an error are told and not looked at again.
    async fn collect(
        &mut self,
        queues: &QueueCoordinator,
        group: &str,
        worker: &Worker,
        partitions: &mut Vec<PartitionId>,
        limits: &AcquireLimits,
    ) {
        let left = ReceiveLimits {
            max_records: limits.max_records.saturating_sub(self.records),
            max_bytes: limits.max_bytes.saturating_sub(self.bytes),
            whole_batches: limits.whole_batches,
            lock: None,
        };
        for (id, received) in queues.receive_all(group, worker, partitions, left).await {
            match received {
                Ok(received) => self.add(id, received),
                Err(ErrorCode::CoordinatorLoadInProgress | ErrorCode::CoordinatorNotAvailable) => {
                    self.loading = true;
                }
                Err(code) => {
                    partitions.retain(|other| *other != id);
                    self.partitions.push((id, Err(code)));
                }
            }
        }
    }

    fn add(&mut self, id: PartitionId, received: Received) {
        if received.acquired.is_empty() {
            return;
        }
        for range in &received.acquired {
            self.records += (range.last.0 - range.first.0 + 1) as usize;
        }
        self.bytes += received.batches.iter().map(|b| b.len()).sum::<usize>();
        let earlier = self.partitions.iter_mut().find(|(known, _)| *known == id);
        match earlier {
            Some((_, Ok(earlier))) => {
                earlier.batches.extend(received.batches);
                earlier.acquired.extend(received.acquired);
            }
            _ => self.partitions.push((id, Ok(received))),
        }
    }
}
