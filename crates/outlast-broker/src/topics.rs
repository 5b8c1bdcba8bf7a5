//! The topics this broker serves, ready for use: partitions with their logs, parsed configuration, counters.
//!
//! Made from the metadata image and replaced with it. What did not change is shared with the table before, so that a
//! change costs what it changes. Nothing here assumes that the broker has every partition of a topic: a handler asks for
//! one and gets it, or the error that the client must see.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use outlast_protocol::{ErrorCode, Str};
use outlast_records::{LeaderEpoch, PartitionId};
use outlast_storage::{PartitionLog, Store};
use uuid::Uuid;

use crate::broker_config::{BrokerConfig, NODE_ID, topic_defaults};
use crate::error::ApiError;
use crate::metadata::{MetadataImage, TopicImage};
use crate::metrics::{BrokerMetrics, TopicMetrics};
use crate::produce::dedupe::Gate;
use crate::topic_config::{ConfigMap, TopicConfig};
use crate::topic_name;

pub struct Topic {
    pub id: Uuid,
    pub name: Str,
    pub is_internal: bool,
    pub config: TopicConfig,
    pub metrics: TopicMetrics,
    partitions: Vec<Arc<Partition>>,
    image: Arc<TopicImage>,
}

pub struct Partition {
    pub id: PartitionId,
    pub log: Arc<PartitionLog>,
    pub leader_epoch: LeaderEpoch,
    /// To the ids that were published lately, where the topic deduplicates.
    pub(crate) dedupe: Gate,
}

impl Topic {
    pub fn partition(&self, index: i32) -> Result<&Arc<Partition>, ApiError> {
        usize::try_from(index)
            .ok()
            .and_then(|index| self.partitions.get(index))
            .ok_or_else(|| {
                let (name, count) = (&self.name, self.partitions.len());
                ApiError::new(
                    ErrorCode::UnknownTopicOrPartition,
                    format!("topic {name} has no partition {index}, it has {count} partitions"),
                )
            })
    }

    pub fn partitions(&self) -> &[Arc<Partition>] {
        &self.partitions
    }
}

impl Partition {
    /// Whether the leader epoch that a client believes in is the current one (KIP-320); −1 means it has none.
    pub fn check_leader_epoch(&self, claimed: i32) -> Result<(), ApiError> {
        let current = self.leader_epoch.0;
        if claimed == LeaderEpoch::NONE.0 || claimed == current {
            Ok(())
        } else if claimed < current {
            Err(ErrorCode::FencedLeaderEpoch.into())
        } else {
            Err(ErrorCode::UnknownLeaderEpoch.into())
        }
    }
}

/// One moment's topics.
#[derive(Default)]
pub struct TopicTable {
    by_name: HashMap<Str, Arc<Topic>>,
    by_id: HashMap<Uuid, Arc<Topic>>,
    /// The broker's defaults for topic keys, dynamic values included.
    defaults: ConfigMap,
    partitions: usize,
}

/// How many topics or partitions more than there are a request may name: those that were there a moment ago.
const UNKNOWN_ALLOWED: usize = 10_000;

impl TopicTable {
    pub fn get(&self, name: &str) -> Result<&Arc<Topic>, ApiError> {
        self.by_name
            .get(name)
            .ok_or_else(|| ErrorCode::UnknownTopicOrPartition.into())
    }

    pub fn get_by_id(&self, id: Uuid) -> Result<&Arc<Topic>, ApiError> {
        self.by_id
            .get(&id)
            .ok_or_else(|| ErrorCode::UnknownTopicId.into())
    }

    /// Whether a request names so many partitions that it cannot be honest; answering it would cost memory for each.
    pub fn are_too_many_partitions(&self, named: usize) -> bool {
        named > self.partitions.saturating_add(UNKNOWN_ALLOWED)
    }

    pub fn are_too_many_topics(&self, named: usize) -> bool {
        named > self.by_name.len().saturating_add(UNKNOWN_ALLOWED)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.by_name.values()
    }
}

pub struct Topics(ArcSwap<TopicTable>);

impl Topics {
    pub fn new() -> Self {
        Self(ArcSwap::default())
    }

    /// The current table; not to be held across an await.
    pub fn load(&self) -> Guard<Arc<TopicTable>> {
        self.0.load()
    }

    pub fn load_full(&self) -> Arc<TopicTable> {
        self.0.load_full()
    }

    /// Makes the table for a new image, and tells the store what has changed. Gives back the topics that are gone, whose
    /// logs the caller deletes.
    pub fn publish(
        &self,
        image: &MetadataImage,
        config: &BrokerConfig,
        store: &Store,
        metrics: &BrokerMetrics,
    ) -> Vec<Arc<Topic>> {
        let before = self.0.load_full();
        let defaults = effective_topic_defaults(image, config);
        let mut table = TopicTable {
            by_name: HashMap::with_capacity(before.by_name.len() + 1),
            by_id: HashMap::with_capacity(before.by_id.len() + 1),
            defaults,
            partitions: 0,
        };
        for topic in image.topics() {
            let previous = before.by_id.get(&topic.id);
            let topic = match previous {
                Some(same)
                    if Arc::ptr_eq(&same.image, topic) && before.defaults == table.defaults =>
                {
                    same.clone()
                }
                _ => Arc::new(make_topic(topic, previous, &table.defaults, store, metrics)),
            };
            table.partitions += topic.partitions.len();
            table.by_name.insert(topic.name.clone(), topic.clone());
            table.by_id.insert(topic.id, topic);
        }
        let gone = before
            .by_id
            .iter()
            .filter(|(id, _)| !table.by_id.contains_key(*id))
            .map(|(_, topic)| topic.clone())
            .collect();
        self.0.store(Arc::new(table));
        gone
    }
}

fn make_topic(
    image: &Arc<TopicImage>,
    previous: Option<&Arc<Topic>>,
    defaults: &ConfigMap,
    store: &Store,
    metrics: &BrokerMetrics,
) -> Topic {
    let config = TopicConfig::resolve(&image.config, defaults);
    let known = previous.map_or(&[][..], |topic| &topic.partitions);
    let partitions: Vec<_> = (0..image.partitions)
        .zip(
            known
                .iter()
                .cloned()
                .map(Some)
                .chain(std::iter::repeat(None)),
        )
        .map(|(index, known)| {
            known.unwrap_or_else(|| {
                let id = PartitionId {
                    topic: image.id,
                    index,
                };
                Arc::new(Partition {
                    id,
                    log: store.log(id),
                    leader_epoch: LeaderEpoch(0),
                    dedupe: Gate::default(),
                })
            })
        })
        .collect();
    for partition in &partitions {
        partition.log.set_retention(config.retention);
    }
    let name = Str::from(&*image.name);
    Topic {
        id: image.id,
        is_internal: topic_name::is_internal(&name),
        metrics: previous.map_or_else(|| metrics.topic(&name), |topic| topic.metrics.clone()),
        name,
        config,
        partitions,
        image: image.clone(),
    }
}

/// This node's dynamic value, else the dynamic value for all nodes, else the value given at start.
pub fn effective_topic_defaults(image: &MetadataImage, config: &BrokerConfig) -> ConfigMap {
    let mut defaults = config.topic_defaults.clone();
    for broker in ["", &NODE_ID.to_string()] {
        if let Some(values) = image.broker_config(broker) {
            defaults.extend(topic_defaults(values));
        }
    }
    defaults
}
