//! DescribeTransactions: the state of transactional ids (KIP-664).

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::describe_transactions::TransactionState;
use outlast_protocol::messages::{DescribeTransactionsRequest, DescribeTransactionsResponse};

use crate::dispatch::RequestContext;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: DescribeTransactionsRequest,
) -> DescribeTransactionsResponse {
    // Asking brings nothing into being.
    let transactions = context.broker.opened_transactions();
    let describe = |id| match transactions {
        Some(transactions) => transactions.describe(&id),
        None => TransactionState {
            error_code: ErrorCode::TransactionalIdNotFound.code(),
            transactional_id: id,
            ..Default::default()
        },
    };
    DescribeTransactionsResponse {
        transaction_states: request
            .transactional_ids
            .into_iter()
            .map(describe)
            .collect(),
        ..Default::default()
    }
}
