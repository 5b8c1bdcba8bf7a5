//! Which value a configuration key has, and where it comes from.
//!
//! ```text
//! the topic's or group's own  >  this node's dynamic  >  all nodes' dynamic  >  given at start  >  the built-in default
//! ```

use crate::broker_config::{BrokerConfig, NODE_ID};
use crate::broker_key::BrokerKey;
use crate::config_definition::ConfigDefinition;
use crate::group_config;
use crate::metadata::MetadataImage;
use crate::topic_config::{ConfigMap, broker_synonym};
use crate::topics::effective_topic_defaults;

/// Kafka's numbers for where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    Topic = 1,
    DynamicBroker = 2,
    DynamicDefaultBroker = 3,
    StaticBroker = 4,
    Default = 5,
    Group = 8,
}

impl ConfigSource {
    pub fn code(self) -> i8 {
        self as i8
    }
}

/// A value under one of a key's names. The strongest comes first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synonym {
    pub name: String,
    pub value: String,
    pub source: ConfigSource,
}

/// The values of a topic's keys.
pub struct TopicValues<'a> {
    image: &'a MetadataImage,
    broker: &'a BrokerConfig,
    own: &'a ConfigMap,
    defaults: ConfigMap,
}

impl<'a> TopicValues<'a> {
    pub fn new(image: &'a MetadataImage, broker: &'a BrokerConfig, own: &'a ConfigMap) -> Self {
        let defaults = effective_topic_defaults(image, broker);
        Self {
            image,
            broker,
            own,
            defaults,
        }
    }

    pub fn effective(&self, key: &ConfigDefinition) -> (String, ConfigSource) {
        let value = self
            .own
            .get(key.name)
            .or_else(|| self.defaults.get(key.name));
        let source = self
            .synonyms(key)
            .first()
            .map_or(ConfigSource::Default, |first| first.source);
        (value.map_or(key.default, String::as_str).to_owned(), source)
    }

    pub fn synonyms(&self, key: &ConfigDefinition) -> Vec<Synonym> {
        let own = self.own.get(key.name).map(|value| Synonym {
            name: key.name.to_owned(),
            value: value.clone(),
            source: ConfigSource::Topic,
        });
        let broker = broker_synonym(key.name)
            .and_then(BrokerKey::find)
            .map(|key| broker_synonyms(self.image, self.broker, key))
            .unwrap_or_default();
        own.into_iter().chain(broker).collect()
    }
}

/// The values of a group's keys. A group need not exist.
pub struct GroupValues<'a> {
    image: &'a MetadataImage,
    broker: &'a BrokerConfig,
    own: Option<&'a ConfigMap>,
}

impl<'a> GroupValues<'a> {
    pub fn new(image: &'a MetadataImage, broker: &'a BrokerConfig, group: &str) -> Self {
        Self {
            image,
            broker,
            own: image.group_config(group),
        }
    }

    pub fn effective(&self, key: &ConfigDefinition) -> (String, ConfigSource) {
        let first = self.synonyms(key).into_iter().next();
        first.map_or_else(
            || (key.default.to_owned(), ConfigSource::Default),
            |first| (first.value, first.source),
        )
    }

    /// The built-in default is always the last: under the broker's name for the key, or the key's own where there is none.
    pub fn synonyms(&self, key: &ConfigDefinition) -> Vec<Synonym> {
        let synonym = |value: &str, source| Synonym {
            name: key.name.to_owned(),
            value: value.to_owned(),
            source,
        };
        let own = self
            .own
            .and_then(|own| own.get(key.name))
            .map(|value| synonym(value, ConfigSource::Group));
        let broker = group_config::broker_synonym(key.name)
            .and_then(BrokerKey::find)
            .map_or_else(
                || vec![synonym(key.default, ConfigSource::Default)],
                |key| broker_synonyms(self.image, self.broker, key),
            );
        own.into_iter().chain(broker).collect()
    }
}

/// The values of a broker key. The built-in default is always the last.
pub fn broker_synonyms(
    image: &MetadataImage,
    config: &BrokerConfig,
    key: BrokerKey,
) -> Vec<Synonym> {
    let name = key.name();
    let node = NODE_ID.to_string();
    let dynamic = |broker: &str| {
        image
            .broker_config(broker)
            .and_then(|values| values.get(name))
    };
    let synonym = |name: &str, value: &str, source| Synonym {
        name: name.to_owned(),
        value: value.to_owned(),
        source,
    };
    let mut synonyms = Vec::new();
    if let Some(value) = dynamic(&node) {
        synonyms.push(synonym(name, value, ConfigSource::DynamicBroker));
    }
    if let Some(value) = dynamic("") {
        synonyms.push(synonym(name, value, ConfigSource::DynamicDefaultBroker));
    }
    // Coarser units of the same setting are synonyms of the finest.
    let static_names: &[&str] = match name {
        "log.retention.ms" => &[
            "log.retention.ms",
            "log.retention.minutes",
            "log.retention.hours",
        ],
        _ => &[name],
    };
    for name in static_names {
        if let Some(value) = config.given.get(*name) {
            synonyms.push(synonym(name, value, ConfigSource::StaticBroker));
        }
    }
    synonyms.push(synonym(
        name,
        key.definition().default,
        ConfigSource::Default,
    ));
    synonyms
}
