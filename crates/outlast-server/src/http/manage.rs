//! Queues themselves: create and configure, look, list, delete, purge.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use outlast_protocol::ErrorCode;
use outlast_protocol::messages::create_partitions::CreatePartitionsTopic;
use outlast_protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig};
use outlast_protocol::messages::delete_topics::DeleteTopicState;
use outlast_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
};
use serde::{Deserialize, Serialize};

use super::api::{Api, Found, OWN_GROUPS};
use super::problem::{Kind, Problem};
use super::request::{Address, Payload, QueueRef, answer};
use super::settings::{self, Changes, OFFSET_RESET};

const TIMEOUT_MS: i32 = 30_000;
/// The number of partitions that the broker's own default stands for.
const DEFAULT_PARTITIONS: i32 = -1;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Put {
    partitions: Option<i32>,
    settings: BTreeMap<String, String>,
    reset: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Queue {
    queue: String,
    group: String,
    partitions: i32,
    dead_letter_topic: String,
    settings: BTreeMap<String, String>,
    changed_settings: Vec<String>,
}

/// PUT: makes a queue of that name be there, with these settings; those that aren't named stay as they are.
pub(crate) async fn put(
    State(api): State<Arc<Api>>,
    mut address: Address,
    payload: Payload,
) -> Result<Response, Problem> {
    let wanted = address.queue()?;
    address.finish()?;
    let put: Put = payload.json_or_default()?;
    if wanted.group.starts_with(OWN_GROUPS) {
        let detail = format!("groups whose names begin with {OWN_GROUPS} are the broker's own");
        return Err(Problem::field("group", detail));
    }
    let before = api.look_up(&wanted).await?;
    check_preconditions(&payload.headers, before.is_some())?;

    let mut changes = Changes::new(&put.settings, &put.reset)?;
    if before.is_none() {
        // Whoever makes a queue wants what was sent before the first worker came, too.
        changes.default_of_group(OFFSET_RESET, "earliest");
    }
    // Checked first, so that a refusal leaves nothing half done.
    settings::alter_group(&api.kafka, &wanted.group, changes.group.clone(), true).await?;
    let Changes { topic, group } = changes;
    match api.topic(&wanted.queue) {
        Some((_, partitions)) => {
            settings::alter_topic(&api.kafka, &wanted.queue, topic, false).await?;
            grow(&api, &wanted.queue, partitions, put.partitions).await?;
        }
        None => create_topic(&api, &wanted.queue, put.partitions, topic).await?,
    }
    settings::alter_group(&api.kafka, &wanted.group, group, false).await?;
    let (topic, partitions) = api
        .topic(&wanted.queue)
        .ok_or_else(|| Problem::new(Kind::Conflict, "the queue's topic was deleted meanwhile"))?;
    let found = Found {
        queue: wanted.queue,
        group: wanted.group,
        topic,
        partitions,
    };
    own_group(&api, &found.group).await?;
    let ids: Vec<_> = found.partition_ids().collect();
    api.queues().await?.initialize(&found.group, &ids).await?;
    let status = match before {
        None => StatusCode::CREATED,
        Some(_) => StatusCode::OK,
    };
    Ok(answer(status, &describe(&api, found).await?))
}

/// The queue's group is there for Kafka's clients, too, and nobody uses its name for something else.
async fn own_group(api: &Api, group: &str) -> Result<(), Problem> {
    let created = api.broker.create_share_group(group).await;
    created.map_err(|error| match error.code {
        ErrorCode::GroupIdNotFound => {
            let detail = error.message.unwrap_or_default();
            Problem::new(Kind::Conflict, detail)
        }
        _ => Problem::from(error),
    })
}

/// `If-None-Match: *`: only create. `If-Match: *`: only change.
fn check_preconditions(headers: &HeaderMap, exists: bool) -> Result<(), Problem> {
    let is_star = |name| headers.get(name).is_some_and(|value| value == "*");
    let failed = |detail| Err(Problem::new(Kind::PreconditionFailed, detail));
    if exists && is_star(header::IF_NONE_MATCH) {
        return failed("the queue exists already");
    }
    if !exists && is_star(header::IF_MATCH) {
        return failed("the queue does not exist");
    }
    Ok(())
}

async fn create_topic(
    api: &Api,
    name: &str,
    partitions: Option<i32>,
    configs: Vec<outlast_protocol::messages::incremental_alter_configs::AlterableConfig>,
) -> Result<(), Problem> {
    let set = configs.into_iter().filter(|config| config.value.is_some());
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: name.into(),
            num_partitions: partitions.unwrap_or(DEFAULT_PARTITIONS),
            replication_factor: -1,
            configs: set
                .map(|config| CreatableTopicConfig {
                    name: config.name,
                    value: config.value,
                })
                .collect(),
            ..Default::default()
        }],
        timeout_ms: TIMEOUT_MS,
        validate_only: false,
    };
    for result in api.kafka.call(5, &request).await?.topics {
        // Somebody else was faster; the queue is there, which is what was asked for.
        if result.error_code != ErrorCode::TopicAlreadyExists.code() {
            settings::check(result.error_code, result.error_message)?;
        }
    }
    Ok(())
}

async fn grow(api: &Api, name: &str, have: i32, want: Option<i32>) -> Result<(), Problem> {
    let Some(want) = want.filter(|want| *want != have) else {
        return Ok(());
    };
    if want < have {
        let detail = format!("the queue has {have} partitions already, and can only get more");
        return Err(Problem::field("partitions", detail));
    }
    let request = CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: name.into(),
            count: want,
            assignments: None,
        }],
        timeout_ms: TIMEOUT_MS,
        validate_only: false,
    };
    for result in api.kafka.call(3, &request).await?.results {
        settings::check(result.error_code, result.error_message)?;
    }
    Ok(())
}

pub(crate) async fn get(
    State(api): State<Arc<Api>>,
    mut address: Address,
) -> Result<Response, Problem> {
    let wanted = address.queue()?;
    address.finish()?;
    let found = api.find(wanted).await?;
    Ok(answer(StatusCode::OK, &describe(&api, found).await?))
}

async fn describe(api: &Api, found: Found) -> Result<Queue, Problem> {
    let settings = settings::read(&api.kafka, &found.queue, &found.group).await?;
    Ok(Queue {
        dead_letter_topic: settings.dead_letter_topic(&found.group),
        queue: found.queue,
        group: found.group,
        partitions: found.partitions,
        settings: settings.values,
        changed_settings: settings.changed.into_iter().collect(),
    })
}

#[derive(Debug, Serialize)]
struct List {
    queues: Vec<Listed>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    queue: String,
    group: String,
    partitions: usize,
    ready: u64,
    delayed: u64,
    in_flight: u64,
}

pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    mut address: Address,
) -> Result<Response, Problem> {
    let only = address.text("group")?;
    address.finish()?;
    // Without a group there is no queue; nothing has to be created to say so.
    let Some(coordinator) = api.broker.opened_queues() else {
        return Ok(answer(StatusCode::OK, &List { queues: Vec::new() }));
    };
    let mut listed: BTreeMap<(String, String), Listed> = BTreeMap::new();
    for group in coordinator.groups() {
        let is_wanted = only.as_deref().is_none_or(|only| only == &*group);
        if group.starts_with(OWN_GROUPS) || !is_wanted {
            continue;
        }
        for standing in coordinator.numbers(&group) {
            let Some(topic) = api.broker.topic_name(standing.partition.topic) else {
                continue;
            };
            let key = (topic.to_string(), group.to_string());
            let entry = listed
                .entry(key)
                .or_insert_with_key(|(queue, group)| Listed {
                    queue: queue.clone(),
                    group: group.clone(),
                    partitions: 0,
                    ready: 0,
                    delayed: 0,
                    in_flight: 0,
                });
            entry.partitions += 1;
            entry.ready += standing.numbers.ready;
            entry.delayed += standing.numbers.delayed;
            entry.in_flight += standing.numbers.in_flight;
        }
    }
    let queues = listed.into_values().collect();
    Ok(answer(StatusCode::OK, &List { queues }))
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Deleted {
    queue: String,
    group: String,
    topic_deleted: bool,
}

/// The group's state goes, and with its last queue its settings, so that a new queue of that name is new. The topic goes
/// with the last queue on it, unless it is to be kept.
pub(crate) async fn delete(
    State(api): State<Arc<Api>>,
    mut address: Address,
) -> Result<Response, Problem> {
    let wanted = address.queue()?;
    let keep_topic = address.flag("keepTopic")?;
    address.finish()?;
    let found = api.find(wanted).await?;
    let members = api.broker.share_group_members(&found.group, found.topic);
    match members.await {
        0 => {}
        members => {
            let detail = format!(
                "{members} members of share group {} work on the queue; stop them first",
                found.group
            );
            return Err(Problem::new(Kind::Conflict, detail));
        }
    }
    let coordinator = api.queues().await?;
    let is_on_topic = |group: &str| {
        let partitions = coordinator.partitions(group).unwrap_or_default();
        partitions.iter().any(|id| id.topic == found.topic)
    };
    let is_shared = coordinator
        .groups()
        .iter()
        .any(|group| **group != *found.group && is_on_topic(group));
    coordinator
        .delete_offsets(&found.group, &[found.topic])
        .await?;
    if coordinator.partitions(&found.group)?.is_empty() {
        settings::forget_group(&api.kafka, &found.group).await?;
        match api.broker.delete_share_group(&found.group).await {
            Ok(()) => {}
            // Members who wait for other topics.
            Err(error) if error.code == ErrorCode::NonEmptyGroup => {}
            // It has lost its queues before.
            Err(error) if error.code == ErrorCode::GroupIdNotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    api.rates.forget(&found.group, found.topic);
    let topic_deleted = !keep_topic && !is_shared;
    if topic_deleted {
        delete_topic(&api, &found.queue).await?;
    }
    let deleted = Deleted {
        queue: found.queue,
        group: found.group,
        topic_deleted,
    };
    Ok(answer(StatusCode::OK, &deleted))
}

async fn delete_topic(api: &Api, name: &str) -> Result<(), Problem> {
    let request = DeleteTopicsRequest {
        topics: vec![DeleteTopicState {
            name: Some(name.into()),
            ..Default::default()
        }],
        timeout_ms: TIMEOUT_MS,
        ..Default::default()
    };
    for result in api.kafka.call(6, &request).await?.responses {
        settings::check(result.error_code, result.error_message)?;
    }
    Ok(())
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Purge {
    dry_run: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Purged {
    messages: u64,
    dry_run: bool,
}

/// Drops what no worker holds. A dry run counts it.
pub(crate) async fn purge(
    State(api): State<Arc<Api>>,
    mut address: Address,
    payload: Payload,
) -> Result<Response, Problem> {
    let wanted: QueueRef = address.queue()?;
    address.finish()?;
    let Purge { dry_run } = payload.json_or_default()?;
    let found = api.find(wanted).await?;
    let coordinator = api.queues().await?;
    let mut messages = 0;
    if dry_run {
        let standings = coordinator.numbers(&found.group).into_iter();
        let of_queue = standings.filter(|standing| standing.partition.topic == found.topic);
        messages = of_queue
            .map(|standing| standing.numbers.ready + standing.numbers.delayed)
            .sum();
    } else {
        for partition in found.partition_ids() {
            messages += coordinator.purge(&found.group, partition).await?;
        }
    }
    Ok(answer(StatusCode::OK, &Purged { messages, dry_run }))
}
