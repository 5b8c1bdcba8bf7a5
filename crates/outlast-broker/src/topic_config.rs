//! Every topic configuration that a Kafka 4.3 user can set, declared once.
//!
//! [`DEFINITIONS`] is what CreateTopics, DescribeConfigs, the alter APIs and the reference page read. [`TopicConfig`] is
//! the checked form of the keys that act: inside the broker there is nothing left to validate.

use std::collections::BTreeMap;
use std::sync::Arc;

use outlast_records::{Compression, TimestampType};
use outlast_storage::Retention;

use crate::config_definition::{ConfigDefinition, ConfigError, ConfigKind, Effect, list};
use crate::config_view::ConfigView;

/// Configuration values by key, as given and stored.
pub type ConfigMap = BTreeMap<String, String>;

const ONE_WAL: &str =
    "all partitions share one write-ahead log, whose files are sized by the broker";
const DURABLE: &str = "every acknowledged write is already on stable storage";
const NO_COMPACTION: &str = "this release keeps all records of compacted topics";
const NO_TIERS: &str = "this release has no tiered storage";
const ONE_BROKER: &str = "this release runs as one broker, without replicas";
const OWN_LEVEL: &str = "the broker uses each codec's default level";

const fn long(min: i64) -> ConfigKind {
    ConfigKind::Long { min, max: i64::MAX }
}

const fn bounded(min: i64, max: i64) -> ConfigKind {
    ConfigKind::Long { min, max }
}

const DAY_MS: i64 = 86_400_000;

const fn int(min: i32, max: i32) -> ConfigKind {
    ConfigKind::Int { min, max }
}

macro_rules! definitions {
    ($($name:literal: $kind:expr, $default:literal, $effect:expr, $help:literal;)*) => {
        &[$(ConfigDefinition { name: $name, kind: $kind, default: $default, effect: $effect, help: $help }),*]
    };
}

/// Sorted by name.
pub const DEFINITIONS: &[ConfigDefinition] = definitions![
    "cleanup.policy": ConfigKind::Words(&["compact", "delete"]), "delete", Effect::Acts,
        "What happens to old records: delete removes them by retention.ms and retention.bytes; an empty list keeps them \
         for ever; compact is to keep the newest record of each key. Compaction comes in a later release: until then a \
         compacted topic keeps every record, which its readers cannot tell from compaction that has not run yet.";
    "compression.gzip.level": ConfigKind::Int { min: -1, max: 9 }, "-1", Effect::Ignored(OWN_LEVEL),
        "The level for compression.type=gzip.";
    "compression.lz4.level": int(1, 17), "9", Effect::Ignored(OWN_LEVEL),
        "The level for compression.type=lz4.";
    "compression.type": ConfigKind::Word(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), "producer", Effect::Acts,
        "How batches are stored: producer keeps what the producer chose; any other value makes the broker recompress \
         batches that differ.";
    "compression.zstd.level": int(-131_072, 22), "3", Effect::Ignored(OWN_LEVEL),
        "The level for compression.type=zstd.";
    "delete.retention.ms": long(0), "86400000", Effect::Ignored(NO_COMPACTION),
        "How long a tombstone stays in a compacted topic.";
    "file.delete.delay.ms": long(0), "60000", Effect::Ignored(ONE_WAL),
        "How long a file stays after its records were deleted.";
    "flush.messages": long(1), "9223372036854775807", Effect::Ignored(DURABLE),
        "After how many records Kafka forces them to disk.";
    "flush.ms": long(0), "9223372036854775807", Effect::Ignored(DURABLE),
        "After how many milliseconds Kafka forces records to disk.";
    "follower.replication.throttled.replicas": ConfigKind::ThrottledReplicas, "", Effect::Ignored(ONE_BROKER),
        "Followers whose replication is throttled.";
    "index.interval.bytes": int(0, i32::MAX), "4096", Effect::Ignored(ONE_WAL),
        "How many bytes of records lie between two index entries.";
    "leader.replication.throttled.replicas": ConfigKind::ThrottledReplicas, "", Effect::Ignored(ONE_BROKER),
        "Leaders whose replication is throttled.";
    "local.retention.bytes": long(-2), "-2", Effect::Ignored(NO_TIERS),
        "How much of a tiered partition stays on the broker.";
    "local.retention.ms": long(-2), "-2", Effect::Ignored(NO_TIERS),
        "How long records of a tiered partition stay on the broker.";
    "max.compaction.lag.ms": long(1), "9223372036854775807", Effect::Ignored(NO_COMPACTION),
        "After how long a record must be compacted.";
    "max.message.bytes": int(0, i32::MAX), "1048588", Effect::Acts,
        "The largest record batch accepted, in bytes as sent (compressed if the producer compresses).";
    "message.dedupe.header": ConfigKind::String, "", Effect::Acts,
        "The header whose value names a message, such as outlast-message-id: a message with a value that came within the \
         last message.dedupe.window.ms is acknowledged and not stored again. Empty: off. Messages without the header, and \
         those of transactions, are stored in any case.";
    "message.dedupe.max.ids": bounded(1, 100_000_000), "1000000", Effect::Acts,
        "How many ids a partition remembers at most; when there are more within the window, the oldest are forgotten \
         first. An id takes 44 to 75 bytes of memory and none on disk: the log has the ids, and the window is read from it \
         again after a restart.";
    "message.dedupe.window.ms": bounded(1, 365 * DAY_MS), "300000", Effect::Acts,
        "For how long a partition remembers the id of a message, counted by the broker's clock. After a restart a \
         message's time is its timestamp, which is exact with message.timestamp.type=LogAppendTime.";
    "message.delay.ms": bounded(0, 3650 * DAY_MS), "0", Effect::Acts,
        "How long a message waits before share groups get it, counted from its timestamp. A message's own header \
         outlast-delay-ms or outlast-deliver-at wins. Consumer groups read it at once.";
    "message.timestamp.after.max.ms": long(0), "3600000", Effect::Acts,
        "How far a record's timestamp may lie ahead of the broker's clock. Not looked at with LogAppendTime.";
    "message.timestamp.before.max.ms": long(0), "9223372036854775807", Effect::Acts,
        "How far a record's timestamp may lie behind the broker's clock. Not looked at with LogAppendTime.";
    "message.timestamp.type": ConfigKind::Word(&["CreateTime", "LogAppendTime"]), "CreateTime", Effect::Acts,
        "Whether a record keeps the producer's timestamp or gets the time at which the broker appended it.";
    "message.ttl.ms": long(-1), "-1", Effect::Acts,
        "How long a message may wait to be processed by a share group, counted from when it is due; then it expires, and \
         queue.expired.action of the group says what follows. -1 means for ever. A message's own header outlast-ttl-ms \
         wins. Records stay readable for consumer groups as long as retention keeps them.";
    "min.cleanable.dirty.ratio": ConfigKind::Double { min: 0.0, max: 1.0 }, "0.5", Effect::Ignored(NO_COMPACTION),
        "Which share of a log must be uncompacted before compaction runs.";
    "min.compaction.lag.ms": long(0), "0", Effect::Ignored(NO_COMPACTION),
        "For how long a record must not be compacted.";
    "min.insync.replicas": int(1, i32::MAX), "1", Effect::Acts,
        "How many replicas must have a write of acks=all. There is one broker, so acks=all is refused with \
         NOT_ENOUGH_REPLICAS when this is more than 1.";
    "preallocate": ConfigKind::Boolean, "false", Effect::Ignored(ONE_WAL),
        "Whether log files get their full size when they are created.";
    "remote.log.copy.disable": ConfigKind::Boolean, "false", Effect::Ignored(NO_TIERS),
        "Whether copying to the remote tier is stopped.";
    "remote.log.delete.on.disable": ConfigKind::Boolean, "false", Effect::Ignored(NO_TIERS),
        "Whether remote data is deleted when tiering is switched off.";
    "remote.storage.enable": ConfigKind::Boolean, "false", Effect::Refused(NO_TIERS),
        "Whether the topic is tiered to remote storage.";
    "retention.bytes": long(i64::MIN), "-1", Effect::Acts,
        "How many bytes a partition may hold before its oldest records are deleted; any negative value means no limit.";
    "retention.ms": long(-1), "604800000", Effect::Acts,
        "How long a record is kept; -1 means without limit.";
    "segment.bytes": int(1_048_576, i32::MAX), "1073741824", Effect::Ignored(ONE_WAL),
        "The size of one log file.";
    "segment.index.bytes": int(4, i32::MAX), "10485760", Effect::Ignored(ONE_WAL),
        "The size of one index file.";
    "segment.jitter.ms": long(0), "0", Effect::Ignored(ONE_WAL),
        "The largest random delay taken off segment.ms.";
    "segment.ms": long(1), "604800000", Effect::Ignored(ONE_WAL),
        "After how long a log file is closed even when it is not full.";
    "unclean.leader.election.enable": ConfigKind::Boolean, "false", Effect::Ignored(ONE_BROKER),
        "Whether a replica that misses records may become leader.";
];

/// The broker key that sets a topic key's default (the first of Kafka's synonyms).
pub fn broker_synonym(topic_key: &str) -> Option<&'static str> {
    BROKER_SYNONYMS
        .iter()
        .find(|(key, _)| *key == topic_key)
        .map(|(_, synonym)| *synonym)
}

/// `(topic key, broker key)`.
pub const BROKER_SYNONYMS: &[(&str, &str)] = &[
    ("cleanup.policy", "log.cleanup.policy"),
    ("compression.gzip.level", "compression.gzip.level"),
    ("compression.lz4.level", "compression.lz4.level"),
    ("compression.type", "compression.type"),
    ("compression.zstd.level", "compression.zstd.level"),
    ("delete.retention.ms", "log.cleaner.delete.retention.ms"),
    ("file.delete.delay.ms", "log.segment.delete.delay.ms"),
    ("flush.messages", "log.flush.interval.messages"),
    ("flush.ms", "log.flush.interval.ms"),
    ("index.interval.bytes", "log.index.interval.bytes"),
    ("local.retention.bytes", "log.local.retention.bytes"),
    ("local.retention.ms", "log.local.retention.ms"),
    ("max.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"),
    ("max.message.bytes", "message.max.bytes"),
    ("message.dedupe.header", "log.message.dedupe.header"),
    ("message.dedupe.max.ids", "log.message.dedupe.max.ids"),
    ("message.dedupe.window.ms", "log.message.dedupe.window.ms"),
    ("message.delay.ms", "log.message.delay.ms"),
    (
        "message.timestamp.after.max.ms",
        "log.message.timestamp.after.max.ms",
    ),
    (
        "message.timestamp.before.max.ms",
        "log.message.timestamp.before.max.ms",
    ),
    ("message.timestamp.type", "log.message.timestamp.type"),
    ("message.ttl.ms", "log.message.ttl.ms"),
    (
        "min.cleanable.dirty.ratio",
        "log.cleaner.min.cleanable.ratio",
    ),
    ("min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms"),
    ("min.insync.replicas", "min.insync.replicas"),
    ("preallocate", "log.preallocate"),
    ("retention.bytes", "log.retention.bytes"),
    ("retention.ms", "log.retention.ms"),
    ("segment.bytes", "log.segment.bytes"),
    ("segment.index.bytes", "log.index.size.max.bytes"),
    ("segment.jitter.ms", "log.roll.jitter.ms"),
    ("segment.ms", "log.roll.ms"),
    (
        "unclean.leader.election.enable",
        "unclean.leader.election.enable",
    ),
];

pub fn definition(name: &str) -> Option<&'static ConfigDefinition> {
    DEFINITIONS
        .binary_search_by(|definition| definition.name.cmp(name))
        .ok()
        .map(|index| &DEFINITIONS[index])
}

/// Checks a topic's own values, and them together with the broker's defaults.
pub fn validate(own: &ConfigMap, defaults: &ConfigMap) -> Result<ConfigMap, ConfigError> {
    let mut checked = ConfigMap::new();
    for (name, value) in own {
        let definition = definition(name).ok_or_else(|| ConfigError::UnknownName {
            scope: "topic",
            name: name.clone(),
        })?;
        checked.insert(name.clone(), definition.check(value)?);
    }
    let values = view(&checked, defaults);
    let (min, max) = (
        values.long("min.compaction.lag.ms"),
        values.long("max.compaction.lag.ms"),
    );
    if min > max {
        return Err(ConfigError::Conflict(format!(
            "min.compaction.lag.ms ({min}) must not be more than max.compaction.lag.ms ({max})"
        )));
    }
    Ok(checked)
}

/// `own` over `defaults` over what is built in.
fn view<'a>(own: &'a ConfigMap, defaults: &'a ConfigMap) -> ConfigView<'a> {
    ConfigView {
        own,
        defaults,
        definition,
    }
}

/// The keys that act, parsed.
#[derive(Debug, Clone)]
pub struct TopicConfig {
    pub retention: Retention,
    pub max_message_bytes: usize,
    pub timestamp_type: TimestampType,
    pub timestamp_before_max_ms: i64,
    pub timestamp_after_max_ms: i64,
    /// `None`: as the producer sent it.
    pub compression: Option<Compression>,
    pub compact: bool,
    pub delete: bool,
    pub min_insync_replicas: i32,
    pub messages: MessageConfig,
}

/// What the topic adds to a message on its way through a queue.
#[derive(Debug, Clone)]
pub struct MessageConfig {
    pub delay_ms: i64,
    /// `None`: messages don't expire.
    pub ttl_ms: Option<i64>,
    pub dedupe: Option<DedupeConfig>,
}

/// How repeated messages are recognised when they are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DedupeConfig {
    pub header: Arc<str>,
    pub window_ms: i64,
    pub max_ids: usize,
}

impl TopicConfig {
    /// `own` are the topic's values, `defaults` the broker's for topic keys; both were checked when they were set.
    pub fn resolve(own: &ConfigMap, defaults: &ConfigMap) -> Self {
        let values = view(own, defaults);
        let policy: Vec<&str> = list(values.text("cleanup.policy")).collect();
        let delete = policy.contains(&"delete");
        let limit = |key| Some(values.long(key)).filter(|limit| delete && *limit >= 0);
        Self {
            retention: Retention {
                ms: limit("retention.ms"),
                bytes: limit("retention.bytes").and_then(|bytes| u64::try_from(bytes).ok()),
            },
            max_message_bytes: usize::try_from(values.long("max.message.bytes")).unwrap_or(0),
            timestamp_type: match values.text("message.timestamp.type") {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            timestamp_before_max_ms: values.long("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: values.long("message.timestamp.after.max.ms"),
            compression: match values.text("compression.type") {
                "uncompressed" => Some(Compression::None),
                "gzip" => Some(Compression::Gzip),
                "snappy" => Some(Compression::Snappy),
                "lz4" => Some(Compression::Lz4),
                "zstd" => Some(Compression::Zstd),
                _ => None,
            },
            compact: policy.contains(&"compact"),
            delete,
            min_insync_replicas: i32::try_from(values.long("min.insync.replicas"))
                .unwrap_or(i32::MAX),
            messages: MessageConfig {
                delay_ms: values.long("message.delay.ms"),
                ttl_ms: Some(values.long("message.ttl.ms")).filter(|ttl| *ttl >= 0),
                dedupe: values
                    .some_text("message.dedupe.header")
                    .map(|header| DedupeConfig {
                        header: header.into(),
                        window_ms: values.long("message.dedupe.window.ms"),
                        max_ids: values.number("message.dedupe.max.ids"),
                    }),
            },
        }
    }
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
        for (topic_key, _) in BROKER_SYNONYMS {
            assert!(definition(topic_key).is_some(), "{topic_key}");
        }
    }

    #[test]
    fn refusals_name_the_key_and_what_is_allowed() {
        for (given, expect) in [
            (
                &[("retention.mss", "1")][..],
                &["unknown topic config", "retention.mss"][..],
            ),
            (
                &[("retention.ms", "-2")],
                &["retention.ms", "-1 to 9223372036854775807"],
            ),
            (
                &[("compression.type", "brotli")],
                &["compression.type", "zstd, lz4"],
            ),
            (
                &[("remote.storage.enable", "true")],
                &["remote.storage.enable", "no tiered storage"],
            ),
            (
                &[
                    ("min.compaction.lag.ms", "9"),
                    ("max.compaction.lag.ms", "8"),
                ],
                &["min.compaction.lag.ms (9)", "max.compaction.lag.ms (8)"],
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
    fn own_values_win_over_the_brokers_and_those_over_the_built_in() {
        let own = map(&[
            ("retention.bytes", "5"),
            ("cleanup.policy", "compact,delete"),
        ]);
        let defaults = map(&[("retention.bytes", "7"), ("retention.ms", "9")]);
        let config = TopicConfig::resolve(&own, &defaults);
        assert_eq!(
            (config.retention.bytes, config.retention.ms),
            (Some(5), Some(9))
        );
        assert!(config.compact && config.delete);
        assert_eq!(config.max_message_bytes, 1_048_588);
    }

    #[test]
    fn nothing_expires_without_the_delete_policy() {
        for policy in ["compact", ""] {
            let config =
                TopicConfig::resolve(&map(&[("cleanup.policy", policy)]), &ConfigMap::new());
            assert_eq!(
                (config.retention.ms, config.retention.bytes),
                (None, None),
                "{policy:?}"
            );
        }
    }
}
