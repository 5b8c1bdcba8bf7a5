//! Receive: handing messages to a worker.
//!
//! The shard's lock is held to ask what is there (plan) and to take it (scanned, acquire), not while anything is read or
//! decoded. What others take in between is noticed, and planned for again.

use std::sync::Arc;

use outlast_protocol::ErrorCode;
use outlast_records::{Offset, PartitionId};
use outlast_storage::{PartitionLog, ReadError};
use tokio::sync::OwnedMutexGuard;
use tracing::{error, warn};

use super::coordinator::{Place, QueueCoordinator, check_group};
use super::hand::{Hand, read_error_code};
use super::scan::{Scan, ScanLimits, readable};
use super::{ReceiveLimits, Received};
use crate::group_config::GroupSettings;
use crate::queue::{AcquiredRange, OffsetRange, Plan, QueueId, Queues, Turn, Verb, Worker};
use crate::shard::Ticket;

/// How often one request looks at a partition. A stretch of messages that can't be delivered may be long; whoever waits
/// comes again.
const MAX_LOOKS: usize = 64;

/// What a request is about.
struct Request<'a> {
    id: QueueId,
    group: &'a str,
    worker: &'a Worker,
    limits: ReceiveLimits,
    place: Place,
    settings: Arc<GroupSettings>,
}

/// What one look came to.
enum Look {
    Acquired(Received, Ticket),
    Nothing,
    /// There may be more where the scan ended, or others were faster.
    Again,
}

/// What was read for a plan.
struct Gathered {
    hand: Hand,
    scan: Option<Scan>,
    /// Others wait for what this scan brings.
    _scan_turn: Option<OwnedMutexGuard<()>>,
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
        let found = self.receive_all(group, worker, &[partition], limits).await;
        let only = found.into_iter().next();
        only.map_or(Ok(Received::default()), |(_, received)| received)
    }

    /// Hands out what is there on these partitions, in their order, until the limits are reached; the locks of all become
    /// durable at once. Partitions without messages are not in the answer.
    pub async fn receive_all(
        &self,
        group: &str,
        worker: &Worker,
        partitions: &[PartitionId],
        limits: ReceiveLimits,
    ) -> Vec<(PartitionId, Result<Received, ErrorCode>)> {
        let mut found = Vec::new();
        let (mut left, mut newest) = (limits, None);
        for partition in partitions {
            if left.max_records == 0 || (left.max_bytes == 0 && !found.is_empty()) {
                break;
            }
            match self.take(group, worker, *partition, left).await {
                Ok(Some((received, ticket))) => {
                    let bytes: usize = received.batches.iter().map(|batch| batch.len()).sum();
                    left.max_bytes = left.max_bytes.saturating_sub(bytes);
                    left.max_records = left.max_records.saturating_sub(count(&received.acquired));
                    newest = Some(ticket);
                    found.push((*partition, Ok(received)));
                }
                Ok(None) => {}
                Err(code) => found.push((*partition, Err(code))),
            }
        }
        let Some(newest) = newest else {
            return found;
        };
        // One shard has them all: when the newest is durable, the others are.
        match self.durable(group, newest).await {
            Ok(()) => {
                let counters = self.all_counters.of(group);
                for received in found.iter().filter_map(|(_, found)| found.as_ref().ok()) {
                    counters.delivered(&received.acquired);
                }
            }
            Err(code) => {
                let lost = found.iter_mut().filter(|(_, found)| found.is_ok());
                lost.for_each(|(_, found)| *found = Err(code));
            }
        }
        found
    }

    /// What is there on one partition, and when the worker may know. None when nothing is.
    async fn take(
        &self,
        group: &str,
        worker: &Worker,
        partition: PartitionId,
        limits: ReceiveLimits,
    ) -> Result<Option<(Received, Ticket)>, ErrorCode> {
        check_group(group)?;
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
                Look::Acquired(received, ticket) => return Ok(Some((received, ticket))),
                Look::Nothing => return Ok(None),
                Look::Again => tokio::task::yield_now().await,
            }
        }
        self.world.waiters.wake(&request.id);
        Ok(None)
    }

    async fn look_once(&self, request: &Request<'_>) -> Result<Look, ErrorCode> {
        let (id, log) = (&request.id, &request.place.log);
        self.world.waiters.looking(id);
        let wanted = request.limits.max_records;
        let (plan, _) = self.run(request.group, |queues, turn| {
            plan(queues, id, wanted, log, turn)
        })?;
        let Some(plan) = plan else {
            self.initialize(request.group, &[id.partition]).await?;
            return Ok(Look::Again);
        };
        let gathered = match self.gather(request, &plan).await {
            Ok(Some(gathered)) => gathered,
            // The log start has moved meanwhile; the next plan knows.
            Ok(None) | Err(ReadError::OutOfRange { .. }) => return Ok(Look::Again),
            Err(error) => {
                error!(%error, queue = %id, "messages could not be read for delivery");
                return Err(read_error_code(&error));
            }
        };
        let Gathered { hand, scan, .. } = &gathered;
        if hand.batches.is_empty() && scan.is_none() {
            return Ok(Look::Nothing);
        }
        let ((acquired, more), ticket) = self.run(request.group, |queues, turn| {
            if let Some(scan) = scan {
                queues.scanned(id, scan.from, scan.to, &scan.messages, turn);
            }
            let acquired = acquire(queues, request, hand, turn);
            let end = readable(log, &request.settings);
            let more = plan_more(queues, id, end, turn);
            (acquired, more)
        })?;
        let Gathered { hand, .. } = gathered;
        match (acquired.is_empty(), more) {
            (true, true) => return Ok(Look::Again),
            (true, false) => return Ok(Look::Nothing),
            (false, true) => self.world.waiters.wake(id),
            (false, false) => {}
        }
        let counters = self.all_counters.of(request.group);
        counters.sample(id, &acquired, &hand, self.now());
        let batches = hand.into_acquired(&acquired);
        Ok(Look::Acquired(Received { batches, acquired }, ticket))
    }

    /// Reads what the plan names, and scans on if that is too little. None when the queue must be looked at again.
    async fn gather(
        &self,
        request: &Request<'_>,
        plan: &Plan,
    ) -> Result<Option<Gathered>, ReadError> {
        let (log, limits) = (&request.place.log, request.limits);
        let mut gathered = Gathered {
            hand: Hand::default(),
            scan: None,
            _scan_turn: None,
        };
        let hand = &mut gathered.hand;
        let took_all = match hand.take(log, &plan.redeliver, limits.max_bytes).await {
            Ok(took_all) => took_all,
            // What can be read goes first.
            Err(ReadError::Corrupt(_)) if !hand.batches.is_empty() => false,
            Err(ReadError::Corrupt(damage)) => {
                warn!(%damage, queue = %request.id, "a message that cannot be read is given up");
                self.give_up(request, plan.redeliver.first().map(|range| range.first));
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let planned: u64 = plan.redeliver.iter().map(OffsetRange::count).sum();
        let planned = usize::try_from(planned).unwrap_or(usize::MAX);
        let missing = limits.max_records.saturating_sub(planned);
        let room = took_all && hand.bytes < limits.max_bytes;
        if missing == 0 || !room || !may_scan(plan, readable(log, &request.settings)) {
            return Ok(Some(gathered));
        }
        let scan_turn = self.scan_turns.of(&request.id);
        match Arc::clone(&scan_turn).try_lock_owned() {
            Ok(held) => gathered._scan_turn = Some(held),
            // Somebody is just reading what this worker would read.
            Err(_) if hand.batches.is_empty() => {
                drop(scan_turn.lock().await);
                return Ok(None);
            }
            Err(_) => return Ok(Some(gathered)),
        }
        let scan_limits = ScanLimits {
            wanted: missing,
            max_bytes: limits.max_bytes,
        };
        let Request {
            place,
            group,
            settings,
            ..
        } = request;
        let (from, now) = (plan.scan_from, self.now());
        let scan = Scan::read(place, group, settings, from, now, scan_limits, hand).await?;
        gathered.scan = Some(scan);
        Ok(Some(gathered))
    }

    /// Makes a dead letter of a message that the disk has lost: nobody else could ever have it.
    fn give_up(&self, request: &Request<'_>, offset: Option<Offset>) {
        let Some(offset) = offset else { return };
        let broker = Worker::from("outlast");
        let one = OffsetRange::one(offset);
        let given_up = self.run(request.group, |queues, turn| {
            let id = &request.id;
            let acquired = queues.acquire(id, &broker, &[one], 1, None, turn);
            if !acquired.is_empty() {
                return queues.acknowledge(id, &broker, one, Verb::Reject, turn);
            }
            Ok(())
        });
        if !matches!(given_up, Ok((Ok(()), _))) {
            warn!(queue = %request.id, %offset, "a message that cannot be read stays for now");
        }
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

/// Whether a scan of a log that the group may read up to `end` would find something to look at.
pub(super) fn may_scan(plan: &Plan, end: Offset) -> bool {
    plan.wants_scan && plan.scan_from < end
}

/// Whether there is something for the next one.
fn plan_more(queues: &mut Queues, id: &QueueId, end: Offset, turn: &mut Turn<'_>) -> bool {
    let plan = queues.plan(id, 1, turn);
    plan.is_some_and(|plan| !plan.redeliver.is_empty() || may_scan(&plan, end))
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

/// How many messages.
fn count(acquired: &[AcquiredRange]) -> usize {
    let each = acquired.iter().map(|r| r.last.0.abs_diff(r.first.0) + 1);
    usize::try_from(each.sum::<u64>()).unwrap_or(usize::MAX)
}
