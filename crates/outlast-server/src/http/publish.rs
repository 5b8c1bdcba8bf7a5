//! Publishing: one message as it is, or many as JSON. The answer leaves when they are durable.
//!
//! A body of any media type but `application/json` is one message's value, whatever the bytes; what else belongs to the
//! message comes in `Outlast-…` headers. Messages travel on as an ordinary produce request, so that every rule for
//! Kafka's producers (size, timestamps, deduplication) holds here, too.

mod batches;
mod parse;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use outlast_records::Timestamp;
use serde::Serialize;

use super::api::Api;
use super::problem::Problem;
use super::request::{Address, Payload, answer};

/// A message on its way in.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outgoing {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    partition: Option<i32>,
    timestamp: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
struct Published {
    messages: Vec<Outcome>,
    /// How many of them were not stored.
    failed: usize,
}

/// Where a message is now, or why it is nowhere.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Outcome {
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Problem>,
}

pub(crate) async fn post(
    State(api): State<Arc<Api>>,
    mut address: Address,
    payload: Payload,
) -> Result<Response, Problem> {
    let wanted = address.queue()?;
    address.finish()?;
    let messages = parse::messages(&payload)?;
    let found = api.find(wanted).await?;
    for (i, message) in messages.iter().enumerate() {
        if let Some(partition) = message.partition {
            found.partition(partition).map_err(|problem| {
                Problem::field(format!("messages[{i}].partition"), problem.detail())
            })?;
        }
    }
    let turn = api.turn.fetch_add(1, Ordering::Relaxed);
    let outcomes = batches::send(&api, &found, messages, turn).await?;
    let errors: Vec<&Problem> = outcomes.iter().filter_map(|o| o.error.as_ref()).collect();
    let failed = errors.len();
    if let Some(first) = errors.first()
        && failed == outcomes.len()
    {
        return Err(Problem::clone(first));
    }
    let status = match failed {
        0 => StatusCode::CREATED,
        _ => StatusCode::MULTI_STATUS,
    };
    let published = Published {
        messages: outcomes,
        failed,
    };
    Ok(answer(status, &published))
}
