//! The broker's own configuration: every key declared once, and its checked form.
//!
//! A key is either one of [`DEFINITIONS`], fixed when the broker starts, or the default of a topic key or group key under
//! Kafka's broker name (`log.retention.ms` for `retention.ms`), which clients may also alter while the broker runs. What
//! the process around the broker configures (listeners, limits of connections, durability) is not known here.

use std::path::PathBuf;

use crate::broker_key::BrokerKey;
use crate::config_definition::{ConfigDefinition, ConfigError, ConfigKind, Effect};
use crate::group::GroupConfig;
use crate::group_config;
use crate::topic_config::{self, BROKER_SYNONYMS, ConfigMap};
use crate::txn::TxnConfig;

/// The node id of the one broker there is.
pub const NODE_ID: i32 = 1;

/// Fixed at start. Sorted by name.
pub const DEFINITIONS: &[ConfigDefinition] = &[
    ConfigDefinition {
        name: "auto.create.topics.enable",
        kind: ConfigKind::Boolean,
        default: "true",
        effect: Effect::Acts,
        help: "Whether a topic that a client asks for is created when it doesn't exist and the client allows it.",
    },
    ConfigDefinition {
        name: "broker.rack",
        kind: ConfigKind::String,
        default: "",
        effect: Effect::Acts,
        help: "The rack, zone or region that clients are told the broker is in; empty for none.",
    },
    ConfigDefinition {
        name: "default.replication.factor",
        kind: ConfigKind::Int { min: 1, max: 1 },
        default: "1",
        effect: Effect::Acts,
        help: "How many replicas a partition gets when the client leaves it to the broker. There is one broker.",
    },
    ConfigDefinition {
        name: "delete.topic.enable",
        kind: ConfigKind::Boolean,
        default: "true",
        effect: Effect::Acts,
        help: "Whether clients may delete topics.",
    },
    ConfigDefinition {
        name: "fetch.max.bytes",
        kind: ConfigKind::Int {
            min: 1024,
            max: i32::MAX,
        },
        default: "57671680",
        effect: Effect::Acts,
        help: "The most bytes of records in one fetch response. The first batch is always sent, even if it is larger.",
    },
    ConfigDefinition {
        name: "group.initial.rebalance.delay.ms",
        kind: ConfigKind::Int {
            min: 0,
            max: i32::MAX,
        },
        default: "0",
        effect: Effect::Acts,
        help: "How long a new group waits for more members before its first rebalance.",
    },
    ConfigDefinition {
        name: "group.max.session.timeout.ms",
        kind: ConfigKind::Int {
            min: 1,
            max: i32::MAX,
        },
        default: "1800000",
        effect: Effect::Acts,
        help: "The longest session timeout that a group member may ask for.",
    },
    ConfigDefinition {
        name: "group.max.size",
        kind: ConfigKind::Int {
            min: 1,
            max: i32::MAX,
        },
        default: "2147483647",
        effect: Effect::Acts,
        help: "The most members that a group takes.",
    },
    ConfigDefinition {
        name: "group.min.session.timeout.ms",
        kind: ConfigKind::Int {
            min: 1,
            max: i32::MAX,
        },
        default: "6000",
        effect: Effect::Acts,
        help: "The shortest session timeout that a group member may ask for.",
    },
    ConfigDefinition {
        name: "group.share.max.share.sessions",
        kind: ConfigKind::Int {
            min: 1,
            max: i32::MAX,
        },
        default: "2000",
        effect: Effect::Acts,
        help: "The most share sessions: one for each share consumer that fetches.",
    },
    ConfigDefinition {
        name: "group.share.max.size",
        kind: ConfigKind::Int { min: 1, max: 1000 },
        default: "200",
        effect: Effect::Acts,
        help: "The most members that a share group takes.",
    },
    ConfigDefinition {
        name: "log.dirs",
        kind: ConfigKind::String,
        default: "outlast-data",
        effect: Effect::Acts,
        help: "The data directory.",
    },
    ConfigDefinition {
        name: "log.retention.hours",
        kind: ConfigKind::Int {
            min: -1,
            max: i32::MAX,
        },
        default: "168",
        effect: Effect::Acts,
        help: "How long records are kept, in hours; gives way to log.retention.minutes and log.retention.ms. -1 means \
               without limit.",
    },
    ConfigDefinition {
        name: "log.retention.minutes",
        kind: ConfigKind::Int {
            min: -1,
            max: i32::MAX,
        },
        default: "10080",
        effect: Effect::Acts,
        help: "How long records are kept, in minutes; gives way to log.retention.ms. -1 means without limit.",
    },
    ConfigDefinition {
        name: "max.incremental.fetch.session.cache.slots",
        kind: ConfigKind::Int {
            min: 0,
            max: i32::MAX,
        },
        default: "1000",
        effect: Effect::Acts,
        help: "The most incremental fetch sessions kept. A consumer without one sends all its partitions in each fetch.",
    },
    ConfigDefinition {
        name: "node.id",
        kind: ConfigKind::Int {
            min: NODE_ID,
            max: NODE_ID,
        },
        default: "1",
        effect: Effect::Acts,
        help: "The id of this broker.",
    },
    ConfigDefinition {
        name: "num.partitions",
        kind: ConfigKind::Int {
            min: 1,
            max: MAX_PARTITIONS,
        },
        default: "1",
        effect: Effect::Acts,
        help: "How many partitions a topic gets when it is created automatically, or by a client that leaves it to the \
               broker.",
    },
    ConfigDefinition {
        name: "offset.metadata.max.bytes",
        kind: ConfigKind::Int {
            min: 0,
            max: i32::MAX,
        },
        default: "4096",
        effect: Effect::Acts,
        help: "The longest text that a client may store with a committed offset.",
    },
    ConfigDefinition {
        name: "offsets.retention.check.interval.ms",
        kind: ConfigKind::Long {
            min: 1,
            max: i64::MAX,
        },
        default: "600000",
        effect: Effect::Acts,
        help: "How often committed offsets are looked through for expired ones.",
    },
    ConfigDefinition {
        name: "offsets.retention.minutes",
        kind: ConfigKind::Int {
            min: 1,
            max: i32::MAX,
        },
        default: "10080",
        effect: Effect::Acts,
        help: "How long committed offsets are kept after their group has become empty.",
    },
    ConfigDefinition {
        name: "offsets.topic.num.partitions",
        kind: ConfigKind::Int {
            min: 1,
            max: MAX_PARTITIONS,
        },
        default: "50",
        effect: Effect::Acts,
        help: "How many partitions __consumer_offsets gets. Acts until the topic is created, by the first group.",
    },
    ConfigDefinition {
        name: "offsets.topic.replication.factor",
        kind: ConfigKind::Int { min: 1, max: 1 },
        default: "1",
        effect: Effect::Acts,
        help: "How many replicas __consumer_offsets has. There is one broker.",
    },
    ConfigDefinition {
        name: "transaction.max.timeout.ms",
        kind: ConfigKind::Int {
            min: 1,
            max: i32::MAX,
        },
        default: "900000",
        effect: Effect::Acts,
        help: "The longest time that a producer may ask for its transactions to stay open.",
    },
    ConfigDefinition {
        name: "transaction.remove.expired.transaction.cleanup.interval.ms",
        kind: ConfigKind::Int {
            min: 1,
            max: i32::MAX,
        },
        default: "3600000",
        effect: Effect::Acts,
        help: "How often transactional ids are looked through for expired ones.",
    },
    ConfigDefinition {
        name: "transaction.state.log.num.partitions",
        kind: ConfigKind::Int {
            min: 1,
            max: MAX_PARTITIONS,
        },
        default: "50",
        effect: Effect::Acts,
        help: "How many partitions __transaction_state gets. Acts until the topic is created, by the first transactional \
               producer.",
    },
    ConfigDefinition {
        name: "transaction.state.log.replication.factor",
        kind: ConfigKind::Int { min: 1, max: 1 },
        default: "1",
        effect: Effect::Acts,
        help: "How many replicas __transaction_state has. There is one broker.",
    },
    ConfigDefinition {
        name: "transactional.id.expiration.ms",
        kind: ConfigKind::Int {
            min: 1,
            max: i32::MAX,
        },
        default: "604800000",
        effect: Effect::Acts,
        help: "How long a transactional id is remembered that nobody uses.",
    },
];

/// The most partitions that one request may create, as in Kafka.
pub const MAX_PARTITIONS: i32 = 10_000;

/// The checked configuration with which a broker is opened.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    pub rack: Option<String>,
    pub data_dir: PathBuf,
    pub num_partitions: i32,
    pub auto_create_topics_enable: bool,
    pub delete_topic_enable: bool,
    pub fetch_max_bytes: usize,
    pub max_fetch_sessions: usize,
    pub max_share_sessions: usize,
    pub offsets_topic_num_partitions: i32,
    pub group: GroupConfig,
    pub transaction_state_log_num_partitions: i32,
    pub transactions: TxnConfig,
    /// Defaults for topic keys, by topic key.
    pub topic_defaults: ConfigMap,
    /// Defaults for group keys, by group key.
    pub group_defaults: ConfigMap,
    /// What was given, by broker key.
    pub given: ConfigMap,
    /// Seeds topic ids, session ids and the like; from the operating system when absent.
    pub random_seed: Option<u64>,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        // The defaults are checked by a test, so there is nothing that could be refused.
        Self::from_checked(ConfigMap::new())
    }
}

impl BrokerConfig {
    /// From values by broker key, such as a configuration file has them.
    pub fn new(values: &ConfigMap) -> Result<Self, ConfigError> {
        let mut given = ConfigMap::new();
        for (name, value) in values {
            let key = BrokerKey::find(name).ok_or_else(|| ConfigError::UnknownName {
                scope: "broker",
                name: name.clone(),
            })?;
            given.insert(name.clone(), key.check(value)?);
        }
        let config = Self::from_checked(given);
        topic_config::validate(&ConfigMap::new(), &config.topic_defaults)?;
        group_config::validate(&ConfigMap::new(), &config.group_defaults)?;
        if config.group.group_min_session_timeout_ms > config.group.group_max_session_timeout_ms {
            return Err(ConfigError::Conflict(
                "group.min.session.timeout.ms must not be more than group.max.session.timeout.ms"
                    .to_owned(),
            ));
        }
        Ok(config)
    }

    fn from_checked(given: ConfigMap) -> Self {
        let text = |name: &str| {
            let default = || BrokerKey::find(name).map_or("", |key| key.definition().default);
            given.get(name).map_or_else(default, String::as_str)
        };
        let int = |name: &str| text(name).parse::<i32>().unwrap_or_default();
        let size = |name: &str| usize::try_from(int(name)).unwrap_or_default();
        Self {
            rack: Some(text("broker.rack").to_owned()).filter(|rack| !rack.is_empty()),
            data_dir: PathBuf::from(text("log.dirs")),
            num_partitions: int("num.partitions"),
            auto_create_topics_enable: is_true(text("auto.create.topics.enable")),
            delete_topic_enable: is_true(text("delete.topic.enable")),
            fetch_max_bytes: size("fetch.max.bytes"),
            max_fetch_sessions: size("max.incremental.fetch.session.cache.slots"),
            max_share_sessions: size("group.share.max.share.sessions"),
            offsets_topic_num_partitions: int("offsets.topic.num.partitions"),
            transaction_state_log_num_partitions: int("transaction.state.log.num.partitions"),
            transactions: TxnConfig {
                transaction_max_timeout_ms: int("transaction.max.timeout.ms"),
                transactional_id_expiration_ms: i64::from(int("transactional.id.expiration.ms")),
                transaction_remove_expired_transaction_cleanup_interval_ms: u64::from(
                    int("transaction.remove.expired.transaction.cleanup.interval.ms")
                        .unsigned_abs(),
                ),
            },
            group: GroupConfig {
                group_initial_rebalance_delay_ms: int("group.initial.rebalance.delay.ms")
                    .unsigned_abs(),
                group_min_session_timeout_ms: int("group.min.session.timeout.ms"),
                group_max_session_timeout_ms: int("group.max.session.timeout.ms"),
                group_max_size: size("group.max.size"),
                share_group_max_size: size("group.share.max.size"),
                offset_metadata_max_bytes: size("offset.metadata.max.bytes"),
                offsets_retention_minutes: int("offsets.retention.minutes").unsigned_abs(),
                offsets_retention_check_interval_ms: text("offsets.retention.check.interval.ms")
                    .parse()
                    .unwrap_or_default(),
            },
            topic_defaults: topic_defaults(&given),
            group_defaults: group_config::group_defaults(&given),
            given,
            random_seed: None,
        }
    }
}

/// The topic keys' defaults in a map of broker keys.
pub fn topic_defaults(values: &ConfigMap) -> ConfigMap {
    let mut defaults: ConfigMap = BROKER_SYNONYMS
        .iter()
        .filter_map(|(topic, broker)| Some(((*topic).to_owned(), values.get(*broker)?.clone())))
        .collect();
    for (name, unit_ms) in [
        ("log.retention.minutes", 60_000),
        ("log.retention.hours", 3_600_000),
    ] {
        let given = values.get(name).and_then(|value| value.parse::<i64>().ok());
        if let Some(value) = given.filter(|_| !defaults.contains_key("retention.ms")) {
            let ms = if value < 0 {
                -1
            } else {
                value.saturating_mul(unit_ms)
            };
            defaults.insert("retention.ms".to_owned(), ms.to_string());
        }
    }
    defaults
}

fn is_true(value: &str) -> bool {
    value.eq_ignore_ascii_case("true")
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
    fn every_default_is_valid_and_every_name_unique() {
        let mut names = std::collections::BTreeSet::new();
        for key in BrokerKey::all() {
            let default = key.definition().default;
            assert_eq!(key.check(default).as_deref(), Ok(default), "{}", key.name());
            assert!(names.insert(key.name()), "{} twice", key.name());
        }
        assert!(BrokerConfig::new(&ConfigMap::new()).is_ok());
    }

    #[test]
    fn refusals_name_the_key() {
        for (name, value, expect) in [
            ("num.partitions", "0", "1 to 10000"),
            ("num.partition", "1", "unknown broker config"),
            ("default.replication.factor", "3", "1 to 1"),
            ("log.retention.ms", "-2", "log.retention.ms"),
        ] {
            let message = BrokerConfig::new(&map(&[(name, value)]))
                .unwrap_err()
                .to_string();
            assert!(
                message.contains(name) && message.contains(expect),
                "{message}"
            );
        }
    }

    #[test]
    fn the_finest_retention_unit_wins() {
        for (given, expect) in [
            (&[("log.retention.hours", "1")][..], "3600000"),
            (
                &[("log.retention.hours", "1"), ("log.retention.minutes", "1")],
                "60000",
            ),
            (
                &[("log.retention.hours", "1"), ("log.retention.ms", "5")],
                "5",
            ),
            (&[("log.retention.hours", "-1")], "-1"),
        ] {
            assert_eq!(
                topic_defaults(&map(given))["retention.ms"],
                expect,
                "{given:?}"
            );
        }
    }
}
