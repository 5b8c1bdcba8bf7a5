//! Redriving and purging dead letters: jobs in the background, which can be watched and cancelled.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use outlast_broker::queues::{
    DeadLetterCounts, DeadReason, Job, JobId, JobKind, JobState, RedriveOptions,
};
use serde::{Deserialize, Serialize};

use super::api::Api;
use super::dead_letters::Filter;
use super::problem::{Kind, Problem};
use super::request::{Address, Payload, answer, bounded};

const MAX_RATE: u32 = 100_000;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Redrive {
    filter: Filter,
    dry_run: bool,
    rate: Option<u32>,
    max_redrives: Option<u32>,
    force: bool,
    limit: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Purge {
    filter: Filter,
    dry_run: bool,
}

/// What a dry run says.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    total: u64,
    by_reason: BTreeMap<&'static str, u64>,
    /// Would stay, because they were redriven too often already.
    guarded: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct JobBody {
    id: String,
    kind: &'static str,
    group: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    started: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<i64>,
    total: u64,
    moved: u64,
    skipped: u64,
}

#[derive(Debug, Serialize)]
struct Jobs {
    jobs: Vec<JobBody>,
}

impl From<DeadLetterCounts> for Counts {
    fn from(counts: DeadLetterCounts) -> Self {
        let reasons = DeadReason::ALL.into_iter();
        Self {
            total: counts.total,
            by_reason: reasons
                .map(|reason| (reason.name(), counts.by_reason[reason.index()]))
                .collect(),
            guarded: counts.guarded,
        }
    }
}

impl From<Job> for JobBody {
    fn from(job: Job) -> Self {
        let (state, error) = match job.state {
            JobState::Running => ("running", None),
            JobState::Done => ("done", None),
            JobState::Cancelled => ("cancelled", None),
            JobState::Failed(error) => ("failed", Some(error)),
        };
        Self {
            id: job.id.0.to_string(),
            kind: match job.kind {
                JobKind::Redrive => "redrive",
                JobKind::Purge => "purge",
            },
            group: job.group.to_string(),
            state,
            error,
            started: job.started.0,
            ended: job.ended.map(|time| time.0),
            total: job.total,
            moved: job.moved,
            skipped: job.skipped,
        }
    }
}

pub(crate) async fn redrive(
    State(api): State<Arc<Api>>,
    mut address: Address,
    payload: Payload,
) -> Result<Response, Problem> {
    let wanted = address.queue()?;
    address.finish()?;
    let asked: Redrive = payload.json_or_default()?;
    let defaults = RedriveOptions::default();
    let options = RedriveOptions {
        rate: bounded("rate", asked.rate, defaults.rate, 1..=MAX_RATE)?,
        max_redrives: asked.max_redrives.unwrap_or(defaults.max_redrives),
        force: asked.force,
        limit: asked.limit,
    };
    let found = api.find(wanted).await?;
    let filter = asked.filter.checked(&api, &found)?;
    let coordinator = api.queues().await?;
    if asked.dry_run {
        let guard = if options.force {
            u32::MAX
        } else {
            options.max_redrives
        };
        let counts = coordinator
            .count_dead_letters(&found.group, &filter, guard)
            .await?;
        return Ok(answer(StatusCode::OK, &Counts::from(counts)));
    }
    let id = coordinator.redrive(&found.group, filter, options).await?;
    started(&api, id).await
}

pub(crate) async fn purge(
    State(api): State<Arc<Api>>,
    mut address: Address,
    payload: Payload,
) -> Result<Response, Problem> {
    let wanted = address.queue()?;
    address.finish()?;
    let asked: Purge = payload.json_or_default()?;
    let found = api.find(wanted).await?;
    let filter = asked.filter.checked(&api, &found)?;
    let coordinator = api.queues().await?;
    if asked.dry_run {
        let counts = coordinator
            .count_dead_letters(&found.group, &filter, u32::MAX)
            .await?;
        return Ok(answer(StatusCode::OK, &Counts::from(counts)));
    }
    let id = coordinator.purge_dead_letters(&found.group, filter).await?;
    started(&api, id).await
}

async fn started(api: &Api, id: JobId) -> Result<Response, Problem> {
    let job = find(api, id).await?;
    let mut response = answer(StatusCode::ACCEPTED, &job);
    if let Ok(place) = HeaderValue::from_str(&format!("/v1/redrives/{}", job.id)) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

async fn find(api: &Api, id: JobId) -> Result<JobBody, Problem> {
    match api.queues().await?.job(id) {
        Some(job) => Ok(job.into()),
        None => {
            let detail = format!(
                "there is no job {}: it has ended long ago, or with the process that ran it; just start it again",
                id.0
            );
            Err(Problem::new(Kind::JobNotFound, detail))
        }
    }
}

pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    address: Address,
) -> Result<Response, Problem> {
    address.finish()?;
    let jobs = api.broker.opened_queues().map(|queues| queues.jobs());
    let jobs = jobs.unwrap_or_default().into_iter().map(JobBody::from);
    let jobs = Jobs {
        jobs: jobs.collect(),
    };
    Ok(answer(StatusCode::OK, &jobs))
}

pub(crate) async fn get(
    State(api): State<Arc<Api>>,
    mut address: Address,
) -> Result<Response, Problem> {
    let id = JobId(address.segment("id")?);
    address.finish()?;
    Ok(answer(StatusCode::OK, &find(&api, id).await?))
}

/// What was moved stays moved.
pub(crate) async fn cancel(
    State(api): State<Arc<Api>>,
    mut address: Address,
) -> Result<Response, Problem> {
    let id = JobId(address.segment("id")?);
    address.finish()?;
    let before = find(&api, id).await?;
    if !api.queues().await?.cancel_job(id) {
        let detail = format!("job {} runs no more: it is {}", id.0, before.state);
        return Err(Problem::new(Kind::Conflict, detail));
    }
    Ok(answer(StatusCode::OK, &find(&api, id).await?))
}
