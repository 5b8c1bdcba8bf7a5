//! Looking at dead letters: a page of those that pass a filter, or one of them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use outlast_broker::queues::{DeadLetter, DeadLetterFilter, DeadReason, Pattern};
use outlast_records::{Offset, PartitionId, Timestamp};
use serde::{Deserialize, Serialize};

use super::api::{Api, Found};
use super::message::{Encoding, MessageBody};
use super::problem::{Kind, Problem};
use super::request::{Address, answer};

const MAX_LETTERS: usize = 1_000;
const DEFAULT_LETTERS: usize = 20;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    dead_letters: Vec<Letter>,
    /// Where the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// One dead letter with its story. Times are milliseconds since the epoch.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Letter {
    reason: &'static str,
    /// The reason for people.
    detail: String,
    died: i64,
    origin: Origin,
    deliveries: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_tried: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_tried: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_worker: Option<String>,
    redrives: u32,
    #[serde(flatten)]
    message: MessageBody,
}

#[derive(Debug, Serialize)]
struct Origin {
    queue: String,
    group: String,
    partition: i32,
    offset: i64,
}

impl Letter {
    fn new(letter: &DeadLetter, encoding: Encoding) -> Self {
        let text = |text: &Option<outlast_protocol::Str>| text.as_ref().map(ToString::to_string);
        Self {
            reason: letter.reason.name(),
            detail: letter.message.to_string(),
            died: letter.died.0,
            origin: Origin {
                queue: letter.topic.to_string(),
                group: letter.group.to_string(),
                partition: letter.topic_partition,
                offset: letter.topic_offset.0,
            },
            deliveries: letter.deliveries,
            first_tried: letter.first_tried.map(|time| time.0),
            last_tried: letter.last_tried.map(|time| time.0),
            last_worker: text(&letter.last_worker),
            redrives: letter.redrives,
            message: MessageBody::new(letter.partition.index, &letter.record, encoding),
        }
    }
}

/// Which dead letters; all that is said must hold. In bodies, and as parameters of the same names.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Filter {
    reasons: Vec<String>,
    since: Option<i64>,
    until: Option<i64>,
    key: Option<String>,
    headers: Vec<HeaderPattern>,
    partition: Option<i32>,
    offset: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderPattern {
    name: String,
    pattern: String,
}

impl Filter {
    fn from_query(address: &mut Address) -> Result<Self, Problem> {
        let mut headers = Vec::new();
        for text in address.all("header") {
            let Some((name, pattern)) = text.split_once(':') else {
                return Err(Problem::field(
                    "header",
                    "must be a name, a colon and a pattern",
                ));
            };
            headers.push(HeaderPattern {
                name: name.to_owned(),
                pattern: pattern.to_owned(),
            });
        }
        Ok(Self {
            reasons: address.all("reason"),
            since: address.number("since", 0..=i64::MAX)?,
            until: address.number("until", 0..=i64::MAX)?,
            key: address.text("key")?,
            headers,
            partition: None,
            offset: None,
        })
    }

    /// Only what came from this queue: a group may have several, and one dead-letter topic for all of them.
    pub(super) fn checked(self, api: &Api, found: &Found) -> Result<DeadLetterFilter, Problem> {
        let mut reasons = Vec::new();
        for name in &self.reasons {
            let reason = DeadReason::from_name(name).ok_or_else(|| {
                let known = DeadReason::ALL.map(DeadReason::name).join(", ");
                Problem::field("reason", format!("{name:?} is none of {known}"))
            })?;
            reasons.push(reason);
        }
        let at = match (self.partition, self.offset) {
            (None, None) => None,
            (Some(index), Some(offset)) => Some(place(api, found, index, offset)?),
            _ => return Err(Problem::field("offset", "goes together with partition")),
        };
        let pattern = |header: HeaderPattern| (header.name, Pattern::new(&header.pattern));
        Ok(DeadLetterFilter {
            reasons,
            since: self.since.map(Timestamp),
            until: self.until.map(Timestamp),
            key: self.key.as_deref().map(Pattern::new),
            headers: self.headers.into_iter().map(pattern).collect(),
            topic: Some(found.queue.as_str().into()),
            at,
        })
    }
}

/// A place in the dead-letter topic.
fn place(
    api: &Api,
    found: &Found,
    index: i32,
    offset: i64,
) -> Result<(PartitionId, Offset), Problem> {
    let settings = api.broker.group_settings(&found.group);
    let name = settings.dead_letters.topic(&found.group);
    match api.topic(&name) {
        Some((topic, partitions)) if (0..partitions).contains(&index) && offset >= 0 => {
            Ok((PartitionId { topic, index }, Offset(offset)))
        }
        _ => Err(no_letter(index, offset)),
    }
}

fn no_letter(partition: i32, offset: i64) -> Problem {
    let detail = format!(
        "there is no dead letter at partition {partition}, offset {offset}; it may have been redriven or purged"
    );
    Problem::new(Kind::DeadLetterNotFound, detail)
}

pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    mut address: Address,
) -> Result<Response, Problem> {
    let wanted = address.queue()?;
    let max = address
        .number("max", 1..=MAX_LETTERS)?
        .unwrap_or(DEFAULT_LETTERS);
    let from = address.text("from")?;
    let encoding = Encoding::from_parameter(address.text("encoding")?.as_deref())?;
    let filter = Filter::from_query(&mut address)?;
    address.finish()?;
    let found = api.find(wanted).await?;
    let filter = filter.checked(&api, &found)?;
    let coordinator = api.queues().await?;
    let page = coordinator
        .dead_letters(&found.group, &filter, from.as_deref(), max)
        .await?;
    let letters = page
        .letters
        .iter()
        .map(|letter| Letter::new(letter, encoding));
    let page = Page {
        dead_letters: letters.collect(),
        next: page.next,
    };
    Ok(answer(StatusCode::OK, &page))
}

pub(crate) async fn get(
    State(api): State<Arc<Api>>,
    mut address: Address,
) -> Result<Response, Problem> {
    let wanted = address.queue()?;
    let partition: i32 = address.segment("partition")?;
    let offset: i64 = address.segment("offset")?;
    let encoding = Encoding::from_parameter(address.text("encoding")?.as_deref())?;
    address.finish()?;
    let found = api.find(wanted).await?;
    let filter = Filter {
        partition: Some(partition),
        offset: Some(offset),
        ..Filter::default()
    };
    let filter = filter.checked(&api, &found)?;
    let coordinator = api.queues().await?;
    let page = coordinator
        .dead_letters(&found.group, &filter, None, 1)
        .await?;
    match page.letters.first() {
        Some(letter) => Ok(answer(StatusCode::OK, &Letter::new(letter, encoding))),
        None => Err(no_letter(partition, offset)),
    }
}
