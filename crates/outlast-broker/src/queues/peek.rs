//! Looking at messages without taking them.

use outlast_protocol::ErrorCode;
use outlast_records::{Offset, PartitionId, Record, RecordSet, records};
use tracing::error;

use super::Peeked;
use super::coordinator::{QueueCoordinator, check_group};
use super::hand::{Hand, read_error_code};
use super::scan::{self, MAX_DECOMPRESSED};
use crate::message_headers;
use crate::queue::{MessageState, OffsetRange, QueueId};

/// How much of the log one call reads.
const READ_BYTES: usize = 4 << 20;
/// How much is read at a time.
const STEP_BYTES: usize = 256 * 1024;

impl QueueCoordinator {
    /// Messages that are not done, from `from` on, with what the queue knows of each; fewer than `max` when they lie far
    /// apart or at the end. Changes nothing.
    pub async fn peek(
        &self,
        group: &str,
        partition: PartitionId,
        from: Offset,
        max: usize,
    ) -> Result<Vec<Peeked>, ErrorCode> {
        check_group(group)?;
        let id = QueueId::new(group, partition);
        let place = self.place(partition)?;
        let settings = self.world.settings(group);
        let end = place.log.high_watermark();
        let start = self.look(group, |queues| Some(queues.queue(&id)?.start()))?;
        let start = start.ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let mut at = from.max(start).max(place.log_start());
        let mut peeked = Vec::new();
        let mut read = 0;
        while let Some(rest) = OffsetRange::new(at, Offset(end.0 - 1))
            && peeked.len() < max
            && read < READ_BYTES
        {
            let mut hand = Hand::default();
            let taken = hand.take(&place.log, &[rest], STEP_BYTES).await;
            taken.map_err(|error| {
                error!(%error, queue = %id, "messages could not be peeked at");
                read_error_code(&error)
            })?;
            let Some(last) = hand.batches.last() else {
                break;
            };
            let next = last.header.next_offset();
            read += hand.bytes;
            let rules = scan::rules(&place, group, &settings, self.now());
            let mut found: Vec<Peeked> = Vec::new();
            for held in &hand.batches {
                if held.header.attributes.is_control() {
                    continue;
                }
                // What can't be decoded is on its way to the dead-letter topic.
                let Ok(set) = RecordSet::decode(&held.bytes, MAX_DECOMPRESSED) else {
                    continue;
                };
                let Ok(owned) = records(&held.bytes, MAX_DECOMPRESSED) else {
                    continue;
                };
                let both = set
                    .iter()
                    .map_while(Result::ok)
                    .zip(owned.map_while(Result::ok));
                found.extend(both.filter(|(seen, _)| seen.offset >= at).map(
                    |(seen, record): (_, Record)| Peeked {
                        record,
                        state: MessageState::Unseen,
                        due: message_headers::read(&seen, &rules).due,
                    },
                ));
            }
            self.look(group, |queues| {
                let Some(queue) = queues.queue(&id) else {
                    return found.clear();
                };
                for peeked in &mut found {
                    peeked.state = queue.state(peeked.record.offset);
                }
            })?;
            found.retain(|peeked| peeked.state != MessageState::Done);
            found.truncate(max - peeked.len());
            peeked.append(&mut found);
            at = next;
        }
        Ok(peeked)
    }
}
