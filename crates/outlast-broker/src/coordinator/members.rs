//! JoinGroup, SyncGroup, Heartbeat and LeaveGroup.

use outlast_protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, SyncGroupRequest, SyncGroupResponse,
};
use outlast_protocol::{ErrorCode, Str};
use tokio::sync::oneshot;

use super::shard::{Promised, Shard, ShardError};
use super::{GroupClient, GroupCoordinator, run};
use crate::group::{Join, MemberId, Reply, join_error, sync_error};

/// Up to here "no protocol" is an empty name; from here on it is null.
const FIRST_VERSION_WITH_NULL_PROTOCOL: i16 = 7;

impl GroupCoordinator {
    /// Resolves when the join phase is over, or at once if there is none to wait for.
    pub async fn join_group(
        &self,
        client: &GroupClient,
        request: JoinGroupRequest,
        version: i16,
    ) -> JoinGroupResponse {
        let member_id = MemberId::new(&request.member_id);
        let shard = self.shard(&request.group_id);
        let client_id = client.id.clone();
        let client_host = Str::from(format!("/{}", client.address));
        let fresh = self.random.uuid();
        let parked = shard.park(|groups, token, now, fx| {
            let join = Join {
                token,
                version,
                client_id,
                client_host,
                fresh,
                request,
            };
            groups.join(join, now, fx);
        });
        let mut response = match promised(shard, parked).await {
            Ok(Reply::Join(response)) => response,
            Ok(Reply::Sync(_)) => join_error(&member_id, ErrorCode::UnknownServerError),
            Err(error) => join_error(&member_id, error.code()),
        };
        response.protocol_name = response.protocol_name.filter(|name| !name.is_empty());
        if version < FIRST_VERSION_WITH_NULL_PROTOCOL {
            response.protocol_name.get_or_insert_default();
        }
        response
    }

    /// Resolves when the leader has sent the assignment, or at once if it has.
    pub async fn sync_group(&self, request: SyncGroupRequest, version: i16) -> SyncGroupResponse {
        let shard = self.shard(&request.group_id);
        let parked = shard.park(|groups, token, now, fx| {
            groups.sync(token, &request, version, now, fx);
        });
        match promised(shard, parked).await {
            Ok(Reply::Sync(response)) => response,
            Ok(Reply::Join(_)) => sync_error(ErrorCode::UnknownServerError),
            Err(error) => sync_error(error.code()),
        }
    }

    pub async fn heartbeat(&self, request: HeartbeatRequest) -> HeartbeatResponse {
        let shard = self.shard(&request.group_id);
        let replied = run(shard, |groups, now, fx| groups.heartbeat(&request, now, fx)).await;
        let error = match replied {
            Ok(response) => return response,
            // Members keep what they have while the group loads: after that they have a full
            // session timeout.
            Err(ShardError::Loading) => ErrorCode::None,
            Err(error) => error.code(),
        };
        HeartbeatResponse {
            error_code: error.code(),
            ..HeartbeatResponse::default()
        }
    }

    pub async fn leave_group(
        &self,
        request: LeaveGroupRequest,
        version: i16,
    ) -> LeaveGroupResponse {
        let shard = self.shard(&request.group_id);
        let left = run(shard, |groups, now, fx| {
            groups.leave(&request, version, now, fx)
        })
        .await;
        left.unwrap_or_else(|error| LeaveGroupResponse {
            error_code: error.code().code(),
            ..LeaveGroupResponse::default()
        })
    }
}

async fn promised(
    shard: &Shard,
    parked: Result<oneshot::Receiver<Promised>, ShardError>,
) -> Result<Reply, ShardError> {
    // The sender is dropped when the state of the shard is lost.
    let (reply, ticket) = parked?.await.map_err(|_| ShardError::Unavailable)?;
    shard.durable(ticket).await?;
    Ok(reply)
}
