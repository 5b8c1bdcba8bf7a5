//! What can be configured for a group by its name (resource type GROUP), in the form in which it acts.
//!
//! A group has settings before it exists, and keeps them when it is deleted, as in Kafka. [`GroupSettings::resolve`] gives
//! the checked form; [`GroupTable`] holds one for each group that has values of its own, and the defaults for all others.
//! The keys themselves, their bounds and defaults are in `keys`.

mod keys;
mod offset_reset;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::broker_config::BrokerConfig;
use crate::metadata::MetadataImage;
use crate::queue::QueueSettings;
use crate::topic_config::ConfigMap;
pub use keys::{BROKER_SYNONYMS, DEFINITIONS, broker_synonym, default_dead_letter_topic, definition, effective_defaults, group_name, validate};
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

/// One moment's settings of all groups.
pub struct GroupTable {
    by_name: HashMap<String, Arc<GroupSettings>>,
    default: Arc<GroupSettings>,
}

impl GroupTable {
    pub fn new(image: &MetadataImage, config: &BrokerConfig) -> Self {
        let defaults = effective_defaults(image, config);
        let resolve = |own: &ConfigMap| Arc::new(GroupSettings::resolve(own, &defaults));
        Self {
            by_name: image
                .groups()
                .map(|(name, own)| (name.to_owned(), resolve(own)))
                .collect(),
            default: resolve(&ConfigMap::new()),
        }
    }

    pub fn get(&self, group: &str) -> &Arc<GroupSettings> {
        self.by_name.get(group).unwrap_or(&self.default)
    }
}

/// The settings of all groups, replaced when configuration changes.
pub struct GroupConfigs(ArcSwap<GroupTable>);

impl GroupConfigs {
    pub fn new(image: &MetadataImage, config: &BrokerConfig) -> Self {
        Self(ArcSwap::from_pointee(GroupTable::new(image, config)))
    }

    pub fn publish(&self, image: &MetadataImage, config: &BrokerConfig) {
        self.0.store(Arc::new(GroupTable::new(image, config)));
    }

    pub fn get(&self, group: &str) -> Arc<GroupSettings> {
        self.0.load().get(group).clone()
    }
}
