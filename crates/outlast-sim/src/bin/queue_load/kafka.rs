//! Publishing with Kafka's protocol, by librdkafka with acks=all. Its consumers are in Java.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::product::{Consumer, Product, Publisher};

pub struct Kafka {
    bootstrap: String,
    topic: String,
}

impl Kafka {
    pub fn new(bootstrap: &str, topic: &str) -> Self {
        Self {
            bootstrap: bootstrap.to_owned(),
            topic: topic.to_owned(),
        }
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        let mut config = ClientConfig::new();
        Ok(config.set("bootstrap.servers", &self.bootstrap).create()?)
    }
}

impl Product for Kafka {
    type Publisher = Sender;
    type Consumer = NoConsumer;

    async fn create(&self, partitions: u32) -> Result<()> {
        let partitions = i32::try_from(partitions)?;
        let topic = NewTopic::new(&self.topic, partitions, TopicReplication::Fixed(1));
        let results = self
            .admin()?
            .create_topics([&topic], &AdminOptions::new())
            .await?;
        for result in results {
            result.map_err(|(name, code)| anyhow::anyhow!("creating {name}: {code}"))?;
        }
        Ok(())
    }

    async fn delete(&self) -> Result<()> {
        let results = self
            .admin()?
            .delete_topics(&[&self.topic], &AdminOptions::new())
            .await?;
        for result in results {
            result.map_err(|(name, code)| anyhow::anyhow!("deleting {name}: {code}"))?;
        }
        Ok(())
    }

    async fn publisher(&self) -> Result<Sender> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .set("acks", "all")
            .set("linger.ms", "0")
            .create()?;
        Ok(Sender {
            producer,
            topic: self.topic.clone(),
        })
    }

    async fn consumer(&self, _: usize) -> Result<NoConsumer> {
        bail!("Kafka's share consumer is in Java: xtask/kafka/ShareLoad.java")
    }
}

pub struct Sender {
    producer: FutureProducer,
    topic: String,
}

impl Publisher for Sender {
    async fn publish(&mut self, messages: Vec<Bytes>) -> Result<()> {
        let sent: Vec<_> = messages
            .iter()
            .map(|message| {
                let record: FutureRecord<'_, (), [u8]> =
                    FutureRecord::to(&self.topic).payload(&message[..]);
                self.producer.send(record, Duration::from_secs(30))
            })
            .collect();
        for one in futures_util::future::join_all(sent).await {
            one.map_err(|(error, _)| error).context("publishing")?;
        }
        Ok(())
    }
}

pub struct NoConsumer;

impl Consumer for NoConsumer {
    async fn take(&mut self) -> Result<Vec<Bytes>> {
        Ok(Vec::new())
    }

    async fn acknowledge(&mut self) -> Result<()> {
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}
