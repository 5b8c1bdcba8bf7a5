//! Fetch: reads record batches, waiting for them if need be, within an incremental session if the client wants one.

use std::time::Duration;

use outlast_protocol::messages::fetch::NodeEndpoint;
use outlast_protocol::messages::{FetchRequest, FetchResponse};
use outlast_protocol::{ErrorCode, Str};

use crate::broker_config::NODE_ID;
use crate::dispatch::RequestContext;
use crate::fetch::{FetchSessions, FetchSet, Limits, SessionTicket};

/// Topics are named by id from this version on.
const TOPIC_IDS: i16 = 13;
const READ_COMMITTED: i8 = 1;

enum Session {
    /// The request names all its partitions; `keep` them for a new session.
    Full {
        keep: bool,
    },
    Incremental(SessionTicket),
}

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    mut request: FetchRequest,
) -> FetchResponse {
    let (mut set, session) = match open(context, &mut request) {
        Ok(opened) => opened,
        Err(code) => {
            return FetchResponse {
                error_code: code.code(),
                ..Default::default()
            };
        }
    };
    set.set_read_committed(request.isolation_level == READ_COMMITTED);
    let closing = context.broker.closing.subscribe();
    set.poll(limits(context, &request), closing).await;

    let full = matches!(session, Session::Full { .. });
    let responses = set.take_responses(full);
    let session_id = match session {
        Session::Full { keep: false } => 0,
        Session::Full { keep: true } => sessions(context).create(set, &context.broker.random),
        Session::Incremental(ticket) => sessions(context).give_back(ticket, set),
    };
    let mut response = FetchResponse {
        session_id,
        responses,
        ..Default::default()
    };
    if context.version >= 16 && has_leader_hint(&response) {
        response.node_endpoints = vec![endpoint(context)];
    }
    response
}

/// The partitions to read, and what becomes of them afterwards.
fn open(
    context: &RequestContext<'_>,
    request: &mut FetchRequest,
) -> Result<(FetchSet, Session), ErrorCode> {
    let table = context.broker.topics.load_full();
    let by_topic_id = context.version >= TOPIC_IDS;
    let topics = std::mem::take(&mut request.topics);
    let named = topics.iter().map(|topic| topic.partitions.len()).sum();
    if table.are_too_many_partitions(named) {
        return Err(ErrorCode::InvalidRequest);
    }
    if FetchSessions::is_full(request.session_epoch) {
        if request.session_id != 0 {
            sessions(context).close(request.session_id);
        }
        let mut set = FetchSet::new(by_topic_id, table);
        set.update(topics, &[]);
        let keep = FetchSessions::wants_session(request.session_epoch);
        return Ok((set, Session::Full { keep }));
    }
    let (mut set, ticket) =
        sessions(context).take(request.session_id, request.session_epoch, by_topic_id)?;
    set.resolve(&table);
    set.update(topics, &request.forgotten_topics_data);
    set.collect_news();
    if set.is_empty() {
        // The session ends with its last partition.
        return Ok((set, Session::Full { keep: false }));
    }
    Ok((set, Session::Incremental(ticket)))
}

fn sessions<'a>(context: &'a RequestContext<'_>) -> &'a FetchSessions {
    &context.broker.fetch_sessions
}

fn limits(context: &RequestContext<'_>, request: &FetchRequest) -> Limits {
    let size = |value: i32| usize::try_from(value).unwrap_or(0);
    let max_bytes = size(request.max_bytes).min(context.broker.config.fetch_max_bytes);
    Limits {
        min_bytes: size(request.min_bytes).min(max_bytes),
        max_bytes,
        max_wait: Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)),
    }
}

fn has_leader_hint(response: &FetchResponse) -> bool {
    response
        .responses
        .iter()
        .flat_map(|topic| &topic.partitions)
        .any(|partition| partition.current_leader.leader_id >= 0)
}

fn endpoint(context: &RequestContext<'_>) -> NodeEndpoint {
    let advertised = &context.connection.advertised;
    NodeEndpoint {
        node_id: NODE_ID,
        host: advertised.host.clone(),
        port: i32::from(advertised.port),
        rack: context.broker.config.rack.as_deref().map(Str::from),
    }
}
