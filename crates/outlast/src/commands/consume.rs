//! `outlast consume`: prints records as they come, or up to a point.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use outlast_client::consumer::{Assignor, ConsumerConfig, Fetched, GroupConfig, OutOfRange, Start};
use outlast_client::{Admin, Client, Consumer, OffsetSpec, TopicPartition};

use super::output::note;
use super::record_format::{FORMAT_HELP, Format};
use super::target::TargetArgs;
use super::when::{self, PLACE_HELP, Place};

pub const EXAMPLES: &str = "Examples:
  outlast consume orders
      what comes from now on; Ctrl-C ends
  outlast consume orders --from beginning --until-end
      everything that is there, and then stop
  outlast consume orders --from 15m --format key=value
  outlast consume orders --from -5 --count 5
  outlast consume orders --partition 3 --from 42 --count 1 --format json
  outlast consume orders --group billing
      share the partitions with the group's other members, and go on where it stopped
  outlast consume orders --format '{time} {partition}@{offset} {key}: {value}'";

#[derive(Debug, Args)]
pub struct ConsumeArgs {
    /// What to read
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Where to begin; with --group only where nothing is committed
    #[arg(short, long, default_value = "end", value_name = "PLACE", help = from_help(), allow_hyphen_values = true)]
    from: Place,
    /// Only this partition; may be repeated
    #[arg(short, long = "partition", value_name = "N", conflicts_with = "group")]
    partitions: Vec<i32>,
    /// Read as a member of this group and commit what was printed
    #[arg(short, long)]
    group: Option<String>,
    /// A fixed name of this member, so that a restart causes no rebalance
    #[arg(long, requires = "group", value_name = "NAME")]
    instance_id: Option<String>,
    /// Rebalance cooperatively: members keep what doesn't move
    #[arg(long, requires = "group")]
    cooperative: bool,
    /// Stop after this many records
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,
    /// Stop at the offsets that are the end now
    #[arg(long, conflicts_with = "group")]
    until_end: bool,
    /// Stop when nothing came for this long
    #[arg(long, value_parser = when::duration, value_name = "TIME")]
    idle: Option<Duration>,
    #[arg(long, default_value = "value", value_name = "FORMAT", help = FORMAT_HELP)]
    format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Leave out records of transactions that are open or were aborted
    #[arg(long)]
    read_committed: bool,
    #[command(flatten)]
    target: TargetArgs,
}

fn from_help() -> String {
    format!("Where to begin: {PLACE_HELP}; with --group only where nothing is committed")
}

pub async fn run(mut args: ConsumeArgs) -> anyhow::Result<()> {
    if args.json {
        args.format = Format::Json;
    }
    if args.count == Some(0) {
        return Ok(());
    }
    let client = args.target.connect("consume").await?;
    let config = ConsumerConfig {
        read_committed: args.read_committed,
        // What was asked for may have expired: begin with the oldest that is left.
        out_of_range: OutOfRange::Earliest,
        ..ConsumerConfig::default()
    };
    let (consumer, ends) = match &args.group {
        Some(group) => (in_group(client, config, group, &args)?, None),
        None => alone(client, config, &args).await?,
    };
    let mut reader = Reader {
        out: io::BufWriter::with_capacity(64 << 10, io::stdout()),
        left: args.count,
        ends,
        consumer,
        args,
    };
    let read = reader.read_until_done().await;
    let flushed = reader.out.flush();
    // What was printed is committed also when the end was an error or a closed pipe.
    let closed = reader.consumer.close().await;
    read?;
    flushed?;
    Ok(closed?)
}

fn in_group(
    client: Client,
    config: ConsumerConfig,
    group: &str,
    args: &ConsumeArgs,
) -> anyhow::Result<Consumer> {
    let start = match args.from {
        Place::Beginning => Start::Beginning,
        Place::End => Start::End,
        Place::Time(ms) => Start::Timestamp(ms),
        Place::Offset(_) | Place::Last(_) => bail!(
            "a group begins at its committed offsets; move it with: outlast group reset {group} --topic {} --to …",
            args.topics.join(",")
        ),
    };
    let group = GroupConfig {
        start,
        instance_id: args.instance_id.clone(),
        assignor: if args.cooperative {
            Assignor::CooperativeSticky
        } else {
            Assignor::Range
        },
        ..GroupConfig::new(group)
    };
    Ok(Consumer::subscribed(
        client,
        config,
        group,
        args.topics.clone(),
    ))
}

type Ends = BTreeMap<TopicPartition, i64>;

async fn alone(
    client: Client,
    config: ConsumerConfig,
    args: &ConsumeArgs,
) -> anyhow::Result<(Consumer, Option<Ends>)> {
    let mut partitions = Vec::new();
    let admin = Admin::new(client.clone());
    for topic in &args.topics {
        let all = admin.partitions(topic).await?;
        if args.partitions.is_empty() {
            partitions.extend(all);
            continue;
        }
        for index in &args.partitions {
            let Some(tp) = all.iter().find(|tp| tp.partition == *index) else {
                bail!(
                    "topic '{topic}' has no partition {index}, only 0 to {}",
                    all.len() - 1
                );
            };
            partitions.push(tp.clone());
        }
    }
    let starts = starts(&client, &partitions, args.from).await?;
    let ends = if args.until_end {
        let mut ends = listed(&client, &partitions, OffsetSpec::Latest).await?;
        // A partition whose beginning is its end is done already.
        let begins = resolved(&client, &starts).await?;
        ends.retain(|tp, end| begins.get(tp).is_none_or(|begin| begin < end));
        Some(ends)
    } else {
        None
    };
    Ok((Consumer::assigned(client, config, starts), ends))
}

async fn starts(
    client: &Client,
    partitions: &[TopicPartition],
    from: Place,
) -> anyhow::Result<Vec<(TopicPartition, Start)>> {
    let start = match from {
        Place::Beginning => Start::Beginning,
        Place::End => Start::End,
        Place::Offset(offset) => Start::Offset(offset),
        Place::Time(ms) => Start::Timestamp(ms),
        Place::Last(records) => {
            let begins = listed(client, partitions, OffsetSpec::Earliest).await?;
            let ends = listed(client, partitions, OffsetSpec::Latest).await?;
            let start = |(tp, end): (TopicPartition, i64)| {
                let begin = begins.get(&tp).copied().unwrap_or(0);
                let start = end.saturating_sub(records).max(begin);
                (tp, Start::Offset(start))
            };
            return Ok(ends.into_iter().map(start).collect());
        }
    };
    Ok(partitions.iter().map(|tp| (tp.clone(), start)).collect())
}

/// The offsets behind starting places.
async fn resolved(
    client: &Client,
    starts: &[(TopicPartition, Start)],
) -> anyhow::Result<BTreeMap<TopicPartition, i64>> {
    let mut offsets = BTreeMap::new();
    let mut specs = Vec::new();
    for (tp, start) in starts {
        let spec = match start {
            Start::Offset(offset) => {
                offsets.insert(tp.clone(), *offset);
                continue;
            }
            Start::Beginning => OffsetSpec::Earliest,
            Start::End => OffsetSpec::Latest,
            Start::Timestamp(ms) => OffsetSpec::Timestamp(*ms),
        };
        specs.push((tp.clone(), spec));
    }
    for (tp, found) in client.list_offsets(&specs).await? {
        // No record is that young: it begins at the end.
        offsets.insert(tp, found?.offset.unwrap_or(i64::MAX));
    }
    Ok(offsets)
}

async fn listed(
    client: &Client,
    partitions: &[TopicPartition],
    spec: OffsetSpec,
) -> anyhow::Result<BTreeMap<TopicPartition, i64>> {
    let specs: Vec<_> = partitions.iter().map(|tp| (tp.clone(), spec)).collect();
    let mut offsets = BTreeMap::new();
    for (tp, found) in client.list_offsets(&specs).await? {
        offsets.insert(tp, found?.offset.unwrap_or(0));
    }
    Ok(offsets)
}

struct Reader<W> {
    args: ConsumeArgs,
    consumer: Consumer,
    out: W,
    /// How many records may still be printed.
    left: Option<u64>,
    /// Where each partition ends; those that were reached are removed.
    ends: Option<Ends>,
}

/// How long to wait for more before what was printed is shown.
const PATIENCE: Duration = Duration::from_millis(5);

impl<W: Write> Reader<W> {
    async fn read_until_done(&mut self) -> anyhow::Result<()> {
        let mut stop = std::pin::pin!(stop_signal());
        let mut quiet_since = tokio::time::Instant::now();
        let mut dirty = false;
        loop {
            if self.left == Some(0) || self.ends.as_ref().is_some_and(BTreeMap::is_empty) {
                return Ok(());
            }
            let patience = if dirty {
                PATIENCE
            } else {
                Duration::from_secs(1)
            };
            let fetched = tokio::select! {
                stopped = &mut stop => return Ok(stopped?),
                fetched = self.consumer.poll(patience) => fetched?,
            };
            match fetched {
                Some(fetched) => {
                    self.print(&fetched)?;
                    dirty = true;
                    quiet_since = tokio::time::Instant::now();
                }
                None => {
                    self.out.flush()?;
                    dirty = false;
                    let idle = self.args.idle;
                    if idle.is_some_and(|idle| quiet_since.elapsed() >= idle) {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn print(&mut self, fetched: &Fetched) -> anyhow::Result<()> {
        let tp = &fetched.partition;
        let end = match &self.ends {
            None => i64::MAX,
            // Printed up to its end already.
            Some(ends) => ends.get(&**tp).copied().unwrap_or(i64::MIN),
        };
        for record in fetched.records() {
            let record = record?;
            if record.offset.0 >= end {
                break;
            }
            if self.left == Some(0) {
                self.consumer.processed_up_to(record.offset.0);
                return Ok(());
            }
            let written = self
                .args
                .format
                .write(&mut self.out, &tp.topic, tp.partition, &record);
            if let Err(e) = written {
                self.consumer.processed_up_to(record.offset.0);
                return Err(e.into());
            }
            if let Some(left) = &mut self.left {
                *left -= 1;
            }
        }
        self.consumer.processed_up_to(fetched.next_offset);
        if let Some(ends) = &mut self.ends
            && fetched.next_offset >= end
        {
            ends.remove(&**tp);
        }
        Ok(())
    }
}

/// Ctrl-C or a request to terminate.
async fn stop_signal() -> io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted?,
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await?;
    note("");
    Ok(())
}
