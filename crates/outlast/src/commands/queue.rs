//! `outlast queue`: queues over the HTTP API. What the commands are called and take; what they do is in files of their
//! own.

mod describe;
mod manage;
mod receive;
mod send;

pub use manage::of_queue;
pub use receive::preview;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::http::HttpArgs;
use super::output::OutputArgs;
use super::topic::pair;
use super::when;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  outlast queue create jobs
  outlast queue send jobs 'resize 17.png'
  outlast queue receive jobs
  outlast queue describe jobs

What could not be processed is looked after with: outlast dlq")]
pub struct QueueArgs {
    #[command(subcommand)]
    command: QueueCommand,
    #[command(flatten)]
    http: HttpArgs,
}

#[derive(Debug, Subcommand)]
enum QueueCommand {
    /// Create a queue
    #[command(after_help = "Examples:
  outlast queue create jobs
  outlast queue create jobs --partitions 6 -c share.delivery.count.limit=10
  outlast queue create mails -c retry.policy=exponential -c retry.initial.delay.ms=5000 -c message.ttl.ms=86400000
  outlast queue create orders --group billing -c queue.order=key
      another share group on the topic orders; messages of one key are handed out one at a time

docs/QUEUES.md has every setting.")]
    Create(CreateArgs),
    /// List queues
    #[command(after_help = "Examples:
  outlast queue list
  outlast queue list --json | jq -r '.queues[] | select(.ready > 1000) | .queue'")]
    List {
        /// Only those of this share group
        #[arg(short, long)]
        group: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show how a queue does: length, speed, age, time to drain, settings
    #[command(after_help = "Examples:
  outlast queue describe jobs
  outlast queue describe jobs --json | jq '.stats.secondsToDrain'")]
    Describe {
        #[command(flatten)]
        queue: Which,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Change a queue's settings
    #[command(after_help = "Examples:
  outlast queue configure jobs -c share.delivery.count.limit=20
  outlast queue configure jobs --reset retry.policy
  outlast queue configure jobs --partitions 12")]
    Configure(ConfigureArgs),
    /// Send messages: arguments, lines of standard input, or files
    #[command(after_help = "Examples:
  outlast queue send jobs 'resize 17.png' 'resize 18.png'
  outlast queue send jobs --delay 10m 'remind me'
  outlast queue send jobs --at 2027-01-01T09:00:00Z --ttl 1h 'happy new year'
  outlast queue send jobs -K : < lines.txt
      lines such as  42:paid  have a key
  outlast queue send scans --file a.pdf --file b.pdf
      each file is a message, byte for byte")]
    Send(SendArgs),
    /// Receive messages, print them, and acknowledge them
    #[command(after_help = "Examples:
  outlast queue receive jobs
  outlast queue receive jobs --count 10 --wait 30s
  outlast queue receive jobs --follow | while read -r job; do echo \"$job\"; done
  outlast queue receive jobs --then keep --json
      leaves it locked and prints its receipt
  outlast queue receive jobs --then release --delay 5m
      puts it back for five minutes")]
    Receive(ReceiveArgs),
    /// Look at messages without taking them
    #[command(after_help = "Examples:
  outlast queue peek jobs
  outlast queue peek jobs --count 100 --json | jq -r '.[].state' | sort | uniq -c")]
    Peek {
        #[command(flatten)]
        queue: Which,
        /// How many
        #[arg(short = 'n', long, default_value_t = 20, value_name = "N")]
        count: usize,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Drop all messages that no worker has
    #[command(after_help = "Examples:
  outlast queue purge jobs --dry-run
  outlast queue purge jobs")]
    Purge {
        #[command(flatten)]
        queue: Which,
        /// Only say how many there are
        #[arg(long)]
        dry_run: bool,
        /// Don't ask
        #[arg(short, long)]
        yes: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Delete a queue, and its topic unless another group works on it
    #[command(after_help = "Examples:
  outlast queue delete jobs
  outlast queue delete orders --group billing --keep-topic --yes")]
    Delete {
        #[command(flatten)]
        queue: Which,
        /// Keep the topic and its messages
        #[arg(long)]
        keep_topic: bool,
        /// Only say what would be deleted
        #[arg(long)]
        dry_run: bool,
        /// Don't ask
        #[arg(short, long)]
        yes: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// Which queue a command is about.
#[derive(Debug, Args)]
pub struct Which {
    /// The queue's name
    pub queue: String,
    /// The share group, when it has another name than the queue
    #[arg(short, long)]
    pub group: Option<String>,
}

impl Which {
    /// The queue as people call it.
    pub fn name(&self) -> String {
        match &self.group {
            Some(group) if *group != self.queue => format!("{} of group {group}", self.queue),
            _ => self.queue.clone(),
        }
    }
}

#[derive(Debug, Args)]
struct CreateArgs {
    #[command(flatten)]
    queue: Which,
    /// How many partitions; the broker's default otherwise
    #[arg(short, long)]
    partitions: Option<i32>,
    /// A setting; may be repeated
    #[arg(short, long = "config", value_name = "NAME=VALUE", value_parser = pair)]
    configs: Vec<(String, String)>,
    /// Succeed when the queue exists already, and change its settings
    #[arg(long)]
    if_not_exists: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct ConfigureArgs {
    #[command(flatten)]
    queue: Which,
    /// More partitions
    #[arg(short, long)]
    partitions: Option<i32>,
    /// A setting; may be repeated
    #[arg(short, long = "config", value_name = "NAME=VALUE", value_parser = pair)]
    configs: Vec<(String, String)>,
    /// A setting that goes back to its default; may be repeated
    #[arg(long, value_name = "NAME")]
    reset: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct SendArgs {
    #[command(flatten)]
    queue: Which,
    /// Messages; lines of standard input when there are none
    #[arg(value_name = "MESSAGE")]
    messages: Vec<String>,
    /// A file that is a message; may be repeated
    #[arg(short, long = "file", value_name = "FILE", conflicts_with = "messages")]
    files: Vec<PathBuf>,
    /// The key of every message
    #[arg(short, long, conflicts_with = "key_separator")]
    key: Option<String>,
    /// What stands between key and value in a line
    #[arg(short = 'K', long, value_name = "TEXT")]
    key_separator: Option<String>,
    /// A header of every message; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", value_parser = pair)]
    headers: Vec<(String, String)>,
    /// Not to be received before this time has passed
    #[arg(long, value_parser = when::duration, value_name = "TIME", conflicts_with = "at")]
    delay: Option<Duration>,
    /// Not to be received before this moment
    #[arg(long, value_parser = when::moment, value_name = "MOMENT")]
    at: Option<i64>,
    /// Dead when nobody has taken it within this time
    #[arg(long, value_parser = when::duration, value_name = "TIME")]
    ttl: Option<Duration>,
    /// Say nothing but errors
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct ReceiveArgs {
    #[command(flatten)]
    queue: Which,
    /// How many messages
    #[arg(
        short = 'n',
        long,
        default_value_t = 1,
        value_name = "N",
        conflicts_with = "follow"
    )]
    count: usize,
    /// Go on until stopped
    #[arg(long)]
    follow: bool,
    /// How long to wait for the first one
    #[arg(long, value_parser = when::duration, default_value = "0s", value_name = "TIME")]
    wait: Duration,
    /// What becomes of a message that has been printed
    #[arg(long, value_enum, default_value = "acknowledge", value_name = "WHAT")]
    then: Then,
    /// With --then release: when it comes again, instead of what the retry policy says
    #[arg(long, value_parser = when::duration, value_name = "TIME")]
    delay: Option<Duration>,
    /// With --then release: it was no failed try
    #[arg(long)]
    not_counting: bool,
    /// How long the messages are locked
    #[arg(long, value_parser = when::duration, value_name = "TIME")]
    lock: Option<Duration>,
    /// The worker's name
    #[arg(long, default_value_t = worker_name(), hide_default_value = true)]
    worker: String,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Then {
    /// It is processed
    Acknowledge,
    /// It is tried again
    Release,
    /// It becomes a dead letter
    Reject,
    /// It stays locked until the lock runs out
    Keep,
}

/// A name for each process, so that one's locks are not another's.
fn worker_name() -> String {
    format!("outlast-{}", std::process::id())
}

pub fn run(args: QueueArgs) -> anyhow::Result<()> {
    let api = args.http.connect()?;
    match args.command {
        QueueCommand::Create(create) => manage::create(&api, &create),
        QueueCommand::List { group, output } => manage::list(&api, group, output.json),
        QueueCommand::Describe { queue, output } => describe::run(&api, &queue, output.json),
        QueueCommand::Configure(configure) => manage::configure(&api, &configure),
        QueueCommand::Send(send) => send::run(&api, &send),
        QueueCommand::Receive(receive) => receive::run(&api, &receive),
        QueueCommand::Peek {
            queue,
            count,
            output,
        } => receive::peek(&api, &queue, count, output.json),
        QueueCommand::Purge {
            queue,
            dry_run,
            yes,
            output,
        } => manage::purge(&api, &queue, dry_run, yes, output.json),
        QueueCommand::Delete {
            queue,
            keep_topic,
            dry_run,
            yes,
            output,
        } => {
            let what = manage::Deletion {
                queue: &queue,
                keep_topic,
                dry_run,
                yes,
            };
            manage::delete(&api, &what, output.json)
        }
    }
}
