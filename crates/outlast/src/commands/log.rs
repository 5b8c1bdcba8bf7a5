//! `outlast log`: shows and checks a data directory. Reads only, so it works on a copy, on a read-only file system,
//! and beside a running server.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand, ValueEnum};
use outlast_broker::{METADATA_PARTITION, MetadataRecord};
use outlast_records::{Offset, RecordSet};
use outlast_storage::offline::{self, Depth, DumpFilter, Format};
use uuid::Uuid;

use super::output::{GOOD, WARNING, styled};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  outlast log verify
      read and check everything in ./outlast-data
  outlast log dump --data /var/lib/outlast
  outlast log dump --topic orders --partition 3 --from 1000 --to 1100 --show records
  outlast log dump --json | jq -r .kind | sort | uniq -c")]
pub struct LogArgs {
    #[command(subcommand)]
    command: LogCommand,
    /// The data directory
    #[arg(
        long,
        global = true,
        env = "OUTLAST_DATA",
        hide_env_values = true,
        display_order = 900,
        default_value = "outlast-data",
        value_name = "DIR"
    )]
    data: PathBuf,
    /// Print JSON, one object a line
    #[arg(long, global = true, display_order = 901)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum LogCommand {
    /// Show what the files of a data directory hold
    #[command(after_help = "Examples:
  outlast log dump
      files and the entries of the write-ahead log
  outlast log dump --show files
  outlast log dump --topic orders --partition 0 --show records
  outlast log dump --topic orders --from 1000 --to 1100 --show batches --json")]
    Dump(DumpArgs),
    /// Read everything and check every checksum; fails when something is damaged
    #[command(after_help = "Examples:
  outlast log verify
  outlast log verify --data /mnt/copy/outlast-data --json

Exit code 0: everything that was written can be read. 1: something is damaged, missing or unreadable.")]
    Verify,
}

#[derive(Debug, Args)]
struct DumpArgs {
    /// Only this topic, by name or id
    #[arg(short, long)]
    topic: Option<String>,
    /// Only partitions with this number
    #[arg(short, long, value_name = "N")]
    partition: Option<i32>,
    /// Only batches with offsets from here on
    #[arg(long, value_name = "OFFSET")]
    from: Option<i64>,
    /// Only batches with offsets before this one
    #[arg(long, value_name = "OFFSET")]
    to: Option<i64>,
    /// How far down to go
    #[arg(long, value_enum, default_value = "entries", value_name = "DEPTH")]
    show: Show,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Show {
    /// The directory and its files
    Files,
    /// Entries of the write-ahead log, partitions of segments
    Entries,
    /// Headers of record batches
    Batches,
    /// Records, decompressed
    Records,
}

pub fn run(args: LogArgs) -> anyhow::Result<()> {
    if !args.data.is_dir() {
        bail!(
            "there is no data directory {}; name it with --data DIR",
            args.data.display()
        );
    }
    match args.command {
        LogCommand::Dump(dump) => run_dump(&args.data, dump, args.json),
        LogCommand::Verify => verify(&args.data, args.json),
    }
}

fn run_dump(data: &Path, args: DumpArgs, json: bool) -> anyhow::Result<()> {
    let topics = topics(data);
    let wanted = |topic: &String| match (topic.parse(), &topics) {
        (Ok(id), _) => Ok(id),
        (Err(_), Ok(topics)) => topic_id(topics, topic)
            .with_context(|| format!("{} knows no topic '{topic}'", data.display())),
        (Err(_), Err(error)) => Err(anyhow!("the names of topics cannot be read: {error:#}")),
    };
    let filter = DumpFilter {
        topic: args.topic.as_ref().map(wanted).transpose()?,
        index: args.partition,
        from: args.from.map(Offset),
        to: args.to.map(Offset),
        depth: match args.show {
            Show::Files => Depth::Files,
            Show::Entries => Depth::Entries,
            Show::Batches => Depth::Batches,
            Show::Records => Depth::Records,
        },
        format: if json { Format::Json } else { Format::Text },
        names: topics.unwrap_or_default().into_iter().collect(),
    };
    let mut out = io::BufWriter::with_capacity(64 << 10, io::stdout());
    offline::dump(data, &filter, &mut out).map_err(unwrap_broken_pipe)?;
    Ok(out.flush()?)
}

/// A closed pipe must be recognised as one, although the dump names the directory with every failure.
fn unwrap_broken_pipe(error: impl std::error::Error + Send + Sync + 'static) -> anyhow::Error {
    let source = std::error::Error::source(&error).and_then(|s| s.downcast_ref::<io::Error>());
    match source {
        Some(e) if e.kind() == io::ErrorKind::BrokenPipe => {
            io::Error::from(io::ErrorKind::BrokenPipe).into()
        }
        _ => error.into(),
    }
}

fn verify(data: &Path, json: bool) -> anyhow::Result<()> {
    let report = offline::verify(data)?;
    let mut out = anstream::stdout().lock();
    if json {
        writeln!(out, "{}", report.json())?;
    } else {
        let style = if report.is_sound() { GOOD } else { WARNING };
        writeln!(out, "{}", styled(style, &report))?;
    }
    if !report.is_sound() {
        bail!("{} is damaged; what was found is above", data.display());
    }
    Ok(())
}

/// The last one of that name counts; deleted topics can still be named by their id.
fn topic_id(topics: &[(Uuid, String)], topic: &str) -> Option<Uuid> {
    let named = topics.iter().rev().find(|(_, name)| name == topic);
    named.map(|(id, _)| *id)
}

/// The topics that there are or were, as far as the metadata log in the directory can be read.
fn topics(data: &Path) -> anyhow::Result<Vec<(Uuid, String)>> {
    let mut topics = vec![(METADATA_PARTITION.topic, "__cluster_metadata".to_owned())];
    offline::read_partition(data, METADATA_PARTITION, |_, batch| {
        // What can't be read here is reported by the dump itself.
        let Ok(set) = RecordSet::decode(&batch, 64 << 20) else {
            return true;
        };
        for record in set.iter().flatten() {
            if let Ok(MetadataRecord::Topic { id, name, .. }) =
                MetadataRecord::decode(record.key, record.value)
            {
                topics.push((id, name));
            }
        }
        true
    })?;
    Ok(topics)
}
