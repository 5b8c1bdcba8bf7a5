//! The sweep: what nobody asks for must be looked after, too.
//!
//! Queues that nobody receives from are looked through as far as they allow, which is how their expired messages are found;
//! queues whose topic is gone are deleted (a crash may come between the two), and what retention has taken is done.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

use super::coordinator::{Place, QueueCoordinator};
use super::hand::Hand;
use super::receive::{may_scan, plan};
use super::scan::{Scan, ScanLimits, readable};
use super::state::REDRIVE_GROUP;
use crate::queue::{LOOK_AHEAD, QueueId};

const EVERY: Duration = Duration::from_secs(1);
/// What one sweep reads of a queue, and of all.
const MAX_BYTES: usize = 4 << 20;
const MAX_BYTES_OF_ALL: usize = 32 << 20;

impl QueueCoordinator {
    /// For ever.
    pub(super) async fn sweep(self: Arc<Self>) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let mut left = MAX_BYTES_OF_ALL;
            for id in self.all_queues() {
                match self.place(id.partition) {
                    Ok(place) => {
                        let read = self.sweep_queue(&id, &place, left.min(MAX_BYTES)).await;
                        left = left.saturating_sub(read);
                    }
                    Err(_) => self.topic_deleted(id.partition.topic),
                }
            }
        }
    }

    /// Reads about `max_bytes` at most; how much it was.
    async fn sweep_queue(&self, id: &QueueId, place: &Place, max_bytes: usize) -> usize {
        let group = id.group.as_str();
        if group == REDRIVE_GROUP {
            let log_start = place.log_start();
            // If the shard is loading, the next sweep comes.
            let _ = self.run(group, |queues, turn| {
                if queues
                    .queue(id)
                    .is_some_and(|queue| queue.start() < log_start)
                {
                    queues.log_start_moved(id, log_start, turn);
                }
            });
            return 0;
        }
        let mut read = 0;
        loop {
            let Some(bytes) = self.look_ahead(id, place, max_bytes - read).await else {
                return read;
            };
            read = (read + bytes).min(max_bytes);
        }
    }

    /// Scans a stretch of what nobody has looked at; how much was read. None when there is nothing more to do now.
    async fn look_ahead(&self, id: &QueueId, place: &Place, max_bytes: usize) -> Option<usize> {
        let group = id.group.as_str();
        let planned = self.run(group, |queues, turn| {
            plan(queues, id, LOOK_AHEAD, &place.log, turn)
        });
        let (plan, _) = planned.ok()?;
        let settings = self.world.settings(group);
        let end = readable(&place.log, &settings);
        let plan = plan.filter(|plan| max_bytes > 0 && may_scan(plan, end))?;
        // A worker who scans does what this sweep would.
        let scan_turn = self.scan_turns.of(id);
        let _turn = scan_turn.try_lock().ok()?;
        let mut hand = Hand::default();
        let limits = ScanLimits {
            wanted: usize::MAX,
            max_bytes,
        };
        let (from, now) = (plan.scan_from, self.now());
        let scan = Scan::read(place, group, &settings, from, now, limits, &mut hand).await;
        let scan = scan
            .inspect_err(|error| debug!(%error, queue = %id, "a queue could not be looked through"))
            .ok()
            .filter(|scan| scan.to > from)?;
        self.run(group, |queues, turn| {
            queues.scanned(id, scan.from, scan.to, &scan.messages, turn);
        })
        .ok()?;
        Some(hand.bytes.max(1))
    }
}
