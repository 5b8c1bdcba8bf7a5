//! Topic configuration: what applies and why, and changes to it.

use outlast_protocol::Str;
use outlast_protocol::messages::describe_configs::DescribeConfigsResource;
use outlast_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig,
};
use outlast_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};

use super::Admin;
use crate::error::ClientError;

/// The protocol's number for topics among the kinds of configured things.
const TOPIC: i8 = 2;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    Topic,
    Broker,
    Default,
    Other(i8),
}

impl ConfigSource {
    fn from_code(code: i8) -> Self {
        match code {
            1 => Self::Topic,
            2..=4 => Self::Broker,
            5 => Self::Default,
            other => Self::Other(other),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Broker => "broker",
            Self::Default => "default",
            Self::Other(_) => "other",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    pub name: String,
    /// `None` for secrets.
    pub value: Option<String>,
    pub source: ConfigSource,
    pub read_only: bool,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigUpdate {
    Set(String, String),
    /// Back to the broker's default.
    Reset(String),
}

impl Admin {
    pub async fn topic_configs(&self, topic: &str) -> Result<Vec<ConfigEntry>, ClientError> {
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type: TOPIC,
                resource_name: Str::from(topic),
                configuration_keys: None,
            }],
            ..Default::default()
        };
        self.client
            .retrying(|| async {
                let response = self.client.request_any(&request).await?;
                let mut entries = Vec::new();
                for result in response.results {
                    ClientError::check(
                        result.error_code,
                        || format!("configuration of topic '{topic}'"),
                        result.error_message.as_deref(),
                    )?;
                    entries.extend(result.configs.into_iter().map(|config| ConfigEntry {
                        name: config.name.to_string(),
                        value: config.value.map(|value| value.to_string()),
                        source: ConfigSource::from_code(config.config_source),
                        read_only: config.read_only,
                    }));
                }
                entries.sort_by(|a, b| a.name.cmp(&b.name));
                Ok(entries)
            })
            .await
    }

    /// All changes or none.
    pub async fn alter_topic_configs(
        &self,
        topic: &str,
        updates: &[ConfigUpdate],
        validate_only: bool,
    ) -> Result<(), ClientError> {
        const SET: i8 = 0;
        const DELETE: i8 = 1;
        let change = |update: &ConfigUpdate| {
            let (name, config_operation, value) = match update {
                ConfigUpdate::Set(name, value) => (name, SET, Some(Str::from(value.as_str()))),
                ConfigUpdate::Reset(name) => (name, DELETE, None),
            };
            AlterableConfig {
                name: Str::from(name.as_str()),
                config_operation,
                value,
            }
        };
        let request = IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type: TOPIC,
                resource_name: Str::from(topic),
                configs: updates.iter().map(change).collect(),
            }],
            validate_only,
        };
        self.client
            .retrying(|| async {
                let response = self.client.request_controller(&request).await?;
                for result in response.responses {
                    ClientError::check(
                        result.error_code,
                        || format!("configuring topic '{topic}'"),
                        result.error_message.as_deref(),
                    )?;
                }
                Ok(())
            })
            .await
    }
}
