//! The records of the metadata log and their bytes.
//!
//! ```text
//! key    i16   format version (big-endian)
//! value  JSON  {"<kind>": {…}}
//! ```
//! One change is one record batch, hence one entry of the write-ahead log: it is there after a crash entirely or not at
//! all. JSON, because metadata is small, `outlast log dump` and a person can read it, and a later release can add fields.
//! A record that an older release would misread gets a higher format version, which the older one refuses by name.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

/// The newest format this release writes and reads.
pub const FORMAT_VERSION: i16 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetadataRecord {
    /// A snapshot follows in the same entry: forget everything before.
    SnapshotStart {},
    Cluster {
        cluster_id: String,
    },
    Topic {
        id: Uuid,
        name: String,
        partitions: i32,
    },
    /// The topic has grown.
    Partitions {
        id: Uuid,
        count: i32,
    },
    RemoveTopic {
        id: Uuid,
    },
    TopicConfig {
        id: Uuid,
        key: String,
        /// `None` takes the value back to its default.
        value: Option<String>,
    },
    /// `broker` is a node id, or empty for all brokers.
    BrokerConfig {
        broker: String,
        key: String,
        value: Option<String>,
    },
    GroupConfig {
        group: String,
        key: String,
        /// `None` takes the value back to its default.
        value: Option<String>,
    },
    /// Every producer id below `next` may have been handed out.
    ProducerIds {
        next: i64,
    },
}

#[derive(Debug, Error)]
pub enum MetadataRecordError {
    #[error(
        "it has format version {found}, newer than {FORMAT_VERSION}: a later release of Outlast wrote it"
    )]
    NewerFormat { found: i16 },
    #[error("its key or value is missing")]
    Incomplete,
    #[error("its value cannot be read: {0}")]
    Value(#[from] serde_json::Error),
}

impl MetadataRecord {
    pub fn key() -> [u8; 2] {
        FORMAT_VERSION.to_be_bytes()
    }

    pub fn encode(&self) -> Result<Bytes, MetadataRecordError> {
        Ok(Bytes::from(serde_json::to_vec(self)?))
    }

    pub fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Self, MetadataRecordError> {
        let (Some(key), Some(value)) = (key, value) else {
            return Err(MetadataRecordError::Incomplete);
        };
        let version = <[u8; 2]>::try_from(key).map_err(|_| MetadataRecordError::Incomplete)?;
        match i16::from_be_bytes(version) {
            found if found > FORMAT_VERSION => Err(MetadataRecordError::NewerFormat { found }),
            _ => Ok(serde_json::from_slice(value)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These bytes are on users' disks: a change here needs a new format version.
    #[test]
    fn golden_bytes() {
        let id = Uuid::from_u128(7);
        let rows = [
            (MetadataRecord::SnapshotStart {}, r#"{"snapshot_start":{}}"#),
            (
                MetadataRecord::Cluster {
                    cluster_id: "c".into(),
                },
                r#"{"cluster":{"cluster_id":"c"}}"#,
            ),
            (
                MetadataRecord::Topic {
                    id,
                    name: "t".into(),
                    partitions: 3,
                },
                r#"{"topic":{"id":"00000000-0000-0000-0000-000000000007","name":"t","partitions":3}}"#,
            ),
            (
                MetadataRecord::Partitions { id, count: 4 },
                r#"{"partitions":{"id":"00000000-0000-0000-0000-000000000007","count":4}}"#,
            ),
            (
                MetadataRecord::RemoveTopic { id },
                r#"{"remove_topic":{"id":"00000000-0000-0000-0000-000000000007"}}"#,
            ),
            (
                MetadataRecord::TopicConfig {
                    id,
                    key: "k".into(),
                    value: None,
                },
                r#"{"topic_config":{"id":"00000000-0000-0000-0000-000000000007","key":"k","value":null}}"#,
            ),
            (
                MetadataRecord::BrokerConfig {
                    broker: String::new(),
                    key: "k".into(),
                    value: Some("v".into()),
                },
                r#"{"broker_config":{"broker":"","key":"k","value":"v"}}"#,
            ),
            (
                MetadataRecord::GroupConfig {
                    group: "g".into(),
                    key: "k".into(),
                    value: Some("v".into()),
                },
                r#"{"group_config":{"group":"g","key":"k","value":"v"}}"#,
            ),
            (
                MetadataRecord::ProducerIds { next: 1000 },
                r#"{"producer_ids":{"next":1000}}"#,
            ),
        ];
        for (record, golden) in rows {
            assert_eq!(record.encode().unwrap(), golden);
            assert_eq!(
                MetadataRecord::decode(Some(&[0, 1]), Some(golden.as_bytes())).unwrap(),
                record
            );
        }
    }

    #[test]
    fn a_newer_format_is_refused_by_name() {
        let error = MetadataRecord::decode(Some(&[0, 2]), Some(b"{}")).unwrap_err();
        assert!(error.to_string().contains("format version 2"), "{error}");
    }

    #[test]
    fn bad_bytes_are_errors() {
        for (key, value) in [
            (None, Some(&b"{}"[..])),
            (Some(&[0u8, 1][..]), None),
            (Some(&[1][..]), Some(b"{}")),
            (Some(&[0, 1][..]), Some(b"{\"unheard_of\":{}}")),
            (Some(&[0, 1][..]), Some(b"\xff")),
        ] {
            assert!(
                MetadataRecord::decode(key, value).is_err(),
                "{key:?} {value:?}"
            );
        }
    }
}
