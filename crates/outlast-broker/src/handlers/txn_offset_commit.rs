//! TxnOffsetCommit: how far a group has read, if the producer's transaction commits.

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};

use crate::dispatch::RequestContext;
use crate::group::txn_commit_error;
use crate::txn::TxnVersion;

/// From this version on the request brings the group into the transaction (KIP-890).
const FIRST_VERSION_THAT_JOINS: i16 = 5;
/// Before, PRODUCER_FENCED was not known.
const FIRST_VERSION_WITH_FENCED: i16 = 2;
/// Before, TRANSACTION_ABORTABLE was not known.
const FIRST_VERSION_WITH_ABORTABLE: i16 = 4;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: TxnOffsetCommitRequest,
) -> TxnOffsetCommitResponse {
    let code = match commit(context, &request).await {
        Ok(response) => return response,
        Err(code) => code,
    };
    let seen = match code {
        ErrorCode::ProducerFenced if context.version < FIRST_VERSION_WITH_FENCED => {
            ErrorCode::InvalidProducerEpoch
        }
        ErrorCode::TransactionAbortable if context.version < FIRST_VERSION_WITH_ABORTABLE => {
            ErrorCode::InvalidTxnState
        }
        // Clients from before the second protocol don't expect it here.
        ErrorCode::ConcurrentTransactions if context.version < FIRST_VERSION_THAT_JOINS => {
            ErrorCode::CoordinatorLoadInProgress
        }
        other => other,
    };
    txn_commit_error(&request, seen)
}

async fn commit(
    context: &RequestContext<'_>,
    request: &TxnOffsetCommitRequest,
) -> Result<TxnOffsetCommitResponse, ErrorCode> {
    let transactions = context.broker.transactions().await;
    let transactions = transactions.map_err(|error| error.code)?;
    let version = match context.version {
        FIRST_VERSION_THAT_JOINS.. => TxnVersion::V2,
        _ => TxnVersion::V0,
    };
    transactions
        .txn_offset_commit(context.broker, request, version)
        .await
}
