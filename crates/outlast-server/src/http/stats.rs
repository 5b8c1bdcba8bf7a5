//! A queue in the numbers that its owner steers by.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use outlast_broker::queues::DeadReason;
use serde::Serialize;

use super::api::{Api, Found};
use super::problem::Problem;
use super::request::{Address, answer};
use crate::queue_rates::{Percentiles, QueueView};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    queue: String,
    group: String,
    ready: u64,
    delayed: u64,
    in_flight: u64,
    /// On their way to the dead-letter topic.
    dying: u64,
    /// In the dead-letter topic, neither redriven nor purged; of all queues of the group.
    dead: u64,
    consumers: u64,
    /// What waits, divided by the consumers; all of it when there is none.
    length_per_consumer: f64,
    messages_per_second: Rates,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_age_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    publish_to_acknowledge_ms: Option<Percentiles>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_processing_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_to_drain: Option<f64>,
    since_start: SinceStart,
    partitions: Vec<Partition>,
}

#[derive(Debug, Serialize)]
struct Rates {
    r#in: f64,
    out: f64,
    acknowledged: f64,
}

/// Of all queues of the group, since the broker has started.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SinceStart {
    delivered: u64,
    redelivered: u64,
    acknowledged: u64,
    released: u64,
    rejected: u64,
    dead_lettered: BTreeMap<&'static str, u64>,
    dead_letter_failures: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Partition {
    partition: i32,
    start_offset: i64,
    end_offset: i64,
    ready: u64,
    delayed: u64,
    in_flight: u64,
    dying: u64,
}

pub(crate) async fn get(
    State(api): State<Arc<Api>>,
    mut address: Address,
) -> Result<Response, Problem> {
    let wanted = address.queue()?;
    address.finish()?;
    let found = api.find(wanted).await?;
    let view = api.rates.view(&found.group, found.topic).await?;
    Ok(answer(StatusCode::OK, &stats(found, view)))
}

fn stats(found: Found, view: QueueView) -> Stats {
    let totals = view.totals;
    let (reasons, dead) = (DeadReason::ALL, totals.dead);
    Stats {
        queue: found.queue,
        group: found.group,
        ready: view.ready,
        delayed: view.delayed,
        in_flight: view.in_flight,
        dying: view.dying,
        dead: view.dead,
        consumers: view.consumers,
        length_per_consumer: view.length_per_consumer(),
        messages_per_second: Rates {
            r#in: view.rates.messages_in,
            out: view.rates.delivered,
            acknowledged: view.rates.accepted,
        },
        oldest_age_ms: view.oldest_age_ms,
        seconds_to_drain: view.seconds_to_drain(),
        publish_to_acknowledge_ms: view.publish_to_accept_ms,
        mean_processing_ms: view.mean_processing_ms,
        since_start: SinceStart {
            delivered: totals.delivered,
            redelivered: totals.redelivered,
            acknowledged: totals.accepted,
            released: totals.released,
            rejected: totals.rejected,
            dead_lettered: reasons
                .iter()
                .map(|r| (r.name(), dead[r.index()]))
                .collect(),
            dead_letter_failures: totals.dead_letter_failures,
        },
        partitions: view
            .partitions
            .iter()
            .map(|standing| Partition {
                partition: standing.partition.index,
                start_offset: standing.start.0,
                end_offset: standing.high_watermark.0,
                ready: standing.numbers.ready,
                delayed: standing.numbers.delayed,
                in_flight: standing.numbers.in_flight,
                dying: standing.numbers.dying,
            })
            .collect(),
    }
}
