//! Receive: handing messages to a worker.
//!
//! The shard's lock is held to ask what is there (plan) and to take it (scanned, acquire), not while anything is read or
//! decoded. What others take in between is noticed, and planned for again.

use std::sync::Arc;

use outlast_protocol::ErrorCode;
use outlast_records::{Offset, PartitionId};
use outlast_storage::{PartitionLog, ReadError};
use tracing::error;

use super::coordinator::{Place, QueueCoordinator, check_group};
use super::hand::{Hand, read_error_code};
use super::scan::{Scan, ScanLimits};
use super::{ReceiveLimits, Received};
use crate::group_config::GroupSettings;
use crate::queue::{AcquiredRange, OffsetRange, Plan, QueueId, Queues, Turn, Worker};
use crate::shard::Ticket;

/// How often one request looks. A stretch of messages that can't be delivered may be long; whoever waits comes again.
const MAX_LOOKS: usize = 64;

/// What one look came to.
enum Look {
    Acquired(Received, Ticket),
    Nothing,
    /// There may be more where the scan ended, or others were faster.
    Again,
}

/// What a request is about.
struct Request<'a> {
    id: QueueId,
    group: &'a str,
    worker: &'a Worker,
    limits: ReceiveLimits,
    place: Place,
    settings: Arc<GroupSettings>,
}

impl QueueCoordinator {
    /// Hands out what is there, at once; empty when nothing is. A queue that is not open is opened, where the group's
    /// `share.auto.offset.reset` says.
    pub async fn receive(
        &self,
        group: &str,
        worker: &Worker,
        partition: PartitionId,
        limits: ReceiveLimits,
    ) -> Result<Received, ErrorCode> {
        check_group(group)?;
        if limits.max_records == 0 {
            return Ok(Received::default());
        }
        let request = Request {
            id: QueueId::new(group, partition),
            group,
            worker,
            limits,
            place: self.place(partition)?,
            settings: self.world.settings(group),
        };
        for _ in 0..MAX_LOOKS {
            match self.look_once(&request).await? {
                Look::Acquired(received, ticket) => {
                    self.durable(group, ticket).await?;
                    self.all_counters.of(group).delivered(&received.acquired);
                    return Ok(received);
                }
                Look::Nothing => return Ok(Received::default()),
                Look::Again => tokio::task::yield_now().await,
            }
        }
        self.world.waiters.wake(&request.id);
        Ok(Received::default())
    }

    async fn look_once(&self, request: &Request<'_>) -> Result<Look, ErrorCode> {
        let (id, limits) = (&request.id, request.limits);
        let log = &request.place.log;
        self.world.waiters.looking(id);
        let wanted = limits.max_records;
        let (plan, _) = self.run(request.group, |queues, turn| {
            plan(queues, id, wanted, log, turn)
        })?;
        let Some(plan) = plan else {
            self.initialize(request.group, &[id.partition]).await?;
            return Ok(Look::Again);
        };

        let mut hand = Hand::default();
        match hand.take(log, &plan.redeliver, limits.max_bytes).await {
            Ok(()) => {}
            // The log start has moved meanwhile; the next plan knows.
            Err(ReadError::OutOfRange { .. }) => return Ok(Look::Again),
            Err(error) => return Err(self.unreadable(request, &error)),
        }

        let planned: u64 = plan.redeliver.iter().map(OffsetRange::count).sum();
        let missing = wanted.saturating_sub(usize::try_from(planned).unwrap_or(usize::MAX));
        let room = hand.bytes < limits.max_bytes;
        let mut scan = None;
        let turn = self.scan_turns.of(id);
        let mut turn_held = None;
        if missing > 0 && room && may_scan(&plan, log) {
            match turn.try_lock() {
                Ok(held) => turn_held = Some(held),
                // Somebody is just reading what this worker would read.
                Err(_) if hand.batches.is_empty() => {
                    drop(turn.lock().await);
                    return Ok(Look::Again);
                }
                Err(_) => {}
            }
        }
        if turn_held.is_some() {
            let scan_limits = ScanLimits {
                wanted: missing,
                max_bytes: limits.max_bytes,
            };
            let read = Scan::read(
                &request.place,
                request.group,
                &request.settings,
                plan.scan_from,
                self.now(),
                scan_limits,
                &mut hand,
            );
            match read.await {
                Ok(read) => scan = Some(read),
                Err(ReadError::OutOfRange { .. }) => return Ok(Look::Again),
                Err(error) => return Err(self.unreadable(request, &error)),
            }
        }
        if hand.batches.is_empty() && scan.is_none() {
            return Ok(Look::Nothing);
        }
        let ((acquired, more), ticket) = self.run(request.group, |queues, turn| {
            if let Some(scan) = &scan {
                queues.scanned(id, scan.from, scan.to, &scan.messages, turn);
            }
            let acquired = acquire(queues, request, &hand, turn);
            let more = plan_more(queues, id, log, turn);
            (acquired, more)
        })?;
        drop(turn_held);
        if acquired.is_empty() {
            return Ok(if more { Look::Again } else { Look::Nothing });
        }
        if more {
            self.world.waiters.wake(id);
        }
        self.all_counters
            .of(request.group)
            .sample(id, &acquired, &hand, self.now());
        let batches = hand.into_acquired(&acquired);
        Ok(Look::Acquired(Received { batches, acquired }, ticket))
    }

    fn unreadable(&self, request: &Request<'_>, error: &ReadError) -> ErrorCode {
        error!(%error, queue = %request.id, "messages could not be read for delivery");
        read_error_code(error)
    }
}

/// What there is for `wanted` messages, none when the queue is not open.
pub(super) fn plan(
    queues: &mut Queues,
    id: &QueueId,
    wanted: usize,
    log: &PartitionLog,
    turn: &mut Turn<'_>,
) -> Option<Plan> {
    let log_start = log.start_offset();
    if queues.queue(id)?.start() < log_start {
        queues.log_start_moved(id, log_start, turn);
    }
    queues.plan(id, wanted, turn)
}

/// Whether a scan would find something to look at.
pub(super) fn may_scan(plan: &Plan, log: &PartitionLog) -> bool {
    plan.wants_scan && plan.scan_from < log.high_watermark()
}

/// Whether there is something for the next one.
fn plan_more(queues: &mut Queues, id: &QueueId, log: &PartitionLog, turn: &mut Turn<'_>) -> bool {
    let plan = queues.plan(id, 1, turn);
    plan.is_some_and(|plan| !plan.redeliver.is_empty() || may_scan(&plan, log))
}

fn acquire(
    queues: &mut Queues,
    request: &Request<'_>,
    hand: &Hand,
    turn: &mut Turn<'_>,
) -> Vec<AcquiredRange> {
    let Request {
        id, worker, limits, ..
    } = request;
    let held = hand.ranges();
    let max = limits.max_records;
    let mut acquired = queues.acquire(id, worker, &held, max, limits.lock, turn);
    if limits.whole_batches
        && let Some(rest) = rest_of_batch(hand, &acquired)
    {
        let rest = queues.acquire(id, worker, &[rest], usize::MAX, limits.lock, turn);
        for range in rest {
            match acquired.last_mut() {
                Some(before)
                    if before.last.next() == range.first
                        && before.delivery_count == range.delivery_count =>
                {
                    before.last = range.last;
                }
                _ => acquired.push(range),
            }
        }
    }
    acquired
}

/// What follows the last acquired message in its batch.
fn rest_of_batch(hand: &Hand, acquired: &[AcquiredRange]) -> Option<OffsetRange> {
    let last: Offset = acquired.last()?.last;
    let batch = hand.batch_of(last)?;
    OffsetRange::new(last.next(), batch.last())
}
