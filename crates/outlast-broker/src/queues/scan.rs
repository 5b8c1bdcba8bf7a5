//! Looking at messages that a queue has not seen: reading on from its scan position, and what their headers say.

use std::collections::HashMap;
use std::sync::Arc;

use outlast_records::{BatchHeader, Offset, Timestamp};
use outlast_storage::{AbortedTxn, PartitionLog, ReadError};
use parking_lot::Mutex;
use tracing::warn;

use super::coordinator::Place;
use super::hand::{self, Hand};
use super::state::REDRIVE_GROUP;
use crate::group_config::{GroupSettings, IsolationLevel};
use crate::message_headers::{QueueMessage, WalkRules, walk};
use crate::queue::{QueueId, QueueOrder, Scanned};

/// How much is read at a time.
const READ_BYTES: usize = 64 * 1024;
/// A scan ends when it has seen this many messages: it holds up whoever waits for one of them.
const MAX_MESSAGES: usize = 4096;
/// What a compressed batch may grow to.
pub(super) const MAX_DECOMPRESSED: usize = 256 << 20;

/// What a stretch of the log holds.
pub(super) struct Scan {
    pub from: Offset,
    /// The first offset that was not looked at.
    pub to: Offset,
    pub messages: Vec<Scanned>,
}

/// How far a scan goes.
#[derive(Clone, Copy)]
pub(super) struct ScanLimits {
    /// Of messages that can be delivered at once.
    pub wanted: usize,
    /// Of what is in hand; one batch is always read.
    pub max_bytes: usize,
}

impl Scan {
    /// Reads on from `from`, and takes the batches into the hand.
    pub async fn read(
        place: &Place,
        group: &str,
        settings: &GroupSettings,
        from: Offset,
        now: Timestamp,
        limits: ScanLimits,
        hand: &mut Hand,
    ) -> Result<Scan, ReadError> {
        let end = readable(&place.log, settings);
        let committed = is_committed(settings);
        let mut scan = Scan {
            from,
            to: from,
            messages: Vec::new(),
        };
        let rules = rules(place, group, settings, now);
        let mut ready = 0;
        while scan.to < end && ready < limits.wanted && scan.messages.len() < MAX_MESSAGES {
            let room = limits.max_bytes.saturating_sub(hand.bytes);
            if room == 0 && !hand.batches.is_empty() {
                break;
            }
            let found = match hand::read(&place.log, scan.to, end, room.min(READ_BYTES)).await {
                Ok(found) => found,
                Err(ReadError::Corrupt(damage)) => {
                    scan.pass_damage(place, end, damage.offsets).await;
                    warn!(%damage, group, "a queue passes over messages that cannot be read");
                    continue;
                }
                Err(error) => return Err(error),
            };
            let next = found.next_offset;
            if next <= scan.to || (found.bytes > room && !hand.batches.is_empty()) {
                break;
            }
            hand.add(found);
            let first = hand.batches.partition_point(|held| held.last() < scan.to);
            let aborted = match committed {
                true => place.log.aborted(scan.to, next),
                false => Vec::new(),
            };
            for held in &hand.batches[first..] {
                if aborted.iter().any(|txn| is_of(&held.header, txn)) {
                    continue;
                }
                ready += scan.walk(&held.bytes, group, &rules);
            }
            // After the last batch there may be a hole that compaction left.
            scan.to = next;
        }
        Ok(scan)
    }

    /// How many can be delivered at once.
    fn walk(&mut self, batch: &[u8], group: &str, rules: &WalkRules<'_>) -> usize {
        let (from, messages) = (self.to, &mut self.messages);
        let mut ready = 0;
        // A batch whose header can't be read doesn't come out of the store.
        let _ = walk(batch, rules, |message| {
            if message.offset < from {
                return;
            }
            let scanned = if group == REDRIVE_GROUP {
                // What a dead letter's headers ask for has been done.
                Scanned::plain(message.offset)
            } else {
                scanned(&message)
            };
            let later = scanned.due.is_some_and(|due| due > rules.now);
            ready += usize::from(!later && !scanned.skip && !scanned.undecodable);
            messages.push(scanned);
        });
        ready
    }

    /// One dead letter stands for a stretch that can't be read, so that somebody hears of it.
    async fn pass_damage(&mut self, place: &Place, end: Offset, damaged: Option<(Offset, Offset)>) {
        let damage_ends = damaged.map_or(end, |(_, to)| to.min(end));
        let to = hand::readable_after(&place.log, self.to, damage_ends.max(self.to.next())).await;
        self.messages.push(Scanned {
            undecodable: true,
            ..Scanned::plain(self.to)
        });
        self.to = to;
    }
}

/// Where what the group may see of a log ends (`share.isolation.level`).
pub(super) fn readable(log: &PartitionLog, settings: &GroupSettings) -> Offset {
    match is_committed(settings) {
        true => log.last_stable_offset(),
        false => log.high_watermark(),
    }
}

fn is_committed(settings: &GroupSettings) -> bool {
    settings.share.isolation_level == IsolationLevel::ReadCommitted
}

fn is_of(header: &BatchHeader, txn: &AbortedTxn) -> bool {
    header.attributes.is_transactional()
        && header.producer_id == txn.producer_id
        && txn.first_offset <= header.base_offset
        && header.last_offset() <= txn.last_offset
}

pub(super) fn rules<'a>(
    place: &'a Place,
    group: &'a str,
    settings: &'a GroupSettings,
    now: Timestamp,
) -> WalkRules<'a> {
    let messages = &place.topic.config.messages;
    WalkRules {
        delay_ms: messages.delay_ms,
        ttl_ms: messages.ttl_ms,
        group,
        id_header: settings.queue.dedupe.as_ref().map(|ids| &*ids.header),
        lanes: settings.queue.order == QueueOrder::Key,
        now,
        max_decompressed: MAX_DECOMPRESSED,
    }
}

fn scanned(message: &QueueMessage) -> Scanned {
    Scanned {
        offset: message.offset,
        lane: message.lane,
        due: message.due,
        expires: message.expires,
        id: message.id,
        skip: message.skip,
        undecodable: message.undecodable.is_some(),
    }
}

/// The turns that workers take at scanning one queue: what one scans, the others need not.
#[derive(Default)]
pub(super) struct ScanTurns(Mutex<HashMap<QueueId, Arc<tokio::sync::Mutex<()>>>>);

impl ScanTurns {
    pub fn of(&self, id: &QueueId) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.0.lock();
        if let Some(turn) = turns.get(id) {
            return Arc::clone(turn);
        }
        Arc::clone(turns.entry(id.clone()).or_default())
    }

    pub fn forget(&self, id: &QueueId) {
        self.0.lock().remove(id);
    }
}
