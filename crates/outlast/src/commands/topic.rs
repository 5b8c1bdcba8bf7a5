//! `outlast topic`: create, list, describe, alter and delete topics.

use std::collections::{BTreeMap, HashMap};

use anyhow::bail;
use clap::{Args, Subcommand};
use outlast_client::admin::{ConfigEntry, ConfigSource, ConfigUpdate, NewTopic};
use outlast_client::{Admin, Client, ClientError, OffsetSpec, TopicInfo, TopicPartition};
use outlast_protocol::ErrorCode;
use serde::Serialize;

use super::output::{
    FAINT, GOOD, NAME, OutputArgs, Table, WARNING, confirm, grouped, json, number, say, styled,
    text,
};
use super::target::TargetArgs;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  outlast topic create orders --partitions 12
  outlast topic create audit --config retention.ms=604800000
  outlast topic list
  outlast topic describe orders
  outlast topic alter orders --partitions 24 --config max.message.bytes=2097152
  outlast topic delete orders")]
pub struct TopicArgs {
    #[command(subcommand)]
    command: TopicCommand,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Debug, Subcommand)]
enum TopicCommand {
    /// Create topics
    #[command(after_help = "Examples:
  outlast topic create orders
  outlast topic create orders payments --partitions 12
  outlast topic create sessions --config cleanup.policy=delete --config retention.ms=3600000
  outlast topic create orders --partitions 12 --dry-run")]
    Create(CreateArgs),
    /// List topics
    #[command(after_help = "Examples:
  outlast topic list
  outlast topic list --json | jq -r '.[].name'
  outlast topic list --bootstrap kafka.example.com:9092 --internal")]
    List {
        /// Show internal topics such as __consumer_offsets too
        #[arg(long)]
        internal: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show a topic's partitions and configuration
    #[command(after_help = "Examples:
  outlast topic describe orders
  outlast topic describe orders --all
  outlast topic describe orders --json")]
    Describe {
        /// The topics' names
        #[arg(required = true, value_name = "TOPIC")]
        topics: Vec<String>,
        /// Show every configuration entry, not only those that were set
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Change a topic's configuration, or add partitions
    #[command(after_help = "Examples:
  outlast topic alter orders --partitions 24
  outlast topic alter orders --config retention.ms=86400000 --reset max.message.bytes
  outlast topic alter orders --config retention.ms=-1 --dry-run

More partitions change which partition a key belongs to; their number never goes down.")]
    Alter(AlterArgs),
    /// Delete topics with everything in them
    #[command(after_help = "Examples:
  outlast topic delete orders
  outlast topic delete orders payments --yes")]
    Delete {
        /// The topics' names
        #[arg(required = true, value_name = "TOPIC")]
        topics: Vec<String>,
        /// Don't ask
        #[arg(short, long)]
        yes: bool,
        /// Succeed when a topic doesn't exist
        #[arg(long)]
        if_exists: bool,
    },
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// The topics' names
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// How many partitions; the broker's default otherwise
    #[arg(short, long, value_name = "N")]
    partitions: Option<i32>,
    /// On how many brokers each partition lives; the broker's default otherwise
    #[arg(short, long, value_name = "N")]
    replication_factor: Option<i16>,
    /// A configuration entry, by Kafka's name; may be repeated
    #[arg(short, long = "config", value_name = "NAME=VALUE", value_parser = pair)]
    configs: Vec<(String, String)>,
    /// Succeed when a topic exists already
    #[arg(long)]
    if_not_exists: bool,
    /// Let the broker check everything, but create nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
struct AlterArgs {
    /// The topic's name
    topic: String,
    /// Grow to this many partitions
    #[arg(short, long, value_name = "N")]
    partitions: Option<i32>,
    /// Set a configuration entry; may be repeated
    #[arg(short, long = "config", value_name = "NAME=VALUE", value_parser = pair)]
    configs: Vec<(String, String)>,
    /// Put a configuration entry back to the broker's default; may be repeated
    #[arg(long, value_name = "NAME")]
    reset: Vec<String>,
    /// Let the broker check everything, but change nothing
    #[arg(long)]
    dry_run: bool,
}

/// `name=value`, where the value may be empty.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

pub async fn run(args: TopicArgs) -> anyhow::Result<()> {
    let client = args.target.connect("topic").await?;
    let admin = Admin::new(client.clone());
    match args.command {
        TopicCommand::Create(create) => run_create(&admin, create).await,
        TopicCommand::List { internal, output } => {
            list(&client, &admin, internal, output.json).await
        }
        TopicCommand::Describe {
            topics,
            all,
            output,
        } => describe(&client, &admin, &topics, all, output.json).await,
        TopicCommand::Alter(alter) => run_alter(&admin, alter).await,
        TopicCommand::Delete {
            topics,
            yes,
            if_exists,
        } => delete(&admin, &topics, yes, if_exists).await,
    }
}

async fn run_create(admin: &Admin, args: CreateArgs) -> anyhow::Result<()> {
    let configs: BTreeMap<String, String> = args.configs.into_iter().collect();
    for name in args.topics {
        let topic = NewTopic {
            name,
            partitions: args.partitions,
            replication_factor: args.replication_factor,
            configs: configs.clone(),
        };
        match admin.create_topic(&topic, args.dry_run).await {
            Ok(()) if args.dry_run => {
                say(&format!("{} could be created", styled(NAME, &topic.name)))?;
            }
            Ok(()) => say(&format!("{} created", styled(NAME, &topic.name)))?,
            Err(error)
                if args.if_not_exists && error.code() == Some(ErrorCode::TopicAlreadyExists) =>
            {
                say(&format!("{} exists already", styled(NAME, &topic.name)))?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct ListedTopic<'a> {
    name: &'a str,
    partitions: usize,
    replicas: usize,
    /// Between the first and the last offset; fewer where the log was compacted.
    records: Option<i64>,
    internal: bool,
}

async fn list(client: &Client, admin: &Admin, internal: bool, as_json: bool) -> anyhow::Result<()> {
    let mut topics = admin.topics().await?;
    topics.retain(|topic| internal || !topic.internal);
    let bounds = bounds(client, &topics).await?;
    let listed: Vec<ListedTopic<'_>> = topics
        .iter()
        .map(|topic| ListedTopic {
            name: &topic.name,
            partitions: topic.partitions.len(),
            replicas: topic
                .partitions
                .iter()
                .map(|p| p.replicas.len())
                .max()
                .unwrap_or(0),
            records: topic
                .partitions
                .iter()
                .map(|p| {
                    let bounds = bounds.get(&TopicPartition::new(&*topic.name, p.index))?;
                    Some(bounds.end? - bounds.start?)
                })
                .sum(),
            internal: topic.internal,
        })
        .collect();
    if as_json {
        return json(&listed);
    }
    if listed.is_empty() {
        say("no topics yet; create one with: outlast topic create NAME")?;
        return Ok(());
    }
    let mut table = Table::new(&["TOPIC", "PARTITIONS", "REPLICAS", "RECORDS"]);
    for topic in listed {
        table.row([
            text(topic.name).style(NAME),
            number(topic.partitions),
            number(topic.replicas),
            number(topic.records.map_or("?".to_owned(), |n| n.to_string())),
        ]);
    }
    Ok(table.print()?)
}

/// Where a partition's log begins and ends, as far as its leader says.
#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    start: Option<i64>,
    end: Option<i64>,
}

async fn bounds(
    client: &Client,
    topics: &[TopicInfo],
) -> Result<HashMap<TopicPartition, Bounds>, ClientError> {
    let partitions: Vec<TopicPartition> = topics
        .iter()
        .flat_map(|topic| {
            let led = topic.partitions.iter().filter(|p| p.leader.is_some());
            led.map(|p| TopicPartition::new(&*topic.name, p.index))
        })
        .collect();
    let mut bounds: HashMap<TopicPartition, Bounds> = HashMap::new();
    for spec in [OffsetSpec::Earliest, OffsetSpec::Latest] {
        let specs: Vec<_> = partitions.iter().map(|tp| (tp.clone(), spec)).collect();
        for (tp, listed) in client.list_offsets(&specs).await? {
            let offset = listed.ok().and_then(|listed| listed.offset);
            let bounds = bounds.entry(tp).or_default();
            match spec {
                OffsetSpec::Earliest => bounds.start = offset,
                _ => bounds.end = offset,
            }
        }
    }
    Ok(bounds)
}

#[derive(Serialize)]
struct DescribedTopic {
    name: String,
    id: String,
    internal: bool,
    partitions: Vec<DescribedPartition>,
    configs: Vec<DescribedConfig>,
}

#[derive(Serialize)]
struct DescribedPartition {
    partition: i32,
    leader: Option<i32>,
    leader_epoch: i32,
    replicas: Vec<i32>,
    in_sync: Vec<i32>,
    start_offset: Option<i64>,
    end_offset: Option<i64>,
}

#[derive(Serialize)]
struct DescribedConfig {
    name: String,
    value: Option<String>,
    source: &'static str,
}

async fn describe(
    client: &Client,
    admin: &Admin,
    names: &[String],
    all: bool,
    as_json: bool,
) -> anyhow::Result<()> {
    let mut described = Vec::new();
    for name in names {
        let topic = admin.topic(name).await?;
        let configs = admin.topic_configs(name).await?;
        let bounds = bounds(client, std::slice::from_ref(&topic)).await?;
        described.push(describe_one(topic, configs, &bounds, all));
    }
    if as_json {
        return json(&described);
    }
    for (i, topic) in described.iter().enumerate() {
        if i > 0 {
            say("")?;
        }
        print_described(topic, all)?;
    }
    Ok(())
}

fn describe_one(
    topic: TopicInfo,
    configs: Vec<ConfigEntry>,
    bounds: &HashMap<TopicPartition, Bounds>,
    all: bool,
) -> DescribedTopic {
    let ids = |brokers: &[outlast_client::BrokerId]| brokers.iter().map(|b| b.0).collect();
    DescribedTopic {
        id: topic.id.to_string(),
        internal: topic.internal,
        partitions: topic
            .partitions
            .iter()
            .map(|p| {
                let tp = TopicPartition::new(&*topic.name, p.index);
                let bounds = bounds.get(&tp).copied().unwrap_or_default();
                DescribedPartition {
                    partition: p.index,
                    leader: p.leader.map(|leader| leader.0),
                    leader_epoch: p.leader_epoch,
                    replicas: ids(&p.replicas),
                    in_sync: ids(&p.in_sync),
                    start_offset: bounds.start,
                    end_offset: bounds.end,
                }
            })
            .collect(),
        configs: configs
            .into_iter()
            .filter(|config| all || config.source == ConfigSource::Topic)
            .map(|config| DescribedConfig {
                name: config.name,
                value: config.value,
                source: config.source.name(),
            })
            .collect(),
        name: topic.name,
    }
}

fn print_described(topic: &DescribedTopic, all: bool) -> anyhow::Result<()> {
    let records: Option<i64> = topic
        .partitions
        .iter()
        .map(|p| Some(p.end_offset? - p.start_offset?))
        .sum();
    let records = records.map_or("unknown".to_owned(), |n| {
        grouped(u64::try_from(n).unwrap_or(0))
    });
    say(&format!(
        "{}  {}",
        styled(NAME, &topic.name),
        styled(
            FAINT,
            format!(
                "{} partitions, {records} records, id {}",
                topic.partitions.len(),
                topic.id
            )
        ),
    ))?;
    let list = |ids: &[i32]| {
        let ids: Vec<String> = ids.iter().map(i32::to_string).collect();
        ids.join(",")
    };
    let maybe = |n: Option<i64>| number(n.map_or("?".to_owned(), |n| n.to_string()));
    let mut table = Table::new(&[
        "PARTITION",
        "LEADER",
        "EPOCH",
        "REPLICAS",
        "IN SYNC",
        "START",
        "END",
    ]);
    for p in &topic.partitions {
        let leader = match p.leader {
            Some(leader) => number(leader),
            None => number("none").style(WARNING),
        };
        let in_sync = text(list(&p.in_sync));
        let in_sync = if p.in_sync.len() < p.replicas.len() {
            in_sync.style(WARNING)
        } else {
            in_sync
        };
        table.row([
            number(p.partition),
            leader,
            number(p.leader_epoch),
            text(list(&p.replicas)),
            in_sync,
            maybe(p.start_offset),
            maybe(p.end_offset),
        ]);
    }
    table.print()?;
    if topic.configs.is_empty() {
        say(&styled(
            FAINT,
            "no configuration of its own; --all shows what applies",
        ))?;
        return Ok(());
    }
    let mut table = Table::new(&["CONFIG", "VALUE", "FROM"]);
    for config in &topic.configs {
        let own = config.source == ConfigSource::Topic.name();
        let value = text(config.value.as_deref().unwrap_or("(hidden)"));
        table.row([
            text(&config.name),
            if all && own { value.style(GOOD) } else { value },
            text(config.source).style(FAINT),
        ]);
    }
    Ok(table.print()?)
}

async fn run_alter(admin: &Admin, args: AlterArgs) -> anyhow::Result<()> {
    let mut updates: Vec<ConfigUpdate> = args
        .configs
        .into_iter()
        .map(|(name, value)| ConfigUpdate::Set(name, value))
        .collect();
    updates.extend(args.reset.into_iter().map(ConfigUpdate::Reset));
    if updates.is_empty() && args.partitions.is_none() {
        bail!("nothing to change; give --partitions, --config NAME=VALUE or --reset NAME");
    }
    // Says that the topic doesn't exist before anything else is said about it.
    admin.topic(&args.topic).await?;
    if !updates.is_empty() {
        admin
            .alter_topic_configs(&args.topic, &updates, args.dry_run)
            .await?;
    }
    if let Some(count) = args.partitions {
        admin
            .create_partitions(&args.topic, count, args.dry_run)
            .await?;
    }
    let what = if args.dry_run {
        "could be changed"
    } else {
        "changed"
    };
    say(&format!("{} {what}", styled(NAME, &args.topic)))?;
    Ok(())
}

async fn delete(
    admin: &Admin,
    topics: &[String],
    yes: bool,
    if_exists: bool,
) -> anyhow::Result<()> {
    confirm(
        &format!("Delete {} and everything in it?", topics.join(", ")),
        yes,
    )?;
    for topic in topics {
        match admin.delete_topic(topic).await {
            Ok(()) => say(&format!("{} deleted", styled(NAME, topic)))?,
            Err(ClientError::UnknownTopic(_)) if if_exists => {
                say(&format!("{} does not exist", styled(NAME, topic)))?;
            }
            Err(error @ ClientError::UnknownTopic(_)) => bail!("{error}"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
