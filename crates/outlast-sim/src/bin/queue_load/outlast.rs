//! Outlast over HTTP: a worker asks for the next messages on one connection while it acknowledges
//! those before on another.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use outlast_sim::queue_api::{NewMessage, Outcome, QueueApi};
use serde_json::json;
use tokio::task::JoinHandle;

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
            acknowledging: None,
            idle: Some(self.api()),
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
    acknowledging: Option<JoinHandle<Result<QueueApi>>>,
    /// For acknowledgements, while none is under way.
    idle: Option<QueueApi>,
}

impl Worker {
    async fn settled(&mut self) -> Result<()> {
        if let Some(task) = self.acknowledging.take() {
            self.idle = Some(task.await??);
        }
        Ok(())
    }
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

    /// Waits for the answer to the one before, never for this one's.
    async fn acknowledge(&mut self) -> Result<()> {
        self.settled().await?;
        let mut api = self.idle.take().context("a connection for this")?;
        let receipts = std::mem::take(&mut self.receipts);
        self.acknowledging = Some(tokio::spawn(async move {
            let receipts: Vec<&str> = receipts.iter().map(String::as_str).collect();
            let outcomes = api.settle("acknowledge", &receipts, json!({})).await?;
            ensure!(
                outcomes.iter().all(|&outcome| outcome == Outcome::Done),
                "an acknowledgement was refused: {outcomes:?}"
            );
            Ok(api)
        }));
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        self.settled().await
    }
}
