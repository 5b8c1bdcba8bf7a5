//! What a worker says about what it holds, and what becomes of it when the worker is gone.

use outlast_protocol::ErrorCode;
use outlast_records::PartitionId;

use super::AckRange;
use super::coordinator::{QueueCoordinator, check_group};
use crate::queue::{AckError, OffsetRange, QueueId, Worker};

impl QueueCoordinator {
    /// Each range takes effect or fails as a whole; the first that fails is the error, and those before it have had their
    /// effect. INVALID_RECORD_STATE: the worker doesn't hold all of it.
    pub async fn acknowledge(
        &self,
        group: &str,
        worker: &Worker,
        partition: PartitionId,
        ranges: &[AckRange],
    ) -> Result<(), ErrorCode> {
        check_group(group)?;
        let id = QueueId::new(group, partition);
        let ((done, result), ticket) = self.run(group, |queues, turn| {
            for (done, ack) in ranges.iter().enumerate() {
                let Some(range) = OffsetRange::new(ack.first, ack.last) else {
                    return (done, Err(ErrorCode::InvalidRequest));
                };
                let told = queues.acknowledge(&id, worker, range, ack.verb, turn);
                if let Err(error) = told.map_err(AckError::code) {
                    return (done, Err(error));
                }
            }
            (ranges.len(), Ok(()))
        })?;
        self.durable(group, ticket).await?;
        let counters = self.all_counters.of(group);
        for ack in &ranges[..done] {
            counters.acknowledged(&id, ack, self.now());
        }
        result
    }

    /// A worker is gone: what it held, on all partitions of the group, is released at once and counts as a failed try.
    pub async fn release_worker(&self, group: &str, worker: &Worker) -> Result<(), ErrorCode> {
        check_group(group)?;
        let released = self
            .run_durably(group, |queues, turn| {
                queues.release_worker(group, worker, turn)
            })
            .await?;
        self.all_counters.of(group).released(released);
        Ok(())
    }
}
