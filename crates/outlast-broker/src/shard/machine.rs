//! What a state machine and the shard around it say to each other.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use outlast_protocol::EncodeError;
use outlast_records::{EndTxnMarker, ProducerEpoch, ProducerId, Timestamp};

/// A state machine that is a fold over its records: no clock, no disk, no lock. Commands are its own methods, run by
/// [`Shard::run`](super::Shard::run); each writes what it asks of the world into `Effects`.
pub trait Machine: Send + Sized + 'static {
    /// What the machines of all shards share: configuration, and those who want to hear of news.
    type World: Send + Sync + 'static;
    type Effects: Default;
    type Record;
    type RecordError: std::error::Error + Send + Sync + 'static;
    type TimerKey: Clone + Eq + Hash + Send;
    type TimerEvent: Send;
    /// What a command answers that is answered later, from another command.
    type Reply: Send;

    /// What the log messages call one of what the machine keeps: "group".
    const WHAT: &'static str;

    fn empty(world: &Arc<Self::World>) -> Self;

    /// Takes in one record of the log, in the log's order. Records of unknown kinds are kept for the snapshot.
    fn replay(
        &mut self,
        key: Option<Bytes>,
        value: Option<Bytes>,
        now: Timestamp,
    ) -> Result<(), Self::RecordError>;

    /// As `replay`, of a record that counts when its transaction commits ([`Form::InTransaction`]).
    fn replay_in_transaction(
        &mut self,
        _producer: (ProducerId, ProducerEpoch),
        key: Option<Bytes>,
        value: Option<Bytes>,
        now: Timestamp,
    ) -> Result<(), Self::RecordError> {
        self.replay(key, value, now)
    }

    /// A producer's transaction ended in this log.
    fn replay_end(&mut self, _producer: ProducerId, _marker: EndTxnMarker, _now: Timestamp) {}

    /// After the last record of the log.
    fn loaded(&mut self, now: Timestamp, fx: &mut Self::Effects);

    /// Firing late, or for what is gone, does nothing.
    fn timer_fired(
        &mut self,
        key: &Self::TimerKey,
        event: Self::TimerEvent,
        now: Timestamp,
        fx: &mut Self::Effects,
    );

    /// Removes what nobody needs any more. Called every [`expiry_interval`](Machine::expiry_interval).
    fn expire(&mut self, now: Timestamp, fx: &mut Self::Effects);
    fn expiry_interval(world: &Self::World) -> Duration;

    /// Records that make an empty machine into this one.
    fn snapshot(&self) -> impl Iterator<Item = Self::Record>;

    fn encode(record: &Self::Record) -> Result<(Bytes, Option<Bytes>), EncodeError>;

    /// What kind of batch a record goes into.
    fn form(_record: &Self::Record) -> Form {
        Form::Plain
    }

    /// Takes effects apart, and passes news on to those in the world that they are for. `now` is what the command was
    /// given. The records are not durable yet, nor is it sure that they will be.
    fn asked(world: &Self::World, fx: Self::Effects, now: Timestamp) -> Asked<Self>;
}

/// How a record is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Plain,
    /// In a batch of this producer's open transaction.
    InTransaction(ProducerId, ProducerEpoch),
    /// As a control batch, which has no other key and value than the marker's.
    End(ProducerId, ProducerEpoch, EndTxnMarker),
}

/// Order matters within each list: records are appended in order, and a later timer change of the same key replaces an
/// earlier one.
pub struct Asked<M: Machine> {
    pub records: Vec<M::Record>,
    pub replies: Vec<(RequestToken, M::Reply)>,
    pub timers: Vec<TimerChange<M::TimerKey, M::TimerEvent>>,
}

/// Names a request whose reply comes later, perhaps from another request's command. Never used twice.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct RequestToken(pub u64);

/// Durations and not points in time: they are measured on a monotonic clock, which only the shell has, so that a step of
/// the wall clock expires nobody.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TimerChange<K, E> {
    /// Starts the timer anew, whether or not it was running.
    Start {
        key: K,
        after: Duration,
        event: E,
    },
    Cancel(K),
}
