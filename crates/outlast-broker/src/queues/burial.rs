//! The dead-letter mover: what dies in a queue goes to the group's dead-letter topic.
//!
//! The batch for that topic and the record that says "buried" are one entry of the write-ahead log: after a crash the
//! message is in one place. While the topic can't be written the message stays where it is, dying, is tried again every
//! [`RETRY_AFTER`], and the group's counter says so.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use outlast_protocol::Str;
use outlast_protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig};
use outlast_records::{BatchBuilder, CheckedBatch, Compression, Offset, RecordSet};
use outlast_storage::{AppendSection, ReadError};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::coordinator::{Place, QueueCoordinator};
use super::dead_letter::Story;
use super::hand::Hand;
use super::scan::{self, MAX_DECOMPRESSED};
use crate::group_config::GroupSettings;
use crate::message_headers::{self, Undecodable};
use crate::queue::{DyingMessage, MessageState, OffsetRange, QueueId, Turn};
use crate::shard::ShardError;
use crate::topic_changes;
use crate::topics::{Partition, Topic};

/// How many messages are moved at a time.
const MAX_LETTERS: usize = 200;
/// How much of the log is read for them.
const MAX_BYTES: usize = 1 << 20;
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long a dead-letter topic that was created by itself keeps what nobody looks at.
const RETENTION_MS: &str = "2592000000";

/// What is held back, and since when it is tried again.
type HeldBack = HashMap<QueueId, Instant>;

impl QueueCoordinator {
    /// Moves what dies, for ever.
    pub(super) async fn bury_the_dying(self: Arc<Self>) {
        let mut held_back = HeldBack::new();
        loop {
            let due = held_back.values().min().copied();
            let queues = tokio::select! {
                queues = self.world.dying.take_all() => queues,
                () = sleep_or_wait(due) => take_due(&mut held_back),
            };
            for id in queues {
                self.bury_some(id, &mut held_back).await;
            }
        }
    }

    async fn bury_some(&self, id: QueueId, held_back: &mut HeldBack) {
        match self.bury(&id).await {
            Ok(more) => {
                if held_back.remove(&id).is_some() {
                    info!(queue = %id, "dead letters are moved again");
                }
                if more {
                    self.world.dying.put(id);
                }
            }
            Err(reason) => {
                self.all_counters.of(id.group.as_str()).burial_failed();
                let again = Instant::now() + RETRY_AFTER;
                if held_back.insert(id.clone(), again).is_none() {
                    warn!(queue = %id, reason, "dead letters are held back");
                }
            }
        }
    }

    /// Moves some of a queue's dying messages. Whether there may be more; or why they can't be moved.
    async fn bury(&self, id: &QueueId) -> Result<bool, String> {
        let group = id.group.as_str();
        let dying = self.look(group, |queues| queues.dying(id, MAX_LETTERS));
        let dying = dying.map_err(|code| code.to_string())?;
        let Ok(place) = self.place(id.partition) else {
            return Ok(false); // the topic is gone, and the queue will be
        };
        if dying.is_empty() {
            return Ok(false);
        }
        let settings = self.world.settings(group);
        let (topic, partition) = self.grave(id, &place, &settings).await?;
        let Some(batch) = self.letters(id, &place, &settings, &dying).await? else {
            return Ok(true);
        };
        let (letters, batch) = batch;
        let buried = &dying[..letters];
        let _room = self.store.reserve(batch.size()).await;
        let (moved, ticket) = self
            .shard(group)
            .run_with(|state, now, fx| {
                let queues = &mut state.queues;
                let still_dying = queues.queue(id).is_some_and(|queue| {
                    let is_dying = |message: &DyingMessage| {
                        matches!(queue.state(message.offset), MessageState::Dying { .. })
                    };
                    buried.iter().all(is_dying)
                });
                if !still_dying {
                    return (false, Vec::new());
                }
                let settings = &settings.queue;
                let mut turn = Turn { settings, now, fx };
                for range in ranges(buried) {
                    queues.buried(id, range, &mut turn);
                }
                let section = AppendSection {
                    log: Arc::clone(&partition.log),
                    batches: vec![batch],
                    leader_epoch: partition.leader_epoch,
                };
                (true, vec![section])
            })
            .map_err(|error: ShardError| error.code().to_string())?;
        self.durable(group, ticket)
            .await
            .map_err(|code| code.to_string())?;
        if moved {
            let counters = self.all_counters.of(group);
            buried
                .iter()
                .for_each(|message| counters.died(message.reason));
            topic.metrics.messages_in.inc_by(letters as u64);
        }
        Ok(true)
    }

    /// The partition of the dead-letter topic that the dead of this queue go to.
    async fn grave(
        &self,
        id: &QueueId,
        place: &Place,
        settings: &GroupSettings,
    ) -> Result<(Arc<Topic>, Arc<Partition>), String> {
        let group = id.group.as_str();
        let name = settings.dead_letters.topic(group);
        let topic = match self.topic_named(&name) {
            Some(topic) => topic,
            None => {
                self.create_grave(&name).await?;
                self.topic_named(&name)
                    .ok_or_else(|| format!("topic {name} is not there"))?
            }
        };
        if topic.id == place.topic.id {
            return Err(format!(
                "{name} is the dead-letter topic of the group that reads it; set \
                 errors.deadletterqueue.topic.name to another one"
            ));
        }
        let partitions = topic.partitions();
        let index = usize::try_from(id.partition.index).unwrap_or(0) % partitions.len().max(1);
        let partition = partitions.get(index).cloned();
        let partition = partition.ok_or_else(|| format!("topic {name} has no partitions"))?;
        Ok((topic, partition))
    }

    pub(super) fn topic_named(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics.load().get(name).ok().cloned()
    }

    async fn create_grave(&self, name: &str) -> Result<(), String> {
        let Some(broker) = self.world.broker.upgrade() else {
            return Err("the broker is shutting down".to_owned());
        };
        let topic = CreatableTopic {
            name: Str::from(name),
            num_partitions: -1,
            replication_factor: -1,
            configs: vec![CreatableTopicConfig {
                name: "retention.ms".into(),
                value: Some(RETENTION_MS.into()),
            }],
            ..Default::default()
        };
        let failed = topic_changes::create_if_missing(&broker, vec![topic]).await;
        match failed.values().next() {
            None => Ok(()),
            Some(code) => Err(format!("topic {name} can't be created: {code}")),
        }
    }

    /// The batch of dead letters for the first of the dying messages, and how many it holds. None when the queue must be
    /// looked at again.
    async fn letters(
        &self,
        id: &QueueId,
        place: &Place,
        settings: &GroupSettings,
        dying: &[DyingMessage],
    ) -> Result<Option<(usize, CheckedBatch)>, String> {
        let mut hand = Hand::default();
        let offsets: Vec<OffsetRange> = ranges(dying).collect();
        let taken = hand.take(&place.log, &offsets, MAX_BYTES).await;
        match taken {
            Ok(_) => {}
            Err(ReadError::OutOfRange { start, .. }) => {
                let moved = self.run(id.group.as_str(), |queues, turn| {
                    queues.log_start_moved(id, start, turn);
                });
                return moved.map(|_| None).map_err(|code| code.to_string());
            }
            // What was read before it comes first. A letter without its content says that it can't be read.
            Err(ReadError::Corrupt(damage)) if hand.batches.is_empty() => {
                warn!(queue = %id, %damage, "a dead letter is without its content");
            }
            Err(ReadError::Corrupt(_)) => {}
            Err(error @ ReadError::Io { .. }) => return Err(error.to_string()),
        }
        let end = match hand.batches.last() {
            Some(held) => held.header.next_offset(),
            None => dying[0].offset.next(),
        };
        let letters = dying.partition_point(|message| message.offset < end);
        let mut writer = LetterWriter {
            id,
            place,
            settings,
            now: self.now(),
            batch: BatchBuilder::new(Compression::None).as_new_as(self.now()),
        };
        let mut dying = dying[..letters].iter().peekable();
        for held in &hand.batches {
            // Between batches there may be what compaction took away.
            while let Some(lost) = dying.next_if(|m| m.offset < held.header.base_offset) {
                writer.append(lost, None);
            }
            let mut of_batch = std::iter::from_fn(|| dying.next_if(|m| m.offset <= held.last()));
            writer.append_all(&mut of_batch, &held.bytes);
        }
        for lost in dying {
            writer.append(lost, None);
        }
        let batch = writer.batch.build().map_err(|error| error.to_string())?;
        Ok(Some((letters, batch)))
    }
}

struct LetterWriter<'a> {
    id: &'a QueueId,
    place: &'a Place,
    settings: &'a GroupSettings,
    now: outlast_records::Timestamp,
    batch: BatchBuilder,
}

impl LetterWriter<'_> {
    /// The dying messages of one stored batch.
    fn append_all<'m>(&mut self, dying: &mut impl Iterator<Item = &'m DyingMessage>, bytes: &[u8]) {
        let set = RecordSet::decode(bytes, MAX_DECOMPRESSED).ok();
        let mut records = set.iter().flat_map(RecordSet::iter).map_while(Result::ok);
        let mut record = records.next();
        for message in dying {
            while record.is_some_and(|record| record.offset < message.offset) {
                record = records.next();
            }
            let original = record.filter(|record| record.offset == message.offset);
            self.append(message, original.as_ref());
        }
    }

    fn append(&mut self, dying: &DyingMessage, original: Option<&outlast_records::RecordRef<'_>>) {
        let group = self.id.group.as_str();
        let rules = scan::rules(self.place, group, self.settings, self.now);
        let read = original.map(|record| message_headers::read(record, &rules));
        let malformed = match read.and_then(|read| read.undecodable) {
            Some(Undecodable::Header(name)) => Some(format!("the header {name} has a bad value")),
            Some(Undecodable::Records) | None => None,
        };
        let detail = match (original, &malformed) {
            (None, _) => Some("the record cannot be read"),
            (Some(_), malformed) => malformed.as_deref(),
        };
        let story = Story {
            topic: &self.place.topic.name,
            partition: self.id.partition.index,
            group,
            died: self.now,
            dying,
            detail,
        };
        let copy = self.settings.dead_letters.copy_record;
        story.append(original, copy, &mut self.batch);
    }
}

/// Neighbours as one range.
fn ranges(dying: &[DyingMessage]) -> impl Iterator<Item = OffsetRange> {
    dying
        .chunk_by(|a, b| a.offset.next() == b.offset)
        .filter_map(|run| {
            let last: Offset = run.last()?.offset;
            OffsetRange::new(run.first()?.offset, last)
        })
}

fn take_due(held_back: &mut HeldBack) -> Vec<QueueId> {
    let now = Instant::now();
    // They stay in the map, so that it is known that they were held back.
    let due = held_back.iter_mut().filter(|(_, at)| **at <= now);
    due.map(|(id, at)| {
        *at = now + RETRY_AFTER;
        id.clone()
    })
    .collect()
}

async fn sleep_or_wait(until: Option<Instant>) {
    match until {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
