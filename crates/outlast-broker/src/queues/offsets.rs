//! Where queues begin and end: opening, resetting and deleting them.

use std::sync::Arc;
use std::time::Duration;

use outlast_protocol::ErrorCode;
use outlast_records::{Offset, PartitionId, Timestamp};
use tracing::error;
use uuid::Uuid;

use super::StartOffset;
use super::coordinator::{Place, QueueCoordinator, check_group};
use super::hand::{blocking, read_error_code};
use crate::group_config::OffsetReset;
use crate::queue::{OffsetRange, QueueId};

impl QueueCoordinator {
    /// Opens the queues that are not open, where `share.auto.offset.reset` says.
    pub async fn initialize(
        &self,
        group: &str,
        partitions: &[PartitionId],
    ) -> Result<(), ErrorCode> {
        check_group(group)?;
        let ids = partitions.iter().map(|id| QueueId::new(group, *id));
        let missing: Vec<QueueId> = self.look(group, |queues| {
            ids.filter(|id| queues.queue(id).is_none()).collect()
        })?;
        if missing.is_empty() {
            return Ok(());
        }
        let reset = self.world.settings(group).share.offset_reset;
        let mut starts = Vec::with_capacity(missing.len());
        for id in missing {
            let place = self.place(id.partition)?;
            starts.push((id, self.initial_offset(&place, reset).await?));
        }
        self.run_durably(group, |queues, turn| {
            for (id, start) in &starts {
                queues.open(id, *start, turn);
            }
        })
        .await
    }

    async fn initial_offset(&self, place: &Place, reset: OffsetReset) -> Result<Offset, ErrorCode> {
        match reset {
            OffsetReset::Earliest => Ok(place.log.start_offset()),
            OffsetReset::Latest => Ok(place.log.high_watermark()),
            OffsetReset::ByDuration(duration) => {
                let since = before(self.now(), duration);
                let log = Arc::clone(&place.log);
                let found = blocking(move || log.offset_for_timestamp(since)).await;
                let found = found.map_err(|error| {
                    error!(%error, partition = %place.log.id(), "a timestamp could not be looked up");
                    read_error_code(&error)
                })?;
                Ok(found.map_or(place.log.high_watermark(), |(offset, _, _)| offset))
            }
        }
    }

    /// The partitions on which the group has a queue.
    pub fn partitions(&self, group: &str) -> Result<Vec<PartitionId>, ErrorCode> {
        self.look(group, |queues| {
            queues
                .group(group)
                .map(|(partition, _)| partition)
                .collect()
        })
    }

    pub async fn start_offsets(
        &self,
        group: &str,
        partitions: &[PartitionId],
    ) -> Result<Vec<StartOffset>, ErrorCode> {
        let found = self
            .run_durably(group, |queues, _| {
                let numbers = |id: &PartitionId| (*id, queues.numbers(&QueueId::new(group, *id)));
                partitions.iter().map(numbers).collect::<Vec<_>>()
            })
            .await?;
        let start_offset = |(partition, numbers): (PartitionId, Option<_>)| {
            let Some(numbers): Option<crate::queue::QueueNumbers> = numbers else {
                return StartOffset {
                    partition,
                    start: None,
                    lag: -1,
                };
            };
            let lag = self.place(partition).map_or(-1, |place| {
                let open = place.log.high_watermark().0 - numbers.start.0;
                (open - i64::try_from(numbers.done).unwrap_or(i64::MAX)).max(0)
            });
            StartOffset {
                partition,
                start: Some(numbers.start),
                lag,
            }
        };
        Ok(found.into_iter().map(start_offset).collect())
    }

    /// Begins the queues anew at these offsets: states and counts of what is there are forgotten. Makes those that are
    /// not there.
    pub async fn alter_offsets(
        &self,
        group: &str,
        offsets: &[(PartitionId, Offset)],
    ) -> Result<(), ErrorCode> {
        check_group(group)?;
        let mut starts = Vec::with_capacity(offsets.len());
        for (partition, offset) in offsets {
            let log = self.place(*partition)?.log;
            let offset = (*offset).clamp(log.start_offset(), log.high_watermark());
            starts.push((QueueId::new(group, *partition), offset));
        }
        self.run_durably(group, |queues, turn| {
            for (id, start) in &starts {
                queues.reset(id, *start, turn);
            }
        })
        .await
    }

    /// Deletes the group's queues on these topics.
    pub async fn delete_offsets(&self, group: &str, topics: &[Uuid]) -> Result<(), ErrorCode> {
        check_group(group)?;
        let deleted = self
            .run_durably(group, |queues, turn| {
                let of_topics = |id: &PartitionId| topics.contains(&id.topic);
                let partitions = queues.group(group).map(|(partition, _)| partition);
                let gone: Vec<_> = partitions
                    .filter(of_topics)
                    .map(|partition| QueueId::new(group, partition))
                    .collect();
                for id in &gone {
                    queues.delete(id, turn);
                }
                gone
            })
            .await?;
        deleted.iter().for_each(|id| self.scan_turns.forget(id));
        Ok(())
    }

    /// Deletes all queues of a group, and what it remembers of processed ids.
    pub async fn delete_group(&self, group: &str) -> Result<(), ErrorCode> {
        check_group(group)?;
        let deleted = self
            .run_durably(group, |queues, turn| {
                let ids = queues.group(group);
                let ids: Vec<_> = ids.map(|(id, _)| QueueId::new(group, id)).collect();
                queues.delete_group(group, turn.fx);
                ids
            })
            .await?;
        deleted.iter().for_each(|id| self.scan_turns.forget(id));
        self.all_counters.forget(group);
        Ok(())
    }

    /// Drops what is not locked, up to the high watermark of this moment. Returns how many offsets that were.
    pub async fn purge(&self, group: &str, partition: PartitionId) -> Result<u64, ErrorCode> {
        check_group(group)?;
        let id = QueueId::new(group, partition);
        let end = self.place(partition)?.log.high_watermark();
        let settled = self
            .run_durably(group, |queues, turn| {
                let start = queues.queue(&id)?.start();
                let all = OffsetRange::new(start, Offset(end.0 - 1));
                Some(all.map_or_else(Vec::new, |all| queues.settle(&id, all, turn)))
            })
            .await?;
        let settled = settled.ok_or(ErrorCode::UnknownTopicOrPartition)?;
        Ok(settled.iter().map(OffsetRange::count).sum())
    }
}

fn before(now: Timestamp, duration: Duration) -> Timestamp {
    let ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    Timestamp(now.0.saturating_sub(ms).max(0))
}
