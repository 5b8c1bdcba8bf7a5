//! What the rest of the broker sees of the queues: one method a request.
//!
//! Every reply waits until what it says is durable. A method that fails with `COORDINATOR_LOAD_IN_PROGRESS` or
//! `COORDINATOR_NOT_AVAILABLE` may or may not have had its effect, and can be called again.

use outlast_protocol::ErrorCode;
use outlast_records::{Offset, PartitionId};
use uuid::Uuid;

use super::*;
use crate::error::ApiError;

impl QueueCoordinator {
    // ---- workers

    /// Hands out what is there, at once; empty when nothing is. A queue that is not open is opened, where the group's
    /// `share.auto.offset.reset` says.
    pub async fn receive(
        &self,
        group: &str,
        worker: &Worker,
        partition: PartitionId,
        limits: ReceiveLimits,
    ) -> Result<Received, ErrorCode>;

    /// Tells when something may be there for a worker of the group. Watch first, then receive, then wait: what comes
    /// between is not missed. One of those who wait is told of a message, not all; one who was told and goes away
    /// without asking passes it on.
    pub fn watch(&self, group: &str, partitions: &[PartitionId]) -> QueueWatcher;
    // impl QueueWatcher { pub async fn changed(&mut self); }

    /// Each range takes effect or fails as a whole; the first that fails is the error, and those before it have had their
    /// effect. INVALID_RECORD_STATE: the worker doesn't hold all of it.
    pub async fn acknowledge(
        &self,
        group: &str,
        worker: &Worker,
        partition: PartitionId,
        ranges: &[AckRange],
    ) -> Result<(), ErrorCode>;

    /// A worker is gone: what it held, on all partitions of the group, is released at once and counts as a failed try.
    pub async fn release_worker(&self, group: &str, worker: &Worker) -> Result<(), ErrorCode>;

    // ---- administration

    /// Opens the queues that are not open, where `share.auto.offset.reset` says.
    pub async fn initialize(&self, group: &str, partitions: &[PartitionId]) -> Result<(), ErrorCode>;

    /// The queues of a group.
    pub fn partitions(&self, group: &str) -> Result<Vec<PartitionId>, ErrorCode>;

    pub async fn start_offsets(
        &self,
        group: &str,
        partitions: &[PartitionId],
    ) -> Result<Vec<StartOffset>, ErrorCode>;

    /// Begins the queues anew at these offsets: states and counts of what is there are forgotten.
    pub async fn alter_offsets(
        &self,
        group: &str,
        offsets: &[(PartitionId, Offset)],
    ) -> Result<(), ErrorCode>;

    /// Deletes the group's queues on these topics.
    pub async fn delete_offsets(&self, group: &str, topics: &[Uuid]) -> Result<(), ErrorCode>;

    /// Deletes all queues of a group.
    pub async fn delete_group(&self, group: &str) -> Result<(), ErrorCode>;

    /// Messages that are not done, from `from` on, with what the queue knows of each. Changes nothing.
    pub async fn peek(
        &self,
        group: &str,
        partition: PartitionId,
        from: Offset,
        max: usize,
    ) -> Result<Vec<Peeked>, ErrorCode>;

    /// Drops what is not locked, up to the high watermark of this moment. Returns how many messages that were.
    pub async fn purge(&self, group: &str, partition: PartitionId) -> Result<u64, ErrorCode>;

    pub fn numbers(&self, group: &str) -> Vec<QueueStanding>;

    /// What has happened in a group since the broker started, for metrics.
    pub fn counters(&self, group: &str) -> std::sync::Arc<QueueCounters>;

    /// The groups that have a queue.
    pub fn groups(&self) -> Vec<outlast_protocol::Str>;

    // ---- dead letters of a group that nobody has redriven or purged

    /// Up to `max` that pass the filter, oldest first, from where the page before ended.
    pub async fn dead_letters(
        &self,
        group: &str,
        filter: &DeadLetterFilter,
        from: Option<&str>,
        max: usize,
    ) -> Result<DeadLetterPage, ApiError>;

    /// How many pass the filter, by reason: the dry run of the two below.
    pub async fn count_dead_letters(
        &self,
        group: &str,
        filter: &DeadLetterFilter,
    ) -> Result<DeadLetterCounts, ApiError>;

    /// Moves dead letters back to where they came from, in the background.
    pub async fn redrive(
        &self,
        group: &str,
        filter: DeadLetterFilter,
        options: RedriveOptions,
    ) -> Result<JobId, ApiError>;

    /// Drops dead letters, in the background.
    pub async fn purge_dead_letters(
        &self,
        group: &str,
        filter: DeadLetterFilter,
    ) -> Result<JobId, ApiError>;

    /// Those that run, and the last that have ended, newest first.
    pub fn jobs(&self) -> Vec<Job>;
    pub fn job(&self, id: JobId) -> Option<Job>;
    /// False when there is no such job that runs.
    pub fn cancel_job(&self, id: JobId) -> bool;
}
