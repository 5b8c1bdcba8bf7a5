//! What the handlers of the queue API share: the broker, and how they find a queue in it.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use outlast_broker::Broker;
use outlast_broker::queues::QueueCoordinator;
use outlast_records::PartitionId;
use tokio::sync::watch;
use uuid::Uuid;

use super::in_process::InProcess;
use super::problem::{Kind, Problem};
use super::request::QueueRef;
use crate::byte_budget::ByteBudget;
use crate::queue_rates::QueueRates;
use crate::server::Stage;

/// Groups with this beginning are the broker's own.
pub(crate) const OWN_GROUPS: &str = "outlast.";

pub(crate) struct Api {
    pub(crate) broker: Arc<Broker>,
    pub(crate) kafka: InProcess,
    pub(crate) budget: ByteBudget,
    pub(crate) rates: Arc<QueueRates>,
    pub(crate) stage: watch::Receiver<Stage>,
    pub(crate) max_body_bytes: usize,
    /// Spreads messages without a key, and the order in which a receive asks, over the partitions.
    pub(crate) turn: AtomicUsize,
}

/// A queue that exists.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) queue: String,
    pub(crate) group: String,
    pub(crate) topic: Uuid,
    pub(crate) partitions: i32,
}

impl Api {
    pub(crate) async fn queues(&self) -> Result<&QueueCoordinator, Problem> {
        self.broker.queues().await.map_err(Problem::from)
    }

    /// The topic of that name, if there is one.
    pub(crate) fn topic(&self, name: &str) -> Option<(Uuid, i32)> {
        let facts = self.broker.topic(name)?;
        Some((facts.id, facts.partitions))
    }

    /// A queue is there when its topic is, and the group has begun to work on it.
    pub(crate) async fn find(&self, wanted: QueueRef) -> Result<Found, Problem> {
        match self.look_up(&wanted).await? {
            Some(found) => Ok(found),
            None => Err(not_found(&wanted)),
        }
    }

    pub(crate) async fn look_up(&self, wanted: &QueueRef) -> Result<Option<Found>, Problem> {
        if wanted.group.starts_with(OWN_GROUPS) {
            return Ok(None);
        }
        let Some((topic, partitions)) = self.topic(&wanted.queue) else {
            return Ok(None);
        };
        let open = self.queues().await?.partitions(&wanted.group)?;
        let is_open = open.iter().any(|partition| partition.topic == topic);
        Ok(is_open.then(|| Found {
            queue: wanted.queue.clone(),
            group: wanted.group.clone(),
            topic,
            partitions,
        }))
    }
}

impl Found {
    pub(crate) fn partition_ids(&self) -> impl Iterator<Item = PartitionId> + use<> {
        let topic = self.topic;
        (0..self.partitions).map(move |index| PartitionId { topic, index })
    }

    pub(crate) fn partition(&self, index: i32) -> Result<PartitionId, Problem> {
        if (0..self.partitions).contains(&index) {
            let topic = self.topic;
            return Ok(PartitionId { topic, index });
        }
        let detail = format!("the queue has the partitions 0 to {}", self.partitions - 1);
        Err(Problem::field("partition", detail))
    }
}

pub(crate) fn not_found(wanted: &QueueRef) -> Problem {
    let QueueRef { queue, group } = wanted;
    let (whose, parameter) = if queue == group {
        (String::new(), String::new())
    } else {
        (format!(" of group {group}"), format!("?group={group}"))
    };
    let detail = format!(
        "there is no queue {queue}{whose}; create it with PUT /v1/queues/{queue}{parameter} or: outlast queue create"
    );
    Problem::new(Kind::QueueNotFound, detail)
}
