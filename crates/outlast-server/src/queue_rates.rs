//! Queues over time: messages a second, percentiles, the age of the oldest message, who works on a queue.
//!
//! The broker knows how a queue stands and what has happened since it started. Here is looked at that every ten seconds,
//! and what was seen in the last minute is kept, in memory only: a rate is the difference to the oldest look.
//!
//! Bounded: seven looks of 2.3 KiB for each of the first 500 groups (others have no rates), 10,000 names of HTTP workers
//! a queue.

mod sampler;
mod workers;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use outlast_broker::Broker;
use outlast_broker::queues::{QueueCounters, QueueStanding};
use outlast_records::{Offset, PartitionId, Timestamp};
use parking_lot::Mutex;
use serde::Serialize;
use uuid::Uuid;

use crate::http::Problem;
pub(crate) use sampler::Totals;
pub(crate) use sampler::run;
use sampler::{History, Rates};
pub(crate) use workers::Present;
use workers::Workers;

/// Asking for the oldest message of a queue reads a record of each partition; no more than these for one answer.
const MAX_OLDEST: usize = 64;
/// The internal group whose queues are the dead letters that nobody has redriven or purged.
const REDRIVE_GROUP: &str = "outlast.redrive";

pub(crate) struct QueueRates {
    broker: Arc<Broker>,
    histories: Mutex<HashMap<String, History>>,
    workers: Arc<Workers>,
    /// The timestamp of the first message that is not done, as long as it is the first.
    oldest: Mutex<HashMap<(String, PartitionId), (Offset, Timestamp)>>,
    /// What was computed for the last look, for metrics.
    latest: Mutex<Vec<(String, String, QueueView)>>,
}

/// A queue in numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct QueueView {
    pub(crate) ready: u64,
    pub(crate) delayed: u64,
    pub(crate) in_flight: u64,
    pub(crate) dying: u64,
    pub(crate) dead: u64,
    pub(crate) consumers: u64,
    pub(crate) rates: Rates,
    pub(crate) oldest_age_ms: Option<i64>,
    pub(crate) publish_to_accept_ms: Option<Percentiles>,
    pub(crate) mean_processing_ms: Option<f64>,
    pub(crate) totals: Totals,
    pub(crate) partitions: Vec<QueueStanding>,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
}

impl QueueView {
    pub(crate) fn length_per_consumer(&self) -> f64 {
        self.ready as f64 / self.consumers.max(1) as f64
    }

    /// If nothing more came in and everybody worked on as now; nobody knows before somebody has worked.
    pub(crate) fn seconds_to_drain(&self) -> Option<f64> {
        if self.ready == 0 {
            return Some(0.0);
        }
        if self.consumers == 0 {
            return None;
        }
        Some(self.length_per_consumer() * self.mean_processing_ms? / 1e3)
    }
}

impl QueueRates {
    pub(crate) fn new(broker: Arc<Broker>) -> Arc<Self> {
        Arc::new(Self {
            broker,
            histories: Mutex::default(),
            workers: Arc::default(),
            oldest: Mutex::default(),
            latest: Mutex::default(),
        })
    }

    /// Counts an HTTP worker as one of the queue's until the guard is dropped, and for a while afterwards.
    pub(crate) fn worker(&self, group: &str, topic: Uuid, worker: &str) -> Present {
        self.workers.enter(group, topic, worker)
    }

    pub(crate) fn forget(&self, group: &str, topic: Uuid) {
        self.workers.forget(group, topic);
        let mut oldest = self.oldest.lock();
        oldest.retain(|(of, partition), _| of != group || partition.topic != topic);
    }

    /// What the last look found, with queue and group.
    pub(crate) fn latest(&self) -> Vec<(String, String, QueueView)> {
        self.latest.lock().clone()
    }

    pub(crate) fn counters(&self, group: &str) -> Option<Arc<QueueCounters>> {
        Some(self.broker.opened_queues()?.counters(group))
    }

    pub(crate) async fn view(&self, group: &str, topic: Uuid) -> Result<QueueView, Problem> {
        let coordinator = self.broker.queues().await?;
        let mut partitions = coordinator.numbers(group);
        partitions.retain(|standing| standing.partition.topic == topic);
        let lock = self.broker.group_settings(group).queue.lock;
        let http = self.workers.count(group, topic, lock);
        let mut view = QueueView {
            dead: self.dead(group),
            consumers: http + self.broker.share_group_members(group, topic).await as u64,
            oldest_age_ms: self.oldest_age(group, &partitions).await,
            ..QueueView::default()
        };
        for standing in &partitions {
            view.ready += standing.numbers.ready;
            view.delayed += standing.numbers.delayed;
            view.in_flight += standing.numbers.in_flight;
            view.dying += standing.numbers.dying;
        }
        let counters = coordinator.counters(group);
        view.totals = Totals::of(&counters);
        let histories = self.histories.lock();
        if let Some(history) = histories.get(group) {
            let recent = history.since_oldest(&counters, &partitions);
            view.rates = recent.rates;
            view.mean_processing_ms = recent.processing.mean_seconds().map(|s| s * 1e3);
            let publish = recent.publish_to_accept;
            let percentile = |share| publish.quantile_seconds(share).map(|s| s * 1e3);
            if let (Some(p50), Some(p90), Some(p99)) =
                (percentile(0.5), percentile(0.9), percentile(0.99))
            {
                view.publish_to_accept_ms = Some(Percentiles { p50, p90, p99 });
            }
        }
        drop(histories);
        view.partitions = partitions;
        Ok(view)
    }

    /// Dead letters of the group that nobody has redriven or purged.
    fn dead(&self, group: &str) -> u64 {
        let name = self.broker.group_settings(group).dead_letters.topic(group);
        let (Some(topic), Some(coordinator)) =
            (self.broker.topic(&name), self.broker.opened_queues())
        else {
            return 0;
        };
        let standings = coordinator.numbers(REDRIVE_GROUP);
        let mut of_topic = standings
            .iter()
            .filter(|standing| standing.partition.topic == topic.id)
            .peekable();
        // Where nobody has looked at them yet, all that lie there are alive.
        if of_topic.peek().is_none() {
            return topic.records;
        }
        let live = of_topic.map(|standing| {
            let numbers = &standing.numbers;
            numbers.ready + numbers.delayed + numbers.in_flight + numbers.dying
        });
        live.sum()
    }

    async fn oldest_age(&self, group: &str, partitions: &[QueueStanding]) -> Option<i64> {
        let coordinator = self.broker.opened_queues()?;
        let mut oldest: Option<Timestamp> = None;
        let waiting = partitions
            .iter()
            .filter(|standing| standing.start < standing.high_watermark);
        for standing in waiting.take(MAX_OLDEST) {
            let key = (group.to_owned(), standing.partition);
            let known = self.oldest.lock().get(&key).copied();
            let timestamp = match known {
                Some((start, timestamp)) if start == standing.start => timestamp,
                _ => {
                    let first = coordinator.peek(group, standing.partition, standing.start, 1);
                    let Ok(Some(first)) = first.await.map(|found| found.into_iter().next()) else {
                        continue;
                    };
                    let found = (standing.start, first.record.timestamp);
                    self.oldest.lock().insert(key, found);
                    first.record.timestamp
                }
            };
            oldest = Some(oldest.map_or(timestamp, |oldest| oldest.min(timestamp)));
        }
        Some((self.broker.now().0 - oldest?.0).max(0))
    }

    /// The queues there are: a group and a topic, with the topic's name.
    fn queues(&self) -> BTreeSet<(String, Uuid, String)> {
        let Some(coordinator) = self.broker.opened_queues() else {
            return BTreeSet::new();
        };
        let mut queues = BTreeSet::new();
        for group in coordinator.groups() {
            if group.starts_with(crate::http::OWN_GROUPS) {
                continue;
            }
            for partition in coordinator.partitions(&group).unwrap_or_default() {
                if let Some(name) = self.broker.topic_name(partition.topic) {
                    queues.insert((group.to_string(), partition.topic, name.to_string()));
                }
            }
        }
        queues
    }
}
