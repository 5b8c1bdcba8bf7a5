//! `outlast queue receive` and `peek`: messages on standard output, one a line.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use super::manage::of_queue;
use super::{ReceiveArgs, Then, Which};
use crate::commands::http::Api;
use crate::commands::output::{self, FAINT, Table, WARNING, number, say, text};
use crate::commands::when::rfc3339;

/// As many as one request may ask for.
const MAX_MESSAGES: usize = 1_000;
/// The longest that one request waits; a longer wait is several.
const MAX_WAIT: Duration = Duration::from_secs(30);

pub(super) fn run(api: &Api, args: &ReceiveArgs) -> anyhow::Result<()> {
    let mut left = if args.follow { usize::MAX } else { args.count };
    let mut wait = if args.follow { MAX_WAIT } else { args.wait };
    while left > 0 {
        let turn = wait.min(MAX_WAIT);
        let messages = receive(api, args, left.min(MAX_MESSAGES), turn)?;
        if messages.is_empty() {
            wait = wait.saturating_sub(if args.follow { Duration::ZERO } else { turn });
            if wait.is_zero() {
                break;
            }
            continue;
        }
        left -= messages.len();
        if !args.follow {
            // What comes with the first ones is taken; nobody waits for more.
            wait = Duration::ZERO;
        }
        for message in &messages {
            print(message, args.output.json)?;
        }
        io::stdout().flush()?;
        settle(api, args, &messages)?;
    }
    Ok(())
}

fn receive(
    api: &Api,
    args: &ReceiveArgs,
    max: usize,
    wait: Duration,
) -> anyhow::Result<Vec<Value>> {
    // One at a time, so that a pipe that is closed leaves the rest to others.
    let max = if args.follow { 1 } else { max };
    let mut ask = json!({
        "maxMessages": max,
        "waitMs": wait.as_millis() as u64,
        "worker": args.worker,
    });
    if let Some(lock) = args.lock {
        ask["lockMs"] = (lock.as_millis() as u64).into();
    }
    let call = of_queue(
        api.post(&["queues", &args.queue.queue, "receive"]),
        &args.queue,
    );
    let answer = call.json(&ask).send()?;
    Ok(answer["messages"].as_array().cloned().unwrap_or_default())
}

fn print(message: &Value, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return output::json(message);
    }
    let mut out = io::stdout().lock();
    out.write_all(&bytes(message, "value")?)?;
    out.write_all(b"\n")?;
    Ok(())
}

fn bytes(message: &Value, field: &str) -> anyhow::Result<Vec<u8>> {
    use base64::Engine;
    if let Some(text) = message[field].as_str() {
        return Ok(text.as_bytes().to_vec());
    }
    match message[format!("{field}Base64")].as_str() {
        Some(text) => base64::engine::general_purpose::STANDARD
            .decode(text)
            .context("the server sent bytes that are no base64"),
        None => Ok(Vec::new()),
    }
}

fn settle(api: &Api, args: &ReceiveArgs, messages: &[Value]) -> anyhow::Result<()> {
    let verb = match args.then {
        Then::Acknowledge => "acknowledge",
        Then::Release => "release",
        Then::Reject => "reject",
        Then::Keep => return Ok(()),
    };
    let receipts: Vec<&Value> = messages.iter().map(|message| &message["receipt"]).collect();
    let mut body = json!({"receipts": receipts});
    if args.then == Then::Release {
        body["counts"] = (!args.not_counting).into();
        if let Some(delay) = args.delay {
            body["delayMs"] = (delay.as_millis() as u64).into();
        }
    }
    let call = of_queue(api.post(&["queues", &args.queue.queue, verb]), &args.queue);
    let answer = call.json(&body).send()?;
    let results = answer["results"].as_array().cloned().unwrap_or_default();
    let failed = results
        .iter()
        .find_map(|result| result["error"]["detail"].as_str());
    match failed {
        Some(detail) => bail!(
            "{} messages could not be settled: {detail}",
            answer["failed"]
        ),
        None => Ok(()),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Peeked {
    partition: i32,
    offset: i64,
    state: String,
    delivery_count: u16,
    until: Option<i64>,
    worker: Option<String>,
}

pub(super) fn peek(api: &Api, queue: &Which, count: usize, as_json: bool) -> anyhow::Result<()> {
    let mut messages: Vec<Value> = Vec::new();
    let mut from: Option<String> = None;
    while messages.len() < count {
        let left = (count - messages.len()).min(MAX_MESSAGES);
        let call = of_queue(api.get(&["queues", &queue.queue, "messages"]), queue);
        let page = call
            .query("max", left)
            .maybe("from", from.as_ref())
            .send()?;
        messages.extend(page["messages"].as_array().cloned().unwrap_or_default());
        from = page["next"].as_str().map(str::to_owned);
        if from.is_none() {
            break;
        }
    }
    if as_json {
        return output::json(&messages);
    }
    if messages.is_empty() {
        return Ok(say("no messages")?);
    }
    let heads = [
        "PARTITION",
        "OFFSET",
        "STATE",
        "TRIES",
        "UNTIL",
        "WORKER",
        "VALUE",
    ];
    let mut table = Table::new(&heads);
    for message in messages {
        let value = preview(&message);
        let seen: Peeked = serde_json::from_value(message)?;
        let style = if seen.state == "ready" {
            FAINT
        } else {
            WARNING
        };
        table.row([
            number(seen.partition),
            number(seen.offset),
            text(seen.state).style(style),
            number(seen.delivery_count),
            text(seen.until.map_or("-".to_owned(), rfc3339)),
            text(seen.worker.as_deref().unwrap_or("-")),
            text(value),
        ]);
    }
    Ok(table.print()?)
}

/// The beginning of a value, on one line.
pub fn preview(message: &Value) -> String {
    const WIDTH: usize = 60;
    let Some(value) = message["value"].as_str() else {
        let base64 = message["valueBase64"].as_str();
        return base64.map_or("null".to_owned(), |text| {
            format!("{} bytes", text.len() / 4 * 3)
        });
    };
    let mut line: String = value
        .chars()
        .take(WIDTH)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if value.chars().nth(WIDTH).is_some() {
        line.push('…');
    }
    line
}
