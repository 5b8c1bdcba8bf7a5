//! Every key that can be set for a group, declared once: Kafka's own of 4.3, and those of queues.
//!
//! Values are checked one by one against their bounds and then together, with the broker's defaults for what the group
//! leaves open. Kafka's keys have Kafka's defaults; the bounds are wider where a queue has a use for it.

use std::collections::BTreeMap;

use outlast_protocol::ErrorCode;
use twox_hash::XxHash3_64;

use super::offset_reset::OffsetReset;
use crate::broker_config::{BrokerConfig, NODE_ID};
use crate::config_definition::{ConfigDefinition, ConfigError, ConfigKind, Effect};
use crate::config_view::ConfigView;
use crate::error::ApiError;
use crate::metadata::MetadataImage;
use crate::topic_config::ConfigMap;
use crate::topic_name;

const NO_CONSUMER_PROTOCOL: &str =
    "this release serves the classic group protocol, whose members bring their own";
const NO_STREAMS: &str = "this release has no streams groups";

const fn int(min: i32, max: i32) -> ConfigKind {
    ConfigKind::Int { min, max }
}

const fn long(min: i64, max: i64) -> ConfigKind {
    ConfigKind::Long { min, max }
}

const OFFSET_RESET: ConfigKind = ConfigKind::Checked {
    allows: |value| OffsetReset::parse(value).is_some(),
    allowed: "earliest, latest or by_duration:PnDTnHnMn.nS",
};
const DEAD_LETTER_TOPIC: ConfigKind = ConfigKind::Checked {
    allows: |value| {
        value.is_empty() || (topic_name::validate(value).is_ok() && !value.starts_with("__"))
    },
    allowed: "the name of a topic that is not the broker's own, or nothing",
};

const DAY_MS: i64 = 86_400_000;

macro_rules! definitions {
    ($($name:literal: $kind:expr, $default:literal, $effect:expr, $help:literal;)*) => {
        &[$(ConfigDefinition { name: $name, kind: $kind, default: $default, effect: $effect, help: $help }),*]
    };
}

/// Sorted by name.
pub const DEFINITIONS: &[ConfigDefinition] = definitions![
    "consumer.assignment.interval.ms": int(0, i32::MAX), "1000", Effect::Ignored(NO_CONSUMER_PROTOCOL),
        "The least time between two assignments of a consumer group.";
    "consumer.heartbeat.interval.ms": int(1, i32::MAX), "5000", Effect::Ignored(NO_CONSUMER_PROTOCOL),
        "How often members of a consumer group must be heard of.";
    "consumer.session.timeout.ms": int(1, i32::MAX), "45000", Effect::Ignored(NO_CONSUMER_PROTOCOL),
        "After how long without a heartbeat a consumer group gives a member up.";
    "errors.deadletterqueue.copy.record.enable": ConfigKind::Boolean, "true", Effect::Acts,
        "Whether a dead letter has the original's key, value and headers; without them it only says where the original \
         lies and why it was given up.";
    "errors.deadletterqueue.topic.name": DEAD_LETTER_TOPIC, "", Effect::Acts,
        "The topic for messages that the group gives up. It is created when it is needed. Empty: dlq. and the group's \
         name.";
    "queue.dedupe.header": ConfigKind::String, "", Effect::Acts,
        "The header that names a message: when a message with the same value was acknowledged in this group within \
         queue.dedupe.window.ms, it is taken as acknowledged without being handed out. Empty: off.";
    "queue.dedupe.max.ids": long(1, 100_000_000), "1000000", Effect::Acts,
        "How many ids of acknowledged messages the group remembers at most; the oldest are forgotten first.";
    "queue.dedupe.window.ms": long(1, 365 * DAY_MS), "300000", Effect::Acts,
        "For how long the group remembers the id of an acknowledged message.";
    "queue.expired.action": ConfigKind::Word(&["dead-letter", "drop"]), "dead-letter", Effect::Acts,
        "What becomes of a message that nobody has processed when its time to live is over: it goes to the dead-letter \
         topic with the reason expired, or it is dropped.";
    "queue.order": ConfigKind::Word(&["none", "key"]), "none", Effect::Acts,
        "key: messages with the same key are handed out one at a time and in order, those of different keys in \
         parallel; a message without a key is in nobody's order.";
    "retry.initial.delay.ms": long(0, 7 * DAY_MS), "1000", Effect::Acts,
        "How long a message waits after its first failed delivery.";
    "retry.jitter": ConfigKind::Double { min: 0.0, max: 1.0 }, "1.0", Effect::Acts,
        "For the exponential policy: which share of the delay is left to chance. 0 is none, 1 is anything up to the \
         delay.";
    "retry.max.delay.ms": long(0, 7 * DAY_MS), "600000", Effect::Acts,
        "The longest that a message waits between two deliveries.";
    "retry.multiplier": ConfigKind::Double { min: 1.0, max: 1000.0 }, "2", Effect::Acts,
        "For the exponential policy: by how much the delay grows with each failed delivery.";
    "retry.policy": ConfigKind::Word(&["exponential", "fixed", "random"]), "exponential", Effect::Acts,
        "How long a message waits after a failed delivery (released, lock run out, or worker gone). fixed: always \
         retry.initial.delay.ms; random: anything from there to retry.max.delay.ms; exponential: the initial delay, \
         multiplied each time, up to the longest.";
    "share.assignment.interval.ms": int(0, 600_000), "1000", Effect::Acts,
        "The least time between two assignments of a share group.";
    "share.auto.offset.reset": OFFSET_RESET, "latest", Effect::Acts,
        "Where the group begins in a partition that it has never read: with the earliest record, with those that come \
         from now on (latest), or with the first that is not older than a duration, such as by_duration:PT1H.";
    "share.delivery.count.limit": int(1, 100), "5", Effect::Acts,
        "How often a message is delivered at most. When the last delivery fails it becomes a dead letter.";
    "share.heartbeat.interval.ms": int(100, 300_000), "5000", Effect::Acts,
        "How often the members of a share group must be heard of.";
    "share.isolation.level": ConfigKind::Word(&["read_committed", "read_uncommitted"]), "read_uncommitted", Effect::Acts,
        "Whether the group gets records of transactions only once they are committed.";
    "share.partition.max.record.locks": int(100, 100_000), "2000", Effect::Acts,
        "How many messages of one partition may be with the group's workers at the same time.";
    "share.record.lock.duration.ms": int(1000, 3_600_000), "30000", Effect::Acts,
        "For how long a message belongs to the worker that got it. A message that was not acknowledged by then has \
         failed once more.";
    "share.renew.acknowledge.enable": ConfigKind::Boolean, "true", Effect::Acts,
        "Whether a worker may prolong its lock on a message.";
    "share.session.timeout.ms": int(1000, 1_800_000), "45000", Effect::Acts,
        "After how long without a heartbeat a share group gives a member up.";
    "streams.assignment.interval.ms": int(0, i32::MAX), "1000", Effect::Ignored(NO_STREAMS),
        "The least time between two assignments of a streams group.";
    "streams.heartbeat.interval.ms": int(1, i32::MAX), "5000", Effect::Ignored(NO_STREAMS),
        "How often members of a streams group must be heard of.";
    "streams.initial.rebalance.delay.ms": int(0, i32::MAX), "3000", Effect::Ignored(NO_STREAMS),
        "How long a new streams group waits for more members.";
    "streams.num.standby.replicas": int(0, i32::MAX), "0", Effect::Ignored(NO_STREAMS),
        "How many standby copies of a task's state a streams group has.";
    "streams.session.timeout.ms": int(1, i32::MAX), "45000", Effect::Ignored(NO_STREAMS),
        "After how long without a heartbeat a streams group gives a member up.";
];

/// `(group key, broker key)`: the broker key sets the default of all groups.
pub const BROKER_SYNONYMS: &[(&str, &str)] = &[
    (
        "consumer.assignment.interval.ms",
        "group.consumer.assignment.interval.ms",
    ),
    (
        "consumer.heartbeat.interval.ms",
        "group.consumer.heartbeat.interval.ms",
    ),
    (
        "consumer.session.timeout.ms",
        "group.consumer.session.timeout.ms",
    ),
    (
        "share.assignment.interval.ms",
        "group.share.assignment.interval.ms",
    ),
    (
        "share.delivery.count.limit",
        "group.share.delivery.count.limit",
    ),
    (
        "share.heartbeat.interval.ms",
        "group.share.heartbeat.interval.ms",
    ),
    (
        "share.partition.max.record.locks",
        "group.share.partition.max.record.locks",
    ),
    (
        "share.record.lock.duration.ms",
        "group.share.record.lock.duration.ms",
    ),
    ("share.session.timeout.ms", "group.share.session.timeout.ms"),
    (
        "streams.assignment.interval.ms",
        "group.streams.assignment.interval.ms",
    ),
    (
        "streams.heartbeat.interval.ms",
        "group.streams.heartbeat.interval.ms",
    ),
    (
        "streams.initial.rebalance.delay.ms",
        "group.streams.initial.rebalance.delay.ms",
    ),
    (
        "streams.num.standby.replicas",
        "group.streams.num.standby.replicas",
    ),
    (
        "streams.session.timeout.ms",
        "group.streams.session.timeout.ms",
    ),
];

pub fn definition(name: &str) -> Option<&'static ConfigDefinition> {
    DEFINITIONS
        .binary_search_by(|definition| definition.name.cmp(name))
        .ok()
        .map(|index| &DEFINITIONS[index])
}

pub fn broker_synonym(group_key: &str) -> Option<&'static str> {
    BROKER_SYNONYMS
        .iter()
        .find(|(key, _)| *key == group_key)
        .map(|(_, synonym)| *synonym)
}

/// Every name is a group's, but the empty one, which elsewhere stands for all.
pub fn group_name(name: &str) -> Result<&str, ApiError> {
    if name.is_empty() {
        let message = "a group is configured by its name: there are no defaults for all groups but those of the broker";
        return Err(ApiError::new(ErrorCode::InvalidRequest, message));
    }
    Ok(name)
}

/// Checks a group's own values, and them together with the broker's defaults.
pub fn validate(own: &ConfigMap, defaults: &ConfigMap) -> Result<ConfigMap, ConfigError> {
    let mut checked = ConfigMap::new();
    for (name, value) in own {
        let definition = definition(name).ok_or_else(|| ConfigError::UnknownName {
            scope: "group",
            name: name.clone(),
        })?;
        checked.insert(name.clone(), definition.check(value)?);
    }
    let values = view(&checked, defaults);
    for kind in ["consumer", "share", "streams"] {
        let session = format!("{kind}.session.timeout.ms");
        let heartbeat = format!("{kind}.heartbeat.interval.ms");
        let (timeout, interval) = (values.long(&session), values.long(&heartbeat));
        if timeout <= interval {
            return Err(ConfigError::Conflict(format!(
                "{session} ({timeout}) must be more than {heartbeat} ({interval})"
            )));
        }
    }
    let (initial, max) = (
        values.long("retry.initial.delay.ms"),
        values.long("retry.max.delay.ms"),
    );
    if initial > max {
        return Err(ConfigError::Conflict(format!(
            "retry.initial.delay.ms ({initial}) must not be more than retry.max.delay.ms ({max})"
        )));
    }
    Ok(checked)
}

/// `own` over `defaults` over what is built in.
pub(super) fn view<'a>(own: &'a ConfigMap, defaults: &'a ConfigMap) -> ConfigView<'a> {
    ConfigView {
        own,
        defaults,
        definition,
    }
}

/// The group keys' defaults in a map of broker keys.
pub fn group_defaults(values: &ConfigMap) -> ConfigMap {
    BROKER_SYNONYMS
        .iter()
        .filter_map(|(group, broker)| Some(((*group).to_owned(), values.get(*broker)?.clone())))
        .collect::<BTreeMap<_, _>>()
}

/// This node's dynamic value, else the dynamic value for all nodes, else the value given at start.
pub fn effective_defaults(image: &MetadataImage, config: &BrokerConfig) -> ConfigMap {
    let mut defaults = config.group_defaults.clone();
    for broker in ["", &NODE_ID.to_string()] {
        if let Some(values) = image.broker_config(broker) {
            defaults.extend(group_defaults(values));
        }
    }
    defaults
}

/// `dlq.` and the group's name. A group may have a name that no topic can have: it gets the allowed part of it, and a
/// hash that tells it from others that look the same then.
pub fn default_dead_letter_topic(group: &str) -> String {
    let name = format!("dlq.{group}");
    if topic_name::validate(&name).is_ok() {
        return name;
    }
    const LONGEST: usize = 200;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let readable: String = name
        .chars()
        .map(|c| if allowed(c) { c } else { '-' })
        .take(LONGEST)
        .collect();
    format!("{readable}-{:016x}", XxHash3_64::oneshot(group.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> ConfigMap {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn definitions_are_sorted_and_their_defaults_valid() {
        assert!(DEFINITIONS.is_sorted_by(|a, b| a.name < b.name));
        for key in DEFINITIONS {
            assert_eq!(
                key.check(key.default).as_deref(),
                Ok(key.default),
                "{}",
                key.name
            );
        }
        for (key, _) in BROKER_SYNONYMS {
            assert!(definition(key).is_some(), "{key}");
        }
        assert!(validate(&ConfigMap::new(), &ConfigMap::new()).is_ok());
    }

    #[test]
    fn refusals_name_the_key_and_what_is_allowed() {
        for (given, expect) in [
            (
                &[("share.record.lock", "1")][..],
                &["unknown group config", "share.record.lock"][..],
            ),
            (
                &[("share.delivery.count.limit", "101")],
                &["share.delivery.count.limit", "1 to 100"],
            ),
            (
                &[("share.record.lock.duration.ms", "3600001")],
                &["share.record.lock.duration.ms", "1000 to 3600000"],
            ),
            (
                &[("share.auto.offset.reset", "none")],
                &["share.auto.offset.reset", "by_duration:PnDTnHnMn.nS"],
            ),
            (
                &[("retry.policy", "linear")],
                &["retry.policy", "exponential, fixed, random"],
            ),
            (&[("retry.jitter", "1.5")], &["retry.jitter", "0 to 1"]),
            (
                &[("errors.deadletterqueue.topic.name", "__x")],
                &["errors.deadletterqueue.topic.name", "not the broker's own"],
            ),
            (
                &[("errors.deadletterqueue.topic.name", "a b")],
                &["errors.deadletterqueue.topic.name"],
            ),
            (
                &[("share.session.timeout.ms", "5000")],
                &[
                    "share.session.timeout.ms (5000)",
                    "share.heartbeat.interval.ms (5000)",
                ],
            ),
            (
                &[("consumer.heartbeat.interval.ms", "45000")],
                &["consumer.session.timeout.ms (45000)"],
            ),
            (
                &[("retry.max.delay.ms", "10")],
                &["retry.initial.delay.ms (1000)", "retry.max.delay.ms (10)"],
            ),
        ] {
            let message = validate(&map(given), &ConfigMap::new())
                .unwrap_err()
                .to_string();
            for part in expect {
                assert!(message.contains(part), "{message:?} lacks {part:?}");
            }
        }
    }

    #[test]
    fn the_brokers_defaults_count_in_a_conflict() {
        let defaults = group_defaults(&map(&[("group.share.heartbeat.interval.ms", "60000")]));
        let message = validate(&ConfigMap::new(), &defaults)
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("share.heartbeat.interval.ms (60000)"),
            "{message}"
        );
        assert!(validate(&map(&[("share.heartbeat.interval.ms", "100")]), &defaults).is_ok());
    }

    #[test]
    fn a_dead_letter_topic_can_always_be_named() {
        assert_eq!(default_dead_letter_topic("orders"), "dlq.orders");
        let long = "x".repeat(300);
        for group in ["a b", "a/b", "ä", "", &long] {
            let name = default_dead_letter_topic(group);
            assert!(topic_name::validate(&name).is_ok(), "{name}");
        }
        assert_ne!(
            default_dead_letter_topic("a b"),
            default_dead_letter_topic("a/b")
        );
    }
}
