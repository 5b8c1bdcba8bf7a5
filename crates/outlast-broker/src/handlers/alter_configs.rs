//! AlterConfigs, the older of the two: what it doesn't name goes back to its default.

use outlast_protocol::ErrorCode;
use outlast_protocol::messages::alter_configs::{AlterConfigsResourceResponse, AlterableConfig};
use outlast_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};

use crate::config_changes::{Alteration, Operation, alter_all};
use crate::dispatch::RequestContext;
use crate::error::ApiError;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: AlterConfigsRequest,
) -> AlterConfigsResponse {
    let alterations = request.resources.iter().map(|resource| Alteration {
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
        operations: resource.configs.iter().map(operation).collect(),
        replace: true,
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
    AlterConfigsResponse {
        responses: responses.collect(),
        ..Default::default()
    }
}

fn operation(config: &AlterableConfig) -> Result<(String, Operation), ApiError> {
    match &config.value {
        Some(value) => Ok((config.name.to_string(), Operation::Set(value.to_string()))),
        None => {
            let message = format!("{} has no value", config.name);
            Err(ApiError::new(ErrorCode::InvalidRequest, message))
        }
    }
}
