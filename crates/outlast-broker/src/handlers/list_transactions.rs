//! ListTransactions: by state, producer, how long they run, and by a pattern of the id (KIP-664, KIP-994, KIP-1152).

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::{ListTransactionsRequest, ListTransactionsResponse};
use outlast_records::ProducerId;
use regex::Regex;

use crate::dispatch::RequestContext;
use crate::txn::{Filters, TxnState};

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: ListTransactionsRequest,
) -> ListTransactionsResponse {
    let Ok(pattern) = pattern(&request) else {
        return ListTransactionsResponse {
            error_code: ErrorCode::InvalidRegularExpression.code(),
            ..Default::default()
        };
    };
    let (mut states, mut unknown) = (Vec::new(), Vec::new());
    for name in &request.state_filters {
        match TxnState::by_name(name) {
            Some(state) => states.push(state),
            None => unknown.push(name.clone()),
        }
    }
    let filters = Filters {
        states: (!request.state_filters.is_empty()).then_some(states),
        producers: request
            .producer_id_filters
            .iter()
            .map(|id| ProducerId(*id))
            .collect(),
        longer_than_ms: Some(request.duration_filter).filter(|ms| *ms >= 0),
    };
    let matches = |id: &str| pattern.as_ref().is_none_or(|pattern| pattern.is_match(id));
    let listed = match context.broker.opened_transactions() {
        Some(transactions) => transactions.list(context.broker, &filters, matches),
        None => Ok(Vec::new()),
    };
    match listed {
        Ok(transaction_states) => ListTransactionsResponse {
            unknown_state_filters: unknown,
            transaction_states,
            ..Default::default()
        },
        Err(code) => ListTransactionsResponse {
            error_code: code.code(),
            ..Default::default()
        },
    }
}

/// A pattern stands for the whole id.
fn pattern(request: &ListTransactionsRequest) -> Result<Option<Regex>, regex::Error> {
    match request.transactional_id_pattern.as_deref() {
        None | Some("") => Ok(None),
        Some(pattern) => Regex::new(&format!("^(?:{pattern})$")).map(Some),
    }
}
