//! FindCoordinator: which broker coordinates a group, a transactional id or a share group's queue. The first of its kind
//! brings the coordinator's topic into being.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use outlast_protocol::messages::find_coordinator::Coordinator;
use outlast_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use outlast_protocol::{ErrorCode, Str};

use crate::broker_config::NODE_ID;
use crate::dispatch::RequestContext;
use crate::error::ApiError;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
/// From version 6 on. Kafka's brokers ask for it, no consumer does.
const SHARE: i8 = 2;
const FIRST_VERSION_WITH_SHARE: i16 = 6;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let found = find(context, request.key_type).await;
    if context.version >= 4 {
        let is_share = request.key_type == SHARE;
        let coordinators = request.coordinator_keys.into_iter().map(|key| {
            if is_share && found.is_ok() && !is_queue_name(&key) {
                let message = "the key of a queue is group:topic id:partition";
                let error = ApiError::new(ErrorCode::InvalidRequest, message);
                return coordinator(context, key, &Err(error));
            }
            coordinator(context, key, &found)
        });
        let coordinators = coordinators.collect();
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
        SHARE if context.version >= FIRST_VERSION_WITH_SHARE => {
            context.broker.queues().await.map(|_| ())
        }
        other => Err(ApiError::new(
            ErrorCode::InvalidRequest,
            format!("coordinators of type {other} are not known here"),
        )),
    }
}

/// `group:topic id:partition`; a group's name may have colons itself.
fn is_queue_name(key: &str) -> bool {
    let mut parts = key.rsplitn(3, ':');
    let (partition, topic, group) = (parts.next(), parts.next(), parts.next());
    let is_id = |text: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(text);
        bytes.is_ok_and(|bytes| bytes.len() == 16)
    };
    partition.is_some_and(|partition| partition.parse::<u32>().is_ok())
        && topic.is_some_and(is_id)
        && group.is_some_and(|group| !group.is_empty())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_names() {
        for (key, expect) in [
            ("g:AAAAAAAAAAAAAAAAAAAAAQ:0", true),
            ("a:b:AAAAAAAAAAAAAAAAAAAAAQ:7", true),
            (":AAAAAAAAAAAAAAAAAAAAAQ:0", false),
            ("g:AAAAAAAAAAAAAAAAAAAAAQ:-1", false),
            ("g:topic:0", false),
            ("g", false),
            ("", false),
        ] {
            assert_eq!(is_queue_name(key), expect, "{key}");
        }
    }
}
