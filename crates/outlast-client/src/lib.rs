//! A thin Kafka client: the one that Outlast's own command line, links, drills and benches share.
//!
//! [`Client`] finds the cluster and routes requests; [`Producer`], [`Consumer`] and [`Admin`] stand on it. Everything
//! it says is plain Kafka protocol, so it works against any compatible broker. What it does not do: transactions,
//! TLS and SASL (they come with the server's), and the newer group protocol.

mod address;
pub mod admin;
mod backoff;
mod cluster;
mod config;
mod connection;
pub mod consumer;
mod error;
mod metadata;
mod offsets;
mod partitioner;
pub mod producer;
mod versions;

pub use address::{Address, DEFAULT_PORT};
pub use admin::Admin;
pub use backoff::Backoff;
pub use cluster::{Client, CoordinatorKind, Lane};
pub use config::ClientConfig;
pub use connection::{Connection, InFlight, Unanswered};
pub use consumer::Consumer;
pub use error::ClientError;
pub use metadata::{BrokerId, BrokerInfo, Metadata, PartitionInfo, TopicInfo, TopicPartition};
pub use offsets::{CommittedOffset, Committer, ListedOffset, OffsetSpec, PerPartition};
pub use outlast_records::murmur2::{murmur2, partition_for_key};
pub use producer::Producer;
pub use versions::ApiVersionTable;
