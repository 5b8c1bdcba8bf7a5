//! AlterConfigs, the older of the two: what it doesn't name goes back to its default.

use std::collections::HashSet;

use outlast_protocol::messages::alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse,
};
use outlast_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};
use outlast_protocol::{ErrorCode, Str};

use crate::config_changes::{Alteration, Operation, plan_alteration};
use crate::dispatch::RequestContext;
use crate::error::ApiError;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: AlterConfigsRequest,
) -> AlterConfigsResponse {
    let config = context.broker.config.clone();
    let resources = request.resources.clone();
    let changed = context.broker.change(move |before| {
        let keys = request
            .resources
            .iter()
            .map(|r| (r.resource_type, r.resource_name.clone()));
        let repeated = repeated_resources(keys);
        let mut image = before.clone();
        let (mut records, mut results) = (Vec::new(), Vec::new());
        for resource in &request.resources {
            let planned =
                if repeated.contains(&(resource.resource_type, resource.resource_name.clone())) {
                    Err(repeated_error())
                } else {
                    alteration(resource)
                        .and_then(|alteration| plan_alteration(&image, &config, &alteration))
                };
            results.push(planned.map(|planned| {
                planned.iter().for_each(|record| image.apply(record));
                records.extend(planned);
            }));
        }
        if request.validate_only {
            records.clear();
        }
        (records, results)
    });
    let results = match changed.await {
        Ok(results) => results,
        Err(error) => vec![Err(error); resources.len()],
    };
    let responses = resources
        .into_iter()
        .zip(results)
        .map(|(resource, result)| {
            let error = result.err();
            AlterConfigsResourceResponse {
                error_code: error.as_ref().map_or(0, |error| error.code.code()),
                error_message: error.and_then(|error| error.text()),
                resource_type: resource.resource_type,
                resource_name: resource.resource_name,
            }
        });
    AlterConfigsResponse {
        responses: responses.collect(),
        ..Default::default()
    }
}

fn alteration(resource: &AlterConfigsResource) -> Result<Alteration<'_>, ApiError> {
    let operations = resource.configs.iter().map(|config| match &config.value {
        Some(value) => Ok((config.name.to_string(), Operation::Set(value.to_string()))),
        None => {
            let message = format!("{} has no value", config.name);
            Err(ApiError::new(ErrorCode::InvalidRequest, message))
        }
    });
    Ok(Alteration {
        resource_type: resource.resource_type,
        resource_name: &resource.resource_name,
        operations: operations.collect::<Result<_, ApiError>>()?,
        replace: true,
    })
}

/// The resources that a request names more than once: none of them is altered.
pub(crate) fn repeated_resources(resources: impl Iterator<Item = (i8, Str)>) -> HashSet<(i8, Str)> {
    let mut seen = HashSet::new();
    resources
        .filter(|resource| !seen.insert(resource.clone()))
        .collect()
}

pub(crate) fn repeated_error() -> ApiError {
    ApiError::new(
        ErrorCode::InvalidRequest,
        "the resource is in the request more than once",
    )
}
