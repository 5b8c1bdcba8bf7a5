//! The broker: Kafka's semantics over a store, without sockets and without a clock of its own.
//!
//! A request's way is `Broker::handle` → `dispatch` (one list of all APIs) → a handler (one file an API) → a partition's
//! log. Topics and configuration are a fold over the metadata log (`metadata`), made ready for use in `topics`. Groups
//! and queues are state machines (`group`, `queue`) whose records a `shard` makes durable; around the shards are the
//! requests (`coordinator`, `queues`).
//!
//! Bytes that came from a client never panic here: what is wrong with them is answered in the protocol's own codes.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod authorized_operations;
mod broker;
mod broker_config;
mod broker_key;
mod config_changes;
mod config_definition;
mod config_values;
mod config_view;
mod connection;
pub mod coordinator;
mod dispatch;
mod error;
mod fetch;
mod gauges;
pub mod group;
mod group_config;
mod group_coordinator;
mod handlers;
mod host_port;
mod latency;
pub mod message_headers;
mod metadata;
mod metrics;
mod produce;
mod producer_ids;
pub mod queue;
pub mod queues;
mod random;
mod response_errors;
mod shard;
mod share;
mod topic_changes;
mod topic_config;
mod topic_name;
mod topic_summary;
mod topics;
mod transactions;
pub mod txn;

pub use broker::Broker;
pub use broker_config::{BrokerConfig, NODE_ID};
pub use broker_key::BrokerKey;
pub use config_definition::{ConfigDefinition, ConfigError, ConfigKind, Effect};
pub use connection::{ClientSoftware, Connection};
pub use dispatch::{served_apis, served_versions};
pub use error::{ApiError, BrokerError, CloseConnection};
pub use group_config::{
    DEFINITIONS as GROUP_CONFIGS, DeadLetterSettings, GroupSettings, IsolationLevel, OffsetReset,
    ShareSettings,
};
pub use host_port::HostPort;
pub use latency::{LatencyHistogram, LatencySnapshot};
pub use metadata::{METADATA_PARTITION, MetadataRecord, MetadataRecordError};
pub use topic_config::{ConfigMap, DEFINITIONS as TOPIC_CONFIGS};
pub use topic_summary::TopicSummary;
