//! CreateTopics: plans each topic on the image, and makes all that are good in one change.

use std::collections::HashSet;

use outlast_protocol::messages::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult,
};
use outlast_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};
use outlast_protocol::{ErrorCode, Str};

use crate::broker_config::MAX_PARTITIONS;
use crate::config_values::TopicValues;
use crate::dispatch::RequestContext;
use crate::error::ApiError;
use crate::metadata::MetadataImage;
use crate::topic_changes::{PlannedTopic, plan_topic};

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    if partitions_asked(&request) > i64::from(MAX_PARTITIONS) {
        let message = format!("one request may create at most {MAX_PARTITIONS} partitions");
        return all_failed(
            &names(&request),
            &ApiError::new(ErrorCode::PolicyViolation, message),
        );
    }
    let names = names(&request);
    let broker = context.broker.clone();
    let changed = context.broker.change(move |before| {
        let mut image = before.clone();
        let (mut records, mut results) = (Vec::new(), Vec::new());
        let repeated = repeated(&request.topics);
        for name in &repeated {
            let message = format!("topic {name} is in the request more than once");
            results.push(failed(
                name,
                &ApiError::new(ErrorCode::InvalidRequest, message),
            ));
        }
        for topic in request
            .topics
            .iter()
            .filter(|topic| !repeated.contains(&topic.name))
        {
            match plan_topic(&image, &broker.config, broker.random.uuid(), topic) {
                Ok(planned) => {
                    results.push(created(&image, &broker.config, &topic.name, &planned));
                    planned
                        .records
                        .iter()
                        .for_each(|record| image.apply(record));
                    records.extend(planned.records);
                }
                Err(error) => results.push(failed(&topic.name, &error)),
            }
        }
        if request.validate_only {
            records.clear();
            results
                .iter_mut()
                .for_each(|result| result.topic_id = uuid::Uuid::nil());
        }
        (records, results)
    });
    match changed.await {
        Ok(topics) => CreateTopicsResponse {
            topics,
            ..Default::default()
        },
        Err(error) => all_failed(&names, &error),
    }
}

fn names(request: &CreateTopicsRequest) -> Vec<Str> {
    request
        .topics
        .iter()
        .map(|topic| topic.name.clone())
        .collect()
}

fn partitions_asked(request: &CreateTopicsRequest) -> i64 {
    let count = |topic: &CreatableTopic| {
        i64::from(topic.num_partitions.max(0)) + topic.assignments.len() as i64
    };
    request.topics.iter().map(count).sum()
}

fn repeated(topics: &[CreatableTopic]) -> HashSet<Str> {
    let mut seen = HashSet::new();
    topics
        .iter()
        .map(|topic| topic.name.clone())
        .filter(|name| !seen.insert(name.clone()))
        .collect()
}

fn created(
    image: &MetadataImage,
    config: &crate::BrokerConfig,
    name: &Str,
    planned: &PlannedTopic,
) -> CreatableTopicResult {
    let values = TopicValues::new(image, config, &planned.config);
    let configs = crate::topic_config::DEFINITIONS.iter().map(|definition| {
        let (value, source) = values.effective(definition);
        CreatableTopicConfigs {
            name: Str::from_static(definition.name),
            value: Some(value.into()),
            config_source: source.code(),
            ..Default::default()
        }
    });
    CreatableTopicResult {
        name: name.clone(),
        topic_id: planned.id,
        num_partitions: planned.partitions,
        replication_factor: 1,
        configs: Some(configs.collect()),
        ..Default::default()
    }
}

fn failed(name: &Str, error: &ApiError) -> CreatableTopicResult {
    CreatableTopicResult {
        name: name.clone(),
        error_code: error.code.code(),
        error_message: error.text(),
        configs: Some(Vec::new()),
        ..Default::default()
    }
}

fn all_failed(names: &[Str], error: &ApiError) -> CreateTopicsResponse {
    let topics = names.iter().map(|name| failed(name, error)).collect();
    CreateTopicsResponse {
        topics,
        ..Default::default()
    }
}
