//! `outlast group`: what groups there are, how far behind they are, and moving or deleting their offsets.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::bail;
use clap::{Args, Subcommand};
use outlast_client::admin::{GroupDescription, GroupMember};
use outlast_client::{Admin, Client, CommittedOffset, Committer, OffsetSpec, TopicPartition};
use serde::Serialize;

use super::output::{
    FAINT, GOOD, NAME, OutputArgs, Table, WARNING, confirm, grouped, json, number, say, styled,
    text,
};
use super::target::TargetArgs;
use super::when::{PLACE_HELP, Place};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  outlast group list
  outlast group describe billing
  outlast group reset billing --topic orders --to earliest
  outlast group reset billing --topic orders --to earliest --execute
  outlast group delete billing")]
pub struct GroupArgs {
    #[command(subcommand)]
    command: GroupCommand,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Debug, Subcommand)]
enum GroupCommand {
    /// List groups
    #[command(after_help = "Examples:
  outlast group list
  outlast group list --json | jq -r '.[] | select(.state == \"Empty\") | .group'")]
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show members, committed offsets and lag
    #[command(after_help = "Examples:
  outlast group describe billing
  outlast group describe billing --json | jq '.total_lag'")]
    Describe {
        /// The groups' names
        #[arg(required = true, value_name = "GROUP")]
        groups: Vec<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Move a group's committed offsets; shows what it would do unless told to --execute
    #[command(after_help = "Examples:
  outlast group reset billing --topic orders --to earliest
      shows the new offsets and changes nothing
  outlast group reset billing --topic orders --to earliest --execute
  outlast group reset billing --topic orders:0,3 --to 42 --execute
  outlast group reset billing --all-topics --to 2h --execute
      to where the records of two hours ago begin
  outlast group reset billing --topic orders --by -100 --execute
      a hundred records back in each partition

The group's members must be stopped: while they run, the offsets are theirs.")]
    Reset(ResetArgs),
    /// Delete groups, or only a group's offsets of some topics
    #[command(after_help = "Examples:
  outlast group delete billing
  outlast group delete billing --topic orders --yes")]
    Delete {
        /// The groups' names
        #[arg(required = true, value_name = "GROUP")]
        groups: Vec<String>,
        /// Only the offsets of this topic (orders) or these partitions (orders:0,3); may be repeated
        #[arg(short, long = "topic", value_name = "TOPIC[:N,…]")]
        topics: Vec<String>,
        /// Don't ask
        #[arg(short, long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
struct ResetArgs {
    /// The group's name
    group: String,
    /// A topic (orders) or some of its partitions (orders:0,3); may be repeated
    #[arg(
        short,
        long = "topic",
        value_name = "TOPIC[:N,…]",
        required_unless_present = "all_topics"
    )]
    topics: Vec<String>,
    /// Everything that the group has committed
    #[arg(long, conflicts_with = "topics")]
    all_topics: bool,
    #[arg(long, value_name = "PLACE", help = to_help(), allow_hyphen_values = true, required_unless_present = "by")]
    to: Option<Place>,
    /// Forward, or back with a minus, by this many records
    #[arg(
        long,
        value_name = "N",
        allow_hyphen_values = true,
        conflicts_with = "to"
    )]
    by: Option<i64>,
    /// Only show what would be done; this is the default
    #[arg(long, conflicts_with = "execute")]
    dry_run: bool,
    /// Do it
    #[arg(long)]
    execute: bool,
    #[command(flatten)]
    output: OutputArgs,
}

fn to_help() -> String {
    format!("Where to: {PLACE_HELP}")
}

pub async fn run(args: GroupArgs) -> anyhow::Result<()> {
    let client = args.target.connect("group").await?;
    let admin = Admin::new(client.clone());
    match args.command {
        GroupCommand::List { output } => list(&admin, output.json).await,
        GroupCommand::Describe { groups, output } => {
            describe(&client, &admin, &groups, output.json).await
        }
        GroupCommand::Reset(reset) => run_reset(&client, &admin, reset).await,
        GroupCommand::Delete {
            groups,
            topics,
            yes,
        } => delete(&admin, &groups, &topics, yes).await,
    }
}

#[derive(Serialize)]
struct ListedGroup {
    group: String,
    kind: String,
    state: String,
    protocol: String,
}

async fn list(admin: &Admin, as_json: bool) -> anyhow::Result<()> {
    let groups = admin.groups().await?;
    let listed: Vec<ListedGroup> = groups
        .into_iter()
        .map(|group| ListedGroup {
            group: group.group_id,
            kind: group.kind,
            state: group.state,
            protocol: group.protocol_type,
        })
        .collect();
    if as_json {
        return json(&listed);
    }
    if listed.is_empty() {
        say("no groups; one begins with: outlast consume TOPIC --group NAME")?;
        return Ok(());
    }
    let mut table = Table::new(&["GROUP", "KIND", "STATE", "PROTOCOL"]);
    for group in listed {
        let style = state_style(&group.state);
        table.row([
            text(group.group).style(NAME),
            text(group.kind),
            text(group.state).style(style),
            text(group.protocol),
        ]);
    }
    Ok(table.print()?)
}

fn state_style(state: &str) -> anstyle::Style {
    match state {
        "Stable" => GOOD,
        "Empty" | "Dead" => FAINT,
        _ => WARNING,
    }
}

#[derive(Serialize)]
struct DescribedGroup {
    group: String,
    state: String,
    assignor: String,
    total_lag: i64,
    partitions: Vec<DescribedOffset>,
    members: Vec<DescribedMember>,
}

#[derive(Serialize)]
struct DescribedOffset {
    topic: String,
    partition: i32,
    committed: Option<i64>,
    end: Option<i64>,
    lag: Option<i64>,
    member: Option<String>,
}

#[derive(Serialize)]
struct DescribedMember {
    member: String,
    instance: Option<String>,
    client: String,
    host: String,
    partitions: usize,
}

async fn describe(
    client: &Client,
    admin: &Admin,
    groups: &[String],
    as_json: bool,
) -> anyhow::Result<()> {
    let mut described = Vec::new();
    for group in groups {
        let Some(found) = admin.group(group).await? else {
            bail!("group '{group}' does not exist; see: outlast group list");
        };
        let committed = client.committed_offsets(group, None).await?;
        described.push(describe_one(client, found, committed).await?);
    }
    if as_json {
        return json(&described);
    }
    for (i, group) in described.iter().enumerate() {
        if i > 0 {
            say("")?;
        }
        print_described(group)?;
    }
    Ok(())
}

async fn describe_one(
    client: &Client,
    group: GroupDescription,
    committed: BTreeMap<TopicPartition, CommittedOffset>,
) -> anyhow::Result<DescribedGroup> {
    let readers: HashMap<&TopicPartition, &GroupMember> = group
        .members
        .iter()
        .flat_map(|member| member.assignment.iter().map(move |tp| (tp, member)))
        .collect();
    let partitions: BTreeSet<&TopicPartition> =
        committed.keys().chain(readers.keys().copied()).collect();
    let specs: Vec<_> = partitions
        .iter()
        .map(|tp| (TopicPartition::clone(tp), OffsetSpec::Latest))
        .collect();
    let ends = client.list_offsets(&specs).await?;
    let partitions: Vec<DescribedOffset> = partitions
        .into_iter()
        .map(|tp| {
            let end = ends.get(tp).and_then(|end| end.as_ref().ok()?.offset);
            let committed = committed.get(tp).map(|committed| committed.offset);
            DescribedOffset {
                topic: tp.topic.clone(),
                partition: tp.partition,
                committed,
                end,
                lag: end.zip(committed).map(|(end, at)| (end - at).max(0)),
                member: readers.get(tp).map(|member| member.member_id.clone()),
            }
        })
        .collect();
    Ok(DescribedGroup {
        total_lag: partitions.iter().filter_map(|p| p.lag).sum(),
        partitions,
        members: group
            .members
            .iter()
            .map(|member| DescribedMember {
                member: member.member_id.clone(),
                instance: member.instance_id.clone(),
                client: member.client_id.clone(),
                host: member.host.clone(),
                partitions: member.assignment.len(),
            })
            .collect(),
        group: group.group_id,
        state: group.state,
        assignor: group.assignor,
    })
}

fn print_described(group: &DescribedGroup) -> anyhow::Result<()> {
    let lag = grouped(u64::try_from(group.total_lag).unwrap_or(0));
    let assignor = if group.assignor.is_empty() {
        String::new()
    } else {
        format!(", {} assignment", group.assignor)
    };
    say(&format!(
        "{}  {}  {}",
        styled(NAME, &group.group),
        styled(state_style(&group.state), &group.state),
        styled(
            FAINT,
            format!("{} members{assignor}, lag {lag}", group.members.len())
        ),
    ))?;
    if group.partitions.is_empty() {
        say("nothing is committed yet")?;
    } else {
        let mut table = Table::new(&["TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "MEMBER"]);
        let maybe = |n: Option<i64>| n.map_or("-".to_owned(), |n| n.to_string());
        for p in &group.partitions {
            let lag = number(maybe(p.lag));
            table.row([
                text(&p.topic),
                number(p.partition),
                number(maybe(p.committed)),
                number(maybe(p.end)),
                match p.lag {
                    Some(0) => lag.style(GOOD),
                    _ => lag.style(WARNING),
                },
                text(p.member.as_deref().unwrap_or("-")),
            ]);
        }
        table.print()?;
    }
    if group.members.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&["MEMBER", "INSTANCE", "CLIENT", "HOST", "PARTITIONS"]);
    for member in &group.members {
        table.row([
            text(&member.member),
            text(member.instance.as_deref().unwrap_or("-")),
            text(&member.client),
            text(&member.host),
            number(member.partitions),
        ]);
    }
    Ok(table.print()?)
}

/// `orders` or `orders:0,3`.
async fn selected(admin: &Admin, selections: &[String]) -> anyhow::Result<Vec<TopicPartition>> {
    let mut partitions = Vec::new();
    for selection in selections {
        let (topic, indexes) = match selection.split_once(':') {
            None => (selection.as_str(), None),
            Some((topic, indexes)) => (topic, Some(indexes)),
        };
        let all = admin.partitions(topic).await?;
        let Some(indexes) = indexes else {
            partitions.extend(all);
            continue;
        };
        for index in indexes.split(',') {
            let wanted = index.trim().parse::<i32>().ok();
            let found = all.iter().find(|tp| Some(tp.partition) == wanted);
            let Some(tp) = found else {
                bail!(
                    "topic '{topic}' has no partition '{index}', only 0 to {}",
                    all.len() - 1
                );
            };
            partitions.push(tp.clone());
        }
    }
    Ok(partitions)
}

#[derive(Serialize)]
struct Move {
    topic: String,
    partition: i32,
    from: Option<i64>,
    to: i64,
}

async fn run_reset(client: &Client, admin: &Admin, args: ResetArgs) -> anyhow::Result<()> {
    let group = &args.group;
    if let Some(found) = admin.group(group).await?
        && !found.members.is_empty()
    {
        bail!(
            "group '{group}' has {} running members; stop them first, their next commit would undo the reset",
            found.members.len()
        );
    }
    let committed = client.committed_offsets(group, None).await?;
    let partitions: Vec<TopicPartition> = if args.all_topics {
        committed.keys().cloned().collect()
    } else {
        selected(admin, &args.topics).await?
    };
    if partitions.is_empty() {
        bail!("group '{group}' has committed nothing; name a topic with --topic");
    }
    let moves = plan(client, &args, &partitions, &committed).await?;
    if args.execute {
        let offsets = moves
            .iter()
            .map(|m| (TopicPartition::new(&*m.topic, m.partition), m.to))
            .collect();
        let results = client
            .commit_offsets(group, &Committer::outside(), &offsets)
            .await?;
        results.into_values().collect::<Result<(), _>>()?;
    }
    if args.output.json {
        return json(&moves);
    }
    let mut table = Table::new(&["TOPIC", "PARTITION", "FROM", "TO"]);
    for m in &moves {
        table.row([
            text(&m.topic),
            number(m.partition),
            number(m.from.map_or("-".to_owned(), |n| n.to_string())),
            number(m.to).style(if m.from == Some(m.to) { FAINT } else { WARNING }),
        ]);
    }
    table.print()?;
    if args.execute {
        say(&format!("{} reset", styled(NAME, group)))?;
    } else {
        say("nothing was changed; add --execute to do it")?;
    }
    Ok(())
}

/// The new offset of each partition, within what its log holds.
async fn plan(
    client: &Client,
    args: &ResetArgs,
    partitions: &[TopicPartition],
    committed: &BTreeMap<TopicPartition, CommittedOffset>,
) -> anyhow::Result<Vec<Move>> {
    let begins = listed(client, partitions, OffsetSpec::Earliest).await?;
    let ends = listed(client, partitions, OffsetSpec::Latest).await?;
    let times = match args.to {
        Some(Place::Time(ms)) => listed(client, partitions, OffsetSpec::Timestamp(ms)).await?,
        _ => HashMap::new(),
    };
    let mut moves = Vec::new();
    for tp in partitions {
        let begin = begins.get(tp).copied().flatten().unwrap_or(0);
        let end = ends.get(tp).copied().flatten().unwrap_or(begin);
        let from = committed.get(tp).map(|committed| committed.offset);
        let wanted = match (args.to, args.by) {
            (Some(Place::Beginning), _) => begin,
            (Some(Place::End), _) => end,
            (Some(Place::Offset(offset)), _) => offset,
            (Some(Place::Last(records)), _) => end.saturating_sub(records),
            // Nothing is that young: the end.
            (Some(Place::Time(_)), _) => times.get(tp).copied().flatten().unwrap_or(end),
            (None, Some(by)) => match from {
                Some(from) => from.saturating_add(by),
                // Nothing to count from.
                None => continue,
            },
            (None, None) => bail!("give --to PLACE or --by N"),
        };
        moves.push(Move {
            topic: tp.topic.clone(),
            partition: tp.partition,
            from,
            to: wanted.clamp(begin, end),
        });
    }
    if moves.is_empty() {
        bail!("nothing is committed there, so there is nothing to move by; use --to");
    }
    Ok(moves)
}

async fn listed(
    client: &Client,
    partitions: &[TopicPartition],
    spec: OffsetSpec,
) -> anyhow::Result<HashMap<TopicPartition, Option<i64>>> {
    let specs: Vec<_> = partitions.iter().map(|tp| (tp.clone(), spec)).collect();
    let mut offsets = HashMap::new();
    for (tp, found) in client.list_offsets(&specs).await? {
        offsets.insert(tp, found?.offset);
    }
    Ok(offsets)
}

async fn delete(
    admin: &Admin,
    groups: &[String],
    topics: &[String],
    yes: bool,
) -> anyhow::Result<()> {
    let what = if topics.is_empty() {
        format!("Delete {} with all committed offsets?", groups.join(", "))
    } else {
        let topics = topics.join(", ");
        format!("Delete the offsets of {topics} in {}?", groups.join(", "))
    };
    confirm(&what, yes)?;
    let partitions = selected(admin, topics).await?;
    for group in groups {
        if topics.is_empty() {
            admin.delete_group(group).await?;
            say(&format!("{} deleted", styled(NAME, group)))?;
        } else {
            admin.delete_group_offsets(group, &partitions).await?;
            say(&format!(
                "{}: offsets of {} partitions deleted",
                styled(NAME, group),
                partitions.len()
            ))?;
        }
    }
    Ok(())
}
