//! AddOffsetsToTxn: a transaction will commit offsets of a group.

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use crate::dispatch::RequestContext;
use crate::txn::Producer;

/// Before, PRODUCER_FENCED was not known.
const FIRST_VERSION_WITH_FENCED: i16 = 2;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: AddOffsetsToTxnRequest,
) -> AddOffsetsToTxnResponse {
    let code = match add(context, &request).await {
        Ok(()) => ErrorCode::None,
        Err(ErrorCode::ProducerFenced) if context.version < FIRST_VERSION_WITH_FENCED => {
            ErrorCode::InvalidProducerEpoch
        }
        Err(code) => code,
    };
    AddOffsetsToTxnResponse {
        error_code: code.code(),
        ..Default::default()
    }
}

async fn add(
    context: &RequestContext<'_>,
    request: &AddOffsetsToTxnRequest,
) -> Result<(), ErrorCode> {
    let transactions = context.broker.transactions().await;
    let transactions = transactions.map_err(|error| error.code)?;
    let producer = Producer::new(request.producer_id, request.producer_epoch);
    transactions
        .add_offsets(
            context.broker,
            &request.transactional_id,
            producer,
            &request.group_id,
        )
        .await
}
