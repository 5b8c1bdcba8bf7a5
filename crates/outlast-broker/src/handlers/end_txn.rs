//! EndTxn: commits or aborts. From version 5 on the producer goes on with the epoch that the answer names (KIP-890).

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::{EndTxnRequest, EndTxnResponse};

use crate::dispatch::RequestContext;
use crate::txn::{Producer, TxnVersion};

/// Before, PRODUCER_FENCED was not known.
const FIRST_VERSION_WITH_FENCED: i16 = 2;
const FIRST_VERSION_THAT_BUMPS: i16 = 5;

pub(crate) async fn handle(context: &RequestContext<'_>, request: EndTxnRequest) -> EndTxnResponse {
    match end(context, &request).await {
        Ok(after) if context.version >= FIRST_VERSION_THAT_BUMPS => EndTxnResponse {
            producer_id: after.id.0,
            producer_epoch: after.epoch.0,
            ..Default::default()
        },
        Ok(_) => EndTxnResponse::default(),
        Err(ErrorCode::ProducerFenced) if context.version < FIRST_VERSION_WITH_FENCED => {
            error(ErrorCode::InvalidProducerEpoch)
        }
        Err(code) => error(code),
    }
}

async fn end(context: &RequestContext<'_>, request: &EndTxnRequest) -> Result<Producer, ErrorCode> {
    let transactions = context.broker.transactions().await;
    let transactions = transactions.map_err(|error| error.code)?;
    let version = match context.version {
        FIRST_VERSION_THAT_BUMPS.. => TxnVersion::V2,
        _ => TxnVersion::V0,
    };
    let producer = Producer::new(request.producer_id, request.producer_epoch);
    let id = &request.transactional_id;
    transactions
        .end_txn(context.broker, id, producer, request.committed, version)
        .await
}

fn error(code: ErrorCode) -> EndTxnResponse {
    EndTxnResponse {
        error_code: code.code(),
        ..Default::default()
    }
}
