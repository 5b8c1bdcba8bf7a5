//! A queue's settings: one flat map over the configuration of its topic and of its group.
//!
//! The names are those of the Kafka configs, so that a setting is called the same here, in `kafka-configs` and in the
//! documentation; which resource one belongs to is nobody's business but this file's.

use std::collections::{BTreeMap, BTreeSet};

use outlast_broker::TOPIC_CONFIGS;
use outlast_protocol::messages::describe_configs::DescribeConfigsResource;
use outlast_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig,
};
use outlast_protocol::messages::{
    DescribeConfigsRequest, DescribeConfigsResponse, IncrementalAlterConfigsRequest,
};
use outlast_protocol::{ErrorCode, Str};

use super::in_process::InProcess;
use super::problem::Problem;

const TOPIC: i8 = 2;
const GROUP: i8 = 32;
const SET: i8 = 0;
const DELETE: i8 = 1;
/// Where DescribeConfigs says a value comes from when it was set for this very resource.
const OWN_SOURCES: [i8; 2] = [1, 8];

pub(crate) const OFFSET_RESET: &str = "share.auto.offset.reset";
pub(crate) const DEAD_LETTER_TOPIC: &str = "errors.deadletterqueue.topic.name";

/// The settings of a topic that a queue's owner looks at; others are shown when they were set.
const SHOWN_OF_TOPIC: [&str; 9] = [
    "max.message.bytes",
    "message.dedupe.header",
    "message.dedupe.max.ids",
    "message.dedupe.window.ms",
    "message.delay.ms",
    "message.timestamp.type",
    "message.ttl.ms",
    "retention.bytes",
    "retention.ms",
];
/// Of a group: what its queues depend on.
const SHOWN_OF_GROUP: [&str; 4] = ["share.", "retry.", "queue.", "errors."];

/// Changes that were asked for, by the resource that they belong to.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) topic: Vec<AlterableConfig>,
    pub(crate) group: Vec<AlterableConfig>,
}

#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// Effective values.
    pub(crate) values: BTreeMap<String, String>,
    /// Those that somebody has set for this queue.
    pub(crate) changed: BTreeSet<String>,
}

impl Changes {
    pub(crate) fn new(set: &BTreeMap<String, String>, reset: &[String]) -> Result<Self, Problem> {
        let mut changes = Self::default();
        for (name, value) in set {
            changes.push(name, SET, Some(value));
        }
        for name in reset {
            if set.contains_key(name) {
                return Err(Problem::field(
                    "reset",
                    format!("{name} is in settings, too"),
                ));
            }
            changes.push(name, DELETE, None);
        }
        Ok(changes)
    }

    fn push(&mut self, name: &str, operation: i8, value: Option<&str>) {
        let config = AlterableConfig {
            name: name.into(),
            config_operation: operation,
            value: value.map(Str::from),
        };
        if is_of_topic(name) {
            self.topic.push(config);
        } else {
            self.group.push(config);
        }
    }

    /// Unless the caller has said something about it.
    pub(crate) fn default_of_group(&mut self, name: &str, value: &str) {
        if !self.group.iter().any(|config| &*config.name == name) {
            self.push(name, SET, Some(value));
        }
    }
}

fn is_of_topic(name: &str) -> bool {
    TOPIC_CONFIGS
        .iter()
        .any(|definition| definition.name == name)
}

pub(crate) async fn alter_topic(
    kafka: &InProcess,
    topic: &str,
    changes: Vec<AlterableConfig>,
    validate_only: bool,
) -> Result<(), Problem> {
    alter(kafka, TOPIC, topic, changes, validate_only).await
}

pub(crate) async fn alter_group(
    kafka: &InProcess,
    group: &str,
    changes: Vec<AlterableConfig>,
    validate_only: bool,
) -> Result<(), Problem> {
    alter(kafka, GROUP, group, changes, validate_only).await
}

/// Takes everything that was set for a group back to its default.
pub(crate) async fn forget_group(kafka: &InProcess, group: &str) -> Result<(), Problem> {
    let settings = describe(kafka, vec![resource(GROUP, group)]).await?;
    let changed: Vec<String> = settings.changed.into_iter().collect();
    let changes = Changes::new(&BTreeMap::new(), &changed)?;
    alter_group(kafka, group, changes.group, false).await
}

async fn alter(
    kafka: &InProcess,
    resource_type: i8,
    name: &str,
    configs: Vec<AlterableConfig>,
    validate_only: bool,
) -> Result<(), Problem> {
    if configs.is_empty() {
        return Ok(());
    }
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type,
            resource_name: name.into(),
            configs,
        }],
        validate_only,
    };
    let response = kafka.call(1, &request).await?;
    for result in response.responses {
        check(result.error_code, result.error_message)?;
    }
    Ok(())
}

/// A refusal names the setting in its message; that is the field to blame.
pub(crate) fn check(code: i16, message: Option<Str>) -> Result<(), Problem> {
    match ErrorCode::from_code(code) {
        Some(ErrorCode::None) => Ok(()),
        Some(ErrorCode::InvalidConfig) => {
            let message = message.as_deref().unwrap_or("is not valid").to_owned();
            let mut words = message.split(|c: char| !(c.is_alphanumeric() || "._-".contains(c)));
            let name = words.find(|word| word.contains('.') && word.len() > 3);
            let field = name.map_or("settings".to_owned(), |name| format!("settings.{name}"));
            Err(Problem::field(field, message))
        }
        code => Err(Problem::from_broker(
            code.unwrap_or(ErrorCode::UnknownServerError),
            message.as_deref().map(Into::into),
        )),
    }
}

/// What holds for a queue now.
pub(crate) async fn read(kafka: &InProcess, topic: &str, group: &str) -> Result<Settings, Problem> {
    describe(kafka, vec![resource(TOPIC, topic), resource(GROUP, group)]).await
}

fn resource(resource_type: i8, name: &str) -> DescribeConfigsResource {
    DescribeConfigsResource {
        resource_type,
        resource_name: name.into(),
        configuration_keys: None,
    }
}

async fn describe(
    kafka: &InProcess,
    resources: Vec<DescribeConfigsResource>,
) -> Result<Settings, Problem> {
    let request = DescribeConfigsRequest {
        resources,
        ..Default::default()
    };
    let response: DescribeConfigsResponse = kafka.call(4, &request).await?;
    let mut settings = Settings::default();
    for result in response.results {
        check(result.error_code, result.error_message)?;
        let of_topic = result.resource_type == TOPIC;
        for config in result.configs {
            let is_own = OWN_SOURCES.contains(&config.config_source);
            let name = config.name.to_string();
            if is_own || is_shown(of_topic, &name) {
                let value = config.value.as_deref().unwrap_or_default().to_owned();
                settings.values.insert(name.clone(), value);
            }
            if is_own {
                settings.changed.insert(name);
            }
        }
    }
    Ok(settings)
}

fn is_shown(of_topic: bool, name: &str) -> bool {
    if of_topic {
        SHOWN_OF_TOPIC.contains(&name)
    } else {
        SHOWN_OF_GROUP.iter().any(|prefix| name.starts_with(prefix))
    }
}

impl Settings {
    pub(crate) fn dead_letter_topic(&self, group: &str) -> String {
        match self.values.get(DEAD_LETTER_TOPIC) {
            Some(name) if !name.is_empty() => name.clone(),
            _ => format!("dlq.{group}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_find_their_resource() {
        let set = [
            ("message.ttl.ms", "5"),
            ("retry.policy", "fixed"),
            ("x.y", "1"),
        ];
        let set = set.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut changes = Changes::new(&set.into(), &["retention.ms".to_owned()]).unwrap();
        let names = |changes: &[AlterableConfig]| {
            let mut names: Vec<String> = changes.iter().map(|c| c.name.to_string()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&changes.topic), ["message.ttl.ms", "retention.ms"]);
        // Unknown names go to the group, which refuses them.
        assert_eq!(names(&changes.group), ["retry.policy", "x.y"]);
        changes.default_of_group("retry.policy", "random");
        changes.default_of_group(OFFSET_RESET, "earliest");
        assert_eq!(names(&changes.group), ["retry.policy", OFFSET_RESET, "x.y"]);
        assert_eq!(changes.group.len(), 3);
    }

    #[test]
    fn a_refusal_names_its_field() {
        let message = "invalid value \"no\" for retry.policy: allowed is one of fixed, random";
        let problem = check(ErrorCode::InvalidConfig.code(), Some(message.into())).unwrap_err();
        assert!(
            problem.detail().starts_with("settings.retry.policy: "),
            "{problem:?}"
        );
    }
}
