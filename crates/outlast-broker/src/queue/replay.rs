//! The fold that makes state of a shard's log, and the snapshot that takes the log's place.

use outlast_records::{Offset, Timestamp};

use super::change::Change;
use super::machine::{CHANGES_A_RECORD, Queue, state_records};
use super::{QueueGroup, QueueId, QueueRecord, Queues};
use crate::group::GroupId;

/// An id takes much less room than a change.
const IDS_A_RECORD: usize = 4 * CHANGES_A_RECORD;

impl Queues {
    /// Applies one record of the log, in the log's order. Timers come later, with
    /// [`Queues::loaded`].
    pub fn replay(&mut self, record: QueueRecord) {
        match record {
            QueueRecord::State {
                id,
                begins_at,
                changes,
            } => self.replay_state(&id, begins_at, &changes),
            QueueRecord::Deleted { id } => self.remove(&id),
            QueueRecord::Ledger {
                group,
                kept,
                processed,
            } => {
                let ledger = &mut self.groups.entry(group).or_default().ledger;
                ledger.keep(kept);
                for (at, ids) in processed {
                    for id in ids {
                        ledger.add(id, at);
                    }
                }
            }
            QueueRecord::LedgerDeleted { group } => {
                if let Some(existing) = self.groups.get_mut(&group) {
                    existing.ledger.clear_processed();
                    self.remove_if_empty(&group);
                }
            }
            QueueRecord::Unknown { key, value } => {
                match value {
                    Some(value) => self.unknown.insert(key, value),
                    None => self.unknown.remove(&key),
                };
            }
        }
    }

    fn replay_state(&mut self, id: &QueueId, begins_at: Option<Offset>, changes: &[Change]) {
        if begins_at.is_some() {
            self.remove(id);
        }
        let group = self.groups.entry(id.group.clone()).or_default();
        let queue = group.queues.entry(id.partition);
        // Without a beginning the log would be one of which the first part is missing.
        let queue = queue.or_insert_with(|| Queue::new(id, begins_at.unwrap_or(Offset(0))));
        for change in changes {
            queue.apply(change, &mut group.ledger);
        }
    }

    /// Everything that a restart must find, as records that can take the place of the whole log.
    pub fn snapshot(&self) -> impl Iterator<Item = QueueRecord> {
        let unknown = self
            .unknown
            .iter()
            .map(|(key, value)| QueueRecord::Unknown {
                key: key.clone(),
                value: Some(value.clone()),
            });
        let groups = self.groups.iter();
        unknown.chain(groups.flat_map(|(name, group)| {
            ledger_records(name, group).chain(queue_records(name, group))
        }))
    }
}

fn queue_records<'a>(
    name: &'a GroupId,
    group: &'a QueueGroup,
) -> impl Iterator<Item = QueueRecord> + 'a {
    group.queues.iter().flat_map(move |(partition, queue)| {
        let id = QueueId {
            group: name.clone(),
            partition: *partition,
        };
        state_records(id, Some(queue.start), queue.changes())
    })
}

fn ledger_records<'a>(
    name: &'a GroupId,
    group: &'a QueueGroup,
) -> impl Iterator<Item = QueueRecord> + 'a {
    let mut ids = group.ledger.iter().peekable();
    let mut kept = 0;
    std::iter::from_fn(move || {
        ids.peek()?;
        let mut processed: Vec<(Timestamp, Vec<u128>)> = Vec::new();
        for (at, id) in ids.by_ref().take(IDS_A_RECORD) {
            match processed.last_mut() {
                Some((same, ids)) if *same == at => ids.push(id),
                _ => processed.push((at, vec![id])),
            }
        }
        let kept_before = kept;
        kept += processed.iter().map(|(_, ids)| ids.len()).sum::<usize>();
        Some(QueueRecord::Ledger {
            group: name.clone(),
            kept: kept_before,
            processed,
        })
    })
}
