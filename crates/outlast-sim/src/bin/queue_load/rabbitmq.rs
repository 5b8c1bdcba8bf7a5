//! RabbitMQ: a quorum queue over AMQP 0.9.1, publisher confirms, prefetch, acknowledgements up to
//! the last message that is in hand.
//!
//! RabbitMQ doesn't confirm acknowledgements of consumers; everybody else here does.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Acker, BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};

use super::product::{BATCH, Consumer, Product, Publisher};

const PERSISTENT: u8 = 2;
/// While one batch is being acknowledged, the next one may be on its way.
const PREFETCH: u16 = 2 * BATCH as u16;

pub struct RabbitMq {
    uri: String,
    queue: String,
}

impl RabbitMq {
    pub fn new(address: &str, queue: &str) -> Self {
        Self {
            uri: format!("amqp://guest:guest@{address}/%2f"),
            queue: queue.to_owned(),
        }
    }

    async fn connect(&self) -> Result<(Connection, Channel)> {
        let connection = Connection::connect(&self.uri, ConnectionProperties::default())
            .await
            .with_context(|| self.uri.clone())?;
        let channel = connection.create_channel().await?;
        Ok((connection, channel))
    }
}

impl Product for RabbitMq {
    type Publisher = Sender;
    type Consumer = Receiver;

    /// A quorum queue is one sequence: it has no partitions.
    async fn create(&self, _: u32) -> Result<()> {
        let (_connection, channel) = self.connect().await?;
        let mut arguments = FieldTable::default();
        let quorum = AMQPValue::LongString("quorum".into());
        arguments.insert("x-queue-type".into(), quorum);
        let queue = self.queue.as_str().into();
        channel
            .queue_declare(queue, QueueDeclareOptions::durable(), arguments)
            .await?;
        Ok(())
    }

    async fn delete(&self) -> Result<()> {
        let (_connection, channel) = self.connect().await?;
        let queue = self.queue.as_str().into();
        channel
            .queue_delete(queue, QueueDeleteOptions::default())
            .await?;
        Ok(())
    }

    async fn publisher(&self) -> Result<Sender> {
        let (connection, channel) = self.connect().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        Ok(Sender {
            _connection: connection,
            channel,
            queue: self.queue.clone(),
        })
    }

    async fn consumer(&self, number: usize) -> Result<Receiver> {
        let (connection, channel) = self.connect().await?;
        channel
            .basic_qos(PREFETCH, BasicQosOptions::default())
            .await?;
        let deliveries = channel
            .basic_consume(
                self.queue.as_str().into(),
                format!("consumer-{number}").into(),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            )
            .await?;
        Ok(Receiver {
            _connection: connection,
            channel,
            deliveries,
            last: None,
        })
    }
}

pub struct Sender {
    _connection: Connection,
    channel: Channel,
    queue: String,
}

impl Publisher for Sender {
    async fn publish(&mut self, messages: Vec<Bytes>) -> Result<()> {
        let mut confirms = Vec::with_capacity(messages.len());
        for message in &messages {
            let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
            let confirm = self
                .channel
                .basic_publish(
                    "".into(),
                    self.queue.as_str().into(),
                    BasicPublishOptions::default(),
                    message,
                    properties,
                )
                .await?;
            confirms.push(confirm);
        }
        for confirm in confirms {
            let confirmation = confirm.await?;
            ensure!(
                matches!(confirmation, Confirmation::Ack(_)),
                "not confirmed: {confirmation:?}"
            );
        }
        Ok(())
    }
}

pub struct Receiver {
    _connection: Connection,
    channel: Channel,
    deliveries: lapin::Consumer,
    /// Acknowledging this one acknowledges all before it.
    last: Option<Acker>,
}

impl Consumer for Receiver {
    async fn take(&mut self) -> Result<Vec<Bytes>> {
        let mut messages = Vec::new();
        let first = tokio::time::timeout(Duration::from_secs(1), self.deliveries.next()).await;
        let mut next = first.unwrap_or(None);
        while let Some(delivery) = next {
            let delivery = delivery?;
            messages.push(Bytes::from(delivery.data));
            self.last = Some(delivery.acker);
            if messages.len() == BATCH {
                break;
            }
            next = self.deliveries.next().now_or_never().flatten();
        }
        Ok(messages)
    }

    async fn acknowledge(&mut self) -> Result<()> {
        if let Some(acker) = self.last.take() {
            acker.ack(BasicAckOptions { multiple: true }).await?;
        }
        Ok(())
    }

    /// A channel is worked off in order: when this is answered, so are the acknowledgements.
    async fn finish(&mut self) -> Result<()> {
        Ok(self
            .channel
            .basic_qos(PREFETCH, BasicQosOptions::default())
            .await?)
    }
}
