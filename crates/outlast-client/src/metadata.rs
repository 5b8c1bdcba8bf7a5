//! What this client knows about the cluster: brokers, topics, who leads what. An immutable snapshot that is
//! replaced whole; the one rule is that a leader epoch never goes backwards.

use std::collections::HashMap;

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::MetadataResponse;
use uuid::Uuid;

use crate::address::Address;
use crate::error::known_code;

/// A broker's node id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BrokerId(pub i32);

/// A partition by the topic's name, as clients speak of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    pub topic: String,
    pub partition: i32,
}

impl TopicPartition {
    pub fn new(topic: impl Into<String>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }
}

impl std::fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerInfo {
    pub id: BrokerId,
    pub address: Address,
    pub rack: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionInfo {
    pub index: i32,
    /// `None` while an election is going on.
    pub leader: Option<BrokerId>,
    pub leader_epoch: i32,
    pub replicas: Vec<BrokerId>,
    pub in_sync: Vec<BrokerId>,
    pub offline: Vec<BrokerId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    pub name: String,
    /// Nil from brokers that don't know topic ids.
    pub id: Uuid,
    pub internal: bool,
    /// Ordered by index, from 0 without gaps.
    pub partitions: Vec<PartitionInfo>,
}

impl TopicInfo {
    pub fn partition(&self, index: i32) -> Option<&PartitionInfo> {
        self.partitions.get(usize::try_from(index).ok()?)
    }

    pub fn has_all_leaders(&self) -> bool {
        !self.partitions.is_empty() && self.partitions.iter().all(|p| p.leader.is_some())
    }
}

#[derive(Clone, Debug, Default)]
pub struct Metadata {
    pub cluster_id: Option<String>,
    pub controller: Option<BrokerId>,
    pub brokers: HashMap<BrokerId, BrokerInfo>,
    pub topics: HashMap<String, TopicInfo>,
    names: HashMap<Uuid, String>,
}

/// Why the broker told nothing about a topic that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicProblem {
    pub name: String,
    pub code: ErrorCode,
}

impl Metadata {
    /// The snapshot after `response`: brokers are replaced, topics that it names are updated or, when they are
    /// unknown to the broker, forgotten. `all_topics` says that topics which it doesn't name are gone.
    pub fn updated(
        &self,
        response: &MetadataResponse,
        all_topics: bool,
    ) -> (Metadata, Vec<TopicProblem>) {
        let mut next = Metadata {
            cluster_id: response.cluster_id.as_deref().map(str::to_owned),
            controller: (response.controller_id >= 0).then_some(BrokerId(response.controller_id)),
            brokers: response.brokers.iter().map(broker).collect(),
            topics: if all_topics {
                HashMap::new()
            } else {
                self.topics.clone()
            },
            names: HashMap::new(),
        };
        let mut problems = Vec::new();
        for topic in &response.topics {
            let Some(name) = topic.name.as_deref() else {
                continue;
            };
            let code = known_code(topic.error_code);
            if topic.error_code != 0 && code != ErrorCode::LeaderNotAvailable {
                if code == ErrorCode::UnknownTopicOrPartition {
                    next.topics.remove(name);
                }
                problems.push(TopicProblem {
                    name: name.to_owned(),
                    code,
                });
                continue;
            }
            let known = self.topics.get(name).filter(|t| t.id == topic.topic_id);
            let mut partitions: Vec<PartitionInfo> = topic
                .partitions
                .iter()
                .map(|p| {
                    let fresh = PartitionInfo {
                        index: p.partition_index,
                        leader: (p.leader_id >= 0).then_some(BrokerId(p.leader_id)),
                        leader_epoch: p.leader_epoch,
                        replicas: p.replica_nodes.iter().copied().map(BrokerId).collect(),
                        in_sync: p.isr_nodes.iter().copied().map(BrokerId).collect(),
                        offline: p.offline_replicas.iter().copied().map(BrokerId).collect(),
                    };
                    // A broker that lags behind must not take us back to a leader that was replaced.
                    match known.and_then(|t| t.partition(p.partition_index)) {
                        Some(old) if old.leader_epoch > fresh.leader_epoch => old.clone(),
                        _ => fresh,
                    }
                })
                .collect();
            partitions.sort_by_key(|p| p.index);
            let gapless = partitions
                .iter()
                .zip(0..)
                .all(|(partition, index)| partition.index == index);
            if !gapless {
                problems.push(TopicProblem {
                    name: name.to_owned(),
                    code: ErrorCode::LeaderNotAvailable,
                });
                continue;
            }
            next.topics.insert(
                name.to_owned(),
                TopicInfo {
                    name: name.to_owned(),
                    id: topic.topic_id,
                    internal: topic.is_internal,
                    partitions,
                },
            );
        }
        next.names = next
            .topics
            .values()
            .filter(|topic| !topic.id.is_nil())
            .map(|topic| (topic.id, topic.name.clone()))
            .collect();
        (next, problems)
    }

    pub fn topic(&self, name: &str) -> Option<&TopicInfo> {
        self.topics.get(name)
    }

    /// The name behind a topic id: newer versions of Produce and Fetch speak only of ids.
    pub fn topic_name(&self, id: Uuid) -> Option<&str> {
        self.names.get(&id).map(String::as_str)
    }

    pub fn partition(&self, topic: &str, partition: i32) -> Option<&PartitionInfo> {
        self.topic(topic)?.partition(partition)
    }

    pub fn leader(&self, topic: &str, partition: i32) -> Option<BrokerId> {
        self.partition(topic, partition)?.leader
    }
}

fn broker(
    broker: &outlast_protocol::messages::metadata::MetadataResponseBroker,
) -> (BrokerId, BrokerInfo) {
    let id = BrokerId(broker.node_id);
    let info = BrokerInfo {
        id,
        address: Address::new(
            broker.host.to_string(),
            u16::try_from(broker.port).unwrap_or_default(),
        ),
        rack: broker.rack.as_deref().map(str::to_owned),
    };
    (id, info)
}
