//! What a broker key is: fixed when the broker starts, or a default that clients may alter while it runs.

use crate::broker_config::DEFINITIONS;
use crate::config_definition::{ConfigDefinition, ConfigError};
use crate::group_config;
use crate::topic_config::{self, BROKER_SYNONYMS};

/// What a broker key is.
#[derive(Debug, Clone, Copy)]
pub enum BrokerKey {
    /// Fixed at start.
    Fixed(&'static ConfigDefinition),
    /// The default of a topic key; clients may alter it.
    TopicDefault {
        name: &'static str,
        topic: &'static ConfigDefinition,
    },
    /// The default of a group key; clients may alter it.
    GroupDefault {
        name: &'static str,
        group: &'static ConfigDefinition,
    },
}

impl BrokerKey {
    pub fn find(name: &str) -> Option<Self> {
        Self::all().find(|key| key.name() == name)
    }

    pub fn all() -> impl Iterator<Item = Self> {
        let defaults = BROKER_SYNONYMS.iter().filter_map(|(topic, name)| {
            let topic = topic_config::definition(topic)?;
            Some(Self::TopicDefault { name, topic })
        });
        let groups = group_config::BROKER_SYNONYMS
            .iter()
            .filter_map(|(group, name)| {
                let group = group_config::definition(group)?;
                Some(Self::GroupDefault { name, group })
            });
        DEFINITIONS
            .iter()
            .map(Self::Fixed)
            .chain(defaults)
            .chain(groups)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Fixed(definition) => definition.name,
            Self::TopicDefault { name, .. } | Self::GroupDefault { name, .. } => name,
        }
    }

    pub fn definition(self) -> &'static ConfigDefinition {
        match self {
            Self::Fixed(definition) => definition,
            Self::TopicDefault { topic, .. } => topic,
            Self::GroupDefault { group, .. } => group,
        }
    }

    pub fn is_dynamic(self) -> bool {
        matches!(self, Self::TopicDefault { .. } | Self::GroupDefault { .. })
    }

    /// As [`ConfigDefinition::check`], with messages that say the broker's name for the key.
    pub fn check(self, value: &str) -> Result<String, ConfigError> {
        self.definition().check(value).map_err(|error| match error {
            ConfigError::InvalidValue { value, allowed, .. } => ConfigError::InvalidValue {
                name: self.name().to_owned(),
                value,
                allowed,
            },
            ConfigError::Refused { value, reason, .. } => ConfigError::Refused {
                name: self.name().to_owned(),
                value,
                reason,
            },
            other @ (ConfigError::UnknownName { .. } | ConfigError::Conflict(_)) => other,
        })
    }
}
