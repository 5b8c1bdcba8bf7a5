//! DescribeGroups, ListGroups and DeleteGroups: requests that may go to every shard.

use std::collections::HashSet;

use outlast_protocol::messages::delete_groups::DeletableGroupResult;
use outlast_protocol::messages::describe_groups::DescribedGroup;
use outlast_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    ListGroupsRequest, ListGroupsResponse,
};
use outlast_protocol::{ErrorCode, Str};

use super::GroupCoordinator;
use super::shard::{Shard, ShardError};

impl GroupCoordinator {
    /// The operations that a client may do are the handler's to add.
    pub async fn describe_groups(
        &self,
        request: DescribeGroupsRequest,
        version: i16,
    ) -> DescribeGroupsResponse {
        let mut groups = Vec::with_capacity(request.groups.len());
        for name in request.groups {
            let shard = self.shard(&name);
            let described = super::run(shard, |groups, _, _| groups.describe(&name, version));
            groups.push(described.await.unwrap_or_else(|error| DescribedGroup {
                group_id: name.clone(),
                error_code: error.code().code(),
                ..DescribedGroup::default()
            }));
        }
        DescribeGroupsResponse {
            groups,
            ..DescribeGroupsResponse::default()
        }
    }

    /// Groups that can't be read are left out, and the error says that there are such.
    pub async fn list_groups(&self, request: ListGroupsRequest) -> ListGroupsResponse {
        let mut response = ListGroupsResponse::default();
        for shard in &self.shards {
            match super::run(shard, |groups, _, _| groups.list(&request)).await {
                Ok(mut groups) => response.groups.append(&mut groups),
                Err(error) => response.error_code = error.code().code(),
            }
        }
        response
    }

    /// All deletions are begun before the first is waited for: they share the disk's time.
    pub async fn delete_groups(&self, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
        let mut seen = HashSet::new();
        let names: Vec<Str> = request
            .groups_names
            .into_iter()
            .filter(|name| seen.insert(name.clone()))
            .collect();
        let begun: Vec<_> = names
            .iter()
            .map(|name| {
                let shard = self.shard(name);
                let deleted = shard.run(|groups, now, fx| groups.delete(name, now, fx));
                (shard, deleted)
            })
            .collect();
        let mut results = Vec::with_capacity(names.len());
        for ((shard, deleted), name) in begun.into_iter().zip(&names) {
            results.push(match settle(shard, deleted).await {
                Ok(result) => result,
                Err(error) => DeletableGroupResult {
                    group_id: name.clone(),
                    error_code: error.code(),
                },
            });
        }
        DeleteGroupsResponse {
            results,
            ..DeleteGroupsResponse::default()
        }
    }
}

async fn settle<R>(
    shard: &Shard,
    run: Result<(R, super::shard::Ticket), ShardError>,
) -> Result<R, ErrorCode> {
    let (reply, ticket) = run.map_err(ShardError::code)?;
    shard.durable(ticket).await.map_err(ShardError::code)?;
    Ok(reply)
}
