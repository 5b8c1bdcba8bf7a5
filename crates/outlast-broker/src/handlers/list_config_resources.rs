//! ListConfigResources: what has a configuration that DescribeConfigs shows (KIP-1142). Version 0, then called
//! ListClientMetricsResources, asks for client metrics only, of which there are none.

use outlast_protocol::messages::list_config_resources::ConfigResource;
use outlast_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use outlast_protocol::{ErrorCode, Str};

use crate::broker_config::NODE_ID;
use crate::config_changes::{BROKER, GROUP, TOPIC};
use crate::dispatch::RequestContext;

const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: ListConfigResourcesRequest,
) -> ListConfigResourcesResponse {
    let supported: &[i8] = if context.version == 0 {
        &[CLIENT_METRICS]
    } else {
        &[TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP]
    };
    let asked = if request.resource_types.is_empty() {
        supported
    } else {
        &request.resource_types
    };
    if asked
        .iter()
        .any(|resource_type| !supported.contains(resource_type))
    {
        return ListConfigResourcesResponse {
            error_code: ErrorCode::UnsupportedVersion.code(),
            ..Default::default()
        };
    }
    let mut config_resources = Vec::new();
    if asked.contains(&BROKER) {
        config_resources.push(ConfigResource {
            resource_name: NODE_ID.to_string().into(),
            resource_type: BROKER,
        });
    }
    if asked.contains(&TOPIC) {
        let image = context.broker.metadata.image();
        config_resources.extend(image.topics().map(|topic| ConfigResource {
            resource_name: Str::from(&*topic.name),
            resource_type: TOPIC,
        }));
    }
    if asked.contains(&GROUP) {
        let image = context.broker.metadata.image();
        config_resources.extend(image.group_configs().keys().map(|group| ConfigResource {
            resource_name: group.as_str().into(),
            resource_type: GROUP,
        }));
    }
    ListConfigResourcesResponse {
        config_resources,
        ..Default::default()
    }
}
