//! DeleteTopics: by name, or from version 6 on also by id.

use std::collections::HashMap;
use std::sync::Arc;

use outlast_protocol::messages::delete_topics::{DeletableTopicResult, DeleteTopicState};
use outlast_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse};
use outlast_protocol::{ErrorCode, Str};
use uuid::Uuid;

use crate::dispatch::RequestContext;
use crate::error::ApiError;
use crate::metadata::{MetadataImage, TopicImage};
use crate::topic_changes::plan_removal;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let asked: Vec<DeleteTopicState> = if context.version >= 6 {
        request.topics
    } else {
        let by_name = |name| DeleteTopicState {
            name: Some(name),
            topic_id: Uuid::nil(),
        };
        request.topic_names.into_iter().map(by_name).collect()
    };
    let config = context.broker.config.clone();
    let named = asked.clone();
    let changed = context.broker.change(move |before| {
        let mut image = before.clone();
        let (mut records, mut responses) = (Vec::new(), Vec::new());
        let mut times: HashMap<(&Option<Str>, Uuid), usize> = HashMap::new();
        for topic in &named {
            *times.entry((&topic.name, topic.topic_id)).or_default() += 1;
        }
        for topic in &named {
            let planned = if times[&(&topic.name, topic.topic_id)] > 1 {
                Err(ApiError::new(
                    ErrorCode::InvalidRequest,
                    "the topic is in the request more than once",
                ))
            } else {
                find(&image, topic)
                    .and_then(|found| Ok((found.clone(), plan_removal(&config, &found)?)))
            };
            match planned {
                Ok((found, removal)) => {
                    removal.iter().for_each(|record| image.apply(record));
                    records.extend(removal);
                    responses.push(DeletableTopicResult {
                        name: Some(Str::from(&*found.name)),
                        topic_id: found.id,
                        ..Default::default()
                    });
                }
                Err(error) => responses.push(failed(topic, &error)),
            }
        }
        (records, responses)
    });
    let responses = match changed.await {
        Ok(responses) => responses,
        Err(error) => asked.iter().map(|topic| failed(topic, &error)).collect(),
    };
    DeleteTopicsResponse {
        responses,
        ..Default::default()
    }
}

fn find(image: &MetadataImage, asked: &DeleteTopicState) -> Result<Arc<TopicImage>, ApiError> {
    let invalid = |message| Err(ApiError::new(ErrorCode::InvalidRequest, message));
    match (&asked.name, asked.topic_id) {
        (Some(name), id) if id.is_nil() => image
            .topic(name)
            .cloned()
            .ok_or_else(|| ErrorCode::UnknownTopicOrPartition.into()),
        (Some(_), _) => invalid("name the topic or its id, not both"),
        (None, id) if id.is_nil() => invalid("neither the topic's name nor its id is given"),
        (None, id) => image
            .topic_by_id(id)
            .cloned()
            .ok_or_else(|| ErrorCode::UnknownTopicId.into()),
    }
}

fn failed(asked: &DeleteTopicState, error: &ApiError) -> DeletableTopicResult {
    DeletableTopicResult {
        name: asked.name.clone(),
        topic_id: asked.topic_id,
        error_code: error.code.code(),
        error_message: error.text(),
    }
}
