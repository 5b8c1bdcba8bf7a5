//! What the broker promises to those who work its queues off.

use crate::report::Promises;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Promise {
    StoredOnce,
    ReachesAWorker,
    EndsOnce,
    DoneIsDone,
    DeadAsExpected,
    DeadOnce,
    DeadTellsItsStory,
    OneHandAtATime,
    NeverEarly,
    CountsGrow,
    QueueEndsEmpty,
    WorkersGoOn,
    RestartsAlone,
    LogVerifies,
    FaultsNoticed,
}

impl Promises for Promise {
    const ALL: &'static [Self] = &[
        Promise::StoredOnce,
        Promise::ReachesAWorker,
        Promise::EndsOnce,
        Promise::DoneIsDone,
        Promise::DeadAsExpected,
        Promise::DeadOnce,
        Promise::DeadTellsItsStory,
        Promise::OneHandAtATime,
        Promise::NeverEarly,
        Promise::CountsGrow,
        Promise::QueueEndsEmpty,
        Promise::WorkersGoOn,
        Promise::RestartsAlone,
        Promise::LogVerifies,
        Promise::FaultsNoticed,
    ];

    fn sentence(self) -> &'static str {
        match self {
            Promise::StoredOnce => "every acknowledged message is stored once, sent twice or not",
            Promise::ReachesAWorker => "every message that may be worked on reaches a worker",
            Promise::EndsOnce => "every message ends in one way, and in one only",
            Promise::DoneIsDone => "nothing comes back after it was accepted or rejected",
            Promise::DeadAsExpected => "the dead letters are those that must die, for their reason",
            Promise::DeadOnce => "every dead letter is there once",
            Promise::DeadTellsItsStory => "a dead letter has its bytes, origin and attempts",
            Promise::OneHandAtATime => "no message is in two hands while its lock lives",
            Promise::NeverEarly => "no delayed message is delivered early",
            Promise::CountsGrow => "delivery counts grow with every delivery",
            Promise::QueueEndsEmpty => "nothing is left in the queue at the end",
            Promise::WorkersGoOn => "workers and publishers go on after every restart",
            Promise::RestartsAlone => "the broker restarts by itself, and ends only when killed",
            Promise::LogVerifies => "`log verify` finds nothing wrong",
            Promise::FaultsNoticed => "each falsified copy of what was observed is told apart",
        }
    }
}
