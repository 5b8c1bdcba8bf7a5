//! Creating, listing, configuring, purging and deleting queues.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{ConfigureArgs, CreateArgs, Which};
use crate::commands::http::{Api, Call};
use crate::commands::output::{
    self, FAINT, GOOD, NAME, Table, WARNING, confirm, grouped, number, say, styled, text,
};

#[derive(Deserialize)]
struct Queue {
    queue: String,
    group: String,
    partitions: i32,
}

pub(super) fn create(api: &Api, args: &CreateArgs) -> anyhow::Result<()> {
    let mut call = of_queue(api.put(&["queues", &args.queue.queue]), &args.queue);
    if !args.if_not_exists {
        call = call.header("if-none-match", "*");
    }
    let answer = call
        .json(&wanted(args.partitions, &args.configs, &[]))
        .send()?;
    shown(answer, args.output.json, "ready")
}

pub(super) fn configure(api: &Api, args: &ConfigureArgs) -> anyhow::Result<()> {
    let call = of_queue(api.put(&["queues", &args.queue.queue]), &args.queue);
    let answer = call
        .header("if-match", "*")
        .json(&wanted(args.partitions, &args.configs, &args.reset))
        .send()?;
    shown(answer, args.output.json, "configured")
}

fn wanted(partitions: Option<i32>, configs: &[(String, String)], reset: &[String]) -> Value {
    let settings: Map<String, Value> = configs
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into()))
        .collect();
    let mut body = json!({"settings": settings, "reset": reset});
    if let Some(partitions) = partitions {
        body["partitions"] = partitions.into();
    }
    body
}

fn shown(answer: Value, as_json: bool, what: &str) -> anyhow::Result<()> {
    if as_json {
        return output::json(&answer);
    }
    let queue: Queue = serde_json::from_value(answer)?;
    let group = if queue.group == queue.queue {
        String::new()
    } else {
        format!(" for group {}", styled(NAME, &queue.group))
    };
    let partitions = match queue.partitions {
        1 => "1 partition".to_owned(),
        n => format!("{n} partitions"),
    };
    let partitions = styled(FAINT, format!("({partitions})"));
    let queue = styled(NAME, &queue.queue);
    Ok(say(&format!("{queue}{group} {what} {partitions}"))?)
}

/// The group in the query, where there is one.
pub fn of_queue<'a>(call: Call<'a>, queue: &Which) -> Call<'a> {
    call.maybe("group", queue.group.as_ref())
}

#[derive(Deserialize)]
struct List {
    queues: Vec<Listed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    queue: String,
    group: String,
    partitions: u64,
    ready: u64,
    delayed: u64,
    in_flight: u64,
}

pub(super) fn list(api: &Api, group: Option<String>, as_json: bool) -> anyhow::Result<()> {
    let answer = api.get(&["queues"]).maybe("group", group).send()?;
    if as_json {
        return output::json(&answer);
    }
    let list: List = serde_json::from_value(answer)?;
    if list.queues.is_empty() {
        return Ok(say("no queues; make one with: outlast queue create NAME")?);
    }
    let heads = [
        "QUEUE",
        "GROUP",
        "PARTITIONS",
        "READY",
        "DELAYED",
        "IN FLIGHT",
    ];
    let mut table = Table::new(&heads);
    for queue in list.queues {
        table.row([
            text(queue.queue).style(NAME),
            text(queue.group),
            number(queue.partitions),
            number(grouped(queue.ready)).style(if queue.ready == 0 { GOOD } else { WARNING }),
            number(grouped(queue.delayed)),
            number(grouped(queue.in_flight)),
        ]);
    }
    Ok(table.print()?)
}

#[derive(Deserialize)]
struct Purged {
    messages: u64,
}

pub(super) fn purge(
    api: &Api,
    queue: &Which,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> anyhow::Result<()> {
    let ask = |dry_run: bool| {
        let call = of_queue(api.post(&["queues", &queue.queue, "purge"]), queue);
        call.json(&json!({"dryRun": dry_run})).send()
    };
    let counted = ask(true)?;
    let answer = if dry_run {
        counted
    } else {
        let counted: Purged = serde_json::from_value(counted)?;
        let question = format!(
            "Drop {} messages of {}?",
            grouped(counted.messages),
            queue.name()
        );
        confirm(&question, yes)?;
        ask(false)?
    };
    if as_json {
        return output::json(&answer);
    }
    let purged: Purged = serde_json::from_value(answer)?;
    let count = grouped(purged.messages);
    let said = match dry_run {
        true => "would be dropped; nothing was changed",
        false => "dropped",
    };
    Ok(say(&format!("{count} messages {said}"))?)
}

pub(super) struct Deletion<'a> {
    pub(super) queue: &'a Which,
    pub(super) keep_topic: bool,
    pub(super) dry_run: bool,
    pub(super) yes: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Deleted {
    queue: String,
    topic_deleted: bool,
}

pub(super) fn delete(api: &Api, what: &Deletion<'_>, as_json: bool) -> anyhow::Result<()> {
    let queue = what.queue;
    let stats = of_queue(api.get(&["queues", &queue.queue, "stats"]), queue).send()?;
    let left: u64 = ["ready", "delayed", "inFlight"]
        .iter()
        .filter_map(|state| stats[state].as_u64())
        .sum();
    let left = format!(
        "{} with {} messages that are not done",
        queue.name(),
        grouped(left)
    );
    if what.dry_run {
        return match as_json {
            true => output::json(&stats),
            false => Ok(say(&format!(
                "{left} would be deleted; nothing was changed"
            ))?),
        };
    }
    confirm(&format!("Delete {left}?"), what.yes)?;
    let call = of_queue(api.delete(&["queues", &queue.queue]), queue);
    let answer = call.query("keepTopic", what.keep_topic).send()?;
    if as_json {
        return output::json(&answer);
    }
    let deleted: Deleted = serde_json::from_value(answer)?;
    let topic = match deleted.topic_deleted {
        true => "its topic is gone, too",
        false => "its topic and messages stay",
    };
    let name = styled(NAME, &deleted.queue);
    Ok(say(&format!("{name} deleted; {topic}"))?)
}
