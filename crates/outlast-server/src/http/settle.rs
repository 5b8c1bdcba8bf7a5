//! What a worker says about messages that it has received: acknowledge, release, reject, extend.
//!
//! Each receipt has a result of its own. Neighbours with the same fate become one range, so that a batch costs the
//! queue as little as one message; all ranges are written to the disk together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::future::join_all;
use outlast_broker::queues::{AckRange, Verb, Worker};
use outlast_protocol::ErrorCode;
use outlast_records::PartitionId;
use serde::{Deserialize, Serialize};

use super::api::{Api, Found};
use super::problem::Problem;
use super::receipt::Receipt;
use super::receive::{lock_of, locked_until};
use super::request::{Address, Payload, answer, bounded};

const MAX_RECEIPTS: usize = 10_000;
/// A year: more is a mistake in the unit.
const MAX_DELAY_MS: u64 = 365 * 24 * 3_600_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Receipts {
    receipts: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Release {
    receipts: Vec<String>,
    delay_ms: Option<u64>,
    counts: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Extend {
    receipts: Vec<String>,
    lock_ms: Option<u64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Results {
    results: Vec<Settled>,
    failed: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    locked_until: Option<i64>,
}

#[derive(Debug, Serialize)]
struct Settled {
    receipt: String,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Problem>,
}

pub(crate) async fn acknowledge(
    State(api): State<Arc<Api>>,
    address: Address,
    payload: Payload,
) -> Result<Response, Problem> {
    let Receipts { receipts } = payload.json()?;
    let found = find(&api, address).await?;
    settle(&api, &found, receipts, Verb::Accept, None).await
}

pub(crate) async fn reject(
    State(api): State<Arc<Api>>,
    address: Address,
    payload: Payload,
) -> Result<Response, Problem> {
    let Receipts { receipts } = payload.json()?;
    let found = find(&api, address).await?;
    settle(&api, &found, receipts, Verb::Reject, None).await
}

pub(crate) async fn release(
    State(api): State<Arc<Api>>,
    address: Address,
    payload: Payload,
) -> Result<Response, Problem> {
    let release: Release = payload.json()?;
    let delay = match release.delay_ms {
        None => None,
        Some(ms) => Some(bounded("delayMs", Some(ms), 0, 0..=MAX_DELAY_MS)?),
    };
    let verb = Verb::Release {
        delay: delay.map(Duration::from_millis),
        counts: release.counts.unwrap_or(true),
    };
    let found = find(&api, address).await?;
    settle(&api, &found, release.receipts, verb, None).await
}

pub(crate) async fn extend(
    State(api): State<Arc<Api>>,
    address: Address,
    payload: Payload,
) -> Result<Response, Problem> {
    let extend: Extend = payload.json()?;
    let lock = lock_of(extend.lock_ms)?;
    let found = find(&api, address).await?;
    let until = locked_until(&api, &found, lock).0;
    settle(
        &api,
        &found,
        extend.receipts,
        Verb::Renew { lock },
        Some(until),
    )
    .await
}

async fn find(api: &Api, mut address: Address) -> Result<Found, Problem> {
    let wanted = address.queue()?;
    address.finish()?;
    api.find(wanted).await
}

async fn settle(
    api: &Api,
    found: &Found,
    receipts: Vec<String>,
    verb: Verb,
    locked_until: Option<i64>,
) -> Result<Response, Problem> {
    if receipts.is_empty() || receipts.len() > MAX_RECEIPTS {
        let detail = format!("there must be 1 to {MAX_RECEIPTS} of them");
        return Err(Problem::field("receipts", detail));
    }
    let read: Vec<Option<Receipt>> = receipts.iter().map(|text| read(found, text)).collect();
    let runs = runs(&read);
    let settled = join_all(runs.iter().map(|run| settle_run(api, found, run, verb))).await;
    let mut errors: BTreeMap<usize, Problem> = BTreeMap::new();
    for (run, results) in runs.iter().zip(settled) {
        for (place, result) in run.places().zip(results) {
            if let Err(code) = result {
                errors.insert(place, code.into());
            }
        }
    }
    let results: Vec<Settled> = receipts
        .into_iter()
        .zip(read)
        .enumerate()
        .map(|(place, (receipt, read))| {
            let error = match read {
                None => Some(Problem::field(
                    format!("receipts[{place}]"),
                    "is no receipt of this queue",
                )),
                Some(_) => errors.remove(&place),
            };
            Settled {
                ok: error.is_none(),
                receipt,
                error,
            }
        })
        .collect();
    let results = Results {
        failed: results.iter().filter(|result| !result.ok).count(),
        results,
        locked_until,
    };
    Ok(answer(StatusCode::OK, &results))
}

fn read(found: &Found, text: &str) -> Option<Receipt> {
    let receipt = Receipt::decode(text, &found.group)?;
    (receipt.partition.topic == found.topic).then_some(receipt)
}

/// Receipts of one worker for offsets without a gap between them.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    worker: String,
    partition: PartitionId,
    first: outlast_records::Offset,
    /// The places in the request, by offset; a receipt that is shown twice has two.
    offsets: Vec<Vec<usize>>,
}

impl Run {
    /// In the order of the results of [`settle_run`].
    fn places(&self) -> impl Iterator<Item = usize> {
        self.offsets.iter().flatten().copied()
    }

    fn range(&self, from: usize, to: usize, verb: Verb) -> AckRange {
        AckRange {
            first: self.first.plus(from as i64),
            last: self.first.plus(to as i64),
            verb,
        }
    }
}

fn runs(receipts: &[Option<Receipt>]) -> Vec<Run> {
    let mut sorted: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (place, receipt) in receipts.iter().enumerate() {
        if let Some(receipt) = receipt {
            let key = (receipt.worker.as_str(), receipt.partition, receipt.offset);
            sorted.entry(key).or_default().push(place);
        }
    }
    let mut runs: Vec<Run> = Vec::new();
    for ((worker, partition, offset), places) in sorted {
        match runs.last_mut() {
            Some(run)
                if run.worker == worker
                    && run.partition == partition
                    && run.first.plus(run.offsets.len() as i64) == offset =>
            {
                run.offsets.push(places);
            }
            _ => runs.push(Run {
                worker: worker.to_owned(),
                partition,
                first: offset,
                offsets: vec![places],
            }),
        }
    }
    runs
}

/// A range takes effect as a whole or not at all; if it doesn't, each of its messages has its own chance.
async fn settle_run(api: &Api, found: &Found, run: &Run, verb: Verb) -> Vec<Result<(), ErrorCode>> {
    let whole = say(api, found, run, run.range(0, run.offsets.len() - 1, verb)).await;
    let results = match whole {
        Err(ErrorCode::InvalidRecordState) if run.offsets.len() > 1 => {
            let single = |at: usize| say(api, found, run, run.range(at, at, verb));
            join_all((0..run.offsets.len()).map(single)).await
        }
        result => vec![result; run.offsets.len()],
    };
    let of_places = run.offsets.iter().zip(results);
    of_places
        .flat_map(|(places, result)| vec![result; places.len()])
        .collect()
}

async fn say(api: &Api, found: &Found, run: &Run, range: AckRange) -> Result<(), ErrorCode> {
    let worker = Worker(run.worker.as_str().into());
    let coordinator = api.broker.queues().await.map_err(|error| error.code)?;
    coordinator
        .acknowledge(&found.group, &worker, run.partition, &[range])
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use outlast_records::Offset;

    fn receipt(worker: &str, index: i32, offset: i64) -> Option<Receipt> {
        Some(Receipt {
            partition: PartitionId {
                topic: uuid::Uuid::nil(),
                index,
            },
            offset: Offset(offset),
            delivery_count: 1,
            worker: worker.to_owned(),
        })
    }

    #[test]
    fn neighbours_of_one_worker_become_one_run() {
        let given = [
            receipt("a", 0, 5),
            None,
            receipt("a", 0, 3),
            receipt("a", 0, 4),
            receipt("b", 0, 6),
            receipt("a", 1, 6),
            receipt("a", 0, 9),
            receipt("a", 0, 3),
        ];
        let found: Vec<_> = runs(&given)
            .into_iter()
            .map(|run| {
                (
                    run.worker.clone(),
                    run.partition.index,
                    run.first.0,
                    run.offsets,
                )
            })
            .collect();
        let expect = [
            ("a".to_owned(), 0, 3, vec![vec![2, 7], vec![3], vec![0]]),
            ("a".to_owned(), 0, 9, vec![vec![6]]),
            ("a".to_owned(), 1, 6, vec![vec![5]]),
            ("b".to_owned(), 0, 6, vec![vec![4]]),
        ];
        assert_eq!(found, expect);
    }
}
