//! Writes a shard's records, and keeps its log short.
//!
//! There is no log compaction here. When the log has become much longer than what it says, the whole
//! state is written at its end, and what came before is cut off once that is durable. A crash in
//! between finds both, and replays to the same state.

use std::sync::Arc;

use outlast_records::{CheckedBatch, LeaderEpoch, Offset, Timestamp};
use outlast_storage::{AppendSection, Expected, Rejection, SectionOutcome};
use tracing::{debug, error, warn};

use super::batches::batches;
use super::{InFlight, Inner, Machine, Shard, ShardError, State};

/// A log shorter than this is not rewritten.
pub(super) const MIN_REWRITE_BYTES: usize = 4 * 1024 * 1024;
/// A log is rewritten when it is this many times as long as what it says.
const REWRITE_RATIO: usize = 4;
/// There is one broker, and its internal topics don't change their leader.
const LEADER_EPOCH: LeaderEpoch = LeaderEpoch(0);

/// The records did not land where they belong: what they are based on was lost.
struct Misplaced;

impl<M: Machine> Shard<M> {
    /// Hands the records of a command to the store, and with them what it has for other partitions. On an error the
    /// state is lost.
    pub(super) fn write(
        &self,
        inner: &mut Inner<M>,
        records: Vec<M::Record>,
        others: Vec<AppendSection>,
        based_on: &[Expected],
        now: Timestamp,
    ) -> Result<(), ShardError> {
        let appended = match batches::<M>(records, now) {
            Ok(batches) => self.append(inner, batches, others, based_on, None),
            Err(error) => {
                error!(shard = self.id.index, what = M::WHAT, %error, "records can't be written");
                Err(Misplaced)
            }
        };
        let written = appended.and_then(|()| self.rewrite_if_long(inner, now));
        if written.is_err() {
            self.lose_state(inner, State::Stale);
            return Err(ShardError::Unavailable);
        }
        self.wake.notify_one();
        Ok(())
    }

    fn append(
        &self,
        inner: &mut Inner<M>,
        batches: Vec<CheckedBatch>,
        others: Vec<AppendSection>,
        based_on: &[Expected],
        log_start: Option<Offset>,
    ) -> Result<(), Misplaced> {
        let sizes = batches.iter().map(CheckedBatch::size);
        let bytes: usize = sizes.sum();
        let log = inner.log.get_or_insert_with(|| self.store.log(self.id));
        let mut sections = vec![AppendSection {
            log: Arc::clone(log),
            batches,
            leader_epoch: LEADER_EPOCH,
        }];
        sections.extend(others);
        let mut expected = based_on.to_vec();
        expected.push(Expected::End {
            log: Arc::clone(log),
            end: inner.end,
        });
        let append = self.store.append_all_if(&expected, sections);
        let (base, last) = match append.sections.first() {
            Some(SectionOutcome::Appended {
                base_offset,
                last_offset,
            }) => (*base_offset, *last_offset),
            Some(SectionOutcome::Rejected(Rejection::Overtaken)) => {
                // Whatever is there instead is waited for before the log is read again.
                inner.in_flight.push_back(InFlight {
                    number: inner.appended,
                    durable: self.store.after_all(),
                    log_start: None,
                });
                return Err(Misplaced);
            }
            Some(SectionOutcome::Rejected(reason)) => {
                warn!(shard = self.id.index, what = M::WHAT, %reason, "records were refused");
                return Err(Misplaced);
            }
            // Only producers with a sequence are told of duplicates, and one section has one outcome.
            Some(SectionOutcome::Duplicate { .. }) | None => return Err(Misplaced),
        };
        inner.appended += 1;
        inner.in_flight.push_back(InFlight {
            number: inner.appended,
            durable: append.durable,
            log_start,
        });
        if base != inner.end {
            return Err(Misplaced);
        }
        inner.end = last.next();
        inner.log_bytes += bytes;
        Ok(())
    }

    fn rewrite_if_long(&self, inner: &mut Inner<M>, now: Timestamp) -> Result<(), Misplaced> {
        if inner.log_bytes <= inner.rewrite_at_bytes {
            return Ok(());
        }
        let State::Ready(machine) = &inner.state else {
            return Ok(());
        };
        let snapshot = match batches::<M>(machine.snapshot(), now) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                error!(shard = self.id.index, what = M::WHAT, %error, "the state log can't be rewritten");
                inner.rewrite_at_bytes = inner.log_bytes.saturating_mul(2);
                return Ok(());
            }
        };
        let live: usize = snapshot.iter().map(CheckedBatch::size).sum();
        inner.rewrite_at_bytes = MIN_REWRITE_BYTES.max(live.saturating_mul(REWRITE_RATIO));
        if inner.log_bytes <= inner.rewrite_at_bytes {
            return Ok(());
        }
        let from = inner.log_bytes;
        debug!(
            shard = self.id.index,
            what = M::WHAT,
            from,
            to = live,
            "rewriting a state log"
        );
        if snapshot.is_empty() {
            // Nothing is left to say: all can go once the last word, just appended, is durable.
            if let Some(last) = inner.in_flight.back_mut() {
                last.log_start = Some(inner.end);
            }
        } else {
            let start = inner.end;
            self.append(inner, snapshot, Vec::new(), &[], Some(start))?;
        }
        inner.log_bytes = live;
        Ok(())
    }
}
