//! NATS JetStream: a work-queue stream on files and one durable pull consumer that all workers
//! share, each asking for a batch after the other. Every message is acknowledged by itself.
//!
//! Like RabbitMQ, NATS doesn't confirm these acknowledgements unless asked to, message by message.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::stream::{self, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, AckKind};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};

use super::product::{BATCH, Consumer, Product, Publisher};

const CONSUMER: &str = "workers";
/// The default of 1,000 would leave many of 64 workers without work.
const MAX_ACK_PENDING: i64 = 20_000;

pub struct Nats {
    address: String,
    queue: String,
}

impl Nats {
    pub fn new(address: &str, queue: &str) -> Self {
        Self {
            address: address.to_owned(),
            queue: queue.to_owned(),
        }
    }

    async fn connect(&self) -> Result<jetstream::Context> {
        let client = async_nats::connect(&self.address)
            .await
            .with_context(|| self.address.clone())?;
        Ok(jetstream::new(client))
    }
}

impl Product for Nats {
    type Publisher = Sender;
    type Consumer = Receiver;

    /// A stream is one sequence: it has no partitions.
    async fn create(&self, _: u32) -> Result<()> {
        let stream = self
            .connect()
            .await?
            .create_stream(stream::Config {
                name: self.queue.clone(),
                subjects: vec![self.queue.clone()],
                retention: RetentionPolicy::WorkQueue,
                storage: StorageType::File,
                ..stream::Config::default()
            })
            .await?;
        stream
            .create_consumer(pull::Config {
                durable_name: Some(CONSUMER.to_owned()),
                max_ack_pending: MAX_ACK_PENDING,
                ..pull::Config::default()
            })
            .await?;
        Ok(())
    }

    async fn delete(&self) -> Result<()> {
        self.connect().await?.delete_stream(&self.queue).await?;
        Ok(())
    }

    async fn publisher(&self) -> Result<Sender> {
        Ok(Sender {
            context: self.connect().await?,
            subject: self.queue.clone(),
        })
    }

    async fn consumer(&self, _: usize) -> Result<Receiver> {
        let context = self.connect().await?;
        let stream = context.get_stream(&self.queue).await?;
        let consumer: jetstream::consumer::PullConsumer = stream
            .get_consumer(CONSUMER)
            .await
            .map_err(|error| anyhow!(error))?;
        let messages = consumer
            .stream()
            .max_messages_per_batch(2 * BATCH)
            .messages()
            .await?;
        Ok(Receiver {
            context,
            messages,
            taken: Vec::new(),
        })
    }
}

pub struct Sender {
    context: jetstream::Context,
    subject: String,
}

impl Publisher for Sender {
    async fn publish(&mut self, messages: Vec<Bytes>) -> Result<()> {
        let mut confirms = Vec::with_capacity(messages.len());
        for message in messages {
            let confirm = self.context.publish(self.subject.clone(), message).await?;
            confirms.push(confirm);
        }
        for confirm in confirms {
            confirm.await?;
        }
        Ok(())
    }
}

pub struct Receiver {
    context: jetstream::Context,
    messages: pull::Stream,
    taken: Vec<jetstream::Message>,
}

impl Consumer for Receiver {
    async fn take(&mut self) -> Result<Vec<Bytes>> {
        self.taken.clear();
        let first = tokio::time::timeout(Duration::from_secs(1), self.messages.next()).await;
        let mut next = first.unwrap_or(None);
        while let Some(message) = next {
            self.taken.push(message?);
            if self.taken.len() == BATCH {
                break;
            }
            next = self.messages.next().now_or_never().flatten();
        }
        let payload = |message: &jetstream::Message| message.payload.clone();
        Ok(self.taken.iter().map(payload).collect())
    }

    async fn acknowledge(&mut self) -> Result<()> {
        for message in self.taken.drain(..) {
            message
                .ack_with(AckKind::Ack)
                .await
                .map_err(|error| anyhow!(error))?;
        }
        Ok(())
    }

    /// A connection is worked off in order: when this is answered, the acknowledgements are there.
    async fn finish(&mut self) -> Result<()> {
        self.context.query_account().await?;
        Ok(())
    }
}
