//! What a call asks of the world around the state machine.
//!
//! Records are appended in order; nothing that a call returned may be told to a client before its
//! records and those of every earlier call are durable. The other lists are hints for whoever waits,
//! and may name a queue several times.

use outlast_records::Timestamp;

use super::{QueueId, QueueRecord, QueueSettings};

#[derive(Debug, Default)]
pub struct Effects {
    pub records: Vec<QueueRecord>,
    /// Something may be delivered now, or scanned, that could not before.
    pub woken: Vec<QueueId>,
    /// Messages died and wait for [`Queues::buried`](super::Queues::buried).
    pub dying: Vec<QueueId>,
    /// The next moment at which [`Queues::timer_fired`](super::Queues::timer_fired) must be called;
    /// it replaces the one that was named before, and none means that there is none any more.
    pub timers: Vec<(QueueId, Option<Timestamp>)>,
}

/// With what a call is made: the settings of the queue's group, the time, and where its effects go.
#[derive(Debug)]
pub struct Turn<'a> {
    pub settings: &'a QueueSettings,
    /// May stand still, and must not run backwards; where it does, the state keeps the later time.
    pub now: Timestamp,
    pub fx: &'a mut Effects,
}

impl Effects {
    pub(super) fn wake(&mut self, id: &QueueId) {
        if self.woken.last() != Some(id) {
            self.woken.push(id.clone());
        }
    }

    pub(super) fn died(&mut self, id: &QueueId) {
        if self.dying.last() != Some(id) {
            self.dying.push(id.clone());
        }
    }
}
