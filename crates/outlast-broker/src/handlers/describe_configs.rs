//! DescribeConfigs: every key of a topic, a group or a broker, with its value and where that comes from.

use std::collections::HashSet;

use outlast_protocol::messages::describe_configs::{
    DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult,
    DescribeConfigsSynonym,
};
use outlast_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use outlast_protocol::{ErrorCode, Str};

use crate::broker::Broker;
use crate::broker_key::BrokerKey;
use crate::config_changes::{BROKER, GROUP, TOPIC, broker_name, unknown_resource_type};
use crate::config_definition::ConfigDefinition;
use crate::config_values::{ConfigSource, GroupValues, Synonym, TopicValues, broker_synonyms};
use crate::dispatch::RequestContext;
use crate::error::ApiError;
use crate::group_config;
use crate::topic_config::DEFINITIONS;
use crate::topic_name;

#[derive(Clone, Copy)]
struct Include {
    synonyms: bool,
    documentation: bool,
}

pub(crate) async fn handle(
    context: &RequestContext<'_>,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let include = Include {
        synonyms: request.include_synonyms,
        documentation: request.include_documentation,
    };
    let results = request.resources.into_iter().map(|resource| {
        let configs = match resource.resource_type {
            TOPIC => topic(context.broker, &resource, include),
            BROKER => broker(context.broker, &resource, include),
            GROUP => group(context.broker, &resource, include),
            other => Err(unknown_resource_type(other)),
        };
        let (error_code, error_message, configs) = match configs {
            Ok(configs) => (0, None, configs),
            Err(error) => (error.code.code(), error.text(), Vec::new()),
        };
        DescribeConfigsResult {
            error_code,
            error_message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
            configs,
        }
    });
    DescribeConfigsResponse {
        results: results.collect(),
        ..Default::default()
    }
}

/// Which keys a resource is asked for: all, when it names none.
struct Asked<'a>(HashSet<&'a str>);

impl<'a> Asked<'a> {
    fn of(resource: &'a DescribeConfigsResource) -> Self {
        let keys = resource.configuration_keys.as_deref().unwrap_or_default();
        Self(keys.iter().map(|key| &**key).collect())
    }

    fn has(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.contains(name)
    }
}

fn topic(
    broker: &Broker,
    resource: &DescribeConfigsResource,
    include: Include,
) -> Result<Vec<DescribeConfigsResourceResult>, ApiError> {
    topic_name::validate(&resource.resource_name)?;
    let image = broker.metadata.image();
    let Some(topic) = image.topic(&resource.resource_name) else {
        return Err(ErrorCode::UnknownTopicOrPartition.into());
    };
    let values = TopicValues::new(&image, &broker.config, &topic.config);
    let asked = Asked::of(resource);
    let asked = DEFINITIONS
        .iter()
        .filter(|definition| asked.has(definition.name));
    let described = asked.map(|definition| {
        let (value, source) = values.effective(definition);
        let synonyms = || values.synonyms(definition);
        entry(definition, value, source, synonyms, include)
    });
    Ok(described.collect())
}

/// A group that doesn't exist has the defaults that it would begin with.
fn group(
    broker: &Broker,
    resource: &DescribeConfigsResource,
    include: Include,
) -> Result<Vec<DescribeConfigsResourceResult>, ApiError> {
    let name = group_config::group_name(&resource.resource_name)?;
    let image = broker.metadata.image();
    let values = GroupValues::new(&image, &broker.config, name);
    let asked = Asked::of(resource);
    let asked = group_config::DEFINITIONS
        .iter()
        .filter(|definition| asked.has(definition.name));
    let described = asked.map(|definition| {
        let (value, source) = values.effective(definition);
        let synonyms = || values.synonyms(definition);
        entry(definition, value, source, synonyms, include)
    });
    Ok(described.collect())
}

fn entry(
    definition: &ConfigDefinition,
    value: String,
    source: ConfigSource,
    all: impl Fn() -> Vec<Synonym>,
    include: Include,
) -> DescribeConfigsResourceResult {
    DescribeConfigsResourceResult {
        name: Str::from_static(definition.name),
        value: Some(value.into()),
        config_source: source.code(),
        synonyms: if include.synonyms {
            synonyms(all())
        } else {
            Vec::new()
        },
        config_type: definition.kind.protocol_type(),
        documentation: include
            .documentation
            .then(|| definition.documentation().into()),
        ..Default::default()
    }
}

/// For one broker all its keys; for all brokers (the empty name) only what was set for all of them while they ran.
fn broker(
    broker: &Broker,
    resource: &DescribeConfigsResource,
    include: Include,
) -> Result<Vec<DescribeConfigsResourceResult>, ApiError> {
    let name = broker_name(&resource.resource_name)?;
    let image = broker.metadata.image();
    let asked = Asked::of(resource);
    let described = BrokerKey::all()
        .filter(|key| asked.has(key.name()))
        .filter_map(|key| {
            let mut values = broker_synonyms(&image, &broker.config, key);
            if name.is_empty() {
                values.retain(|value| value.source == ConfigSource::DynamicDefaultBroker);
            }
            let first = values.first()?;
            Some(DescribeConfigsResourceResult {
                name: Str::from_static(key.name()),
                value: Some(effective(key, first)),
                read_only: !key.is_dynamic(),
                config_source: first.source.code(),
                config_type: key.definition().kind.protocol_type(),
                documentation: include
                    .documentation
                    .then(|| key.definition().documentation().into()),
                synonyms: if include.synonyms {
                    synonyms(values)
                } else {
                    Vec::new()
                },
                ..Default::default()
            })
        });
    Ok(described.collect())
}

/// A coarser unit's value is shown in the key's own unit.
fn effective(key: BrokerKey, first: &Synonym) -> Str {
    let given = [(first.name.clone(), first.value.clone())].into();
    match key {
        BrokerKey::TopicDefault { name, topic } if first.name != name => {
            crate::broker_config::topic_defaults(&given)
                .remove(topic.name)
                .map_or_else(|| first.value.as_str().into(), Str::from)
        }
        BrokerKey::TopicDefault { .. } | BrokerKey::GroupDefault { .. } | BrokerKey::Fixed(_) => {
            first.value.as_str().into()
        }
    }
}

fn synonyms(values: Vec<Synonym>) -> Vec<DescribeConfigsSynonym> {
    values
        .into_iter()
        .map(|synonym| DescribeConfigsSynonym {
            name: synonym.name.into(),
            value: Some(synonym.value.into()),
            source: synonym.source.code(),
        })
        .collect()
}
