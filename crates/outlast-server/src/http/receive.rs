//! Receiving: up to so many messages, at once or when some come, each locked for the worker and with a receipt.

mod taken;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use outlast_records::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use super::api::{Api, Found};
use super::message::{Encoding, MessageBody};
use super::problem::Problem;
use super::receipt::{MAX_WORKER, Receipt};
use super::request::{Address, Payload, answer, bounded};
use crate::server::Stage;
use taken::{Taken, Wish};

const MAX_MESSAGES: u32 = 1_000;
const MAX_WAIT_MS: u64 = 60_000;
/// What a group may be configured to, as well.
pub(super) const MAX_LOCK_MS: u64 = 3_600_000;
const MAX_BYTES: u64 = 64 << 20;
const DEFAULT_BYTES: u64 = 4 << 20;
/// Who doesn't say who it is.
const ANONYMOUS: &str = "http";

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Ask {
    max_messages: Option<u32>,
    wait_ms: Option<u64>,
    lock_ms: Option<u64>,
    max_bytes: Option<u64>,
    worker: Option<String>,
    encoding: Encoding,
}

#[derive(Debug, Serialize)]
struct Given {
    messages: Vec<GivenMessage>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GivenMessage {
    receipt: String,
    delivery_count: u16,
    /// Milliseconds since the epoch.
    locked_until: i64,
    #[serde(flatten)]
    message: MessageBody,
}

pub(crate) async fn post(
    State(api): State<Arc<Api>>,
    mut address: Address,
    payload: Payload,
) -> Result<Response, Problem> {
    let wanted = address.queue()?;
    address.finish()?;
    let ask: Ask = payload.json_or_default()?;
    // What it took of the memory for requests is free while the worker waits.
    drop(payload);
    let encoding = ask.encoding;
    let (wish, wait) = ask.checked()?;
    let found = api.find(wanted).await?;
    let _present = api.rates.worker(&found.group, found.topic, &wish.worker.0);
    let taken = wait_for(&api, &found, &wish, wait).await?;
    let until = locked_until(&api, &found, wish.lock);
    let given = Given {
        messages: messages(&taken, &found, &wish, until, encoding)?,
    };
    taken.keep();
    Ok(answer(StatusCode::OK, &given))
}

impl Ask {
    fn checked(self) -> Result<(Wish, Duration), Problem> {
        let max_messages = bounded("maxMessages", self.max_messages, 1, 1..=MAX_MESSAGES)?;
        let wait = bounded("waitMs", self.wait_ms, 0, 0..=MAX_WAIT_MS)?;
        let max_bytes = bounded("maxBytes", self.max_bytes, DEFAULT_BYTES, 1..=MAX_BYTES)?;
        let lock = lock_of(self.lock_ms)?;
        let worker = self.worker.unwrap_or_else(|| ANONYMOUS.to_owned());
        if worker.is_empty() || worker.len() > MAX_WORKER {
            let detail = format!("must have 1 to {MAX_WORKER} bytes");
            return Err(Problem::field("worker", detail));
        }
        let wish = Wish {
            worker: outlast_broker::queues::Worker(worker.into()),
            max_messages: max_messages as usize,
            max_bytes: max_bytes as usize,
            lock,
        };
        Ok((wish, Duration::from_millis(wait)))
    }
}

/// The group's own duration when it isn't said.
pub(super) fn lock_of(ms: Option<u64>) -> Result<Option<Duration>, Problem> {
    ms.map(|ms| bounded("lockMs", Some(ms), ms, 1..=MAX_LOCK_MS).map(Duration::from_millis))
        .transpose()
}

/// Early rather than late: the lock began before the answer was made.
pub(super) fn locked_until(api: &Api, found: &Found, lock: Option<Duration>) -> Timestamp {
    let lock = lock.unwrap_or_else(|| api.broker.group_settings(&found.group).queue.lock);
    let ms = i64::try_from(lock.as_millis()).unwrap_or(i64::MAX);
    Timestamp(api.broker.now().0.saturating_add(ms))
}

async fn wait_for(
    api: &Arc<Api>,
    found: &Found,
    wish: &Wish,
    wait: Duration,
) -> Result<Taken, Problem> {
    let deadline = Instant::now() + wait;
    let partitions: Vec<_> = found.partition_ids().collect();
    let coordinator = api.queues().await?;
    let mut stage = api.stage.clone();
    let mut watcher = coordinator.watch(&found.group, &partitions);
    loop {
        let taken = taken::take(api, found, wish).await?;
        if !taken.is_empty() || Instant::now() >= deadline {
            return Ok(taken);
        }
        let stopping = async {
            tokio::select! {
                _ = watcher.changed() => false,
                _ = Stage::Draining.reached(&mut stage) => true,
            }
        };
        // A server that stops lets nobody wait; a time that is over is asked once more.
        if let Ok(true) = timeout_at(deadline, stopping).await {
            return Ok(taken);
        }
    }
}

fn messages(
    taken: &Taken,
    found: &Found,
    wish: &Wish,
    until: Timestamp,
    encoding: Encoding,
) -> Result<Vec<GivenMessage>, Problem> {
    let mut messages = Vec::new();
    taken.each(|partition, record, delivery_count| {
        let receipt = Receipt {
            partition,
            offset: record.offset,
            delivery_count,
            worker: wish.worker.0.to_string(),
        };
        messages.push(GivenMessage {
            receipt: receipt.encode(&found.group),
            delivery_count,
            locked_until: until.0,
            message: MessageBody::new(partition.index, record, encoding),
        });
    })?;
    Ok(messages)
}
