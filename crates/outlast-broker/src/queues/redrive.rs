//! Redrive: moving dead letters back to where they came from, and purging them.
//!
//! A job is a task of this process. Each batch of messages goes back and is marked as redriven in one entry of the
//! write-ahead log, so that a job which ends anywhere, with the process or without, leaves every message in one place; it
//! is simply started again.

use outlast_protocol::Str;
use outlast_records::Timestamp;

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
    pub moved: u64,
    /// Left where they were: by the loop guard, or because their topic is gone.
    pub skipped: u64,
}
