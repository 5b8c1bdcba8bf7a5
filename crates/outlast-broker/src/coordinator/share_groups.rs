//! ShareGroupHeartbeat, ShareGroupDescribe, and what else is asked of share groups as such. Their queues are elsewhere.

use outlast_protocol::messages::share_group_describe::DescribedGroup;
use outlast_protocol::messages::{ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse};
use outlast_protocol::{ErrorCode, Str};
use uuid::Uuid;

use super::shard::ShardError;
use super::{GroupClient, GroupCoordinator};
use crate::error::ApiError;
use crate::group::{Groups, MemberId, ShareHeartbeat, SubscribedTopic};
use crate::group_config::ShareSettings;

impl GroupCoordinator {
    pub async fn share_group_heartbeat(
        &self,
        client: &GroupClient,
        request: &ShareGroupHeartbeatRequest,
        settings: &ShareSettings,
    ) -> Result<ShareGroupHeartbeatResponse, ApiError> {
        let topics = |name: &str| {
            let facts = self.topics.by_name(name)?;
            Some(SubscribedTopic {
                id: facts.id,
                partitions: facts.partitions,
            })
        };
        let heartbeat = ShareHeartbeat {
            request,
            client_id: &client.id,
            client_host: &Str::from(format!("/{}", client.address)),
            settings,
            topics: &topics,
        };
        let shard = self.shard(&request.group_id);
        let replied =
            shard.run_durably(|groups, now, fx| groups.share_heartbeat(&heartbeat, now, fx));
        replied.await.map_err(ShardError::code)?
    }

    pub async fn share_group_describe(&self, names: &[Str]) -> Vec<DescribedGroup> {
        let topic_name = |id: Uuid| self.topics.name_of(id);
        let mut groups = Vec::with_capacity(names.len());
        for name in names {
            let shard = self.shard(name);
            let described =
                shard.run_durably(|groups, _, _| groups.share_describe(name, &topic_name));
            groups.push(described.await.unwrap_or_else(|error| DescribedGroup {
                group_id: name.clone(),
                error_code: error.code().code(),
                ..DescribedGroup::default()
            }));
        }
        groups
    }

    /// Whether the group's queues may be changed: NON_EMPTY_GROUP while it has members, GROUP_ID_NOT_FOUND when it is no
    /// share group.
    pub async fn check_share_group_empty(&self, name: &Str) -> Result<(), ApiError> {
        let shard = self.shard(name);
        let checked = shard.run_durably(|groups, _, _| groups.share_check_empty(name));
        let (code, message) = match checked.await.map_err(ShardError::code)? {
            Ok(()) => return Ok(()),
            Err(refused) => refused,
        };
        Err(ApiError::new(code, &*message))
    }

    /// Makes sure that there is such a share group. GROUP_ID_NOT_FOUND, as Kafka says, when the name is taken by a group of
    /// another kind.
    pub async fn create_share_group(&self, name: &Str) -> Result<(), ErrorCode> {
        let created = self
            .shard(name)
            .run_durably(|groups, _, fx| groups.share_create(name, fx));
        created.await.map_err(ShardError::code)?
    }

    /// Of the groups with these names, those that are share groups.
    pub fn share_groups_among(&self, names: &[Str]) -> Vec<Str> {
        let is_share = |name: &&Str| {
            let shard = self.shard(name);
            matches!(
                shard.peek(|groups| groups.share_group(name).is_some()),
                Ok(true)
            )
        };
        names.iter().filter(is_share).cloned().collect()
    }

    /// Whether a share group of this name exists.
    pub fn is_share_group(&self, name: &str) -> Result<bool, ErrorCode> {
        self.shard(name)
            .peek(|groups| groups.share_group(name).is_some())
            .map_err(ShardError::code)
    }

    /// Not so while the groups are loaded.
    pub fn is_share_member(&self, group: &str, member: &MemberId) -> bool {
        let is_member = |groups: &Groups| {
            let group = groups.share_group(group);
            group.is_some_and(|group| group.member(member).is_some())
        };
        self.shard(group).peek(is_member).unwrap_or(false)
    }

    /// Forgets an empty group. Its queues must be gone already.
    pub async fn delete_share_group(&self, name: &Str) -> ErrorCode {
        self.shard(name)
            .run_durably(|groups, _, fx| groups.share_delete(name, fx))
            .await
            .unwrap_or_else(ShardError::code)
    }
}
