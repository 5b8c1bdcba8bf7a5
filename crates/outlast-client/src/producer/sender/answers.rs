//! What becomes of each batch when a produce request was answered, or failed.

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::ProduceResponse;
use outlast_protocol::messages::produce::PartitionProduceResponse;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::super::Delivered;
use super::super::flow::Verdict;
use super::super::request::{Entry, Shipment};
use super::{Sender, settle};
use crate::error::{ClientError, known_code};
use crate::metadata::BrokerId;

impl Sender {
    pub(super) fn handle_answer(
        &mut self,
        broker: BrokerId,
        shipment: Shipment,
        result: Result<Option<ProduceResponse>, ClientError>,
        now: Instant,
    ) {
        if let Some(state) = self.brokers.get_mut(&broker) {
            state.in_flight = state.in_flight.saturating_sub(1);
        }
        match result {
            Ok(Some(response)) => {
                for (entry, answer) in shipment.match_with(response) {
                    self.handle_partition(entry, answer, now);
                }
            }
            Ok(None) => {
                for entry in shipment.entries {
                    self.acknowledge(entry, None, now);
                }
            }
            Err(error) => {
                debug!(broker = broker.0, %error, "a produce request failed");
                self.leaders_are_doubtful(broker);
                for entry in shipment.entries {
                    self.reject(entry, &error, now);
                }
            }
        }
    }

    fn handle_partition(
        &mut self,
        entry: Entry,
        answer: Option<PartitionProduceResponse>,
        now: Instant,
    ) {
        let Some(answer) = answer else {
            let what = "a produce answer without this partition";
            let error = ClientError::malformed(&*entry.topic, what);
            return self.reject(entry, &error, now);
        };
        if answer.error_code == 0 {
            let offset = (answer.base_offset >= 0).then_some(answer.base_offset);
            return self.acknowledge(entry, offset, now);
        }
        let error = ClientError::broker(
            known_code(answer.error_code),
            format!("producing to {}-{}", entry.topic, entry.partition),
            answer
                .record_errors
                .iter()
                .find_map(|e| e.batch_index_error_message.as_deref())
                .or(answer.error_message.as_deref())
                .map(str::to_owned),
        );
        self.reject(entry, &error, now);
    }

    fn acknowledge(&mut self, entry: Entry, offset: Option<i64>, now: Instant) {
        let slot = &mut self.slots[entry.slot];
        slot.flow.acknowledged(entry.batch.serial);
        slot.failures = 0;
        slot.not_before = None;
        settle(
            &self.inlet,
            &entry.batch.origin,
            Ok(Delivered {
                partition: entry.partition,
                offset,
                acknowledged: now,
            }),
        );
    }

    fn reject(&mut self, entry: Entry, error: &ClientError, now: Instant) {
        let slot = &mut self.slots[entry.slot];
        match slot.flow.failed(entry.batch, error) {
            Verdict::Retry => {
                slot.failures += 1;
                let pause = self.client.config().backoff.jittered(slot.failures);
                slot.not_before = Some(now + pause);
                debug!(topic = %entry.topic, partition = entry.partition, %error, ?pause, "retrying a batch");
                // An out-of-order batch only waits for the one before it.
                if error.code() != Some(ErrorCode::OutOfOrderSequenceNumber) {
                    self.stale_topics.insert(entry.topic.to_string());
                }
                self.activate_slot(entry.slot);
            }
            Verdict::Duplicate(batch) => {
                slot.flow.acknowledged(batch.serial);
                settle(
                    &self.inlet,
                    &batch.origin,
                    Ok(Delivered {
                        partition: entry.partition,
                        offset: None,
                        acknowledged: now,
                    }),
                );
            }
            Verdict::Fail(batch) => {
                warn!(topic = %entry.topic, partition = entry.partition, %error, "a batch was lost");
                settle(&self.inlet, &batch.origin, Err(error.clone()));
                self.activate_slot(entry.slot);
            }
        }
    }
}
