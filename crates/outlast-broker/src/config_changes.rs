//! Changing configuration: pure decisions on a metadata image, for topics, groups and brokers.

use std::collections::HashMap;
use std::sync::Arc;

use outlast_protocol::{ErrorCode, Str};

use crate::broker::Broker;
use crate::broker_config::{BrokerConfig, NODE_ID};
use crate::broker_key::BrokerKey;
use crate::config_definition::{ConfigError, list};
use crate::config_values::{GroupValues, TopicValues, broker_synonyms};
use crate::error::ApiError;
use crate::group_config;
use crate::metadata::{MetadataImage, MetadataRecord};
use crate::topic_config::{self, ConfigMap};
use crate::topic_name;
use crate::topics::effective_topic_defaults;

/// Kafka's numbers for what a configuration belongs to.
pub const TOPIC: i8 = 2;
pub const BROKER: i8 = 4;
pub const GROUP: i8 = 32;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    Set(String),
    /// Back to the default.
    Delete,
    /// To a list.
    Append(String),
    Subtract(String),
}

/// What is altered: everything in it, or nothing.
#[derive(Debug)]
pub struct Alteration {
    pub resource_type: i8,
    pub resource_name: Str,
    /// The error where the request itself is not right.
    pub operations: Result<Vec<(String, Operation)>, ApiError>,
    /// Values that are not named go back to their defaults (AlterConfigs, not the incremental one).
    pub replace: bool,
}

/// Makes all alterations that are good in one change; the results are in the order of the alterations.
pub async fn alter_all(
    broker: &Arc<Broker>,
    alterations: Vec<Alteration>,
    validate_only: bool,
) -> Vec<Result<(), ApiError>> {
    let config = broker.config.clone();
    let count = alterations.len();
    let changed = broker.change(move |before| {
        let mut times: HashMap<(i8, &str), usize> = HashMap::new();
        for alteration in &alterations {
            *times.entry(alteration.resource()).or_default() += 1;
        }
        let mut image = before.clone();
        let (mut records, mut results) = (Vec::new(), Vec::new());
        for alteration in &alterations {
            let planned = if times[&alteration.resource()] > 1 {
                let message = "the resource is in the request more than once";
                Err(ApiError::new(ErrorCode::InvalidRequest, message))
            } else {
                plan_alteration(&image, &config, alteration)
            };
            results.push(planned.map(|planned| {
                planned.iter().for_each(|record| image.apply(record));
                records.extend(planned);
            }));
        }
        if validate_only {
            records.clear();
        }
        (records, results)
    });
    changed
        .await
        .unwrap_or_else(|error| vec![Err(error); count])
}

impl Alteration {
    fn resource(&self) -> (i8, &str) {
        (self.resource_type, &self.resource_name)
    }
}

fn plan_alteration(
    image: &MetadataImage,
    broker: &BrokerConfig,
    alteration: &Alteration,
) -> Result<Vec<MetadataRecord>, ApiError> {
    let operations = alteration.operations.as_ref().map_err(Clone::clone)?;
    let mut names: Vec<&str> = operations.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        let message = format!("{} is altered more than once", twice[0]);
        return Err(ApiError::new(ErrorCode::InvalidRequest, message));
    }
    let edit = Edit {
        operations,
        replace: alteration.replace,
    };
    match alteration.resource_type {
        TOPIC => plan_topic(image, broker, &alteration.resource_name, &edit),
        BROKER => plan_broker(image, broker, &alteration.resource_name, &edit),
        GROUP => plan_group(image, broker, &alteration.resource_name, &edit),
        other => Err(unknown_resource_type(other)),
    }
}

struct Edit<'a> {
    operations: &'a [(String, Operation)],
    replace: bool,
}

pub fn unknown_resource_type(resource_type: i8) -> ApiError {
    let what = match resource_type {
        8 => "the log levels of a broker",
        16 => "client metrics",
        _ => "resources of this type",
    };
    let message = format!("{what} (type {resource_type}) are not served by this release");
    ApiError::new(ErrorCode::InvalidRequest, message)
}

fn plan_topic(
    image: &MetadataImage,
    broker: &BrokerConfig,
    name: &str,
    edit: &Edit<'_>,
) -> Result<Vec<MetadataRecord>, ApiError> {
    topic_name::validate(name)?;
    let Some(topic) = image.topic(name) else {
        return Err(ErrorCode::UnknownTopicOrPartition.into());
    };
    let values = TopicValues::new(image, broker, &topic.config);
    let altered = alter("topic", &topic.config, edit, |name| {
        let definition = topic_config::definition(name)?;
        Some((definition.kind.is_list(), values.effective(definition).0))
    })?;
    let altered = topic_config::validate(&altered, &effective_topic_defaults(image, broker))?;
    Ok(differences(&topic.config, &altered)
        .map(|(key, value)| MetadataRecord::TopicConfig {
            id: topic.id,
            key,
            value,
        })
        .collect())
}

/// A group is configured by its name, whether or not it exists.
fn plan_group(
    image: &MetadataImage,
    broker: &BrokerConfig,
    name: &str,
    edit: &Edit<'_>,
) -> Result<Vec<MetadataRecord>, ApiError> {
    let group = group_config::group_name(name)?;
    let before = image.group_config(group).cloned().unwrap_or_default();
    let values = GroupValues::new(image, broker, group);
    let altered = alter("group", &before, edit, |name| {
        let definition = group_config::definition(name)?;
        Some((definition.kind.is_list(), values.effective(definition).0))
    })?;
    let defaults = group_config::effective_defaults(image, broker);
    let altered = group_config::validate(&altered, &defaults)?;
    Ok(differences(&before, &altered)
        .map(|(key, value)| MetadataRecord::GroupConfig {
            group: group.to_owned(),
            key,
            value,
        })
        .collect())
}

fn plan_broker(
    image: &MetadataImage,
    config: &BrokerConfig,
    name: &str,
    edit: &Edit<'_>,
) -> Result<Vec<MetadataRecord>, ApiError> {
    let broker = broker_name(name)?;
    let before = image.broker_config(&broker).cloned().unwrap_or_default();
    for (name, _) in edit.operations {
        match BrokerKey::find(name) {
            Some(key) if key.is_dynamic() => {}
            Some(_) => {
                let message = format!(
                    "{name} cannot be changed while the broker runs: set it and start again"
                );
                return Err(ApiError::new(ErrorCode::InvalidRequest, message));
            }
            None => {
                return Err(ConfigError::UnknownName {
                    scope: "broker",
                    name: name.clone(),
                }
                .into());
            }
        }
    }
    let altered = alter("broker", &before, edit, |name| {
        let key = BrokerKey::find(name)?;
        let value = broker_synonyms(image, config, key)
            .first()
            .map(|first| first.value.clone());
        Some((key.definition().kind.is_list(), value.unwrap_or_default()))
    })?;
    let mut checked = ConfigMap::new();
    for (name, value) in altered {
        if let Some(key) = BrokerKey::find(&name) {
            checked.insert(name, key.check(&value)?);
        }
    }
    let records: Vec<_> = differences(&before, &checked)
        .map(|(key, value)| MetadataRecord::BrokerConfig {
            broker: broker.clone(),
            key,
            value,
        })
        .collect();
    let mut after = image.clone();
    records.iter().for_each(|record| after.apply(record));
    let none = ConfigMap::new();
    topic_config::validate(&none, &effective_topic_defaults(&after, config))?;
    group_config::validate(&none, &group_config::effective_defaults(&after, config))?;
    Ok(records)
}

/// The empty name stands for all brokers.
pub fn broker_name(name: &str) -> Result<String, ApiError> {
    match name.parse::<i32>() {
        _ if name.is_empty() => Ok(String::new()),
        Ok(NODE_ID) => Ok(NODE_ID.to_string()),
        Ok(_) => {
            let message = format!("broker {name} is not known: the one broker is {NODE_ID}");
            Err(ApiError::new(ErrorCode::InvalidRequest, message))
        }
        Err(_) => {
            let message = format!(
                "{name:?} is not a broker id: it must be a number, or empty for all brokers"
            );
            Err(ApiError::new(ErrorCode::InvalidRequest, message))
        }
    }
}

/// `current` gives, for a known key, whether it is a list and its effective value.
fn alter(
    scope: &'static str,
    before: &ConfigMap,
    edit: &Edit<'_>,
    current: impl Fn(&str) -> Option<(bool, String)>,
) -> Result<ConfigMap, ApiError> {
    let mut after = if edit.replace {
        ConfigMap::new()
    } else {
        before.clone()
    };
    for (name, operation) in edit.operations {
        let value = match operation {
            Operation::Set(value) => value.clone(),
            Operation::Delete => {
                after.remove(name);
                continue;
            }
            Operation::Append(words) | Operation::Subtract(words) => {
                let Some((is_list, current)) = current(name) else {
                    return Err(ConfigError::UnknownName {
                        scope,
                        name: name.clone(),
                    }
                    .into());
                };
                if !is_list {
                    let message = format!(
                        "{name} is not a list: it can be set or deleted, not appended to or subtracted from"
                    );
                    return Err(ApiError::new(ErrorCode::InvalidConfig, message));
                }
                edit_list(&current, words, matches!(operation, Operation::Append(_)))
            }
        };
        after.insert(name.clone(), value);
    }
    Ok(after)
}

fn edit_list(current: &str, words: &str, append: bool) -> String {
    let mut values: Vec<&str> = list(current).collect();
    for word in list(words) {
        if !append {
            values.retain(|value| *value != word);
        } else if !values.contains(&word) {
            values.push(word);
        }
    }
    values.join(",")
}

fn differences<'a>(
    before: &'a ConfigMap,
    after: &'a ConfigMap,
) -> impl Iterator<Item = (String, Option<String>)> + 'a {
    let removed = before
        .keys()
        .filter(|key| !after.contains_key(*key))
        .map(|key| (key.clone(), None));
    let set = after
        .iter()
        .filter(|(key, value)| before.get(*key) != Some(value))
        .map(|(key, value)| (key.clone(), Some(value.clone())));
    removed.chain(set)
}
