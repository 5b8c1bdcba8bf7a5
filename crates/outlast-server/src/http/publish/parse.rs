//! From a request to messages: a raw body with headers, or JSON.

use axum::http::HeaderMap;
use outlast_records::Timestamp;
use serde::Deserialize;

use super::Outgoing;
use crate::http::message::{Header, bytes_of};
use crate::http::problem::Problem;
use crate::http::request::Payload;

const MAX_MESSAGES: usize = 10_000;

/// Names of record headers that steer a queue.
const DELAY_MS: &str = "outlast-delay-ms";
const DELIVER_AT: &str = "outlast-deliver-at";
const TTL_MS: &str = "outlast-ttl-ms";
const MESSAGE_ID: &str = "outlast-message-id";

/// What HTTP headers begin with that become the message's own.
const OWN_HEADER: &str = "outlast-header-";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    messages: Vec<JsonMessage>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct JsonMessage {
    key: Option<String>,
    key_base64: Option<String>,
    value: Option<String>,
    value_base64: Option<String>,
    headers: Vec<Header>,
    partition: Option<i32>,
    timestamp: Option<i64>,
    delay_ms: Option<u64>,
    deliver_at: Option<u64>,
    ttl_ms: Option<i64>,
    message_id: Option<String>,
}

pub(super) fn messages(payload: &Payload) -> Result<Vec<Outgoing>, Problem> {
    let is_json = payload.media_type().as_deref() == Some("application/json");
    let is_raw = payload
        .headers
        .get("outlast-raw")
        .is_some_and(|value| value == "true");
    if !is_json || is_raw {
        return Ok(vec![raw(payload)?]);
    }
    let batch: Batch = payload.json()?;
    match batch.messages.len() {
        0 => return Err(Problem::field("messages", "is empty")),
        1..=MAX_MESSAGES => {}
        many => {
            let detail = format!("{many} messages are more than the {MAX_MESSAGES} of one request");
            return Err(Problem::field("messages", detail));
        }
    }
    let parsed = batch.messages.into_iter().enumerate().map(|(i, message)| {
        message
            .parsed()
            .map_err(|problem| problem.within(&format!("messages[{i}].")))
    });
    parsed.collect()
}

impl JsonMessage {
    fn parsed(self) -> Result<Outgoing, Problem> {
        let mut headers = Vec::with_capacity(self.headers.len());
        for (i, header) in self.headers.into_iter().enumerate() {
            let value = bytes_of("value", header.value, header.value_base64.as_deref())
                .map_err(|problem| problem.within(&format!("headers[{i}].")))?;
            headers.push((header.name.into_bytes(), value));
        }
        let mut steer = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                headers.push((name.into(), Some(value.into_bytes())));
            }
        };
        if self.ttl_ms.is_some_and(|ttl| ttl < -1) {
            return Err(Problem::field("ttlMs", "must be -1 (for ever) or more"));
        }
        steer(DELAY_MS, self.delay_ms.map(|ms| ms.to_string()));
        steer(DELIVER_AT, self.deliver_at.map(|ms| ms.to_string()));
        steer(TTL_MS, self.ttl_ms.map(|ms| ms.to_string()));
        steer(MESSAGE_ID, self.message_id);
        Ok(Outgoing {
            key: bytes_of("key", self.key, self.key_base64.as_deref())?,
            value: bytes_of("value", self.value, self.value_base64.as_deref())?,
            headers,
            partition: self.partition,
            timestamp: self.timestamp.map(Timestamp),
        })
    }
}

/// The body is the value; everything else is in headers.
fn raw(payload: &Payload) -> Result<Outgoing, Problem> {
    let given = &payload.headers;
    let mut headers: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::new();
    for (name, value) in given {
        if let Some(own) = name.as_str().strip_prefix(OWN_HEADER) {
            headers.push((own.into(), Some(value.as_bytes().to_vec())));
        }
    }
    for (name, least) in [(DELAY_MS, 0), (DELIVER_AT, 0), (TTL_MS, -1)] {
        if let Some(number) = number(given, name, least)? {
            headers.push((name.into(), Some(number.to_string().into_bytes())));
        }
    }
    if let Some(id) = text(given, MESSAGE_ID)? {
        headers.push((MESSAGE_ID.into(), Some(id.into_bytes())));
    }
    if let Some(kind) = payload.media_type()
        && !matches!(
            kind.as_str(),
            "application/octet-stream" | "application/x-www-form-urlencoded" | ""
        )
    {
        headers.push((b"content-type".to_vec(), Some(kind.into_bytes())));
    }
    let key = text(given, "outlast-key")?;
    let key_base64 = text(given, "outlast-key-base64")?;
    let partition = number(given, "outlast-partition", 0)?;
    Ok(Outgoing {
        key: bytes_of("Outlast-Key", key, key_base64.as_deref())?,
        value: Some(payload.bytes.to_vec()),
        headers,
        partition: partition.map(|partition| i32::try_from(partition).unwrap_or(i32::MAX)),
        timestamp: None,
    })
}

fn text(headers: &HeaderMap, name: &str) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Problem::field(name, "is given more than once"));
    }
    let text = std::str::from_utf8(value.as_bytes());
    text.map(|text| Some(text.to_owned()))
        .map_err(|_| Problem::field(name, "is not UTF-8"))
}

fn number(headers: &HeaderMap, name: &str, least: i64) -> Result<Option<i64>, Problem> {
    let Some(text) = text(headers, name)? else {
        return Ok(None);
    };
    let number = text.trim().parse().ok().filter(|number| *number >= least);
    number.map(Some).ok_or_else(|| {
        let detail = format!("{text:?} is not a whole number from {least} on");
        Problem::field(name, detail)
    })
}
