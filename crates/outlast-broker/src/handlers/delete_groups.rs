//! DeleteGroups: forgets groups without members, with their committed offsets or their queues.

use outlast_protocol::messages::delete_groups::DeletableGroupResult;
use outlast_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};

use crate::dispatch::RequestContext;

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
        let deleted = context.broker.delete_share_group(&group_id).await;
        response.results.push(DeletableGroupResult {
            group_id,
            error_code: deleted.err().map_or(0, |error| error.code.code()),
        });
    }
    response
}
