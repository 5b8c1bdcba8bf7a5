//! The states of messages as the queue keeps them, and the stories of those that were tried.
//!
//! A state is small and can be compared at a glance: what is long about a message that was delivered
//! (when, how often, by whom) is a [`Story`] that is kept once for all runs that share it.

use std::collections::BTreeMap;

use outlast_records::Timestamp;

use super::{Attempts, DeadReason, Worker};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// Scanned; its first delivery isn't due. When is in the heap. Not recorded.
    Scheduled,
    /// Scanned, and never delivered. Not recorded.
    Ready,
    /// Was delivered, and can be again.
    Retry(StoryId),
    /// Was delivered, and can be again from then on.
    Waiting {
        story: StoryId,
        until: Timestamp,
    },
    Acquired {
        story: StoryId,
        deadline: Timestamp,
    },
    Dying {
        reason: DeadReason,
        story: Option<StoryId>,
    },
    Done,
}

impl State {
    pub fn story(self) -> Option<StoryId> {
        match self {
            State::Scheduled | State::Ready | State::Done => None,
            State::Retry(story) | State::Waiting { story, .. } | State::Acquired { story, .. } => {
                Some(story)
            }
            State::Dying { story, .. } => story,
        }
    }

    /// Whether it could be delivered, if no other message is in the way.
    pub fn is_available(self) -> bool {
        matches!(self, State::Ready | State::Retry(_))
    }

    /// Whether nobody has it in hand, and somebody shall.
    pub fn waits_for_delivery(self) -> bool {
        match self {
            State::Scheduled | State::Ready | State::Retry(_) | State::Waiting { .. } => true,
            State::Acquired { .. } | State::Dying { .. } | State::Done => false,
        }
    }

    /// Whether a restart must find it.
    pub fn is_recorded(self) -> bool {
        !matches!(self, State::Scheduled | State::Ready)
    }
}

/// What is known of messages that were delivered together, as often and by the same worker.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub struct Story {
    /// Deliveries that count. May be 0, after one that was taken back.
    pub count: u16,
    pub first: Timestamp,
    pub last: Timestamp,
    pub worker: Worker,
}

impl Story {
    pub(super) fn attempts(&self) -> Attempts {
        Attempts {
            first: self.first,
            last: self.last,
            last_worker: self.worker.clone(),
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct StoryId(u32);

/// The stories that runs refer to. Equal stories have one id.
#[derive(Debug, Clone, Default)]
pub(super) struct Stories {
    slots: Vec<Slot>,
    ids: BTreeMap<Story, StoryId>,
    free: Vec<StoryId>,
    /// Had no run at some moment since the last sweep.
    idle: Vec<StoryId>,
}

#[derive(Debug, Clone)]
struct Slot {
    story: Story,
    runs: u32,
}

impl Stories {
    /// The next [`sweep`](Stories::sweep) forgets it unless a run refers to it by then.
    pub fn intern(&mut self, story: &Story) -> StoryId {
        if let Some(id) = self.ids.get(story) {
            return *id;
        }
        let slot = Slot {
            story: story.clone(),
            runs: 0,
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id.0 as usize] = slot;
                id
            }
            None => {
                self.slots.push(slot);
                StoryId((self.slots.len() - 1) as u32)
            }
        };
        self.ids.insert(story.clone(), id);
        self.idle.push(id);
        id
    }

    pub fn get(&self, id: StoryId) -> &Story {
        &self.slots[id.0 as usize].story
    }

    pub fn run_added(&mut self, id: StoryId) {
        self.slots[id.0 as usize].runs += 1;
    }

    pub fn run_removed(&mut self, id: StoryId) {
        let slot = &mut self.slots[id.0 as usize];
        slot.runs -= 1;
        if slot.runs == 0 {
            self.idle.push(id);
        }
    }

    /// Forgets what no run refers to. Between two sweeps ids keep their meaning, so that a run may be
    /// removed and added again.
    pub fn sweep(&mut self) {
        while let Some(id) = self.idle.pop() {
            let slot = &self.slots[id.0 as usize];
            if slot.runs == 0 && self.ids.get(&slot.story) == Some(&id) {
                self.ids.remove(&slot.story);
                self.free.push(id);
            }
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.ids.len()
    }
}
