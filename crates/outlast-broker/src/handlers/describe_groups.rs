//! DescribeGroups: state, members and assignments of groups.

use outlast_protocol::messages::describe_groups::DescribedGroup;
use outlast_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse};

use crate::dispatch::RequestContext;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let error = match context.broker.groups().await {
        Ok(groups) => return groups.describe_groups(request, context.version).await,
        Err(error) => error,
    };
    let groups = request.groups.into_iter().map(|group_id| DescribedGroup {
        error_code: error.code.code(),
        error_message: error.text().filter(|_| context.version >= 6),
        group_id,
        ..Default::default()
    });
    DescribeGroupsResponse {
        groups: groups.collect(),
        ..Default::default()
    }
}
