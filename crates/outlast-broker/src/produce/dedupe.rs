//! Deduplication on publish (`message.dedupe.header`): a message whose id came within the window is acknowledged and not
//! stored again, whoever sends it, also after a restart.
//!
//! ```text
//! batch ─ ids of its records ─ gate ─ window: which came before? ─ batch without repeats ─ append ─ remember the new ids
//! ```
//! The records that stay keep their offsets, as if the repeats had been compacted away, so that a producer's view of
//! offsets and sequences stays right. A batch of nothing but repeats is not appended, unless its producer is idempotent:
//! then its header is, for the sequence numbers.
//!
//! A repeat is only dropped when its original is durable. If that is still being written, the request waits for it, and
//! when the write fails (a full disk) the repeat is stored instead: nothing is acknowledged that isn't there.
//!
//! Memory: see [`window`]. Topics without the setting pay one look at their configuration.

mod filter;
mod gate;
mod load;
mod window;

use std::collections::HashMap;
use std::sync::Arc;

use outlast_protocol::ErrorCode;
use outlast_records::{CheckedBatch, Offset, PartitionId, Timestamp};
use outlast_storage::{AppendSection, Durable, SectionOutcome, Store};

use crate::error::ApiError;
use crate::topic_config::DedupeConfig;
use crate::topics::Partition;
use filter::{Named, Verdict};
use gate::Pass;
pub(crate) use gate::{Gate, Turnstile};
use window::Window;

/// A batch for a partition whose topic deduplicates.
pub(crate) struct Ids {
    partition: Arc<Partition>,
    config: DedupeConfig,
    named: Vec<Named>,
}

impl Ids {
    /// Reads them from the batch, which must be one that is stored as it is.
    pub(crate) fn of(
        batch: &CheckedBatch,
        partition: &Arc<Partition>,
        config: &DedupeConfig,
    ) -> Result<Self, ApiError> {
        Ok(Self {
            named: filter::named(batch, &config.header)?,
            partition: partition.clone(),
            config: config.clone(),
        })
    }
}

/// A section, with its ids where the topic deduplicates.
pub(crate) struct Candidate {
    pub(crate) section: AppendSection,
    pub(crate) ids: Option<Ids>,
}

/// What became of a candidate.
pub(crate) enum Outcome {
    /// It was given to the log, perhaps without its repeats.
    Section(SectionOutcome),
    /// All its records are in the log already, durably.
    Repeats {
        /// Of the first record's original.
        offset: Offset,
        time: Timestamp,
    },
    Refused(ApiError),
}

pub(crate) struct Published {
    /// In the order of the candidates, with the number of repeats in each.
    pub(crate) outcomes: Vec<(Outcome, u64)>,
    /// Of what was appended.
    pub(crate) durable: Durable,
}

/// Appends without the repeats. Waits only where a window must be made ready or an original is still being written.
pub(crate) async fn append(
    store: &Store,
    turnstile: &Turnstile,
    now: Timestamp,
    mut candidates: Vec<Candidate>,
) -> Published {
    let refused = refuse_second_sections(&mut candidates);
    let mut windows = Windows::enter(store, turnstile, now, &candidates).await;
    let verdicts = windows.judge(now, &candidates).await;
    let (mut outcomes, mut sections, mut appended) = (Vec::new(), Vec::new(), Vec::new());
    for ((candidate, verdict), refused) in candidates.into_iter().zip(verdicts).zip(refused) {
        let at = outcomes.len();
        let verdict = match refused {
            Some(error) => Err(error),
            None => verdict,
        };
        match decide(candidate, verdict) {
            Decision::Append(section, keys, repeats) => {
                appended.push((at, keys));
                sections.push(section);
                // Replaced below.
                outcomes.push((
                    Outcome::Refused(ErrorCode::UnknownServerError.into()),
                    repeats,
                ));
            }
            Decision::Done(outcome, repeats) => outcomes.push((outcome, repeats)),
        }
    }
    let append = store.append(sections);
    for ((at, keys), outcome) in appended.into_iter().zip(append.sections) {
        if let (
            Some((partition, new)),
            SectionOutcome::Appended {
                base_offset,
                last_offset,
            },
        ) = (keys, &outcome)
        {
            windows.remember(
                partition,
                &new,
                (*base_offset, *last_offset),
                now,
                &append.durable,
            );
        }
        outcomes[at].0 = Outcome::Section(outcome);
    }
    Published {
        outcomes,
        durable: append.durable,
    }
}

/// Two sections of one partition could not be judged independently; no client sends such a request.
fn refuse_second_sections(candidates: &mut [Candidate]) -> Vec<Option<ApiError>> {
    let mut seen = std::collections::HashSet::new();
    let refuse = |candidate: &mut Candidate| {
        let second = !seen.insert(candidate.ids.as_ref()?.partition.id);
        if second {
            candidate.ids = None;
        }
        second.then(|| {
            let message = "the partition is in the request more than once";
            ApiError::new(ErrorCode::InvalidRequest, message)
        })
    };
    candidates.iter_mut().map(refuse).collect()
}

enum Decision {
    /// With what to remember once it is appended, and the number of repeats that it no longer has.
    Append(AppendSection, Option<(PartitionId, Vec<Named>)>, u64),
    Done(Outcome, u64),
}

fn decide(candidate: Candidate, verdict: Result<Option<Verdict>, ApiError>) -> Decision {
    let Candidate { mut section, ids } = candidate;
    let verdict = match verdict {
        Ok(verdict) => verdict,
        Err(error) => return Decision::Done(Outcome::Refused(error), 0),
    };
    let (Some(verdict), Some(ids)) = (verdict, ids) else {
        return Decision::Append(section, None, 0);
    };
    let repeats = verdict.repeats.len() as u64;
    if repeats > 0 {
        // A produced section is one batch.
        for batch in &mut section.batches {
            let header = batch.header();
            let all = i64::from(header.records_count) == verdict.repeats.len() as i64;
            if let Some(original) = verdict.original
                && all
                && !header.has_producer()
            {
                let (offset, time) = (original.offset, original.time);
                return Decision::Done(Outcome::Repeats { offset, time }, repeats);
            }
            match filter::without(batch, &verdict.repeats) {
                Ok(rest) => *batch = rest,
                Err(error) => return Decision::Done(Outcome::Refused(error.into()), 0),
            }
        }
    }
    Decision::Append(section, Some((ids.partition.id, verdict.new)), repeats)
}

/// The windows that a request has to itself.
struct Windows(HashMap<PartitionId, Result<Pass, ApiError>>);

impl Windows {
    async fn enter(
        store: &Store,
        turnstile: &Turnstile,
        now: Timestamp,
        candidates: &[Candidate],
    ) -> Self {
        let wanted: Vec<&Ids> = candidates
            .iter()
            .filter_map(|candidate| candidate.ids.as_ref())
            .collect();
        let gates: Vec<&Gate> = wanted.iter().map(|ids| &ids.partition.dedupe).collect();
        let mut passes = HashMap::with_capacity(gates.len());
        for (ids, mut pass) in wanted.iter().zip(turnstile.pass(&gates).await) {
            let (config, log) = (&ids.config, &ids.partition.log);
            let ready = gate::is_ready(&mut pass, config, log);
            let pass = match ready {
                true => Ok(pass),
                false => gate::prepare(pass, config.clone(), log.clone(), store, now).await,
            };
            passes.insert(ids.partition.id, pass);
        }
        Self(passes)
    }

    /// What the windows say of each candidate: `None` where there is nothing to ask.
    async fn judge(
        &mut self,
        now: Timestamp,
        candidates: &[Candidate],
    ) -> Vec<Result<Option<Verdict>, ApiError>> {
        let mut verdicts = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            let Some(ids) = &candidate.ids else {
                verdicts.push(Ok(None));
                continue;
            };
            verdicts.push(self.judge_one(ids, now).await.map(Some));
        }
        verdicts
    }

    async fn judge_one(&mut self, ids: &Ids, now: Timestamp) -> Result<Verdict, ApiError> {
        loop {
            let window = self.window(ids.partition.id)?;
            window.settle();
            window.expire(now);
            let verdict = filter::judge(window, &ids.named, now);
            if !verdict.undecided {
                return Ok(verdict);
            }
            // Whatever comes of the originals, it is known then.
            for durable in self
                .window(ids.partition.id)?
                .pending()
                .cloned()
                .collect::<Vec<_>>()
            {
                let _ = durable.await;
            }
        }
    }

    fn remember(
        &mut self,
        partition: PartitionId,
        new: &[Named],
        (base, last): (Offset, Offset),
        now: Timestamp,
        durable: &Durable,
    ) {
        let Ok(window) = self.window(partition) else {
            return;
        };
        window.remember(filter::placed(new, base), now, durable.clone());
        // Anything appended by others in between is looked at before the next request.
        if window.seen == base {
            window.seen = last.next();
        }
    }

    fn window(&mut self, partition: PartitionId) -> Result<&mut Window, ApiError> {
        let missing = || ApiError::from(ErrorCode::UnknownServerError);
        let pass = self.0.get_mut(&partition).ok_or_else(missing)?;
        pass.as_mut()
            .map_err(|error| error.clone())?
            .as_mut()
            .ok_or_else(missing)
    }
}
