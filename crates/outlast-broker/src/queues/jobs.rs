//! The background jobs on dead letters: which there are, how far they are, and how one is told to stop.

use std::collections::BTreeMap;
use std::sync::Arc;

use outlast_protocol::Str;
use outlast_records::Timestamp;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::coordinator::QueueCoordinator;
use crate::error::ApiError;

/// So many jobs that have ended are remembered.
const MAX_ENDED: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobKind {
    Redrive,
    Purge,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    Running,
    Done,
    Cancelled,
    /// What went wrong. What was moved before stays moved.
    Failed(String),
}

#[derive(Clone, Debug)]
pub struct RedriveOptions {
    /// Messages a second.
    pub rate: u32,
    /// A message that was redriven this often is left where it is.
    pub max_redrives: u32,
    /// Redrive even those.
    pub force: bool,
    /// Only this many.
    pub limit: Option<u64>,
}

impl Default for RedriveOptions {
    fn default() -> RedriveOptions {
        RedriveOptions {
            rate: 500,
            max_redrives: 3,
            force: false,
            limit: None,
        }
    }
}

/// How far a job is.
#[derive(Clone, Debug)]
pub struct Job {
    pub id: JobId,
    pub kind: JobKind,
    pub group: Str,
    pub state: JobState,
    pub started: Timestamp,
    pub ended: Option<Timestamp>,
    /// Dead letters that passed the filter when the job began.
    pub total: u64,
    /// Redriven or purged.
    pub moved: u64,
    /// Left where they were: by the loop guard, because their topic is gone, or because somebody else was faster.
    pub skipped: u64,
}

#[derive(Default)]
pub(super) struct Jobs(Arc<Mutex<BTreeMap<JobId, Entry>>>);

struct Entry {
    job: Job,
    cancel: watch::Sender<bool>,
}

/// What a job's task knows of itself.
pub(super) struct JobProgress {
    id: JobId,
    jobs: Arc<Mutex<BTreeMap<JobId, Entry>>>,
    cancelled: watch::Receiver<bool>,
}

pub(super) struct CancelSignal(watch::Receiver<bool>);

impl QueueCoordinator {
    /// Those that run, and the last that have ended, newest first.
    pub fn jobs(&self) -> Vec<Job> {
        let jobs = self.jobs.0.lock();
        jobs.values().rev().map(|entry| entry.job.clone()).collect()
    }

    pub fn job(&self, id: JobId) -> Option<Job> {
        Some(self.jobs.0.lock().get(&id)?.job.clone())
    }

    /// It stops after what it is just moving. False when there is no such job that runs.
    pub fn cancel_job(&self, id: JobId) -> bool {
        let jobs = self.jobs.0.lock();
        let running = jobs
            .get(&id)
            .filter(|entry| entry.job.state == JobState::Running);
        running.is_some_and(|entry| {
            entry.cancel.send_replace(true);
            true
        })
    }
}

impl Jobs {
    pub fn begin(
        &self,
        kind: JobKind,
        group: Str,
        total: u64,
        now: Timestamp,
    ) -> (JobId, JobProgress) {
        let mut jobs = self.0.lock();
        let ended = jobs.values().filter(|entry| entry.job.ended.is_some());
        let ended: Vec<JobId> = ended.map(|entry| entry.job.id).collect();
        for id in ended.iter().take(ended.len().saturating_sub(MAX_ENDED)) {
            jobs.remove(id);
        }
        let id = JobId(jobs.last_key_value().map_or(1, |(last, _)| last.0 + 1));
        let cancel = watch::Sender::new(false);
        let progress = JobProgress {
            id,
            jobs: Arc::clone(&self.0),
            cancelled: cancel.subscribe(),
        };
        let job = Job {
            id,
            kind,
            group,
            state: JobState::Running,
            started: now,
            ended: None,
            total,
            moved: 0,
            skipped: 0,
        };
        jobs.insert(id, Entry { job, cancel });
        (id, progress)
    }
}

impl JobProgress {
    pub fn cancelled(&self) -> CancelSignal {
        CancelSignal(self.cancelled.clone())
    }

    pub fn moved(&self, count: u64) {
        self.change(|job| job.moved += count);
    }

    pub fn skipped(&self, count: u64) {
        self.change(|job| job.skipped += count);
    }

    pub fn end(self, result: Result<(), ApiError>, now: Timestamp) {
        let cancelled = *self.cancelled.borrow();
        self.change(|job| {
            job.ended = Some(now);
            job.state = match result {
                Err(error) => JobState::Failed(error.message.unwrap_or(error.code.to_string())),
                Ok(()) if cancelled => JobState::Cancelled,
                Ok(()) => JobState::Done,
            };
        });
    }

    fn change(&self, change: impl FnOnce(&mut Job)) {
        if let Some(entry) = self.jobs.lock().get_mut(&self.id) {
            change(&mut entry.job);
        }
    }
}

impl CancelSignal {
    pub fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    pub async fn set(&mut self) {
        if self.0.wait_for(|set| *set).await.is_err() {
            // The job is forgotten only after its end.
            std::future::pending().await
        }
    }
}
