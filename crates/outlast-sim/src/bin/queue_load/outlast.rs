//! Outlast over HTTP: what a worker in any language would do, one request after the other.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use outlast_sim::queue_api::{NewMessage, QueueApi};
use serde_json::json;

use super::product::{BATCH, Consumer, Product, Publisher};

pub struct Outlast {
    address: SocketAddr,
    queue: String,
}

impl Outlast {
    pub fn new(address: &str, queue: &str) -> Result<Self> {
        Ok(Self {
            address: address.parse()?,
            queue: queue.to_owned(),
        })
    }

    fn api(&self) -> QueueApi {
        QueueApi::new(self.address, &self.queue)
    }
}

impl Product for Outlast {
    type Publisher = Sender;
    type Consumer = Worker;

    async fn create(&self, partitions: u32) -> Result<()> {
        Ok(self
            .api()
            .create(&json!({ "partitions": partitions }))
            .await?)
    }

    async fn delete(&self) -> Result<()> {
        Ok(self.api().delete().await?)
    }

    async fn publisher(&self) -> Result<Sender> {
        Ok(Sender(self.api()))
    }

    async fn consumer(&self, number: usize) -> Result<Worker> {
        Ok(Worker {
            api: self.api(),
            name: format!("worker-{number}"),
            receipts: Vec::new(),
        })
    }
}

pub struct Sender(QueueApi);

impl Publisher for Sender {
    async fn publish(&mut self, messages: Vec<Bytes>) -> Result<()> {
        let message = |bytes: &Bytes| {
            let value = std::str::from_utf8(bytes)?.to_owned();
            let headers = Vec::new();
            anyhow::Ok(NewMessage { value, headers })
        };
        let messages: Vec<NewMessage> = messages.iter().map(message).collect::<Result<_>>()?;
        Ok(self.0.publish(&messages).await?)
    }
}

pub struct Worker {
    api: QueueApi,
    name: String,
    receipts: Vec<String>,
}

impl Consumer for Worker {
    async fn take(&mut self) -> Result<Vec<Bytes>> {
        let wait = Duration::from_secs(1);
        let received = self.api.receive(&self.name, BATCH, wait).await?;
        let mut values = Vec::with_capacity(received.len());
        self.receipts.clear();
        for message in received {
            values.push(Bytes::from(message.value));
            self.receipts.push(message.receipt);
        }
        Ok(values)
    }

    async fn acknowledge(&mut self) -> Result<()> {
        let receipts: Vec<&str> = self.receipts.iter().map(String::as_str).collect();
        self.api.settle("acknowledge", &receipts, json!({})).await?;
        Ok(())
    }
}
