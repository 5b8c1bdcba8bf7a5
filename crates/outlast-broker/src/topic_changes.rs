//! Creating, growing and deleting topics: pure decisions on a metadata image.
//!
//! Each decision gives the records that make the change, or the error for the client. The rules are those that Kafka's
//! controller applies in a cluster of one broker.

use std::collections::HashMap;
use std::sync::Arc;

use outlast_protocol::messages::create_partitions::CreatePartitionsTopic;
use outlast_protocol::messages::create_topics::{CreatableReplicaAssignment, CreatableTopic};
use outlast_protocol::{ErrorCode, Str};
use uuid::Uuid;

use crate::broker::Broker;
use crate::broker_config::{BrokerConfig, MAX_PARTITIONS, NODE_ID};
use crate::error::ApiError;
use crate::metadata::{MetadataImage, MetadataRecord, TopicImage};
use crate::topic_config::{self, ConfigMap};
use crate::topic_name::{self, CONSUMER_OFFSETS, SHARE_GROUP_STATE, TRANSACTION_STATE};
use crate::topics::effective_topic_defaults;

/// The default marker in CreateTopics.
const UNSET: i32 = -1;
/// Kafka's default.
const SHARE_GROUP_STATE_PARTITIONS: i32 = 50;

#[derive(Debug)]
pub struct PlannedTopic {
    pub id: Uuid,
    pub partitions: i32,
    pub config: ConfigMap,
    pub records: Vec<MetadataRecord>,
}

pub fn plan_topic(
    image: &MetadataImage,
    broker: &BrokerConfig,
    id: Uuid,
    topic: &CreatableTopic,
) -> Result<PlannedTopic, ApiError> {
    check_new_name(image, &topic.name)?;
    let config = checked_config(image, broker, topic)?;
    let partitions = partition_count(broker, topic)?;
    let mut records = vec![MetadataRecord::Topic {
        id,
        name: topic.name.to_string(),
        partitions,
    }];
    records.extend(
        config
            .iter()
            .map(|(key, value)| MetadataRecord::TopicConfig {
                id,
                key: key.clone(),
                value: Some(value.clone()),
            }),
    );
    Ok(PlannedTopic {
        id,
        partitions,
        config,
        records,
    })
}

fn check_new_name(image: &MetadataImage, name: &str) -> Result<(), ApiError> {
    topic_name::validate(name)?;
    if topic_name::is_reserved(name) {
        return Err(ApiError::new(
            ErrorCode::InvalidTopicException,
            format!("the name {name} is kept for the broker's own use"),
        ));
    }
    if image.topic(name).is_some() {
        let message = format!("topic {name} already exists");
        return Err(ApiError::new(ErrorCode::TopicAlreadyExists, message));
    }
    if let Some(other) = image.colliding_topic(name) {
        let message = format!(
            "topic {name} collides with {}: '.' and '_' are the same in metric names",
            other.name
        );
        return Err(ApiError::new(ErrorCode::InvalidTopicException, message));
    }
    Ok(())
}

fn checked_config(
    image: &MetadataImage,
    broker: &BrokerConfig,
    topic: &CreatableTopic,
) -> Result<ConfigMap, ApiError> {
    let mut own = ConfigMap::new();
    for config in &topic.configs {
        let Some(value) = &config.value else {
            let message = format!("{} has no value", config.name);
            return Err(ApiError::new(ErrorCode::InvalidConfig, message));
        };
        own.insert(config.name.to_string(), value.to_string());
    }
    Ok(topic_config::validate(
        &own,
        &effective_topic_defaults(image, broker),
    )?)
}

fn partition_count(broker: &BrokerConfig, topic: &CreatableTopic) -> Result<i32, ApiError> {
    let error = |code, message: &str| Err(ApiError::new(code, message));
    if !topic.assignments.is_empty() {
        if topic.replication_factor != -1 || topic.num_partitions != UNSET {
            return error(
                ErrorCode::InvalidRequest,
                "with replica assignments, the number of partitions and the replication factor must be -1",
            );
        }
        return assigned_partitions(&topic.assignments);
    }
    match topic.replication_factor {
        -1 | 1 => {}
        2.. => {
            return Err(ApiError::new(
                ErrorCode::InvalidReplicationFactor,
                format!(
                    "the replication factor is {}, but there is one broker: use 1, or -1 for the default",
                    topic.replication_factor
                ),
            ));
        }
        _ => {
            return error(
                ErrorCode::InvalidReplicationFactor,
                "the replication factor must be 1, or -1 for the default",
            );
        }
    }
    match topic.num_partitions {
        UNSET => Ok(broker.num_partitions),
        count if count > MAX_PARTITIONS => too_many_partitions(),
        count if count > 0 => Ok(count),
        _ => error(
            ErrorCode::InvalidPartitions,
            "the number of partitions must be positive, or -1 for the default",
        ),
    }
}

fn too_many_partitions<T>() -> Result<T, ApiError> {
    let message = format!("one request may create at most {MAX_PARTITIONS} partitions");
    Err(ApiError::new(ErrorCode::PolicyViolation, message))
}

fn assigned_partitions(assignments: &[CreatableReplicaAssignment]) -> Result<i32, ApiError> {
    let mut seen = vec![false; assignments.len()];
    for assignment in assignments {
        check_assignment(&assignment.broker_ids)?;
        let index = assignment.partition_index;
        match usize::try_from(index)
            .ok()
            .and_then(|index| seen.get_mut(index))
        {
            Some(seen) if !*seen => *seen = true,
            Some(_) => {
                let message = format!("partition {index} is assigned more than once");
                return Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
            }
            None => {
                let message = "the assigned partitions must be numbered from 0 without gaps";
                return Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
            }
        }
    }
    match i32::try_from(assignments.len()) {
        Ok(count) if count <= MAX_PARTITIONS => Ok(count),
        Ok(_) | Err(_) => too_many_partitions(),
    }
}

fn check_assignment(broker_ids: &[i32]) -> Result<(), ApiError> {
    let message = match broker_ids {
        [NODE_ID] => return Ok(()),
        [] => "an assigned partition needs at least one broker".to_owned(),
        ids => match ids.iter().find(|id| **id != NODE_ID) {
            Some(unknown) => format!("broker {unknown} is not known: the one broker is {NODE_ID}"),
            None => format!("broker {NODE_ID} is named more than once for a partition"),
        },
    };
    Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message))
}

pub fn plan_growth(
    image: &MetadataImage,
    topic: &CreatePartitionsTopic,
) -> Result<Vec<MetadataRecord>, ApiError> {
    let Some(existing) = image.topic(&topic.name) else {
        return Err(ErrorCode::UnknownTopicOrPartition.into());
    };
    check_not_internal(existing, "be given partitions")?;
    let invalid = |message| Err(ApiError::new(ErrorCode::InvalidPartitions, message));
    let (have, want) = (existing.partitions, topic.count);
    if want == have {
        return invalid(format!(
            "topic {} already has {have} partitions",
            topic.name
        ));
    }
    if want < have {
        return invalid(format!(
            "topic {} has {have} partitions, and {want} would not be more",
            topic.name
        ));
    }
    let added = want - have;
    if added > MAX_PARTITIONS {
        return too_many_partitions();
    }
    if let Some(assignments) = &topic.assignments {
        if i32::try_from(assignments.len()) != Ok(added) {
            let message = format!(
                "{added} partitions are added, but {} assignments given",
                assignments.len()
            );
            return Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
        }
        for assignment in assignments {
            check_assignment(&assignment.broker_ids)?;
        }
    }
    Ok(vec![MetadataRecord::Partitions {
        id: existing.id,
        count: want,
    }])
}

pub fn plan_removal(
    broker: &BrokerConfig,
    topic: &TopicImage,
) -> Result<Vec<MetadataRecord>, ApiError> {
    if !broker.delete_topic_enable {
        let message = "topics cannot be deleted: delete.topic.enable is false";
        return Err(ApiError::new(ErrorCode::TopicDeletionDisabled, message));
    }
    check_not_internal(topic, "be deleted")?;
    Ok(vec![MetadataRecord::RemoveTopic { id: topic.id }])
}

fn check_not_internal(topic: &TopicImage, what: &str) -> Result<(), ApiError> {
    if topic_name::is_internal(&topic.name) {
        let message = format!("{} is the broker's own and cannot {what}", topic.name);
        return Err(ApiError::new(ErrorCode::InvalidTopicException, message));
    }
    Ok(())
}

/// Creates topics that a client asked for in passing. Those that could not be created come back with the reason.
pub async fn auto_create(broker: &Arc<Broker>, names: Vec<Str>) -> HashMap<Str, ErrorCode> {
    let topics = names.iter().map(|name| auto_topic(&broker.config, name));
    create_if_missing(broker, topics.collect()).await
}

/// Creates topics, unless they are there. Those that could not be created come back with the reason.
pub async fn create_if_missing(
    broker: &Arc<Broker>,
    topics: Vec<CreatableTopic>,
) -> HashMap<Str, ErrorCode> {
    let context = broker.clone();
    let names: Vec<Str> = topics.iter().map(|topic| topic.name.clone()).collect();
    let created = broker.change(move |image| {
        let mut image = image.clone();
        let (mut records, mut failed) = (Vec::new(), HashMap::new());
        let mut left = MAX_PARTITIONS;
        for topic in topics {
            let name = topic.name.clone();
            if left <= 0 {
                // The client asks again, and gets the next ones then.
                failed.insert(name, ErrorCode::UnknownTopicOrPartition);
                continue;
            }
            match plan_topic(&image, &context.config, context.random.uuid(), &topic) {
                Ok(planned) => {
                    left -= planned.partitions;
                    planned
                        .records
                        .iter()
                        .for_each(|record| image.apply(record));
                    records.extend(planned.records);
                }
                // Somebody else was faster.
                Err(error) if error.code == ErrorCode::TopicAlreadyExists => {}
                Err(error) => {
                    failed.insert(name, error.code);
                }
            }
        }
        (records, failed)
    });
    match created.await {
        Ok(failed) => failed,
        Err(error) => names.into_iter().map(|name| (name, error.code)).collect(),
    }
}

/// The broker's own topics get the settings that Kafka gives them, other topics the broker's defaults.
fn auto_topic(config: &BrokerConfig, name: &Str) -> CreatableTopic {
    use outlast_protocol::messages::create_topics::CreatableTopicConfig;
    let mut topic = CreatableTopic {
        name: name.clone(),
        num_partitions: UNSET,
        replication_factor: -1,
        ..Default::default()
    };
    let own = match &**name {
        CONSUMER_OFFSETS => Some((config.offsets_topic_num_partitions, "producer")),
        SHARE_GROUP_STATE => Some((SHARE_GROUP_STATE_PARTITIONS, "producer")),
        TRANSACTION_STATE => Some((config.transaction_state_log_num_partitions, "uncompressed")),
        _ => None,
    };
    if let Some((partitions, compression)) = own {
        topic.num_partitions = partitions;
        let settings = [
            ("cleanup.policy", "compact"),
            ("compression.type", compression),
            ("segment.bytes", "104857600"),
        ];
        topic.configs = settings
            .map(|(key, value)| CreatableTopicConfig {
                name: key.into(),
                value: Some(value.into()),
            })
            .into();
    }
    topic
}
