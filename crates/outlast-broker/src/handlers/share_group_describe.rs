//! ShareGroupDescribe: epochs, members and assignments of share groups.

use outlast_protocol::messages::share_group_describe::DescribedGroup;
use outlast_protocol::messages::{ShareGroupDescribeRequest, ShareGroupDescribeResponse};

use crate::authorized_operations::GROUP_OPERATIONS;
use crate::dispatch::RequestContext;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: ShareGroupDescribeRequest,
) -> ShareGroupDescribeResponse {
    let mut groups = match context.broker.groups().await {
        Ok(groups) => groups.share_group_describe(&request.group_ids).await,
        Err(error) => request
            .group_ids
            .into_iter()
            .map(|group_id| DescribedGroup {
                group_id,
                error_code: error.code.code(),
                error_message: error.text(),
                ..Default::default()
            })
            .collect(),
    };
    if request.include_authorized_operations {
        for group in groups.iter_mut().filter(|group| group.error_code == 0) {
            group.authorized_operations = GROUP_OPERATIONS;
        }
    }
    ShareGroupDescribeResponse {
        groups,
        ..Default::default()
    }
}
