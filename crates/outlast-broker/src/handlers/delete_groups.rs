//! DeleteGroups: forgets groups without members, with their committed offsets.

use outlast_protocol::messages::delete_groups::DeletableGroupResult;
use outlast_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};

use crate::dispatch::RequestContext;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: DeleteGroupsRequest,
) -> DeleteGroupsResponse {
    let error = match context.broker.groups().await {
        Ok(groups) => return groups.delete_groups(request).await,
        Err(error) => error,
    };
    let results = request
        .groups_names
        .into_iter()
        .map(|group_id| DeletableGroupResult {
            group_id,
            error_code: error.code.code(),
        });
    DeleteGroupsResponse {
        results: results.collect(),
        ..Default::default()
    }
}
