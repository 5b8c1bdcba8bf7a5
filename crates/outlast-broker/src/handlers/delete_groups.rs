//! DeleteGroups: forgets groups without members, with their committed offsets or their queues.

use outlast_protocol::messages::delete_groups::DeletableGroupResult;
use outlast_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};
use outlast_protocol::{ErrorCode, Str};

use crate::coordinator::GroupCoordinator;
use crate::dispatch::RequestContext;
use crate::error::ApiError;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    mut request: DeleteGroupsRequest,
) -> DeleteGroupsResponse {
    let groups = match context.broker.groups().await {
        Ok(groups) => groups,
        Err(error) => {
            let names = request.groups_names.into_iter();
            let results = names.map(|group_id| DeletableGroupResult {
                group_id,
                error_code: error.code.code(),
            });
            return DeleteGroupsResponse {
                results: results.collect(),
                ..Default::default()
            };
        }
    };
    let mut share_groups = groups.share_groups_among(&request.groups_names);
    share_groups.sort_unstable();
    share_groups.dedup();
    request
        .groups_names
        .retain(|name| share_groups.binary_search(name).is_err());
    let mut response = groups.delete_groups(request).await;
    for group_id in share_groups {
        let deleted = delete_share_group(context, groups, &group_id).await;
        response.results.push(DeletableGroupResult {
            group_id,
            error_code: deleted.err().map_or(0, |error| error.code.code()),
        });
    }
    response
}

/// The queues go first: a group that has lost them is whole, and can be deleted again.
async fn delete_share_group(
    context: &RequestContext<'_>,
    groups: &GroupCoordinator,
    name: &Str,
) -> Result<(), ApiError> {
    groups.check_share_group_empty(name).await?;
    if let Some(queues) = context.broker.opened_queues() {
        queues.delete_group(name).await?;
    }
    match groups.delete_share_group(name).await {
        ErrorCode::None => Ok(()),
        code => Err(code.into()),
    }
}
