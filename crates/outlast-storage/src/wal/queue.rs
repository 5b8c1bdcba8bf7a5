//! What waits for the writer. One lock orders everything that goes into the write-ahead log.
//!
//! Invariant: offsets are assigned, and sections queued, under the same lock, so that the order of a partition's
//! offsets is the order of the log. Lock order: this one, then one partition's state at a time, never two.
//! Appends gather in the group at the back; the writer takes the group at the front as one entry.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use outlast_records::{BatchHeader, EndTxnMarker, LeaderEpoch, Offset};
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::cache::CacheBudget;
use crate::durable::{Commit, Durable};
use crate::error::AppendError;
use crate::partition::PartitionLog;

/// Batches that share one entry, and with it one fsync and one fate.
pub(crate) struct Group {
    pub(crate) commit: Arc<Commit>,
    pub(crate) sections: Vec<QueuedSection>,
    pub(crate) batches: Vec<QueuedBatch>,
    /// Bytes of the batches.
    pub(crate) bytes: usize,
    /// It has sections without batches only.
    pub(crate) control: bool,
}

impl Group {
    fn new(control: bool) -> Group {
        Group {
            commit: Commit::new(),
            sections: Vec::new(),
            batches: Vec::new(),
            bytes: 0,
            control,
        }
    }
}

pub(crate) struct QueuedSection {
    pub(crate) log: Arc<PartitionLog>,
    pub(crate) content: QueuedContent,
}

#[derive(Clone, Copy)]
pub(crate) enum QueuedContent {
    /// `batches[from..to]` of the group.
    Batches {
        leader_epoch: LeaderEpoch,
        from: usize,
        to: usize,
    },
    LogStart {
        to: Offset,
    },
    Delete,
}

pub(crate) struct QueuedBatch {
    /// As placed: base offset and leader epoch are the final ones.
    pub(crate) header: BatchHeader,
    pub(crate) marker: Option<EndTxnMarker>,
    pub(crate) bytes: Bytes,
}

pub(crate) struct Queue {
    groups: VecDeque<Group>,
    /// The newest commit that has batches in it, in the queue or with the writer.
    newest: Option<Arc<Commit>>,
    /// Why nothing is taken any more.
    closed: Option<AppendError>,
    /// Bytes of batches that wait or are being written.
    bytes: usize,
    /// How often appends were taken back.
    losses: u64,
    max_group_bytes: usize,
    pub(crate) cache: CacheBudget,
}

pub(crate) struct Sequencer {
    queue: Mutex<Queue>,
    work: Condvar,
}

impl Sequencer {
    pub(crate) fn new(max_group_bytes: usize, cache_bytes: usize) -> Sequencer {
        Sequencer {
            queue: Mutex::new(Queue {
                groups: VecDeque::new(),
                newest: None,
                closed: None,
                bytes: 0,
                losses: 0,
                max_group_bytes,
                cache: CacheBudget::new(cache_bytes),
            }),
            work: Condvar::new(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock()
    }

    /// Tells the writer that there is something to do.
    pub(crate) fn notify(&self) {
        self.work.notify_one();
    }

    /// Waits for work: true when a group waits, false when the queue was closed and is empty.
    pub(crate) fn wait_for_work(&self) -> bool {
        let mut queue = self.queue.lock();
        while queue.groups.is_empty() {
            if queue.closed.is_some() {
                return false;
            }
            self.work.wait(&mut queue);
        }
        true
    }
}

impl Queue {
    pub(crate) fn closed(&self) -> Option<AppendError> {
        self.closed.clone()
    }

    /// From now on nothing is taken; what waits is still written.
    pub(crate) fn close(&mut self, why: AppendError) {
        self.closed.get_or_insert(why);
    }

    /// Makes room at the back for an append of up to `bytes`, which is never cut in two.
    pub(crate) fn open_group(&mut self, bytes: usize) {
        let room = self.groups.back().is_some_and(|group| {
            !group.control && group.bytes.saturating_add(bytes) <= self.max_group_bytes
        });
        if !room {
            self.groups.push_back(Group::new(false));
        }
    }

    /// The group at the back, and the cache that its batches are accounted for in.
    pub(crate) fn back(&mut self) -> Option<(&mut Group, &mut CacheBudget)> {
        self.groups.back_mut().map(|group| (group, &mut self.cache))
    }

    /// Ends what `open_group` began: the promise for what was put in since, `added` bytes. `None` when the group is empty.
    pub(crate) fn seal_append(&mut self, added: usize) -> Option<Durable> {
        self.bytes += added;
        self.cache.shrink();
        let group = self.groups.back()?;
        if group.sections.is_empty() {
            self.groups.pop_back();
            return None;
        }
        let commit = Arc::clone(&group.commit);
        let durable = Durable::on(&commit);
        self.newest = Some(commit);
        Some(durable)
    }

    /// Queues a section without batches. Such sections have groups of their own: what takes no space worth mentioning,
    /// and may give some back, must not share the fate of appends that a full disk turns away.
    pub(crate) fn push_control(&mut self, section: QueuedSection) -> Arc<Commit> {
        if !self.groups.back().is_some_and(|group| group.control) {
            self.groups.push_back(Group::new(true));
        }
        let last = self.groups.len() - 1;
        let group = &mut self.groups[last];
        group.sections.push(section);
        Arc::clone(&group.commit)
    }

    /// Resolves when all batches queued so far are durable.
    pub(crate) fn after_all(&self) -> Durable {
        match &self.newest {
            Some(commit) => Durable::on(commit),
            None => Durable::ready(Ok(())),
        }
    }

    pub(crate) fn take(&mut self) -> Option<Group> {
        self.groups.pop_front()
    }

    /// All groups that wait and have batches; none of them will be written. With `control`, the others too.
    pub(crate) fn take_all(&mut self, control: bool) -> Vec<Group> {
        let groups = std::mem::take(&mut self.groups);
        let (kept, taken): (VecDeque<Group>, VecDeque<Group>) = groups
            .into_iter()
            .partition(|group| group.control && !control);
        self.groups = kept;
        taken.into()
    }

    pub(crate) fn losses(&self) -> u64 {
        self.losses
    }

    /// Appends are being taken back.
    pub(crate) fn count_loss(&mut self) {
        self.losses += 1;
    }

    /// `bytes` left the queue, written or not.
    pub(crate) fn release(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Bytes of batches that are not durable yet.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn groups(&self) -> usize {
        self.groups.len()
    }
}
