//! The products whose queues are compared, and how durable each is as it is run here.

use std::path::Path;

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::bench::process_stats::ProcessStats;
use crate::bench::subject::{Kind, Subject};

use super::nats::{self, Nats};
use super::rabbitmq::{self, RabbitMq};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, ValueEnum)]
pub enum Product {
    /// Outlast's queue API
    OutlastHttp,
    /// Outlast with Kafka's share consumer
    OutlastShare,
    /// Kafka's share groups, as Kafka comes
    Kafka,
    /// Kafka's share groups with log.flush.interval.messages=1
    KafkaFsync,
    /// A RabbitMQ quorum queue
    Rabbitmq,
    /// A JetStream pull consumer, as NATS comes
    Nats,
    /// A JetStream pull consumer with sync_interval: always
    NatsSync,
}

impl Product {
    pub fn title(self) -> &'static str {
        match self {
            Product::OutlastHttp => "Outlast, HTTP",
            Product::OutlastShare => "Outlast, share group",
            Product::Kafka => "Kafka share group",
            Product::KafkaFsync => "Kafka with fsync",
            Product::Rabbitmq => "RabbitMQ quorum queue",
            Product::Nats => "NATS JetStream",
            Product::NatsSync => "NATS, sync always",
        }
    }

    /// What an acknowledgement to the publisher, and one of a consumer, is worth here.
    pub fn durability(self) -> &'static str {
        match self {
            Product::OutlastHttp | Product::OutlastShare => {
                "messages, locks and acknowledgements are synced to the disk before the answer"
            }
            Product::Kafka => {
                "messages and share-group state are in the page cache at the answer; the system \
                 writes them later"
            }
            Product::KafkaFsync => {
                "messages and share-group state are synced before the answer (every partition's \
                 log by itself)"
            }
            Product::Rabbitmq => {
                "messages are synced in the quorum queue's log before the publisher's confirm (one \
                 node); acknowledgements of consumers are logged, too, but not confirmed"
            }
            Product::Nats => {
                "messages are in the page cache at the answer, synced every two minutes; \
                 acknowledgements of consumers are not confirmed"
            }
            Product::NatsSync => {
                "messages are synced before the answer; acknowledgements of consumers are not \
                 confirmed"
            }
        }
    }

    pub fn is_outlast(self) -> bool {
        matches!(self, Product::OutlastHttp | Product::OutlastShare)
    }

    /// Whether its consumers are Kafka's own, in Java.
    pub fn has_share_consumers(self) -> bool {
        matches!(
            self,
            Product::OutlastShare | Product::Kafka | Product::KafkaFsync
        )
    }

    /// What the load program calls those who publish and receive in Rust.
    pub fn client(self) -> &'static str {
        match self {
            Product::OutlastHttp => "outlast-http",
            Product::OutlastShare | Product::Kafka | Product::KafkaFsync => "kafka",
            Product::Rabbitmq => "rabbitmq",
            Product::Nats | Product::NatsSync => "nats",
        }
    }

    fn dir_name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// Makes sure that a product can be started; the error says why it can't.
pub fn install(product: Product) -> Result<()> {
    match product {
        Product::Rabbitmq => rabbitmq::install().map(drop),
        Product::Nats | Product::NatsSync => nats::install().map(drop),
        // Kafka's jars and Outlast's binary are there by now.
        _ => Ok(()),
    }
}

/// A running product.
pub struct Running {
    pub product: Product,
    process: Process,
}

enum Process {
    Broker(Box<Subject>),
    RabbitMq(RabbitMq),
    Nats(Nats),
}

impl Running {
    pub fn start(product: Product, libraries: &Path, data: &Path) -> Result<Self> {
        let dir = data.join(product.dir_name());
        let broker = |kind| {
            anyhow::Ok(Process::Broker(
                Subject::start(kind, libraries, &dir)?.into(),
            ))
        };
        let process = match product {
            Product::OutlastHttp | Product::OutlastShare => broker(Kind::Outlast)?,
            Product::Kafka => broker(Kind::Kafka)?,
            Product::KafkaFsync => broker(Kind::KafkaFsync)?,
            Product::Rabbitmq => Process::RabbitMq(RabbitMq::start(&dir)?),
            Product::Nats => Process::Nats(Nats::start(&dir, false)?),
            Product::NatsSync => Process::Nats(Nats::start(&dir, true)?),
        };
        Ok(Self { product, process })
    }

    pub fn pid(&self) -> Result<u32> {
        match &self.process {
            Process::Broker(subject) => subject.pid(),
            Process::RabbitMq(rabbitmq) => Ok(rabbitmq.pid()),
            Process::Nats(nats) => Ok(nats.pid()),
        }
    }

    pub fn stats(&self) -> Result<ProcessStats> {
        ProcessStats::of(self.pid()?)
    }

    /// Where its own clients connect.
    pub fn address(&self) -> String {
        match &self.process {
            Process::Broker(subject) if self.product == Product::OutlastHttp => {
                subject.http_address()
            }
            Process::Broker(subject) => subject.bootstrap(),
            Process::RabbitMq(rabbitmq) => rabbitmq.address(),
            Process::Nats(nats) => nats.address(),
        }
    }

    /// Where Kafka clients connect.
    pub fn bootstrap(&self) -> Result<String> {
        match &self.process {
            Process::Broker(subject) => Ok(subject.bootstrap()),
            _ => bail!("{} has no port for Kafka clients", self.product.title()),
        }
    }
}
