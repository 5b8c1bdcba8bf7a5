//! Sends records: gathers them into batches per partition, keeps up to five requests in flight a broker, repeats
//! what failed for a while, in order and (idempotent, the default) without duplicates.
//!
//! Every record has a result of its own, a [`Delivery`]. There is no allocation a record on the way: a record is
//! encoded straight into its batch, and a delivery is a share of the batch's outcome.

mod flow;
mod inlet;
mod request;
mod sender;

use std::sync::Arc;
use std::time::Duration;

use outlast_records::Compression;
use tokio::sync::SetOnce;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::cluster::Client;
use crate::error::ClientError;
use inlet::Inlet;

/// When the broker acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Acks {
    /// Never: a record counts as sent when the operating system has it.
    None,
    /// When the leader has it.
    Leader,
    /// When all in-sync replicas have it.
    #[default]
    All,
}

impl Acks {
    /// As the protocol says it.
    pub fn code(self) -> i16 {
        match self {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        }
    }
}

#[derive(Clone, Debug)]
pub struct ProducerConfig {
    pub acks: Acks,
    /// Sequence numbers, so that the broker drops what it already has. Needs `Acks::All`; off otherwise.
    pub idempotent: bool,
    pub compression: Compression,
    pub compression_level: Option<i32>,
    /// How long a batch that isn't full waits for more. Zero still batches whatever comes while requests are out.
    pub linger: Duration,
    /// A batch is closed when it has reached this size before compression.
    pub batch_bytes: usize,
    pub max_request_bytes: usize,
    /// Records that wait or are in flight may take this much; then `send` waits.
    pub buffer_bytes: usize,
    /// Requests in flight to one broker, 1 to 5.
    pub max_in_flight: usize,
    /// How long a record is tried, from `send` on.
    pub delivery_timeout: Duration,
    /// Lets the broker create topics that don't exist, if it is configured so.
    pub create_topics: bool,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            idempotent: true,
            compression: Compression::None,
            compression_level: None,
            linger: Duration::ZERO,
            batch_bytes: 64 << 10,
            max_request_bytes: 1 << 20,
            buffer_bytes: 32 << 20,
            max_in_flight: 5,
            delivery_timeout: Duration::from_secs(120),
            create_topics: true,
        }
    }
}

impl ProducerConfig {
    fn checked(mut self) -> Result<Self, ClientError> {
        if !(1..=5).contains(&self.max_in_flight) {
            return Err(ClientError::invalid(
                "max_in_flight must be 1 to 5: the broker remembers five batches a producer",
            ));
        }
        if self.buffer_bytes < self.max_request_bytes {
            return Err(ClientError::invalid(
                "buffer_bytes must be at least max_request_bytes",
            ));
        }
        self.idempotent &= self.acks == Acks::All;
        Ok(self)
    }
}

/// One record to send. Borrowed: its bytes are copied into the batch at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProducerRecord<'a> {
    pub topic: &'a str,
    /// `None` lets the key decide, and without a key spreads the records.
    pub partition: Option<i32>,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(&'a [u8], Option<&'a [u8]>)],
    /// Milliseconds since the Unix epoch; `None` is now.
    pub timestamp: Option<i64>,
}

/// Where and when a record landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    pub partition: i32,
    /// `None` with `Acks::None`, and when the broker only says that it already has the record.
    pub offset: Option<i64>,
    /// When the acknowledgement arrived.
    pub acknowledged: Instant,
}

/// The coming result of one record.
#[derive(Clone, Debug)]
pub struct Delivery {
    outcome: Arc<BatchOutcome>,
    index: i32,
}

impl Delivery {
    pub async fn wait(&self) -> Result<Delivered, ClientError> {
        self.share(self.outcome.0.wait().await)
    }

    /// The result if it is there.
    pub fn ready(&self) -> Option<Result<Delivered, ClientError>> {
        self.outcome.0.get().map(|outcome| self.share(outcome))
    }

    fn share(&self, outcome: &Result<Delivered, ClientError>) -> Result<Delivered, ClientError> {
        let batch = outcome.clone()?;
        Ok(Delivered {
            offset: batch.offset.map(|base| base + i64::from(self.index)),
            ..batch
        })
    }
}

/// The result of a batch: the first record's offset stands for all.
#[derive(Debug, Default)]
struct BatchOutcome(SetOnce<Result<Delivered, ClientError>>);

impl BatchOutcome {
    /// The first result stays.
    fn settle(&self, result: Result<Delivered, ClientError>) {
        let _ = self.0.set(result);
    }
}

/// Sends records to any topic. Share it by reference or in an `Arc`.
#[derive(Debug)]
pub struct Producer {
    client: Client,
    inlet: Arc<Inlet>,
    sender: JoinHandle<()>,
}

impl Producer {
    pub fn new(client: Client, config: ProducerConfig) -> Result<Self, ClientError> {
        let inlet = Arc::new(Inlet::new(config.checked()?));
        let sender = tokio::spawn(sender::run(client.clone(), Arc::clone(&inlet)));
        Ok(Self {
            client,
            inlet,
            sender,
        })
    }

    /// Hands a record over; waits only for the topic's metadata (once) and for room in the buffer.
    pub async fn send(&self, record: ProducerRecord<'_>) -> Result<Delivery, ClientError> {
        let topic = match self.inlet.topic(record.topic) {
            Some(topic) => topic,
            None => {
                let create = self.inlet.config().create_topics;
                let info = self.client.topic(record.topic, create).await?;
                self.inlet.add_topic(info)
            }
        };
        self.inlet.append(&topic, &record).await
    }

    /// Sends everything that was handed over before, without lingering, and waits for its results. The results
    /// themselves are in the deliveries.
    pub async fn flush(&self) {
        self.inlet.flush().await;
    }

    /// Flushes and stops.
    pub async fn close(self) {
        self.inlet.flush().await;
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // What is still under way settles as `Closed` when the sender's batches are dropped.
        self.inlet.close();
        self.sender.abort();
    }
}
