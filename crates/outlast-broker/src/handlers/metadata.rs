//! Metadata: brokers, topics and who leads their partitions; creates a missing topic when asked to.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use outlast_protocol::messages::metadata::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use outlast_protocol::messages::{MetadataRequest, MetadataResponse};
use outlast_protocol::{ErrorCode, Str};
use uuid::Uuid;

use crate::authorized_operations::{CLUSTER_OPERATIONS, TOPIC_OPERATIONS};
use crate::broker_config::NODE_ID;
use crate::dispatch::RequestContext;
use crate::topic_changes::auto_create;
use crate::topic_name;
use crate::topics::Topic;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: MetadataRequest,
) -> MetadataResponse {
    let named = request.topics.as_ref().map_or(0, Vec::len);
    if context.broker.topics.load().are_too_many_topics(named) {
        return MetadataResponse {
            error_code: ErrorCode::InvalidRequest.code(),
            ..cluster(context)
        };
    }
    let mut topics = match wanted(context.version, &request) {
        Wanted::All => all_topics(context),
        Wanted::Named(names) => {
            named_topics(context, &names, request.allow_auto_topic_creation).await
        }
        Wanted::Ids(ids) => ids.into_iter().map(|id| topic_by_id(context, id)).collect(),
        Wanted::Invalid => invalid(&request),
    };
    if request.include_topic_authorized_operations {
        for topic in topics.iter_mut().filter(|topic| topic.error_code == 0) {
            topic.topic_authorized_operations = TOPIC_OPERATIONS;
        }
    }
    let mut response = cluster(context);
    if request.include_cluster_authorized_operations && (8..=10).contains(&context.version) {
        response.cluster_authorized_operations = CLUSTER_OPERATIONS;
    }
    response.topics = topics;
    response
}

/// Each topic carries the error: before version 13 there is no other place for it.
fn invalid(request: &MetadataRequest) -> Vec<MetadataResponseTopic> {
    let topics = request.topics.as_deref().unwrap_or_default().iter();
    topics
        .map(|topic| MetadataResponseTopic {
            error_code: ErrorCode::InvalidRequest.code(),
            name: Some(topic.name.clone().unwrap_or_default()),
            topic_id: topic.topic_id,
            ..Default::default()
        })
        .collect()
}

enum Wanted {
    All,
    Named(BTreeSet<Str>),
    Ids(BTreeSet<Uuid>),
    Invalid,
}

/// Version 0 asks for all topics with an empty list, later ones with null. Ids work from version 12 on.
fn wanted(version: i16, request: &MetadataRequest) -> Wanted {
    let Some(topics) = &request.topics else {
        return Wanted::All;
    };
    if version == 0 && topics.is_empty() {
        return Wanted::All;
    }
    let ids: BTreeSet<Uuid> = topics
        .iter()
        .map(|t| t.topic_id)
        .filter(|id| !id.is_nil())
        .collect();
    if version < 12 && (!ids.is_empty() || topics.iter().any(|topic| topic.name.is_none())) {
        return Wanted::Invalid;
    }
    if !ids.is_empty() {
        return Wanted::Ids(ids);
    }
    Wanted::Named(
        topics
            .iter()
            .filter_map(|topic| topic.name.clone())
            .collect(),
    )
}

fn cluster(context: &RequestContext<'_>) -> MetadataResponse {
    let broker = context.broker;
    let advertised = &context.connection.advertised;
    MetadataResponse {
        brokers: vec![MetadataResponseBroker {
            node_id: NODE_ID,
            host: advertised.host.clone(),
            port: i32::from(advertised.port),
            rack: broker.config.rack.as_deref().map(Str::from),
        }],
        cluster_id: Some(broker.cluster_id.clone()),
        controller_id: NODE_ID,
        ..Default::default()
    }
}

fn all_topics(context: &RequestContext<'_>) -> Vec<MetadataResponseTopic> {
    let table = context.broker.topics.load();
    table.iter().map(known).collect()
}

async fn named_topics(
    context: &RequestContext<'_>,
    names: &BTreeSet<Str>,
    allow_creation: bool,
) -> Vec<MetadataResponseTopic> {
    let broker = context.broker;
    let missing: Vec<Str> = {
        let table = broker.topics.load();
        names
            .iter()
            .filter(|name| table.get(name).is_err())
            .cloned()
            .collect()
    };
    let create = allow_creation && broker.config.auto_create_topics_enable && !missing.is_empty();
    let failed = if create {
        auto_create(broker, missing).await
    } else {
        HashMap::new()
    };
    let table = broker.topics.load_full();
    names
        .iter()
        .map(|name| match table.get(name) {
            Ok(topic) => known(topic),
            Err(_) => {
                let code = match (failed.get(name), topic_name::validate(name)) {
                    (Some(code), _) => *code,
                    (None, Err(_)) => ErrorCode::InvalidTopicException,
                    (None, Ok(())) => ErrorCode::UnknownTopicOrPartition,
                };
                MetadataResponseTopic {
                    error_code: code.code(),
                    name: Some(name.clone()),
                    is_internal: topic_name::is_internal(name),
                    ..Default::default()
                }
            }
        })
        .collect()
}

fn topic_by_id(context: &RequestContext<'_>, id: Uuid) -> MetadataResponseTopic {
    match context.broker.topics.load().get_by_id(id) {
        Ok(topic) => known(topic),
        Err(error) => MetadataResponseTopic {
            error_code: error.code.code(),
            name: None,
            topic_id: id,
            ..Default::default()
        },
    }
}

fn known(topic: &Arc<Topic>) -> MetadataResponseTopic {
    MetadataResponseTopic {
        name: Some(topic.name.clone()),
        topic_id: topic.id,
        is_internal: topic.is_internal,
        partitions: topic
            .partitions()
            .iter()
            .map(|partition| MetadataResponsePartition {
                partition_index: partition.id.index,
                leader_id: NODE_ID,
                leader_epoch: partition.leader_epoch.0,
                replica_nodes: vec![NODE_ID],
                isr_nodes: vec![NODE_ID],
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}
