//! Consumer groups: list, describe, delete, and delete single offsets.

use std::collections::BTreeMap;

use outlast_protocol::messages::offset_delete::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use outlast_protocol::messages::{
    ConsumerGroupDescribeRequest, DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest,
    OffsetDeleteRequest,
};
use outlast_protocol::records::consumer_protocol::ConsumerProtocolAssignment;
use outlast_protocol::{ApiKey, ErrorCode, Message, Str};

use super::Admin;
use crate::cluster::CoordinatorKind;
use crate::error::{ClientError, known_code};
use crate::metadata::TopicPartition;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    pub group_id: String,
    pub protocol_type: String,
    /// Empty from old brokers.
    pub state: String,
    /// `classic`, `consumer`, `share`; empty from old brokers.
    pub kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    pub group_id: String,
    pub state: String,
    pub protocol_type: String,
    /// How partitions are assigned.
    pub assignor: String,
    pub members: Vec<GroupMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub host: String,
    pub assignment: Vec<TopicPartition>,
}

impl Admin {
    /// The groups of all brokers, by name.
    pub async fn groups(&self) -> Result<Vec<GroupListing>, ClientError> {
        self.client
            .retrying(|| self.client.refresh_brokers())
            .await?;
        let mut groups = BTreeMap::new();
        for broker in self.client.metadata().brokers.keys() {
            let request = ListGroupsRequest::default();
            let response = self
                .client
                .retrying(|| async {
                    let response = self.client.request(*broker, &request).await?;
                    let context = || format!("listing the groups of broker {}", broker.0);
                    ClientError::check(response.error_code, context, None)?;
                    Ok(response)
                })
                .await?;
            for group in response.groups {
                groups.insert(
                    group.group_id.to_string(),
                    GroupListing {
                        group_id: group.group_id.to_string(),
                        protocol_type: group.protocol_type.to_string(),
                        state: group.group_state.to_string(),
                        kind: group.group_type.to_string(),
                    },
                );
            }
        }
        Ok(groups.into_values().collect())
    }

    /// `None` when there is no such group.
    pub async fn group(&self, group: &str) -> Result<Option<GroupDescription>, ClientError> {
        let coordinator = self
            .client
            .coordinator(CoordinatorKind::Group, group)
            .await?;
        let connection = self
            .client
            .connection(coordinator, crate::cluster::Lane::Control)
            .await?;
        if connection
            .versions()
            .range(ApiKey::ConsumerGroupDescribe)
            .is_some()
        {
            let found = self
                .client
                .retrying(|| self.describe_consumer(group))
                .await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        self.client.retrying(|| self.describe_classic(group)).await
    }

    async fn describe_classic(&self, group: &str) -> Result<Option<GroupDescription>, ClientError> {
        let coordinator = self
            .client
            .coordinator(CoordinatorKind::Group, group)
            .await?;
        let request = DescribeGroupsRequest {
            groups: vec![Str::from(group)],
            ..Default::default()
        };
        let response = self.client.request(coordinator, &request).await?;
        let Some(found) = response.groups.into_iter().next() else {
            return Ok(None);
        };
        if known_code(found.error_code) == ErrorCode::GroupIdNotFound
            || &*found.group_state == "Dead"
        {
            return Ok(None);
        }
        ClientError::check(
            found.error_code,
            || format!("describing group '{group}'"),
            found.error_message.as_deref(),
        )?;
        let members = found.members.into_iter().map(|member| GroupMember {
            member_id: member.member_id.to_string(),
            instance_id: member.group_instance_id.map(|id| id.to_string()),
            client_id: member.client_id.to_string(),
            host: member.client_host.to_string(),
            // Other protocols than consumers' put other things here.
            assignment: ConsumerProtocolAssignment::from_versioned_bytes(member.member_assignment)
                .map(|assignment| {
                    let topics = assignment.assigned_partitions.into_iter();
                    flatten(topics.map(|t| (t.topic, t.partitions)))
                })
                .unwrap_or_default(),
        });
        Ok(Some(GroupDescription {
            group_id: group.to_owned(),
            state: found.group_state.to_string(),
            protocol_type: found.protocol_type.to_string(),
            assignor: found.protocol_data.to_string(),
            members: members.collect(),
        }))
    }

    /// Groups of the newer protocol (KIP-848). `None` when the group is not one of them.
    async fn describe_consumer(
        &self,
        group: &str,
    ) -> Result<Option<GroupDescription>, ClientError> {
        let coordinator = self
            .client
            .coordinator(CoordinatorKind::Group, group)
            .await?;
        let request = ConsumerGroupDescribeRequest {
            group_ids: vec![Str::from(group)],
            ..Default::default()
        };
        let response = self.client.request(coordinator, &request).await?;
        let Some(found) = response.groups.into_iter().next() else {
            return Ok(None);
        };
        if known_code(found.error_code) == ErrorCode::GroupIdNotFound {
            return Ok(None);
        }
        ClientError::check(
            found.error_code,
            || format!("describing group '{group}'"),
            found.error_message.as_deref(),
        )?;
        let members = found.members.into_iter().map(|member| GroupMember {
            member_id: member.member_id.to_string(),
            instance_id: member.instance_id.map(|id| id.to_string()),
            client_id: member.client_id.to_string(),
            host: member.client_host.to_string(),
            assignment: flatten(
                member
                    .assignment
                    .topic_partitions
                    .into_iter()
                    .map(|t| (t.topic_name, t.partitions)),
            ),
        });
        Ok(Some(GroupDescription {
            group_id: group.to_owned(),
            state: found.group_state.to_string(),
            protocol_type: "consumer".to_owned(),
            assignor: found.assignor_name.to_string(),
            members: members.collect(),
        }))
    }

    pub async fn delete_group(&self, group: &str) -> Result<(), ClientError> {
        self.client
            .retrying(|| async {
                let coordinator = self
                    .client
                    .coordinator(CoordinatorKind::Group, group)
                    .await?;
                let request = DeleteGroupsRequest {
                    groups_names: vec![Str::from(group)],
                };
                let response = self.client.request(coordinator, &request).await?;
                for result in response.results {
                    let context = || format!("deleting group '{group}'");
                    ClientError::check(result.error_code, context, None)?;
                }
                Ok(())
            })
            .await
    }

    /// Forgets what a group has committed for these partitions.
    pub async fn delete_group_offsets(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<(), ClientError> {
        let mut topics: BTreeMap<&str, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
        for tp in partitions {
            topics
                .entry(&tp.topic)
                .or_default()
                .push(OffsetDeleteRequestPartition {
                    partition_index: tp.partition,
                });
        }
        let request = OffsetDeleteRequest {
            group_id: Str::from(group),
            topics: topics
                .into_iter()
                .map(|(name, partitions)| OffsetDeleteRequestTopic {
                    name: Str::from(name),
                    partitions,
                })
                .collect(),
        };
        self.client
            .retrying(|| async {
                let coordinator = self
                    .client
                    .coordinator(CoordinatorKind::Group, group)
                    .await?;
                let response = self.client.request(coordinator, &request).await?;
                let context = || format!("deleting offsets of group '{group}'");
                ClientError::check(response.error_code, context, None)?;
                for topic in response.topics {
                    for p in topic.partitions {
                        let context = || {
                            let (name, index) = (&topic.name, p.partition_index);
                            format!("deleting the offset of {name}-{index} in group '{group}'")
                        };
                        ClientError::check(p.error_code, context, None)?;
                    }
                }
                Ok(())
            })
            .await
    }
}

fn flatten(topics: impl Iterator<Item = (Str, Vec<i32>)>) -> Vec<TopicPartition> {
    let mut partitions: Vec<TopicPartition> = topics
        .flat_map(|(topic, partitions)| {
            let name = topic.to_string();
            partitions
                .into_iter()
                .map(move |partition| TopicPartition::new(name.as_str(), partition))
        })
        .collect();
    partitions.sort();
    partitions
}
