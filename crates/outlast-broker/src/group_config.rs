//! What can be configured for a group by its name (resource type GROUP), in the form in which it acts.
//!
//! A group has settings before it exists, and keeps them when it is deleted, as in Kafka. [`GroupSettings::resolve`] gives
//! the checked form; [`GroupConfigs`] holds one for each group that has values of its own, and the defaults for all others.
//! The keys themselves, their bounds and defaults are in `keys`.

mod keys;
mod offset_reset;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::broker_config::BrokerConfig;
use crate::config_view::ConfigView;
use crate::metadata::MetadataImage;
use crate::queue::{
    ConsumeDedupe, ExpiredAction, QueueOrder, QueueSettings, RetryKind, RetryPolicy,
};
use crate::topic_config::ConfigMap;
pub use keys::{
    BROKER_SYNONYMS, DEFINITIONS, broker_synonym, default_dead_letter_topic, definition,
    effective_defaults, group_defaults, group_name, validate,
};
pub use offset_reset::OffsetReset;

/// Everything that can be set for one group.
#[derive(Debug, Clone)]
pub struct GroupSettings {
    /// What the queues of the group do by themselves.
    pub queue: QueueSettings,
    pub share: ShareSettings,
    pub dead_letters: DeadLetterSettings,
}

/// What the share group's members see.
#[derive(Debug, Clone)]
pub struct ShareSettings {
    pub session_timeout: Duration,
    pub heartbeat_interval: Duration,
    /// The least time between two assignments.
    pub assignment_interval: Duration,
    /// Where a queue begins that was never read.
    pub offset_reset: OffsetReset,
    pub isolation_level: IsolationLevel,
    /// Whether a member may renew a lock.
    pub renew_acknowledge: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsolationLevel {
    ReadUncommitted,
    ReadCommitted,
}

#[derive(Debug, Clone)]
pub struct DeadLetterSettings {
    /// The topic that the group names; see [`DeadLetterSettings::topic`].
    pub named_topic: Option<Arc<str>>,
    /// Whether a dead letter has the original's key, value and headers.
    pub copy_record: bool,
}

impl DeadLetterSettings {
    /// The group's dead-letter topic.
    pub fn topic(&self, group: &str) -> Arc<str> {
        self.named_topic
            .clone()
            .unwrap_or_else(|| default_dead_letter_topic(group).into())
    }
}

impl GroupSettings {
    /// `own` are the group's values, `defaults` the broker's for group keys; both were checked when they were set.
    pub fn resolve(own: &ConfigMap, defaults: &ConfigMap) -> Self {
        let values = keys::view(own, defaults);
        Self {
            queue: queue_settings(&values),
            share: ShareSettings {
                session_timeout: values.duration("share.session.timeout.ms"),
                heartbeat_interval: values.duration("share.heartbeat.interval.ms"),
                assignment_interval: values.duration("share.assignment.interval.ms"),
                offset_reset: OffsetReset::parse(values.text("share.auto.offset.reset"))
                    .unwrap_or(OffsetReset::Latest),
                isolation_level: match values.text("share.isolation.level") {
                    "read_committed" => IsolationLevel::ReadCommitted,
                    _ => IsolationLevel::ReadUncommitted,
                },
                renew_acknowledge: values.boolean("share.renew.acknowledge.enable"),
            },
            dead_letters: DeadLetterSettings {
                named_topic: values
                    .some_text("errors.deadletterqueue.topic.name")
                    .map(Arc::from),
                copy_record: values.boolean("errors.deadletterqueue.copy.record.enable"),
            },
        }
    }
}

fn queue_settings(values: &ConfigView<'_>) -> QueueSettings {
    QueueSettings {
        lock: values.duration("share.record.lock.duration.ms"),
        delivery_limit: values.number("share.delivery.count.limit"),
        max_locks: values.number("share.partition.max.record.locks"),
        retry: RetryPolicy {
            kind: match values.text("retry.policy") {
                "fixed" => RetryKind::Fixed,
                "random" => RetryKind::Random,
                _ => RetryKind::Exponential,
            },
            initial: values.duration("retry.initial.delay.ms"),
            max: values.duration("retry.max.delay.ms"),
            multiplier: values.number("retry.multiplier"),
            jitter: values.number("retry.jitter"),
        },
        order: match values.text("queue.order") {
            "key" => QueueOrder::Key,
            _ => QueueOrder::None,
        },
        dedupe: values
            .some_text("queue.dedupe.header")
            .map(|header| ConsumeDedupe {
                header: header.into(),
                window: values.duration("queue.dedupe.window.ms"),
                max_ids: values.number("queue.dedupe.max.ids"),
            }),
        expired: match values.text("queue.expired.action") {
            "drop" => ExpiredAction::Drop,
            _ => ExpiredAction::DeadLetter,
        },
        dead_letters: true,
    }
}

/// One moment's settings of all groups.
struct GroupTable {
    by_name: HashMap<String, Arc<GroupSettings>>,
    default: Arc<GroupSettings>,
    /// What the settings were made from.
    own: Arc<BTreeMap<String, ConfigMap>>,
    defaults: ConfigMap,
}

impl GroupTable {
    fn new(own: Arc<BTreeMap<String, ConfigMap>>, defaults: ConfigMap) -> Self {
        let resolve = |own: &ConfigMap| Arc::new(GroupSettings::resolve(own, &defaults));
        Self {
            by_name: own
                .iter()
                .map(|(name, own)| (name.clone(), resolve(own)))
                .collect(),
            default: resolve(&ConfigMap::new()),
            own,
            defaults,
        }
    }
}

/// The settings of all groups, replaced when configuration changes.
pub struct GroupConfigs(ArcSwap<GroupTable>);

impl GroupConfigs {
    pub fn new(image: &MetadataImage, config: &BrokerConfig) -> Self {
        let defaults = effective_defaults(image, config);
        Self(ArcSwap::from_pointee(GroupTable::new(
            image.group_configs().clone(),
            defaults,
        )))
    }

    /// Takes in a new image. Most changes of metadata are not about groups and cost next to nothing here.
    pub fn publish(&self, image: &MetadataImage, config: &BrokerConfig) {
        let defaults = effective_defaults(image, config);
        let before = self.0.load();
        if Arc::ptr_eq(&before.own, image.group_configs()) && before.defaults == defaults {
            return;
        }
        let table = GroupTable::new(image.group_configs().clone(), defaults);
        self.0.store(Arc::new(table));
    }

    pub fn get(&self, group: &str) -> Arc<GroupSettings> {
        let table = self.0.load();
        table.by_name.get(group).unwrap_or(&table.default).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_defaults_are_those_of_the_state_machine() {
        let none = ConfigMap::new();
        let settings = GroupSettings::resolve(&none, &none);
        assert_eq!(settings.queue, QueueSettings::default());
        assert_eq!(settings.share.offset_reset, OffsetReset::Latest);
        assert_eq!(&*settings.dead_letters.topic("orders"), "dlq.orders");
    }

    #[test]
    fn every_key_that_acts_changes_what_is_resolved() {
        let none = ConfigMap::new();
        let settings = |pairs: &[(&str, &str)]| {
            let own = pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect();
            keys::validate(&own, &none).unwrap();
            format!("{:?}", GroupSettings::resolve(&own, &none))
        };
        let before = settings(&[]);
        let values = [
            ("errors.deadletterqueue.copy.record.enable", "false"),
            ("errors.deadletterqueue.topic.name", "dead"),
            ("queue.dedupe.header", "id"),
            ("queue.expired.action", "drop"),
            ("queue.order", "key"),
            ("retry.initial.delay.ms", "1"),
            ("retry.jitter", "0"),
            ("retry.max.delay.ms", "600001"),
            ("retry.multiplier", "3"),
            ("retry.policy", "fixed"),
            ("share.assignment.interval.ms", "1"),
            ("share.auto.offset.reset", "by_duration:PT1S"),
            ("share.delivery.count.limit", "6"),
            ("share.heartbeat.interval.ms", "6000"),
            ("share.isolation.level", "read_committed"),
            ("share.partition.max.record.locks", "100"),
            ("share.record.lock.duration.ms", "1000"),
            ("share.renew.acknowledge.enable", "false"),
            ("share.session.timeout.ms", "46000"),
        ];
        for pair in values {
            assert_ne!(settings(&[pair]), before, "{pair:?}");
        }
        // These two mean something only once a header is named.
        let named = settings(&[("queue.dedupe.header", "id")]);
        for key in ["queue.dedupe.max.ids", "queue.dedupe.window.ms"] {
            assert_ne!(
                settings(&[("queue.dedupe.header", "id"), (key, "7")]),
                named,
                "{key}"
            );
        }
        let acting = DEFINITIONS
            .iter()
            .filter(|key| key.effect == crate::config_definition::Effect::Acts);
        assert_eq!(acting.count(), values.len() + 2);
    }
}
