//! InitProducerId: an id for an idempotent producer.

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};

use crate::dispatch::RequestContext;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    if request.transactional_id.is_some() {
        // Transactions come with a later release; FindCoordinator, which comes first, says so in words.
        return error(ErrorCode::TransactionalIdAuthorizationFailed);
    }
    if (request.producer_id < 0) != (request.producer_epoch < 0) {
        return error(ErrorCode::InvalidRequest);
    }
    match context.broker.producer_ids.next(context.broker).await {
        Ok(id) => InitProducerIdResponse {
            producer_id: id.0,
            ..Default::default()
        },
        Err(failure) => error(failure.code),
    }
}

fn error(code: ErrorCode) -> InitProducerIdResponse {
    InitProducerIdResponse {
        error_code: code.code(),
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    }
}
