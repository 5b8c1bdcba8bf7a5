//! FindCoordinator: which broker coordinates a group or a transactional id. The first group brings `__consumer_offsets` into
//! being, the first transactional id `__transaction_state`.

use outlast_protocol::messages::find_coordinator::Coordinator;
use outlast_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use outlast_protocol::{ErrorCode, Str};

use crate::broker_config::NODE_ID;
use crate::dispatch::RequestContext;
use crate::error::ApiError;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let found = find(context, request.key_type).await;
    if context.version >= 4 {
        let coordinators = request
            .coordinator_keys
            .into_iter()
            .map(|key| coordinator(context, key, &found))
            .collect();
        return FindCoordinatorResponse {
            coordinators,
            ..Default::default()
        };
    }
    let only = coordinator(context, request.key, &found);
    FindCoordinatorResponse {
        error_code: only.error_code,
        error_message: only.error_message,
        node_id: only.node_id,
        host: only.host,
        port: only.port,
        ..Default::default()
    }
}

async fn find(context: &RequestContext<'_>, key_type: i8) -> Result<(), ApiError> {
    match key_type {
        GROUP => context.broker.groups().await.map(|_| ()),
        TRANSACTION => context.broker.transactions().await.map(|_| ()),
        other => Err(ApiError::new(
            ErrorCode::InvalidRequest,
            format!("coordinators of type {other} are not known here"),
        )),
    }
}

fn coordinator(
    context: &RequestContext<'_>,
    key: Str,
    found: &Result<(), ApiError>,
) -> Coordinator {
    match found {
        Ok(()) => Coordinator {
            key,
            node_id: NODE_ID,
            host: context.connection.advertised.host.clone(),
            port: i32::from(context.connection.advertised.port),
            ..Default::default()
        },
        Err(error) => Coordinator {
            key,
            node_id: -1,
            port: -1,
            error_code: error.code.code(),
            error_message: error.text(),
            ..Default::default()
        },
    }
}
