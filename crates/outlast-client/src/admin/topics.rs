//! Topics: create, grow, list, delete.

use std::collections::BTreeMap;
use std::time::Duration;

use outlast_protocol::messages::create_partitions::CreatePartitionsTopic;
use outlast_protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig};
use outlast_protocol::messages::delete_topics::DeleteTopicState;
use outlast_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
};
use outlast_protocol::{ErrorCode, Str};
use tokio::time::Instant;

use super::Admin;
use crate::error::ClientError;
use crate::metadata::{TopicInfo, TopicPartition};

/// A topic to create. What is `None` is left to the broker's defaults.
#[derive(Clone, Debug, Default)]
pub struct NewTopic {
    pub name: String,
    pub partitions: Option<i32>,
    pub replication_factor: Option<i16>,
    pub configs: BTreeMap<String, String>,
}

/// How long a topic may take to show up in the metadata after it was created.
const APPEARANCE: Duration = Duration::from_secs(10);

impl Admin {
    /// With `validate_only` the broker checks everything and creates nothing. Otherwise returns when the topic can
    /// be used.
    pub async fn create_topic(
        &self,
        topic: &NewTopic,
        validate_only: bool,
    ) -> Result<(), ClientError> {
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: Str::from(topic.name.as_str()),
                num_partitions: topic.partitions.unwrap_or(-1),
                replication_factor: topic.replication_factor.unwrap_or(-1),
                configs: topic
                    .configs
                    .iter()
                    .map(|(name, value)| CreatableTopicConfig {
                        name: Str::from(name.as_str()),
                        value: Some(Str::from(value.as_str())),
                    })
                    .collect(),
                ..Default::default()
            }],
            timeout_ms: self.client.request_timeout_ms(),
            validate_only,
        };
        self.client
            .retrying(|| async {
                let response = self.client.request_controller(&request).await?;
                for result in response.topics {
                    ClientError::check(
                        result.error_code,
                        || format!("creating topic '{}'", topic.name),
                        result.error_message.as_deref(),
                    )?;
                }
                Ok(())
            })
            .await?;
        if validate_only {
            return Ok(());
        }
        self.wait_for(&topic.name).await
    }

    async fn wait_for(&self, name: &str) -> Result<(), ClientError> {
        let deadline = Instant::now() + APPEARANCE;
        let mut failures = 0;
        loop {
            match self.client.topic(name, false).await {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => {
                    failures += 1;
                    tokio::time::sleep(self.client.config().backoff.jittered(failures)).await;
                }
            }
        }
    }

    /// Every topic, by name.
    pub async fn topics(&self) -> Result<Vec<TopicInfo>, ClientError> {
        let metadata = self
            .client
            .retrying(|| self.client.refresh_all_topics())
            .await?;
        let mut topics: Vec<TopicInfo> = metadata.topics.values().cloned().collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    /// One topic as it is now, also while a partition has no leader.
    pub async fn topic(&self, name: &str) -> Result<TopicInfo, ClientError> {
        let problems = self
            .client
            .retrying(|| self.client.refresh_topics([name], false))
            .await?;
        if let Some(problem) = problems.into_iter().find(|problem| problem.name == name) {
            if problem.code == ErrorCode::UnknownTopicOrPartition {
                return Err(ClientError::UnknownTopic(name.to_owned()));
            }
            return Err(ClientError::broker(
                problem.code,
                format!("topic '{name}'"),
                None,
            ));
        }
        self.client
            .metadata()
            .topic(name)
            .cloned()
            .ok_or_else(|| ClientError::UnknownTopic(name.to_owned()))
    }

    pub async fn delete_topic(&self, name: &str) -> Result<(), ClientError> {
        let request = DeleteTopicsRequest {
            topics: vec![DeleteTopicState {
                name: Some(Str::from(name)),
                ..Default::default()
            }],
            timeout_ms: self.client.request_timeout_ms(),
            ..Default::default()
        };
        // Versions before 6 have only a list of names.
        let by_name = DeleteTopicsRequest {
            topic_names: vec![Str::from(name)],
            timeout_ms: request.timeout_ms,
            ..Default::default()
        };
        self.client
            .retrying(|| async {
                let connection = self.client.any_connection().await?;
                let version = connection
                    .versions()
                    .pick::<DeleteTopicsRequest>(i16::MAX)?;
                let request = if version >= 6 { &request } else { &by_name };
                let response = self.client.request_controller(request).await?;
                for result in response.responses {
                    if result.error_code == ErrorCode::UnknownTopicOrPartition.code() {
                        return Err(ClientError::UnknownTopic(name.to_owned()));
                    }
                    ClientError::check(
                        result.error_code,
                        || format!("deleting topic '{name}'"),
                        result.error_message.as_deref(),
                    )?;
                }
                Ok(())
            })
            .await
    }

    /// Grows a topic to `count` partitions.
    pub async fn create_partitions(
        &self,
        topic: &str,
        count: i32,
        validate_only: bool,
    ) -> Result<(), ClientError> {
        let request = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic {
                name: Str::from(topic),
                count,
                assignments: None,
            }],
            timeout_ms: self.client.request_timeout_ms(),
            validate_only,
        };
        self.client
            .retrying(|| async {
                let response = self.client.request_controller(&request).await?;
                for result in response.results {
                    ClientError::check(
                        result.error_code,
                        || format!("growing topic '{topic}' to {count} partitions"),
                        result.error_message.as_deref(),
                    )?;
                }
                Ok(())
            })
            .await
    }

    /// The partitions of a topic, as names.
    pub async fn partitions(&self, topic: &str) -> Result<Vec<TopicPartition>, ClientError> {
        let info = self.topic(topic).await?;
        let name = |partition: &crate::metadata::PartitionInfo| {
            TopicPartition::new(topic, partition.index)
        };
        Ok(info.partitions.iter().map(name).collect())
    }
}
