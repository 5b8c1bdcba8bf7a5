//! Redrive: moving dead letters back to where they came from, and purging them.
//!
//! A job is a task of this process. Each chunk of messages goes back and is marked as done in the dead-letter topic in one
//! entry of the write-ahead log, so that a job which ends anywhere, with the process or without, leaves every message in
//! one place; it is simply started again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use outlast_protocol::{ErrorCode, Str};
use outlast_records::{BatchBuilder, Compression, PartitionId};
use outlast_storage::AppendSection;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::coordinator::QueueCoordinator;
use super::dead_letters::{LetterReader, is_live};
use super::jobs::{CancelSignal, JobProgress};
use super::state::REDRIVE_GROUP;
use super::{DeadLetter, DeadLetterFilter, JobId, JobKind, RedriveOptions};
use crate::error::ApiError;
use crate::queue::{OffsetRange, QueueId, Queues, Turn};
use crate::shard::ShardError;
use crate::topics::Partition;

/// The most messages that are moved in one step.
const MAX_CHUNK: usize = 100;

impl QueueCoordinator {
    /// Moves dead letters back to where they came from, in the background.
    pub async fn redrive(
        &self,
        group: &str,
        filter: DeadLetterFilter,
        options: RedriveOptions,
    ) -> Result<JobId, ApiError> {
        if options.rate == 0 {
            let message = "the rate must be at least one message a second";
            return Err(ApiError::new(ErrorCode::InvalidRequest, message));
        }
        self.start_job(group, JobKind::Redrive, filter, options)
            .await
    }

    /// Drops dead letters, in the background.
    pub async fn purge_dead_letters(
        &self,
        group: &str,
        filter: DeadLetterFilter,
    ) -> Result<JobId, ApiError> {
        let options = RedriveOptions {
            rate: u32::MAX,
            force: true,
            ..RedriveOptions::default()
        };
        self.start_job(group, JobKind::Purge, filter, options).await
    }

    async fn start_job(
        &self,
        group: &str,
        kind: JobKind,
        filter: DeadLetterFilter,
        options: RedriveOptions,
    ) -> Result<JobId, ApiError> {
        let counts = self
            .count_dead_letters(group, &filter, options.max_redrives)
            .await?;
        let reader = self.letter_reader(group, filter)?;
        let Some(me) = self.me.upgrade() else {
            return Err(ErrorCode::CoordinatorNotAvailable.into());
        };
        let total = options
            .limit
            .map_or(counts.total, |most| most.min(counts.total));
        let (id, progress) = self.jobs.begin(kind, Str::from(group), total, self.now());
        let task = tokio::spawn(async move {
            let cancelled = progress.cancelled();
            let ended = me
                .run_job(kind, reader, &options, &progress, cancelled)
                .await;
            match &ended {
                Ok(()) => info!(job = id.0, ?kind, "a job on dead letters has ended"),
                Err(error) => warn!(
                    job = id.0,
                    ?kind,
                    ?error,
                    "a job on dead letters has failed"
                ),
            }
            progress.end(ended, me.now());
        });
        self.keep_task(task.abort_handle());
        Ok(id)
    }

    async fn run_job(
        &self,
        kind: JobKind,
        mut reader: LetterReader,
        options: &RedriveOptions,
        progress: &JobProgress,
        mut cancelled: CancelSignal,
    ) -> Result<(), ApiError> {
        let began = Instant::now();
        let chunk = (options.rate as usize / 10).clamp(1, MAX_CHUNK);
        let mut left = options.limit.unwrap_or(u64::MAX);
        let mut moved = 0u64;
        while let Some(mut letters) = reader.next(self).await? {
            letters.retain(|letter| {
                let guarded = !options.force && letter.redrives >= options.max_redrives;
                if guarded {
                    progress.skipped(1);
                }
                !guarded
            });
            letters.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            for letters in letters.chunks(chunk) {
                if cancelled.is_set() {
                    return Ok(());
                }
                let done = match kind {
                    JobKind::Redrive => self.move_back(letters).await?,
                    JobKind::Purge => self.settle_letters(letters).await?,
                };
                progress.moved(done);
                progress.skipped(letters.len() as u64 - done);
                left -= done;
                moved += done;
                let due = began + Duration::from_secs_f64(moved as f64 / f64::from(options.rate));
                tokio::select! {
                    () = sleep_until(due) => {}
                    () = cancelled.set() => return Ok(()),
                }
            }
            if left == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Moves letters of one partition of a dead-letter topic. Returns how many; the others have no place to go back to,
    /// or somebody else was faster.
    async fn move_back(&self, letters: &[DeadLetter]) -> Result<u64, ApiError> {
        let now = self.now();
        let placed: Vec<(&DeadLetter, Arc<Partition>)> = letters
            .iter()
            .filter_map(|letter| Some((letter, self.origin(letter)?)))
            .collect();
        let live = self.look(REDRIVE_GROUP, |queues| {
            let is_live = |(letter, _): &&(&DeadLetter, _)| is_live_letter(queues, letter);
            placed.iter().filter(is_live).cloned().collect::<Vec<_>>()
        })?;
        let mut batches: BTreeMap<PartitionId, (Arc<Partition>, BatchBuilder)> = BTreeMap::new();
        for (letter, partition) in &live {
            let (_, batch) = batches
                .entry(partition.id)
                .or_insert_with(|| (Arc::clone(partition), BatchBuilder::new(Compression::None)));
            letter.append_redriven(now, batch);
        }
        let mut sections = Vec::with_capacity(batches.len());
        for (partition, batch) in batches.into_values() {
            let batch = batch.build()?;
            sections.push(AppendSection {
                log: Arc::clone(&partition.log),
                batches: vec![batch],
                leader_epoch: partition.leader_epoch,
            });
        }
        let letters: Vec<&DeadLetter> = live.iter().map(|(letter, _)| *letter).collect();
        self.settle_with(&letters, sections).await
    }

    async fn settle_letters(&self, letters: &[DeadLetter]) -> Result<u64, ApiError> {
        let live = self.look(REDRIVE_GROUP, |queues| {
            let live = |letter: &&DeadLetter| is_live_letter(queues, letter);
            letters.iter().filter(live).collect::<Vec<_>>()
        })?;
        self.settle_with(&live, Vec::new()).await
    }

    /// Marks letters as done, together with what is appended for them: all of it or, when one of them is not live any
    /// more, nothing.
    async fn settle_with(
        &self,
        letters: &[&DeadLetter],
        sections: Vec<AppendSection>,
    ) -> Result<u64, ApiError> {
        let Some(first) = letters.first() else {
            return Ok(0);
        };
        let id = QueueId::new(REDRIVE_GROUP, first.partition);
        let log_start = self.place(id.partition)?.log_start();
        let bytes = sections.iter().flat_map(|section| &section.batches);
        let bytes = bytes.map(outlast_records::CheckedBatch::size).sum();
        let _room = self.store.reserve(bytes).await;
        let settings = self.world.settings(REDRIVE_GROUP);
        let (settled, ticket) = self
            .shard(REDRIVE_GROUP)
            .run_with(|state, now, fx| {
                let queues = &mut state.queues;
                if !letters.iter().all(|letter| is_live_letter(queues, letter)) {
                    return (0, Vec::new());
                }
                let settings = &settings.queue;
                let mut turn = Turn { settings, now, fx };
                queues.open(&id, log_start, &mut turn);
                for run in letters.chunk_by(|a, b| a.offset.next() == b.offset) {
                    let ends = (run.first(), run.last());
                    if let (Some(first), Some(last)) = ends
                        && let Some(range) = OffsetRange::new(first.offset, last.offset)
                    {
                        queues.settle(&id, range, &mut turn);
                    }
                }
                (letters.len() as u64, sections)
            })
            .map_err(ShardError::code)?;
        self.durable(REDRIVE_GROUP, ticket).await?;
        Ok(settled)
    }

    /// The partition that a letter came from, if it is still there.
    fn origin(&self, letter: &DeadLetter) -> Option<Arc<Partition>> {
        let topic = self.topic_named(&letter.topic)?;
        topic.partition(letter.topic_partition).ok().cloned()
    }
}

fn is_live_letter(queues: &Queues, letter: &DeadLetter) -> bool {
    let id = QueueId::new(REDRIVE_GROUP, letter.partition);
    is_live(queues, &id, letter.offset)
}
