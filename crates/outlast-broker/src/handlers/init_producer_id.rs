//! InitProducerId: an id for an idempotent producer; for a transactional one, an epoch of the id that its transactional id has.

use outlast_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};
use outlast_protocol::{ErrorCode, Str};

use crate::dispatch::RequestContext;
use crate::error::ApiError;
use crate::txn::{Init, Producer};

/// Before, PRODUCER_FENCED was not known.
const FIRST_VERSION_WITH_FENCED: i16 = 4;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    if (request.producer_id < 0) != (request.producer_epoch < 0) {
        return error(ErrorCode::InvalidRequest);
    }
    let started = match &request.transactional_id {
        Some(id) => transactional(context, id, &request).await,
        None => match context.broker.producer_ids.next(context.broker).await {
            Ok(id) => Ok(Producer::new(id.0, 0)),
            Err(failure) => Err(failure.code),
        },
    };
    match started {
        Ok(producer) => InitProducerIdResponse {
            producer_id: producer.id.0,
            producer_epoch: producer.epoch.0,
            ..Default::default()
        },
        Err(ErrorCode::ProducerFenced) if context.version < FIRST_VERSION_WITH_FENCED => {
            error(ErrorCode::InvalidProducerEpoch)
        }
        Err(code) => error(code),
    }
}

async fn transactional(
    context: &RequestContext<'_>,
    id: &Str,
    request: &InitProducerIdRequest,
) -> Result<Producer, ErrorCode> {
    let expected = Producer::new(request.producer_id, request.producer_epoch);
    let init = Init {
        id: id.clone(),
        timeout_ms: request.transaction_timeout_ms,
        expected: (request.producer_id >= 0).then_some(expected),
    };
    let transactions = context.broker.transactions().await;
    let transactions = transactions.map_err(|ApiError { code, .. }| code)?;
    transactions.init(context.broker, &init).await
}

fn error(code: ErrorCode) -> InitProducerIdResponse {
    InitProducerIdResponse {
        error_code: code.code(),
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    }
}
