//! Looking at the dead letters of a group: which there are, filtered, page by page.
//!
//! The dead-letter topic is a queue of the broker's own group: what is live in it was neither redriven nor purged.

use std::sync::Arc;

use outlast_protocol::{ErrorCode, Str};
use outlast_records::{Offset, PartitionId, Timestamp, records};

use super::coordinator::{Place, QueueCoordinator, check_group};
use super::hand::Hand;
use super::scan::MAX_DECOMPRESSED;
use super::state::REDRIVE_GROUP;
use super::{DeadLetter, Pattern};
use crate::error::ApiError;
use crate::queue::{DeadReason, MessageState, OffsetRange, QueueId, Queues};
use crate::topics::Partition;

/// How much of a dead-letter topic is read at a time.
const STEP_BYTES: usize = 512 * 1024;
/// After so many steps a page ends, full or not.
const MAX_STEPS: usize = 64;

/// All that is said must hold; the default lets everything through.
#[derive(Clone, Debug, Default)]
pub struct DeadLetterFilter {
    /// Any of these; all reasons when empty.
    pub reasons: Vec<DeadReason>,
    /// Died at this time or later.
    pub since: Option<Timestamp>,
    /// Died before this time.
    pub until: Option<Timestamp>,
    /// A message without a key has an empty one.
    pub key: Option<Pattern>,
    /// A header with this name has a value that fits.
    pub headers: Vec<(String, Pattern)>,
    /// The topic that the message came from.
    pub topic: Option<Str>,
    /// Just this one (of the dead-letter topic).
    pub at: Option<(PartitionId, Offset)>,
}

#[derive(Clone, Debug, Default)]
pub struct DeadLetterPage {
    pub letters: Vec<DeadLetter>,
    /// Where the next page begins; none at the end.
    pub next: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterCounts {
    pub total: u64,
    /// By [`DeadReason::index`].
    pub by_reason: [u64; 4],
    /// Were redriven as often as the loop guard allows, and would stay where they are.
    pub guarded: u64,
}

impl DeadLetterFilter {
    pub fn passes(&self, letter: &DeadLetter) -> bool {
        let key = letter.record.key.as_deref().unwrap_or_default();
        let header_fits = |(name, pattern): &(String, Pattern)| {
            letter
                .header_values(name)
                .any(|value| pattern.matches(value))
        };
        (self.reasons.is_empty() || self.reasons.contains(&letter.reason))
            && self.since.is_none_or(|since| letter.died >= since)
            && self.until.is_none_or(|until| letter.died < until)
            && self.key.as_ref().is_none_or(|pattern| pattern.matches(key))
            && self.headers.iter().all(header_fits)
            && self
                .topic
                .as_ref()
                .is_none_or(|topic| *topic == letter.topic)
            && self
                .at
                .is_none_or(|at| at == (letter.partition, letter.offset))
    }
}

impl QueueCoordinator {
    /// Up to `max` that pass the filter, by partition and offset, from where the page before ended. A page may be short
    /// although others follow.
    pub async fn dead_letters(
        &self,
        group: &str,
        filter: &DeadLetterFilter,
        from: Option<&str>,
        max: usize,
    ) -> Result<DeadLetterPage, ApiError> {
        let mut reader = self.letter_reader(group, filter.clone())?;
        if let Some(from) = from {
            reader.seek(from)?;
        }
        let mut page = DeadLetterPage::default();
        for _ in 0..MAX_STEPS {
            let Some(mut letters) = reader.next(self).await? else {
                return Ok(page);
            };
            let room = max - page.letters.len();
            if letters.len() > room {
                let first_left = &letters[room];
                page.next = Some(cursor(first_left.partition.index, first_left.offset));
                letters.truncate(room);
                page.letters.append(&mut letters);
                return Ok(page);
            }
            page.letters.append(&mut letters);
        }
        page.next = Some(cursor(reader.partition_index(), reader.at));
        Ok(page)
    }

    /// How many pass the filter, by reason: the dry run of a redrive or purge.
    pub async fn count_dead_letters(
        &self,
        group: &str,
        filter: &DeadLetterFilter,
        max_redrives: u32,
    ) -> Result<DeadLetterCounts, ApiError> {
        let mut reader = self.letter_reader(group, filter.clone())?;
        let mut counts = DeadLetterCounts::default();
        while let Some(letters) = reader.next(self).await? {
            for letter in letters {
                counts.total += 1;
                counts.by_reason[letter.reason.index()] += 1;
                counts.guarded += u64::from(letter.redrives >= max_redrives);
            }
        }
        Ok(counts)
    }

    /// Reads the dead letters of a group that are there now. Without a dead-letter topic there are none.
    pub(super) fn letter_reader(
        &self,
        group: &str,
        filter: DeadLetterFilter,
    ) -> Result<LetterReader, ApiError> {
        check_group(group)?;
        let name = self.world.settings(group).dead_letters.topic(group);
        let topic = self.topic_named(&name);
        let partitions = topic.iter().flat_map(|topic| topic.partitions());
        let place = |partition: &Arc<Partition>| self.place(partition.id);
        let places = partitions.map(place).collect::<Result<Vec<_>, _>>()?;
        Ok(LetterReader {
            group: Str::from(group),
            filter,
            places,
            at_place: 0,
            at: Offset(0),
        })
    }
}

/// Goes through a dead-letter topic once.
pub(super) struct LetterReader {
    group: Str,
    filter: DeadLetterFilter,
    places: Vec<Place>,
    at_place: usize,
    at: Offset,
}

impl LetterReader {
    /// The live letters of the next stretch that pass the filter, of one partition; none at the end.
    pub async fn next(
        &mut self,
        queues: &QueueCoordinator,
    ) -> Result<Option<Vec<DeadLetter>>, ApiError> {
        while let Some(place) = self.places.get(self.at_place) {
            let id = QueueId::new(REDRIVE_GROUP, place.log.id());
            let start = queues.look(REDRIVE_GROUP, |queues| live_from(queues, &id, place))?;
            let from = self.at.max(start);
            let last = Offset(place.log.high_watermark().0 - 1);
            let Some(rest) = OffsetRange::new(from, last) else {
                self.at_place += 1;
                self.at = Offset(0);
                continue;
            };
            let mut hand = Hand::default();
            hand.take(&place.log, &[rest], STEP_BYTES).await?;
            self.at = match hand.batches.last() {
                Some(held) => held.header.next_offset(),
                None => last.next(),
            };
            let mut letters = Vec::new();
            for held in &hand.batches {
                let Ok(records) = records(&held.bytes, MAX_DECOMPRESSED) else {
                    continue;
                };
                let records = records.map_while(Result::ok).filter(|r| r.offset >= from);
                letters.extend(records.filter_map(|r| DeadLetter::read(place.log.id(), r)));
            }
            letters.retain(|letter| letter.group == self.group && self.filter.passes(letter));
            queues.look(REDRIVE_GROUP, |queues| {
                letters.retain(|letter| is_live(queues, &id, letter.offset));
            })?;
            return Ok(Some(letters));
        }
        Ok(None)
    }

    fn partition_index(&self) -> i32 {
        self.places
            .get(self.at_place)
            .map_or(0, |place| place.log.id().index)
    }

    fn seek(&mut self, cursor: &str) -> Result<(), ApiError> {
        let parsed = cursor
            .split_once('.')
            .and_then(|(partition, offset)| Some((partition.parse().ok()?, offset.parse().ok()?)));
        let Some((partition, offset)): Option<(usize, i64)> = parsed else {
            let message = format!("{cursor} is not where a page of dead letters ends");
            return Err(ApiError::new(ErrorCode::InvalidRequest, message));
        };
        self.at_place = partition;
        self.at = Offset(offset.max(0));
        Ok(())
    }
}

fn cursor(partition: i32, offset: Offset) -> String {
    format!("{partition}.{offset}")
}

/// Where the live letters of a partition begin. Until one was redriven or purged there is no queue.
fn live_from(queues: &Queues, id: &QueueId, place: &Place) -> Offset {
    let start = queues.queue(id).map(|queue| queue.start());
    start.unwrap_or(Offset(0)).max(place.log_start())
}

pub(super) fn is_live(queues: &Queues, id: &QueueId, offset: Offset) -> bool {
    queues
        .queue(id)
        .is_none_or(|queue| queue.state(offset) != MessageState::Done)
}
