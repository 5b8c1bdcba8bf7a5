//! OffsetFetch: where a group goes on reading.

use outlast_protocol::messages::offset_fetch::OffsetFetchResponseGroup;
use outlast_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse};

use crate::dispatch::RequestContext;

/// One request asks for several groups from this version on.
const GROUPS: i16 = 8;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: OffsetFetchRequest,
) -> OffsetFetchResponse {
    let error = match context.broker.groups().await {
        Ok(groups) => return groups.offset_fetch(request, context.version).await,
        Err(error) => error.code.code(),
    };
    if context.version < GROUPS {
        return OffsetFetchResponse {
            error_code: error,
            ..Default::default()
        };
    }
    let groups = request
        .groups
        .into_iter()
        .map(|group| OffsetFetchResponseGroup {
            group_id: group.group_id,
            error_code: error,
            ..Default::default()
        });
    OffsetFetchResponse {
        groups: groups.collect(),
        ..Default::default()
    }
}
