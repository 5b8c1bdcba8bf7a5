//! `outlast dlq`: dead letters over the HTTP API: look at them, send them back, drop them.

mod jobs;
mod letters;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::http::{Api, Call, HttpArgs};
use super::output::OutputArgs;
use super::queue::Which;
use super::topic::pair;
use super::when;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  outlast dlq list jobs
  outlast dlq show jobs 0 17
  outlast dlq redrive jobs --dry-run
  outlast dlq redrive jobs --reason limit --rate 100/s

A queue's dead letters are those of its share group that came from the queue's topic.")]
pub struct DlqArgs {
    #[command(subcommand)]
    command: DlqCommand,
    #[command(flatten)]
    http: HttpArgs,
}

#[derive(Debug, Subcommand)]
enum DlqCommand {
    /// List dead letters
    #[command(after_help = "Examples:
  outlast dlq list jobs
  outlast dlq list jobs --reason rejected --since 2h
  outlast dlq list orders --group billing --key 'customer-7*' --header 'source=import*' --json")]
    List {
        #[command(flatten)]
        queue: Which,
        #[command(flatten)]
        filter: FilterArgs,
        /// How many
        #[arg(short = 'n', long, default_value_t = 20, value_name = "N")]
        count: usize,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show one dead letter with its story
    #[command(after_help = "Examples:
  outlast dlq show jobs 0 17
  outlast dlq show jobs 0 17 --json | jq -r .value")]
    Show {
        /// The queue's name
        queue: String,
        /// Its partition in the dead-letter topic
        partition: i32,
        /// Its offset there
        offset: i64,
        /// The share group, when it has another name than the queue
        #[arg(short, long)]
        group: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Send dead letters back to where they came from
    #[command(after_help = "Examples:
  outlast dlq redrive jobs --dry-run
      counts them and changes nothing
  outlast dlq redrive jobs
  outlast dlq redrive jobs --reason limit --since 1h --rate 100/s
  outlast dlq redrive jobs --key 'customer-7*' --limit 10
  outlast dlq redrive jobs --detach
      doesn't wait; follow it with: outlast dlq jobs

A message that was redriven three times already stays, unless --force is given. Ctrl-C ends the waiting, not the job.")]
    Redrive(RedriveArgs),
    /// Drop dead letters
    #[command(after_help = "Examples:
  outlast dlq purge jobs --dry-run
  outlast dlq purge jobs --until 7d --yes
      drops what died more than a week ago")]
    Purge {
        #[command(flatten)]
        queue: Which,
        #[command(flatten)]
        filter: FilterArgs,
        #[command(flatten)]
        doing: DoingArgs,
    },
    /// List redrives and purges, follow one, cancel one
    #[command(after_help = "Examples:
  outlast dlq jobs
  outlast dlq jobs 3
      follows job 3 to its end
  outlast dlq jobs 3 --cancel")]
    Jobs {
        /// Only this one; followed to its end
        id: Option<String>,
        /// Cancel it; what was moved stays moved
        #[arg(long, requires = "id")]
        cancel: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// Which dead letters; all that is said must hold.
#[derive(Debug, Args)]
struct FilterArgs {
    /// Why they died: limit, rejected, expired or undecodable; may be repeated
    #[arg(long = "reason", value_name = "REASON")]
    reasons: Vec<String>,
    /// Died at this time or later, such as 2h (ago) or 2026-01-31T12:00:00Z
    #[arg(long, value_parser = when::moment, value_name = "MOMENT")]
    since: Option<i64>,
    /// Died before this time
    #[arg(long, value_parser = when::moment, value_name = "MOMENT")]
    until: Option<i64>,
    /// Whose key fits this pattern: * stands for any bytes, ? for one
    #[arg(long, value_name = "PATTERN")]
    key: Option<String>,
    /// With a header whose value fits; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME=PATTERN", value_parser = pair)]
    headers: Vec<(String, String)>,
}

#[derive(Debug, Args)]
struct RedriveArgs {
    #[command(flatten)]
    queue: Which,
    #[command(flatten)]
    filter: FilterArgs,
    /// No faster than this, such as 100/s
    #[arg(long, value_parser = when::rate, default_value = "500/s", value_name = "N/s")]
    rate: f64,
    /// Even those that were redriven too often already
    #[arg(long)]
    force: bool,
    /// Only this many, oldest first
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    doing: DoingArgs,
}

#[derive(Debug, Args)]
struct DoingArgs {
    /// Only count
    #[arg(long)]
    dry_run: bool,
    /// Don't wait for the end
    #[arg(long)]
    detach: bool,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    output: OutputArgs,
}

impl FilterArgs {
    fn body(&self) -> Value {
        let headers = self.headers.iter();
        let headers: Vec<Value> = headers
            .map(|(name, pattern)| json!({"name": name, "pattern": pattern}))
            .collect();
        let mut body = json!({"reasons": self.reasons, "headers": headers});
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body[name] = value;
            }
        };
        put("since", self.since.map(Value::from));
        put("until", self.until.map(Value::from));
        put("key", self.key.clone().map(Value::from));
        body
    }

    fn query<'a>(&self, mut call: Call<'a>) -> Call<'a> {
        for reason in &self.reasons {
            call = call.query("reason", reason);
        }
        for (name, pattern) in &self.headers {
            call = call.query("header", format!("{name}:{pattern}"));
        }
        call.maybe("since", self.since)
            .maybe("until", self.until)
            .maybe("key", self.key.as_ref())
    }
}

pub fn run(args: DlqArgs) -> anyhow::Result<()> {
    let api: Api = args.http.connect()?;
    match args.command {
        DlqCommand::List {
            queue,
            filter,
            count,
            output,
        } => letters::list(&api, &queue, &filter, count, output.json),
        DlqCommand::Show {
            queue,
            partition,
            offset,
            group,
            output,
        } => {
            let queue = Which { queue, group };
            letters::show(&api, &queue, partition, offset, output.json)
        }
        DlqCommand::Redrive(args) => jobs::redrive(&api, &args),
        DlqCommand::Purge {
            queue,
            filter,
            doing,
        } => jobs::purge(&api, &queue, &filter, &doing),
        DlqCommand::Jobs { id, cancel, output } => match id {
            None => jobs::list(&api, output.json),
            Some(id) if cancel => jobs::cancel(&api, &id, output.json),
            Some(id) => jobs::follow(&api, &id, output.json),
        },
    }
}
