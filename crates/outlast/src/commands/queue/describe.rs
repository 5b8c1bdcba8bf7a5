//! `outlast queue describe`: one queue on one screen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::Which;
use super::manage::of_queue;
use crate::commands::http::Api;
use crate::commands::output::{
    self, FAINT, GOOD, HEADING, NAME, Table, WARNING, grouped, number, say, styled, text,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Queue {
    queue: String,
    group: String,
    partitions: i32,
    dead_letter_topic: String,
    settings: BTreeMap<String, String>,
    changed_settings: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    ready: u64,
    delayed: u64,
    in_flight: u64,
    dying: u64,
    dead: u64,
    consumers: u64,
    length_per_consumer: f64,
    messages_per_second: BTreeMap<String, f64>,
    oldest_age_ms: Option<u64>,
    publish_to_acknowledge_ms: Option<BTreeMap<String, f64>>,
    mean_processing_ms: Option<f64>,
    seconds_to_drain: Option<f64>,
    since_start: SinceStart,
    partitions: Vec<Partition>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SinceStart {
    delivered: u64,
    redelivered: u64,
    acknowledged: u64,
    dead_lettered: BTreeMap<String, u64>,
    dead_letter_failures: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Partition {
    partition: i32,
    start_offset: i64,
    end_offset: i64,
    ready: u64,
    delayed: u64,
    in_flight: u64,
}

pub(super) fn run(api: &Api, which: &Which, as_json: bool) -> anyhow::Result<()> {
    let queue = of_queue(api.get(&["queues", &which.queue]), which).send()?;
    let stats = of_queue(api.get(&["queues", &which.queue, "stats"]), which).send()?;
    if as_json {
        return output::json(&json!({"queue": queue, "stats": stats}));
    }
    let queue: Queue = serde_json::from_value(queue)?;
    let stats: Stats = serde_json::from_value(stats)?;
    say(&format!(
        "{}  {}",
        styled(NAME, &queue.queue),
        styled(
            FAINT,
            format!(
                "group {}, {} partitions, dead letters in {}",
                queue.group, queue.partitions, queue.dead_letter_topic
            )
        )
    ))?;
    numbers(&stats)?;
    partitions(&stats)?;
    settings(&queue)
}

fn numbers(stats: &Stats) -> anyhow::Result<()> {
    let unknown = || styled(FAINT, "not known yet");
    let dead = match stats.dead {
        0 => styled(GOOD, "0"),
        dead => styled(WARNING, grouped(dead)),
    };
    let mut dying = String::new();
    if stats.dying > 0 {
        dying = format!(", {} dying", styled(WARNING, grouped(stats.dying)));
    }
    line(
        "length",
        format!(
            "{} ready, {} delayed, {} in flight{dying}, {dead} dead",
            grouped(stats.ready),
            grouped(stats.delayed),
            grouped(stats.in_flight),
        ),
    )?;
    let consumers = match stats.consumers {
        0 if stats.ready > 0 => styled(WARNING, "none"),
        0 => "none".to_owned(),
        n => format!(
            "{n}, {:.1} ready messages for each",
            stats.length_per_consumer
        ),
    };
    line("consumers", consumers)?;
    let rate = |name: &str| stats.messages_per_second.get(name).copied().unwrap_or(0.0);
    line(
        "per second",
        format!(
            "{:.1} in, {:.1} out, {:.1} acknowledged",
            rate("in"),
            rate("out"),
            rate("acknowledged")
        ),
    )?;
    let oldest = stats.oldest_age_ms.map(|ms| ms as f64);
    line("oldest", oldest.map_or("-".to_owned(), span))?;
    let percentiles = stats.publish_to_acknowledge_ms.as_ref();
    let percentiles = percentiles.map(|percentiles| {
        let at = |name: &str| span(percentiles.get(name).copied().unwrap_or(0.0));
        format!("{} median, {} p90, {} p99", at("p50"), at("p90"), at("p99"))
    });
    line("publish to done", percentiles.unwrap_or_else(unknown))?;
    let processing = stats
        .mean_processing_ms
        .map(|ms| format!("{} on average", span(ms)));
    line("processing", processing.unwrap_or_else(unknown))?;
    let drain = stats.seconds_to_drain.map(|seconds| span(seconds * 1e3));
    line("time to drain", drain.unwrap_or_else(unknown))?;
    let since = &stats.since_start;
    let dead = since.dead_lettered.iter().filter(|(_, count)| **count > 0);
    let mut dead: Vec<String> = dead
        .map(|(reason, count)| format!("{} {reason}", grouped(*count)))
        .collect();
    if dead.is_empty() {
        dead.push("none".to_owned());
    }
    line(
        "since the start",
        format!(
            "{} delivered ({} again), {} acknowledged; dead letters: {}",
            grouped(since.delivered),
            grouped(since.redelivered),
            grouped(since.acknowledged),
            dead.join(", ")
        ),
    )?;
    if since.dead_letter_failures > 0 {
        let failures = grouped(since.dead_letter_failures);
        let what =
            format!("{failures} tries to write dead letters failed; the messages are held back");
        line("attention", styled(WARNING, what))?;
    }
    Ok(())
}

fn line(name: &str, value: String) -> anyhow::Result<()> {
    Ok(say(&format!("  {name:<16}{value}"))?)
}

/// A time that a person can take in at a glance.
fn span(ms: f64) -> String {
    if ms < 10.0 {
        return format!("{ms:.1} ms");
    }
    let rounded = match ms {
        ms if ms < 1e3 => Duration::from_millis(ms as u64),
        ms if ms < 1e5 => Duration::from_millis((ms / 100.0) as u64 * 100),
        ms => Duration::from_secs((ms / 1e3) as u64),
    };
    humantime::format_duration(rounded).to_string()
}

fn partitions(stats: &Stats) -> anyhow::Result<()> {
    say("")?;
    let heads = ["PARTITION", "START", "END", "READY", "DELAYED", "IN FLIGHT"];
    let mut table = Table::new(&heads);
    for partition in &stats.partitions {
        table.row([
            number(partition.partition),
            number(partition.start_offset),
            number(partition.end_offset),
            number(grouped(partition.ready)),
            number(grouped(partition.delayed)),
            number(grouped(partition.in_flight)),
        ]);
    }
    Ok(table.print()?)
}

/// What was set for the queue stands out.
fn settings(queue: &Queue) -> anyhow::Result<()> {
    say("")?;
    let mut table = Table::new(&["SETTING", "VALUE"]);
    for (name, value) in &queue.settings {
        let style = match queue.changed_settings.contains(name) {
            true => HEADING,
            false => FAINT,
        };
        let value = if value.is_empty() { "\"\"" } else { value };
        table.row([text(name).style(style), text(value).style(style)]);
    }
    Ok(table.print()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_exact_as_they_are_long() {
        assert_eq!(span(0.42), "0.4 ms");
        assert_eq!(span(123.4), "123ms");
        assert_eq!(span(4_567.0), "4s 500ms");
        assert_eq!(span(3_723_456.0), "1h 2m 3s");
    }
}
