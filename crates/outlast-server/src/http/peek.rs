//! Looking at messages without taking them: those that are not done, in the order of the log.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use outlast_broker::queues::{MessageState, Peeked};
use outlast_records::Offset;
use serde::Serialize;

use super::api::Api;
use super::message::{Encoding, MessageBody};
use super::problem::Problem;
use super::request::{Address, answer};

const MAX_MESSAGES: usize = 1_000;
const DEFAULT_MESSAGES: usize = 20;

#[derive(Debug, Serialize)]
struct Page {
    messages: Vec<Seen>,
    /// Where the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Seen {
    #[serde(flatten)]
    state: Standing,
    #[serde(flatten)]
    message: MessageBody,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Standing {
    state: &'static str,
    delivery_count: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

pub(crate) async fn get(
    State(api): State<Arc<Api>>,
    mut address: Address,
) -> Result<Response, Problem> {
    let wanted = address.queue()?;
    let max = address
        .number("max", 1..=MAX_MESSAGES)?
        .unwrap_or(DEFAULT_MESSAGES);
    let only = address.number("partition", 0..=i32::MAX)?;
    let from = address.text("from")?;
    let encoding = Encoding::from_parameter(address.text("encoding")?.as_deref())?;
    address.finish()?;
    let found = api.find(wanted).await?;
    if let Some(only) = only {
        found.partition(only)?;
    }
    let (mut partition, mut offset) = match &from {
        None => (only.unwrap_or(0), Offset(0)),
        Some(place) => place_of(place)?,
    };
    let end = only.map_or(found.partitions, |only| only + 1);
    let coordinator = api.queues().await?;
    let mut page = Page {
        messages: Vec::new(),
        next: None,
    };
    while partition < end {
        let left = max - page.messages.len();
        if left == 0 {
            page.next = Some(format!("{partition}.{offset}"));
            break;
        }
        let id = found.partition(partition)?;
        let peeked = coordinator.peek(&found.group, id, offset, left).await?;
        match peeked.last() {
            // There may be more behind them.
            Some(last) if peeked.len() >= left => offset = last.record.offset.next(),
            _ => (partition, offset) = (partition + 1, Offset(0)),
        }
        page.messages.extend(peeked.iter().map(|peeked| Seen {
            state: Standing::of(peeked),
            message: MessageBody::new(id.index, &peeked.record, encoding),
        }));
    }
    Ok(answer(StatusCode::OK, &page))
}

fn place_of(text: &str) -> Result<(i32, Offset), Problem> {
    let parts = text.split_once('.');
    parts
        .and_then(|(partition, offset)| {
            let partition: u16 = partition.parse().ok()?;
            let offset: u64 = offset.parse().ok()?;
            Some((i32::from(partition), Offset(i64::try_from(offset).ok()?)))
        })
        .ok_or_else(|| {
            Problem::field(
                "from",
                "is not a place that a page before has given as next",
            )
        })
}

impl Standing {
    fn of(peeked: &Peeked) -> Self {
        match &peeked.state {
            MessageState::Unseen => Self::named("ready", 0),
            MessageState::Scheduled => Self::named("delayed", 0),
            MessageState::Ready { delivery_count } => Self::named("ready", *delivery_count),
            MessageState::Delayed {
                delivery_count,
                until,
            } => Self {
                until: Some(until.0),
                ..Self::named("delayed", *delivery_count)
            },
            MessageState::Acquired {
                delivery_count,
                worker,
                deadline,
            } => Self {
                until: Some(deadline.0),
                worker: Some(worker.0.to_string()),
                ..Self::named("inFlight", *delivery_count)
            },
            MessageState::Dying {
                delivery_count,
                reason,
            } => Self {
                reason: Some(reason.name()),
                ..Self::named("dying", *delivery_count)
            },
            MessageState::Done => Self::named("done", 0),
        }
    }

    fn named(state: &'static str, delivery_count: u16) -> Self {
        Self {
            state,
            delivery_count,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_what_pages_give() {
        assert_eq!(place_of("3.42").unwrap(), (3, Offset(42)));
        for wrong in ["", "3", "-1.0", "1.-1", "a.b", "1.99999999999999999999"] {
            assert!(place_of(wrong).is_err(), "{wrong}");
        }
    }
}
