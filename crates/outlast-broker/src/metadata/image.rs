//! The metadata image: what the records of the metadata log add up to.
//!
//! A pure fold, the same on every replay. An image is never changed in place: a change folds its records into a copy,
//! and the copy replaces the image once the records are durable.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::record::MetadataRecord;
use crate::topic_config::ConfigMap;
use crate::topic_name;

#[derive(Debug, Clone, Default)]
pub struct MetadataImage {
    pub cluster_id: String,
    topics: BTreeMap<Arc<str>, Arc<TopicImage>>,
    names: BTreeMap<Uuid, Arc<str>>,
    /// By node id; the empty name holds for all brokers.
    brokers: BTreeMap<String, ConfigMap>,
    /// Of groups that have values of their own; there may be many, so that copies of the image share them.
    groups: Arc<BTreeMap<String, ConfigMap>>,
    pub next_producer_id: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicImage {
    pub id: Uuid,
    pub name: Arc<str>,
    pub partitions: i32,
    /// The topic's own values.
    pub config: ConfigMap,
}

impl MetadataImage {
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topics.get(name)
    }

    pub fn topic_by_id(&self, id: Uuid) -> Option<&Arc<TopicImage>> {
        self.topics.get(self.names.get(&id)?)
    }

    /// In the order of their names.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.topics.values()
    }

    /// A topic whose name tools cannot tell from this one.
    pub fn colliding_topic(&self, name: &str) -> Option<&Arc<TopicImage>> {
        let can_collide = name.contains(['.', '_']);
        can_collide
            .then(|| {
                self.topics()
                    .find(|topic| topic_name::collide(&topic.name, name))
            })
            .flatten()
    }

    pub fn broker_config(&self, broker: &str) -> Option<&ConfigMap> {
        self.brokers.get(broker)
    }

    pub fn group_config(&self, group: &str) -> Option<&ConfigMap> {
        self.groups.get(group)
    }

    /// The groups that have values of their own, in the order of their names. Shared until one of them changes.
    pub fn group_configs(&self) -> &Arc<BTreeMap<String, ConfigMap>> {
        &self.groups
    }

    /// A record about a topic that isn't there is passed over: the fold accepts every sequence.
    pub fn apply(&mut self, record: &MetadataRecord) {
        match record {
            MetadataRecord::SnapshotStart {} => *self = Self::default(),
            MetadataRecord::Cluster { cluster_id } => self.cluster_id.clone_from(cluster_id),
            MetadataRecord::Topic {
                id,
                name,
                partitions,
            } => {
                let name: Arc<str> = name.as_str().into();
                self.names.insert(*id, name.clone());
                let topic = TopicImage {
                    id: *id,
                    name: name.clone(),
                    partitions: *partitions,
                    config: ConfigMap::new(),
                };
                self.topics.insert(name, Arc::new(topic));
            }
            MetadataRecord::Partitions { id, count } => {
                self.change_topic(*id, |topic| topic.partitions = *count);
            }
            MetadataRecord::RemoveTopic { id } => {
                if let Some(name) = self.names.remove(id) {
                    self.topics.remove(&name);
                }
            }
            MetadataRecord::TopicConfig { id, key, value } => {
                self.change_topic(*id, |topic| set(&mut topic.config, key, value.as_ref()));
            }
            MetadataRecord::BrokerConfig { broker, key, value } => {
                let config = self.brokers.entry(broker.clone()).or_default();
                set(config, key, value.as_ref());
            }
            MetadataRecord::GroupConfig { group, key, value } => {
                let groups = Arc::make_mut(&mut self.groups);
                let config = groups.entry(group.clone()).or_default();
                set(config, key, value.as_ref());
                if config.is_empty() {
                    groups.remove(group);
                }
            }
            MetadataRecord::ProducerIds { next } => {
                self.next_producer_id = self.next_producer_id.max(*next);
            }
        }
    }

    fn change_topic(&mut self, id: Uuid, change: impl FnOnce(&mut TopicImage)) {
        if let Some(topic) = self
            .names
            .get(&id)
            .and_then(|name| self.topics.get_mut(name))
        {
            change(Arc::make_mut(topic));
        }
    }

    /// Records that fold to this image, whatever came before them.
    pub fn to_records(&self) -> Vec<MetadataRecord> {
        let mut records = vec![
            MetadataRecord::SnapshotStart {},
            MetadataRecord::Cluster {
                cluster_id: self.cluster_id.clone(),
            },
            MetadataRecord::ProducerIds {
                next: self.next_producer_id,
            },
        ];
        for (broker, config) in &self.brokers {
            records.extend(
                config
                    .iter()
                    .map(|(key, value)| MetadataRecord::BrokerConfig {
                        broker: broker.clone(),
                        key: key.clone(),
                        value: Some(value.clone()),
                    }),
            );
        }
        for (group, config) in self.groups.iter() {
            records.extend(
                config
                    .iter()
                    .map(|(key, value)| MetadataRecord::GroupConfig {
                        group: group.clone(),
                        key: key.clone(),
                        value: Some(value.clone()),
                    }),
            );
        }
        for topic in self.topics() {
            records.push(MetadataRecord::Topic {
                id: topic.id,
                name: topic.name.to_string(),
                partitions: topic.partitions,
            });
            records.extend(
                topic
                    .config
                    .iter()
                    .map(|(key, value)| MetadataRecord::TopicConfig {
                        id: topic.id,
                        key: key.clone(),
                        value: Some(value.clone()),
                    }),
            );
        }
        records
    }
}

fn set(config: &mut ConfigMap, key: &str, value: Option<&String>) {
    match value {
        Some(value) => config.insert(key.to_owned(), value.clone()),
        None => config.remove(key),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(records: &[MetadataRecord]) -> MetadataImage {
        let mut image = MetadataImage::default();
        records.iter().for_each(|record| image.apply(record));
        image
    }

    fn topic(id: u128, name: &str, partitions: i32) -> MetadataRecord {
        MetadataRecord::Topic {
            id: Uuid::from_u128(id),
            name: name.into(),
            partitions,
        }
    }

    fn config(id: u128, key: &str, value: Option<&str>) -> MetadataRecord {
        MetadataRecord::TopicConfig {
            id: Uuid::from_u128(id),
            key: key.into(),
            value: value.map(Into::into),
        }
    }

    fn group_config(group: &str, key: &str, value: Option<&str>) -> MetadataRecord {
        MetadataRecord::GroupConfig {
            group: group.into(),
            key: key.into(),
            value: value.map(Into::into),
        }
    }

    #[test]
    fn topics_grow_change_and_go() {
        let image = fold(&[
            topic(1, "a", 1),
            topic(2, "b", 1),
            MetadataRecord::Partitions {
                id: Uuid::from_u128(1),
                count: 5,
            },
            config(1, "retention.ms", Some("9")),
            config(1, "segment.ms", Some("9")),
            config(1, "segment.ms", None),
            MetadataRecord::RemoveTopic {
                id: Uuid::from_u128(2),
            },
            config(2, "retention.ms", Some("9")),
        ]);
        let a = image.topic("a").unwrap();
        assert_eq!(a.partitions, 5);
        assert_eq!(
            a.config,
            ConfigMap::from([("retention.ms".into(), "9".into())])
        );
        assert!(image.topic("b").is_none() && image.topic_by_id(Uuid::from_u128(2)).is_none());
    }

    #[test]
    fn a_name_used_again_is_another_topic() {
        let image = fold(&[
            topic(1, "a", 1),
            MetadataRecord::RemoveTopic {
                id: Uuid::from_u128(1),
            },
            topic(2, "a", 3),
        ]);
        assert_eq!(image.topic("a").unwrap().id, Uuid::from_u128(2));
        assert!(image.topic_by_id(Uuid::from_u128(1)).is_none());
    }

    #[test]
    fn a_group_has_a_configuration_while_it_has_a_value() {
        let set = [
            group_config("g", "a", Some("1")),
            group_config("g", "b", Some("2")),
            group_config("h", "a", Some("3")),
        ];
        let mut image = fold(&set);
        let one = |value: &str| Some(ConfigMap::from([("a".into(), value.into())]));
        image.apply(&group_config("g", "b", None));
        assert_eq!(image.group_config("g").cloned(), one("1"));
        image.apply(&group_config("g", "a", None));
        assert_eq!(image.group_config("g"), None);
        assert_eq!(image.group_configs().keys().collect::<Vec<_>>(), ["h"]);
    }

    #[test]
    fn producer_ids_never_go_back() {
        let image = fold(&[
            MetadataRecord::ProducerIds { next: 2000 },
            MetadataRecord::ProducerIds { next: 1000 },
        ]);
        assert_eq!(image.next_producer_id, 2000);
    }

    #[test]
    fn a_snapshot_folds_to_the_same_image_and_replaces_what_was_before() {
        let image = fold(&[
            MetadataRecord::Cluster {
                cluster_id: "c".into(),
            },
            topic(1, "a", 4),
            config(1, "retention.ms", Some("9")),
            MetadataRecord::BrokerConfig {
                broker: String::new(),
                key: "log.retention.ms".into(),
                value: Some("1".into()),
            },
            group_config("g", "share.record.lock.duration.ms", Some("2000")),
            MetadataRecord::ProducerIds { next: 2000 },
        ]);
        let mut replayed = fold(&[topic(9, "stale", 1)]);
        image
            .to_records()
            .iter()
            .for_each(|record| replayed.apply(record));
        assert_eq!(format!("{image:?}"), format!("{replayed:?}"));
    }

    #[test]
    fn collisions_are_found() {
        let image = fold(&[topic(1, "a.b", 1)]);
        assert!(image.colliding_topic("a_b").is_some());
        assert!(image.colliding_topic("a.b").is_none());
    }
}
