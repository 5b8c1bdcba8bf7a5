//! What a command asks of the world around the state machine.

use std::time::Duration;

use outlast_protocol::Str;
use outlast_records::Timestamp;

use super::{Producer, Transaction, TxnRecord};
use crate::shard::TimerChange;

#[derive(Debug, Default)]
pub struct Effects {
    pub records: Vec<TxnRecord>,
    /// One an id: when its transaction has run for too long. The event says whose it was.
    pub timers: Vec<TimerChange<Str, Producer>>,
    pub news: Vec<News>,
}

/// What somebody has to see to who may do more than a state machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Markers must be written, and then the end recorded.
    Ending(Str),
    /// This producer's transaction must be aborted.
    TimedOut(Str, Producer),
}

impl Effects {
    /// A time-out counts from the start of the transaction, over restarts.
    pub(super) fn start_timer(&mut self, id: &Str, txn: &Transaction, now: Timestamp) {
        if !txn.may_time_out() {
            return;
        }
        let ran = now.0.saturating_sub(txn.started_at.0).max(0);
        let left = i64::from(txn.timeout_ms).saturating_sub(ran).max(0);
        self.timers.push(TimerChange::Start {
            key: id.clone(),
            after: Duration::from_millis(left.unsigned_abs()),
            event: txn.producer,
        });
    }

    pub(super) fn cancel_timer(&mut self, id: &Str) {
        self.timers.push(TimerChange::Cancel(id.clone()));
    }
}
