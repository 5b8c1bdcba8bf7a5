//! The look that is taken every ten seconds, and what comes of comparing looks.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use outlast_broker::LatencySnapshot;
use outlast_broker::queues::{QueueCounters, QueueStanding};
use outlast_records::{Offset, PartitionId};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::QueueRates;
use crate::server::Stage;

const EVERY: Duration = Duration::from_secs(10);
const KEEP: usize = 7;
const MAX_GROUPS: usize = 500;
/// A rate over less than this says nothing.
const SHORTEST: Duration = Duration::from_millis(500);

/// The counters of a group, read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) delivered: u64,
    pub(crate) redelivered: u64,
    pub(crate) accepted: u64,
    pub(crate) released: u64,
    pub(crate) rejected: u64,
    pub(crate) dead: [u64; 4],
    pub(crate) dead_letter_failures: u64,
}

impl Totals {
    pub(crate) fn of(counters: &QueueCounters) -> Self {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Self {
            delivered: read(&counters.delivered),
            redelivered: read(&counters.redelivered),
            accepted: read(&counters.accepted),
            released: read(&counters.released),
            rejected: read(&counters.rejected),
            dead: std::array::from_fn(|reason| read(&counters.dead[reason])),
            dead_letter_failures: read(&counters.dead_letter_failures),
        }
    }
}

/// Messages a second. In: of the queue; out and accepted: of all queues of the group.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rates {
    pub(crate) messages_in: f64,
    pub(crate) delivered: f64,
    pub(crate) accepted: f64,
}

/// What has happened since the oldest look that is kept.
pub(super) struct Recent {
    pub(super) rates: Rates,
    pub(super) publish_to_accept: LatencySnapshot,
    pub(super) processing: LatencySnapshot,
}

struct Look {
    at: Instant,
    totals: Totals,
    publish_to_accept: LatencySnapshot,
    processing: LatencySnapshot,
    ends: HashMap<PartitionId, Offset>,
}

/// The looks of the last minute, oldest first; there is always one.
pub(super) struct History(VecDeque<Look>);

impl Look {
    fn new(at: Instant, counters: &QueueCounters, standings: &[QueueStanding]) -> Self {
        let ends = standings.iter().map(|s| (s.partition, s.high_watermark));
        Self {
            at,
            totals: Totals::of(counters),
            publish_to_accept: counters.publish_to_accept.snapshot(),
            processing: counters.processing.snapshot(),
            ends: ends.collect(),
        }
    }
}

impl History {
    fn push(&mut self, look: Look) {
        self.0.push_back(look);
        while self.0.len() > KEEP {
            self.0.pop_front();
        }
    }

    pub(super) fn since_oldest(
        &self,
        counters: &QueueCounters,
        standings: &[QueueStanding],
    ) -> Recent {
        let now = Look::new(Instant::now(), counters, standings);
        // One look alone is compared with the present.
        let before = self.0.front().unwrap_or(&now);
        compare(before, &now)
    }
}

fn compare(before: &Look, now: &Look) -> Recent {
    let seconds = now.at.duration_since(before.at).max(SHORTEST).as_secs_f64();
    let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
    // A partition that is new to us tells nothing about how fast it came to be so long.
    let grown = now.ends.iter().filter_map(|(partition, end)| {
        let before = before.ends.get(partition)?;
        Some((end.0 - before.0).max(0) as u64)
    });
    Recent {
        rates: Rates {
            messages_in: rate(grown.sum(), 0),
            delivered: rate(now.totals.delivered, before.totals.delivered),
            accepted: rate(now.totals.accepted, before.totals.accepted),
        },
        publish_to_accept: now.publish_to_accept.since(&before.publish_to_accept),
        processing: now.processing.since(&before.processing),
    }
}

/// Looks at all groups, until the server is closed.
pub(crate) async fn run(rates: Arc<QueueRates>, mut stage: watch::Receiver<Stage>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => rates.look().await,
            _ = Stage::Closed.reached(&mut stage) => return,
        }
    }
}

impl QueueRates {
    async fn look(&self) {
        let queues = self.queues();
        if let Some(coordinator) = self.broker.opened_queues() {
            let mut histories = self.histories.lock();
            histories.retain(|group, _| queues.iter().any(|(of, ..)| of == group));
            let mut groups: Vec<&String> = queues.iter().map(|(group, ..)| group).collect();
            groups.dedup();
            for group in groups {
                if histories.len() >= MAX_GROUPS && !histories.contains_key(group) {
                    continue;
                }
                let counters = coordinator.counters(group);
                let look = Look::new(Instant::now(), &counters, &coordinator.numbers(group));
                let history = histories.entry(group.clone());
                history
                    .or_insert_with(|| History(VecDeque::new()))
                    .push(look);
            }
        }
        let mut latest = Vec::with_capacity(queues.len());
        for (group, topic, queue) in queues {
            if let Ok(view) = self.view(&group, topic).await {
                latest.push((queue, group, view));
            }
        }
        *self.latest.lock() = latest;
        self.workers.expire();
        let is_there = |partition: &PartitionId| self.broker.topic_name(partition.topic).is_some();
        self.oldest
            .lock()
            .retain(|(_, partition), _| is_there(partition));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outlast_broker::LatencyHistogram;

    fn look(at: Instant, accepted: u64, end: i64, times: &LatencyHistogram) -> Look {
        let partition = PartitionId::default();
        Look {
            at,
            totals: Totals {
                accepted,
                ..Totals::default()
            },
            publish_to_accept: times.snapshot(),
            processing: times.snapshot(),
            ends: HashMap::from([(partition, Offset(end))]),
        }
    }

    #[test]
    fn a_rate_is_a_difference_over_a_time() {
        let times = LatencyHistogram::new();
        times.observe(100.0);
        let start = Instant::now();
        let before = look(start, 100, 1_000, &times);
        times.observe(0.01);
        let now = look(start + Duration::from_secs(20), 140, 1_200, &times);
        let recent = compare(&before, &now);
        assert_eq!(recent.rates.accepted, 2.0);
        assert_eq!(recent.rates.messages_in, 10.0);
        // What was before is forgotten.
        let p99 = recent.publish_to_accept.quantile_seconds(0.99).unwrap();
        assert!(p99 < 0.02, "{p99}");
    }

    #[test]
    fn a_partition_that_was_not_there_before_says_nothing_about_speed() {
        let times = LatencyHistogram::new();
        let start = Instant::now();
        let mut before = look(start, 0, 0, &times);
        before.ends.clear();
        let now = look(start + Duration::from_secs(1), 0, 1_000_000, &times);
        assert_eq!(compare(&before, &now).rates.messages_in, 0.0);
    }

    #[test]
    fn a_minute_is_kept() {
        let times = LatencyHistogram::new();
        let start = Instant::now();
        let mut history = History(VecDeque::new());
        for i in 0..20 {
            history.push(look(start + EVERY * i, 0, 0, &times));
        }
        assert_eq!(history.0.len(), KEEP);
        assert_eq!(history.0[0].at, start + EVERY * 13);
    }
}
