//! IncrementalAlterConfigs: sets, deletes, appends to or subtracts from single values (KIP-339).

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::incremental_alter_configs::{
    AlterConfigsResourceResponse, AlterableConfig,
};
use outlast_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};

use crate::config_changes::{Alteration, Operation, alter_all};
use crate::dispatch::RequestContext;
use crate::error::ApiError;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let alterations = request.resources.iter().map(|resource| Alteration {
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
        operations: resource
            .configs
            .iter()
            .map(|config| Ok((config.name.to_string(), operation(config)?)))
            .collect(),
        replace: false,
    });
    let results = alter_all(context.broker, alterations.collect(), request.validate_only).await;
    let responses = request
        .resources
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
