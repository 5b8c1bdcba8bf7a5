//! ListGroups: all groups, or those in some states or of some types.

use outlast_protocol::messages::{ListGroupsRequest, ListGroupsResponse};

use crate::dispatch::RequestContext;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: ListGroupsRequest,
) -> ListGroupsResponse {
    match context.broker.opened_groups() {
        Some(groups) => groups.list_groups(request).await,
        // There never was a group, and asking is no reason to prepare for one.
        None => ListGroupsResponse::default(),
    }
}
