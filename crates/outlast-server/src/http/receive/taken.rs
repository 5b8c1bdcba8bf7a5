//! Messages between the queue and the answer: a client that goes away before it has been answered gives them back.
//!
//! Their locks are durable by then. Without this they would be nobody's until the locks run out, once for each worker
//! that is stopped while it waits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use outlast_broker::queues::{AckRange, ReceiveLimits, Received, Verb, Worker};
use outlast_records::{Offset, PartitionId, Record, records};
use tokio::sync::oneshot;

use crate::http::api::{Api, Found};
use crate::http::problem::{Kind, Problem};

/// What a compressed batch may grow to, as for produce requests.
const MAX_DECOMPRESSED_BYTES: usize = 256 << 20;

#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) worker: Worker,
    pub(super) max_messages: usize,
    pub(super) max_bytes: usize,
    pub(super) lock: Option<Duration>,
}

pub(super) struct Taken {
    api: Arc<Api>,
    group: String,
    worker: Worker,
    parts: Vec<(PartitionId, Received)>,
}

/// Takes what there is, of one partition after the other, beginning with another one each time.
///
/// In a task of its own, so that it comes to its end, and what it took to somebody, when the client goes away meanwhile.
pub(super) async fn take(api: &Arc<Api>, found: &Found, wish: &Wish) -> Result<Taken, Problem> {
    let (sender, receiver) = oneshot::channel();
    let (api, found, wish) = (Arc::clone(api), found.clone(), wish.clone());
    tokio::spawn(async move {
        // Where nobody takes it, it is dropped, which gives it back.
        let _ = sender.send(take_all(&api, &found, &wish).await);
    });
    match receiver.await {
        Ok(taken) => taken,
        Err(_) => Err(Problem::new(
            Kind::Internal,
            "the receive did not come to its end",
        )),
    }
}

async fn take_all(api: &Arc<Api>, found: &Found, wish: &Wish) -> Result<Taken, Problem> {
    let coordinator = api.queues().await?;
    let mut taken = Taken {
        api: Arc::clone(api),
        group: found.group.clone(),
        worker: wish.worker.clone(),
        parts: Vec::new(),
    };
    let limits = ReceiveLimits {
        max_records: wish.max_messages,
        max_bytes: wish.max_bytes,
        whole_batches: false,
        lock: wish.lock,
    };
    let first = api.turn.fetch_add(1, Ordering::Relaxed);
    let count = found.partitions.max(1) as usize;
    let partition = |step| PartitionId {
        topic: found.topic,
        index: ((first + step) % count) as i32,
    };
    let partitions: Vec<PartitionId> = (0..count).map(partition).collect();
    let received = coordinator.receive_all(&found.group, &wish.worker, &partitions, limits);
    let mut failed = None;
    for (partition, received) in received.await {
        match received {
            Ok(received) => taken.parts.push((partition, received)),
            Err(code) => failed = failed.or(Some(code)),
        }
    }
    // What some partitions gave is worth more than the error of another, which comes again.
    match failed {
        Some(code) if taken.is_empty() => return Err(code.into()),
        Some(_) | None => {}
    }
    Ok(taken)
}

impl Taken {
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The answer has them now.
    pub(super) fn keep(mut self) {
        self.parts.clear();
    }

    /// Calls `visit` with every acquired record and how often it was delivered.
    pub(super) fn each(
        &self,
        mut visit: impl FnMut(PartitionId, &Record, u16),
    ) -> Result<(), Problem> {
        let unreadable = |error| {
            Problem::new(
                Kind::Internal,
                format!("a stored batch cannot be read: {error}"),
            )
        };
        for (partition, received) in &self.parts {
            let mut ranges = received.acquired.iter().peekable();
            for batch in &received.batches {
                for record in records(batch, MAX_DECOMPRESSED_BYTES).map_err(unreadable)? {
                    let record = record.map_err(unreadable)?;
                    while ranges.next_if(|range| range.last < record.offset).is_some() {}
                    match ranges.peek() {
                        Some(range) if range.first <= record.offset => {
                            visit(*partition, &record, range.delivery_count);
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let parts = std::mem::take(&mut self.parts);
        if parts.is_empty() {
            return;
        }
        let (api, group, worker) = (self.api.clone(), self.group.clone(), self.worker.clone());
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            for (partition, received) in parts {
                give_back(&api, &group, &worker, partition, &received).await;
            }
        });
    }
}

/// Nobody has seen them, so that it was no delivery. If it fails, the locks run out by themselves.
async fn give_back(
    api: &Api,
    group: &str,
    worker: &Worker,
    partition: PartitionId,
    received: &Received,
) {
    let verb = Verb::Release {
        delay: None,
        counts: false,
    };
    let range = |first: Offset, last: Offset| AckRange { first, last, verb };
    let ranges: Vec<AckRange> = received
        .acquired
        .iter()
        .map(|r| range(r.first, r.last))
        .collect();
    if let Ok(coordinator) = api.queues().await {
        let released = coordinator
            .acknowledge(group, worker, partition, &ranges)
            .await;
        if let Err(error) = released {
            tracing::debug!(%error, group, "messages of a client that went away stay locked");
        }
    }
}
