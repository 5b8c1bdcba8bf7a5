//! Redrives and purges: counted first, asked about, followed to their end.

use std::thread::sleep;
use std::time::Duration;

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{DoingArgs, FilterArgs, RedriveArgs};
use crate::commands::http::Api;
use crate::commands::output::{
    self, FAINT, GOOD, Table, WARNING, confirm, grouped, number, say, styled, text,
};
use crate::commands::queue::{Which, of_queue};
use crate::commands::when::rfc3339;

const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    total: u64,
    by_reason: std::collections::BTreeMap<String, u64>,
    guarded: u64,
}

#[derive(Deserialize)]
struct Job {
    id: String,
    kind: String,
    group: String,
    state: String,
    error: Option<String>,
    started: i64,
    total: u64,
    moved: u64,
    skipped: u64,
}

pub(super) fn redrive(api: &Api, args: &RedriveArgs) -> anyhow::Result<()> {
    let mut body = json!({
        "filter": args.filter.body(),
        "rate": (args.rate.round() as u64).max(1),
        "force": args.force,
    });
    if let Some(limit) = args.limit {
        body["limit"] = limit.into();
    }
    start(api, &args.queue, "redrive", body, &args.doing)
}

pub(super) fn purge(
    api: &Api,
    queue: &Which,
    filter: &FilterArgs,
    doing: &DoingArgs,
) -> anyhow::Result<()> {
    start(api, queue, "purge", json!({"filter": filter.body()}), doing)
}

fn start(
    api: &Api,
    queue: &Which,
    what: &'static str,
    mut body: Value,
    doing: &DoingArgs,
) -> anyhow::Result<()> {
    let ask = |body: &Value| {
        let call = api.post(&["queues", &queue.queue, "dead-letters", what]);
        of_queue(call, queue).json(body).send()
    };
    body["dryRun"] = true.into();
    let counted = ask(&body)?;
    let counts: Counts = serde_json::from_value(counted.clone())?;
    if doing.dry_run {
        return match doing.output.json {
            true => output::json(&counted),
            false => print_counts(&counts, what),
        };
    }
    if counts.total == 0 {
        return match doing.output.json {
            true => output::json(&counted),
            false => Ok(say("no dead letters; nothing to do")?),
        };
    }
    let count = grouped(counts.total);
    let question = match what {
        "purge" => format!("Drop {count} dead letters of {}?", queue.name()),
        _ => format!("Send {count} dead letters back to {}?", queue.name()),
    };
    confirm(&question, doing.yes)?;
    body["dryRun"] = false.into();
    let job = ask(&body)?;
    let id = job["id"].as_str().unwrap_or_default().to_owned();
    if !doing.detach {
        return follow(api, &id, doing.output.json);
    }
    match doing.output.json {
        true => output::json(&job),
        false => Ok(say(&format!(
            "job {id} has begun; follow it with: outlast dlq jobs {id}"
        ))?),
    }
}

fn print_counts(counts: &Counts, what: &str) -> anyhow::Result<()> {
    let mut table = Table::new(&["REASON", "DEAD LETTERS"]);
    for (reason, count) in &counts.by_reason {
        table.row([text(reason), number(grouped(*count))]);
    }
    table.row([text("all"), number(grouped(counts.total))]);
    table.print()?;
    if what == "redrive" && counts.guarded > 0 {
        let guarded = grouped(counts.guarded);
        say(&format!(
            "{guarded} of them were redriven too often and stay, unless --force is given"
        ))?;
    }
    Ok(say("nothing was changed")?)
}

/// Waits for a job's end and says how it went.
pub(super) fn follow(api: &Api, id: &str, as_json: bool) -> anyhow::Result<()> {
    let bar = ProgressBar::new(0);
    let style = "{bar:32} {human_pos} of {human_len} ({per_sec}, {eta} left)";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    let answer = loop {
        let answer = api.get(&["redrives", id]).send()?;
        let job: Job = serde_json::from_value(answer.clone())?;
        bar.set_length(job.total);
        bar.set_position(job.moved + job.skipped);
        if job.state != "running" {
            break answer;
        }
        sleep(LOOK_EVERY);
    };
    bar.finish_and_clear();
    ended(answer, as_json)
}

fn ended(answer: Value, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        output::json(&answer)?;
    }
    let job: Job = serde_json::from_value(answer)?;
    if job.state == "failed" {
        let error = job.error.as_deref().unwrap_or("no reason is known");
        bail!(
            "the {} ended after {} messages: {error}",
            job.kind,
            grouped(job.moved)
        );
    }
    if as_json {
        return Ok(());
    }
    let verb = match job.kind.as_str() {
        "purge" => "dropped",
        _ => "redriven",
    };
    let mut line = format!("{} {verb}", styled(GOOD, grouped(job.moved)));
    if job.skipped > 0 {
        let skipped = grouped(job.skipped);
        line.push_str(&format!(
            ", {} left where they are",
            styled(WARNING, skipped)
        ));
    }
    if job.state == "cancelled" {
        line.push_str(", then cancelled");
    }
    Ok(say(&line)?)
}

pub(super) fn cancel(api: &Api, id: &str, as_json: bool) -> anyhow::Result<()> {
    ended(api.delete(&["redrives", id]).send()?, as_json)
}

pub(super) fn list(api: &Api, as_json: bool) -> anyhow::Result<()> {
    let answer = api.get(&["redrives"]).send()?;
    if as_json {
        return output::json(&answer);
    }
    let jobs: Vec<Job> = serde_json::from_value(answer["jobs"].clone())?;
    if jobs.is_empty() {
        return Ok(say("no redrives or purges since the server has started")?);
    }
    let heads = [
        "JOB", "KIND", "GROUP", "STATE", "STARTED", "MOVED", "SKIPPED", "OF",
    ];
    let mut table = Table::new(&heads);
    for job in jobs {
        let style = match job.state.as_str() {
            "running" => GOOD,
            "failed" => WARNING,
            _ => FAINT,
        };
        table.row([
            text(job.id),
            text(job.kind),
            text(job.group),
            text(job.state).style(style),
            text(rfc3339(job.started)),
            number(grouped(job.moved)),
            number(grouped(job.skipped)),
            number(grouped(job.total)),
        ]);
    }
    Ok(table.print()?)
}
