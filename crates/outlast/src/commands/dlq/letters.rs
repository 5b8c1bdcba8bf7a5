//! Looking at dead letters.

use serde::Deserialize;
use serde_json::Value;

use super::FilterArgs;
use crate::commands::http::Api;
use crate::commands::output::{self, FAINT, NAME, Table, WARNING, number, say, styled, text};
use crate::commands::queue::{Which, of_queue, preview};
use crate::commands::when::rfc3339;

/// As many as one request may ask for.
const MAX_LETTERS: usize = 1_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Letter {
    partition: i32,
    offset: i64,
    reason: String,
    detail: Option<String>,
    died: i64,
    origin: Origin,
    deliveries: u32,
    first_tried: Option<i64>,
    last_tried: Option<i64>,
    last_worker: Option<String>,
    redrives: u32,
    timestamp: i64,
    key: Option<String>,
    key_base64: Option<String>,
    headers: Vec<Header>,
}

#[derive(Deserialize)]
struct Origin {
    queue: String,
    group: String,
    partition: i32,
    offset: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    name: String,
    value: Option<String>,
    value_base64: Option<String>,
}

pub(super) fn list(
    api: &Api,
    queue: &Which,
    filter: &FilterArgs,
    count: usize,
    as_json: bool,
) -> anyhow::Result<()> {
    let mut letters: Vec<Value> = Vec::new();
    let mut from: Option<String> = None;
    while letters.len() < count {
        let left = (count - letters.len()).min(MAX_LETTERS);
        let call = of_queue(api.get(&["queues", &queue.queue, "dead-letters"]), queue);
        let call = filter.query(call).query("max", left);
        let page = call.maybe("from", from.as_ref()).send()?;
        letters.extend(page["deadLetters"].as_array().cloned().unwrap_or_default());
        from = page["next"].as_str().map(str::to_owned);
        if from.is_none() {
            break;
        }
    }
    if as_json {
        return output::json(&letters);
    }
    if letters.is_empty() {
        return Ok(say("no dead letters")?);
    }
    let heads = [
        "PARTITION",
        "OFFSET",
        "DIED",
        "REASON",
        "TRIES",
        "REDRIVES",
        "KEY",
        "VALUE",
    ];
    let mut table = Table::new(&heads);
    for letter in letters {
        let value = preview(&letter);
        let letter: Letter = serde_json::from_value(letter)?;
        table.row([
            number(letter.partition),
            number(letter.offset),
            text(rfc3339(letter.died)),
            text(&letter.reason).style(WARNING),
            number(letter.deliveries),
            number(letter.redrives),
            text(letter.key.or(letter.key_base64).unwrap_or("-".to_owned())),
            text(value),
        ]);
    }
    table.print()?;
    if from.is_some() {
        output::note("there are more; say --count N");
    }
    Ok(())
}

pub(super) fn show(
    api: &Api,
    queue: &Which,
    partition: i32,
    offset: i64,
    as_json: bool,
) -> anyhow::Result<()> {
    let (partition, offset) = (partition.to_string(), offset.to_string());
    let path = ["queues", &queue.queue, "dead-letters", &partition, &offset];
    let answer = of_queue(api.get(&path), queue).send()?;
    if as_json {
        return output::json(&answer);
    }
    let value = answer["value"].as_str().map(str::to_owned);
    let value = value.or_else(|| Some(format!("base64: {}", answer["valueBase64"].as_str()?)));
    let letter: Letter = serde_json::from_value(answer)?;
    let why = match &letter.detail {
        Some(detail) => format!("{}: {detail}", letter.reason),
        None => letter.reason.clone(),
    };
    say(&format!(
        "{} partition {}, offset {}",
        styled(
            NAME,
            format!("{} of group {}", letter.origin.queue, letter.origin.group)
        ),
        letter.origin.partition,
        letter.origin.offset
    ))?;
    let line = |name: &str, value: String| say(&format!("  {name:<12}{value}"));
    let time = |time: Option<i64>| time.map_or("-".to_owned(), rfc3339);
    line("reason", styled(WARNING, why))?;
    line("published", rfc3339(letter.timestamp))?;
    line("died", rfc3339(letter.died))?;
    let tries = match letter.deliveries {
        0 => "never tried".to_owned(),
        tries => format!(
            "{tries}, from {} to {}, last by {}",
            time(letter.first_tried),
            time(letter.last_tried),
            letter.last_worker.as_deref().unwrap_or("-")
        ),
    };
    line("tries", tries)?;
    line("redrives", letter.redrives.to_string())?;
    line(
        "key",
        letter.key.or(letter.key_base64).unwrap_or("-".to_owned()),
    )?;
    for header in letter.headers {
        let value = header
            .value
            .or(header.value_base64)
            .unwrap_or("null".to_owned());
        line(
            "header",
            format!("{} = {value}", styled(FAINT, header.name)),
        )?;
    }
    say("")?;
    Ok(say(&value.unwrap_or("null".to_owned()))?)
}
