//! `outlast bench`: throughput and latency of any broker that speaks Kafka's protocol. The client is kept light, so
//! that what is measured is the broker: payloads are made beforehand, records are not decoded to be counted, and
//! there is no allocation a record.

mod consume;
mod e2e;
mod meter;
mod payload;
mod produce;

use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use outlast_client::admin::NewTopic;
use outlast_client::{Admin, Client, ClientError, TopicInfo};

use super::output::note;
use super::target::TargetArgs;
use super::when;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  outlast bench produce
      ten seconds, 1 KiB records, one producer, a topic of its own
  outlast bench produce --size 100 --count 5000000 --partitions 16 --producers 4
  outlast bench produce --rate 5000/s --duration 30s
      latency at a fixed rate: what waits because the broker is slow counts as slow
  outlast bench produce --topic load --count 1000000 && outlast bench consume --topic load
  outlast bench e2e --count 10000
      from send to receipt, one record at a time
  outlast bench produce --bootstrap kafka.example.com:9092 --json")]
pub struct BenchArgs {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// How fast records can be written, and how long each takes to be acknowledged
    #[command(after_help = produce::EXAMPLES)]
    Produce(produce::ProduceBench),
    /// How fast records can be read
    #[command(after_help = consume::EXAMPLES)]
    Consume(consume::ConsumeBench),
    /// How long a record takes from its producer to its consumer
    #[command(after_help = e2e::EXAMPLES)]
    E2e(e2e::EndToEndBench),
}

/// What all benches share.
#[derive(Debug, Args)]
pub struct CommonArgs {
    /// The topic to use; created if it doesn't exist. Without it, a new one that is deleted at the end
    #[arg(short, long)]
    topic: Option<String>,
    /// Partitions of a topic that is created
    #[arg(short, long, default_value_t = 1, value_name = "N")]
    partitions: i32,
    /// Stop after this many records
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,
    /// Stop after this time; 10s if --count isn't given either
    #[arg(short, long, value_parser = when::duration, value_name = "TIME")]
    duration: Option<Duration>,
    /// Print the result as one line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

const DEFAULT_DURATION: Duration = Duration::from_secs(10);

pub fn run(args: BenchArgs) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, |n| n.get().clamp(1, 4)))
        .enable_all()
        .build()?
        .block_on(async {
            match args.command {
                BenchCommand::Produce(args) => produce::run(args).await,
                BenchCommand::Consume(args) => consume::run(args).await,
                BenchCommand::E2e(args) => e2e::run(args).await,
            }
        })
}

impl CommonArgs {
    /// When to stop: at a count, or after a time.
    fn limit(&self) -> (u64, Duration) {
        match (self.count, self.duration) {
            (None, None) => (u64::MAX, DEFAULT_DURATION),
            (count, duration) => (count.unwrap_or(u64::MAX), duration.unwrap_or(Duration::MAX)),
        }
    }

    async fn open_topic(&self) -> anyhow::Result<BenchTopic> {
        let client = self.target.connect("bench").await?;
        let admin = Admin::new(client.clone());
        let (name, temporary) = match &self.topic {
            Some(name) => (name.clone(), false),
            None => (format!("outlast-bench-{:08x}", random_name()), true),
        };
        let info = match admin.topic(&name).await {
            Ok(_) => client.topic(&name, false).await?,
            Err(ClientError::UnknownTopic(_)) => {
                let topic = NewTopic {
                    name: name.clone(),
                    partitions: Some(self.partitions),
                    ..NewTopic::default()
                };
                admin.create_topic(&topic, false).await?;
                client.topic(&name, false).await?
            }
            Err(error) => return Err(error.into()),
        };
        Ok(BenchTopic {
            client,
            info,
            temporary,
        })
    }
}

/// The topic that is measured.
struct BenchTopic {
    client: Client,
    info: TopicInfo,
    temporary: bool,
}

impl BenchTopic {
    fn name(&self) -> &str {
        &self.info.name
    }

    async fn clean_up(self) -> anyhow::Result<()> {
        if !self.temporary {
            return Ok(());
        }
        let name = self.info.name;
        let deleted = Admin::new(self.client).delete_topic(&name).await;
        deleted.with_context(|| format!("topic '{name}' is left over"))
    }
}

/// Different from the last run's; nothing hangs on how random it is.
fn random_name() -> u32 {
    let now = when::millis(std::time::SystemTime::now()) as u64;
    let mixed = (now ^ (u64::from(std::process::id()) << 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 32) as u32
}

/// Runs `bench` and stops it at Ctrl-C; what was measured by then counts.
async fn until_stopped(bench: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::select! {
        done = bench => done,
        stopped = tokio::signal::ctrl_c() => {
            stopped?;
            note("stopped");
            Ok(())
        }
    }
}
