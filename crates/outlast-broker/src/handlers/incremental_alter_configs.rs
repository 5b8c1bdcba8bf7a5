//! IncrementalAlterConfigs: sets, deletes, appends to or subtracts from single values (KIP-339).

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig,
};
use outlast_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};

use crate::config_changes::{Alteration, Operation, plan_alteration};
use crate::dispatch::RequestContext;
use crate::error::ApiError;
use crate::handlers::alter_configs::{repeated_error, repeated_resources};

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
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
    IncrementalAlterConfigsResponse {
        responses: responses.collect(),
        ..Default::default()
    }
}

fn alteration(resource: &AlterConfigsResource) -> Result<Alteration<'_>, ApiError> {
    let operations = resource
        .configs
        .iter()
        .map(|config| Ok((config.name.to_string(), operation(config)?)));
    Ok(Alteration {
        resource_type: resource.resource_type,
        resource_name: &resource.resource_name,
        operations: operations.collect::<Result<_, ApiError>>()?,
        replace: false,
    })
}

fn operation(config: &AlterableConfig) -> Result<Operation, ApiError> {
    let value = || {
        config.value.as_deref().map(str::to_owned).ok_or_else(|| {
            let message = format!("{} has no value", config.name);
            ApiError::new(ErrorCode::InvalidRequest, message)
        })
    };
    match config.config_operation {
        0 => Ok(Operation::Set(value()?)),
        1 => Ok(Operation::Delete),
        2 => Ok(Operation::Append(value()?)),
        3 => Ok(Operation::Subtract(value()?)),
        other => {
            let message = format!("operation {other} on {} is not known", config.name);
            Err(ApiError::new(ErrorCode::InvalidRequest, message))
        }
    }
}
