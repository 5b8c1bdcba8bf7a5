//! Queues as a pure state machine: (state, call, now) → (records, answer, timers).
//!
//! [`Queues`] is the state of one `__share_group_state` partition: its groups, and of each group a
//! [`Queue`] for every topic partition that it works on and the [ledger](ledger) of the message ids
//! that it has processed. There is no clock, I/O, lock or chance here (jitter is a hash of the
//! message and its delivery count): `queues` gives the time, reads the log, makes the records
//! durable and only then lets answers go.
//!
//! A queue keeps runs of offsets in one state. What a worker or a time-out does to messages is a
//! [change](change::Change) of a run, which goes into the log and is applied by the same function
//! when it happens and when it is replayed. What can be read off the messages themselves (that they
//! are there, when they are due, their key) is not recorded: after a restart the queue scans the log
//! again from its start offset and leaves alone what has a recorded state. Only what has been
//! scanned can be delivered.
//!
//! ```text
//!            scanned                acquire              accept, or a duplicate of one accepted
//!   unseen ──────────▶ Ready ◀──────────────▶ Acquired ───────────────────────────────▶ Done
//!             │         ▲ ▲  given back uncounted │ │                                     ▲
//!             ▼     due │ │ delay over            │ │ reject, or failed for the last time │
//!         Scheduled ────┘ └──── Retry ◀───────────┘ ▼                                     │ buried
//!             │                   │   failed      Dying ──────────────────────────────────┘
//!             └─────── expired ───┴─────────────────▲
//! ```

mod calls;
mod effects;
mod ids;
mod records;
mod settings;

pub use calls::{
    AckError, AcquiredRange, Attempts, DeadReason, DyingMessage, MessageState, Plan, QueueNumbers,
    Scanned, Verb,
};
pub use effects::{Effects, Turn};
pub use ids::{OffsetRange, QueueId, Worker};
pub use records::{QueueRecord, QueueRecordError};
pub use settings::{
    ConsumeDedupe, ExpiredAction, QueueOrder, QueueSettings, RetryKind, RetryPolicy,
};

impl Queues {
    pub fn new() -> Queues;

    // ---- looking

    pub fn queue(&self, id: &QueueId) -> Option<&Queue>;
    /// In order of group and partition.
    pub fn iter(&self) -> impl Iterator<Item = (&GroupId, PartitionId, &Queue)>;
    pub fn group(&self, group: &str) -> impl Iterator<Item = (PartitionId, &Queue)>;
    pub fn groups(&self) -> impl Iterator<Item = &GroupId>;
    pub fn numbers(&self, id: &QueueId) -> Option<QueueNumbers>;
    /// How many ids the group remembers.
    pub fn ledger_len(&self, group: &str) -> usize;

    // ---- life of a queue

    /// Makes a queue that begins at `start`. False when there is one already, which stays as it is.
    pub fn open(&mut self, id: &QueueId, start: Offset, turn: &mut Turn<'_>) -> bool;
    /// Begins a queue anew at `start`: states, counts and locks of its messages are forgotten. Makes it if need be.
    pub fn reset(&mut self, id: &QueueId, start: Offset, turn: &mut Turn<'_>);
    /// False when there is none. The group's ledger stays.
    pub fn delete(&mut self, id: &QueueId, fx: &mut Effects) -> bool;
    /// All queues and the ledger.
    pub fn delete_group(&mut self, group: &str, fx: &mut Effects);
    /// The partition's log begins at `log_start` now: what was before is done, whoever holds it.
    pub fn log_start_moved(&mut self, id: &QueueId, log_start: Offset, turn: &mut Turn<'_>);

    // ---- the way of a delivery

    /// What is there for `wanted` messages. Call with a large number to have the queue look ahead as far as it may,
    /// which is how expired messages are found that nobody asks for.
    pub fn plan(&mut self, id: &QueueId, wanted: usize, turn: &mut Turn<'_>) -> Option<Plan>;
    /// The log from `from` up to, not including, `to`, was read, and `messages` (in order) are what it holds; at other
    /// offsets there is nothing. What was scanned already is passed over; a scan that begins after `scan_from` is ignored.
    pub fn scanned(&mut self, id: &QueueId, from: Offset, to: Offset, messages: &[Scanned], turn: &mut Turn<'_>);
    /// Hands up to `max` messages of the ranges `held`, which are those that the caller has in hand, to `worker`. The
    /// lock is the group's when not said. Adjacent messages with equal delivery counts are one range.
    pub fn acquire(&mut self, id: &QueueId, worker: &Worker, held: &[OffsetRange], max: usize, lock: Option<Duration>, turn: &mut Turn<'_>) -> Vec<AcquiredRange>;
    /// All of the range or nothing.
    pub fn acknowledge(&mut self, id: &QueueId, worker: &Worker, range: OffsetRange, verb: Verb, turn: &mut Turn<'_>) -> Result<(), AckError>;
    /// The worker is gone: what it held, in all queues of the group, has failed this time. Returns how many messages.
    pub fn release_worker(&mut self, group: &str, worker: &Worker, turn: &mut Turn<'_>) -> u64;

    // ---- time

    /// Brings the queue up to the time: locks and delays that are over, messages that expire. Every call above does so,
    /// too, so that firing early, late or twice does no harm.
    pub fn timer_fired(&mut self, id: &QueueId, turn: &mut Turn<'_>);

    // ---- death

    /// Up to `max` messages that must be moved to the dead-letter topic, in the order of their offsets.
    pub fn dying(&self, id: &QueueId, max: usize) -> Vec<DyingMessage>;
    /// They are in the dead-letter topic (in the same entry as the records of this call): done. What isn't dying is left.
    pub fn buried(&mut self, id: &QueueId, range: OffsetRange, turn: &mut Turn<'_>);
    /// Done without delivery, for redrive and purge. Leaves alone what is locked, dying or done, and returns the rest,
    /// which it settled. Also settles what was not scanned: the caller must not go beyond the end of the log.
    pub fn settle(&mut self, id: &QueueId, range: OffsetRange, turn: &mut Turn<'_>) -> Vec<OffsetRange>;

    // ---- the log

    pub fn replay(&mut self, record: QueueRecord);
    /// After the last record was replayed: names the timers that must run and the queues with dying messages.
    pub fn loaded(&mut self, fx: &mut Effects);
    /// Everything that a restart must find, as records that can take the place of the whole log.
    pub fn snapshot(&self) -> impl Iterator<Item = QueueRecord>;
}

impl Queue {
    pub fn start(&self) -> Offset;
    pub fn numbers(&self) -> QueueNumbers;
    pub fn state(&self, offset: Offset) -> MessageState;
    /// Stretches of equal state from `from` on, those that are unseen between others included.
    pub fn states(&self, from: Offset) -> impl Iterator<Item = (OffsetRange, MessageState)>;
    /// Workers that hold something, and how many messages.
    pub fn workers(&self) -> impl Iterator<Item = (&Worker, u64)>;
}

impl QueueRecord {
    pub fn encode(&self) -> Result<(Bytes, Option<Bytes>), EncodeError>;
    pub fn decode(key: Option<Bytes>, value: Option<Bytes>) -> Result<QueueRecord, QueueRecordError>;
}
