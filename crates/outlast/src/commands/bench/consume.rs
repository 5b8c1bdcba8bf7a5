//! `outlast bench consume`: what is there already, or what comes in.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use outlast_client::consumer::{ConsumerConfig, OutOfRange, Start};
use outlast_client::{Client, Consumer, TopicPartition};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::meter::{LiveLine, Meter};
use super::{CommonArgs, until_stopped};
use crate::commands::when::{self, PLACE_HELP, Place};

pub const EXAMPLES: &str = "Examples:
  outlast bench consume --topic load
      everything in it, from the beginning
  outlast bench consume --topic load --count 1000000 --consumers 2
  outlast bench consume --topic load --from end --duration 30s
      what comes in meanwhile

Records are counted by their batches' headers; bytes are those of batches as they travel.";

#[derive(Debug, Args)]
pub struct ConsumeBench {
    #[command(flatten)]
    common: CommonArgs,
    /// Where to begin
    #[arg(short, long, default_value = "beginning", value_name = "PLACE", help = from_help(), allow_hyphen_values = true)]
    from: Place,
    /// How many consumers share the partitions, each with connections of its own
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000), value_name = "N")]
    consumers: u32,
    /// Stop when nothing came for this long
    #[arg(long, value_parser = when::duration, default_value = "10s", value_name = "TIME")]
    idle: Duration,
    /// A fetch waits at the broker until this much is there
    #[arg(long, value_parser = when::size, default_value = "1", value_name = "SIZE")]
    min_bytes: usize,
    /// The most that one fetch brings of one partition
    #[arg(long, value_parser = when::size, default_value = "1MiB", value_name = "SIZE")]
    partition_bytes: usize,
}

fn from_help() -> String {
    format!("Where to begin: {PLACE_HELP}")
}

pub async fn run(args: ConsumeBench) -> anyhow::Result<()> {
    if args.common.topic.is_none() {
        bail!("name what to read with --topic; fill one with: outlast bench produce --topic NAME");
    }
    let topic = args.common.open_topic().await?;
    let start = match args.from {
        Place::Beginning => Start::Beginning,
        Place::End => Start::End,
        Place::Offset(offset) => Start::Offset(offset),
        Place::Time(ms) => Start::Timestamp(ms),
        Place::Last(_) => bail!("the last records of each partition are no load; use beginning"),
    };
    let meter = Arc::new(Meter::new()?);
    let (count, duration) = match (args.common.count, args.common.duration) {
        // Everything that is there.
        (None, None) => (u64::MAX, Duration::MAX),
        _ => args.common.limit(),
    };
    let line = LiveLine::new(count, args.common.json);
    let partitions = topic.info.partitions.iter();
    let partitions: Vec<TopicPartition> = partitions
        .map(|p| TopicPartition::new(topic.name(), p.index))
        .collect();
    let mut workers = JoinSet::new();
    for index in 0..args.consumers as usize {
        let own = partitions
            .iter()
            .skip(index)
            .step_by(args.consumers as usize);
        let own: Vec<_> = own.map(|tp| (tp.clone(), start)).collect();
        if own.is_empty() {
            continue;
        }
        let client = Client::connect(args.common.target.config("bench")?).await?;
        let consumer = Consumer::assigned(client, config(&args), own);
        let meter = Arc::clone(&meter);
        workers.spawn(read(consumer, meter, count, duration, args.idle));
    }
    let work = async {
        while let Some(worker) = workers.join_next().await {
            worker??;
        }
        Ok(())
    };
    let worked = until_stopped(async {
        tokio::select! {
            worked = work => worked,
            () = line.follow(&meter) => Ok(()),
        }
    })
    .await;
    line.clear();
    let summary = meter.summary("consume", topic.name(), topic.info.partitions.len());
    summary.print(args.common.json)?;
    worked?;
    let read = meter.records();
    if let Some(wanted) = args.common.count.filter(|wanted| read < *wanted)
        && args.common.duration.is_none()
    {
        bail!(
            "only {read} of {wanted} records came before it was quiet for {:?}",
            args.idle
        );
    }
    Ok(())
}

fn config(args: &ConsumeBench) -> ConsumerConfig {
    let bytes = |size: usize| i32::try_from(size).unwrap_or(i32::MAX);
    ConsumerConfig {
        min_bytes: bytes(args.min_bytes),
        partition_max_bytes: bytes(args.partition_bytes),
        out_of_range: OutOfRange::Earliest,
        ..ConsumerConfig::default()
    }
}

async fn read(
    mut consumer: Consumer,
    meter: Arc<Meter>,
    count: u64,
    duration: Duration,
    idle: Duration,
) -> anyhow::Result<()> {
    let first = Instant::now();
    let deadline = first.checked_add(duration);
    let mut last = first;
    while meter.records() < count && deadline.is_none_or(|deadline| Instant::now() < deadline) {
        let left = deadline.map_or(idle, |deadline| deadline - Instant::now());
        match consumer.poll(left.min(idle)).await? {
            Some(fetched) => {
                last = Instant::now();
                meter.count(fetched.record_count(), fetched.bytes() as u64);
            }
            None => break,
        }
    }
    meter.worked(first, last);
    Ok(())
}
