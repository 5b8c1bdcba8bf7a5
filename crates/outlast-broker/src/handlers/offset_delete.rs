//! OffsetDelete: forgets committed offsets of topics that nobody in the group reads.

use outlast_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};

use crate::dispatch::RequestContext;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: OffsetDeleteRequest,
) -> OffsetDeleteResponse {
    match context.broker.groups().await {
        Ok(groups) => groups.offset_delete(request).await,
        Err(error) => OffsetDeleteResponse {
            error_code: error.code.code(),
            ..Default::default()
        },
    }
}
