//! CreatePartitions: makes topics grow.

use std::collections::HashMap;

use outlast_protocol::messages::create_partitions::CreatePartitionsTopicResult;
use outlast_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};
use outlast_protocol::{ErrorCode, Str};

use crate::dispatch::RequestContext;
use crate::error::ApiError;
use crate::topic_changes::plan_growth;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let names: Vec<Str> = request
        .topics
        .iter()
        .map(|topic| topic.name.clone())
        .collect();
    let changed = context.broker.change(move |image| {
        let (mut records, mut results) = (Vec::new(), Vec::new());
        let mut times: HashMap<&Str, usize> = HashMap::new();
        for topic in &request.topics {
            *times.entry(&topic.name).or_default() += 1;
        }
        for topic in &request.topics {
            let planned = if times[&topic.name] > 1 {
                Err(ApiError::new(
                    ErrorCode::InvalidRequest,
                    "the topic is in the request more than once",
                ))
            } else {
                plan_growth(image, topic)
            };
            let result = planned.map(|growth| records.extend(growth));
            results.push(answer(topic.name.clone(), result));
        }
        if request.validate_only {
            records.clear();
        }
        (records, results)
    });
    let results = match changed.await {
        Ok(results) => results,
        Err(error) => names
            .into_iter()
            .map(|name| answer(name, Err(error.clone())))
            .collect(),
    };
    CreatePartitionsResponse {
        results,
        ..Default::default()
    }
}

fn answer(name: Str, result: Result<(), ApiError>) -> CreatePartitionsTopicResult {
    match result {
        Ok(()) => CreatePartitionsTopicResult {
            name,
            ..Default::default()
        },
        Err(error) => CreatePartitionsTopicResult {
            name,
            error_code: error.code.code(),
            error_message: error.text(),
        },
    }
}
