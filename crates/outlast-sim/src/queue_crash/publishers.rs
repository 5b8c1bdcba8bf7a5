//! The publishers: one over HTTP, one with Kafka's protocol. Each sends its part of the numbers, in
//! order, at a pace, and repeats until it is told that a message is stored.
//!
//! A repetition must not store a message twice. librdkafka is idempotent by itself; over HTTP the
//! topic's deduplication by message id has to see to it, and one batch in ten is sent a second
//! time on purpose.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;
use rdkafka::client::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;

use super::fate::{Fate, Letter, Number};
use super::promise::Promise;
use super::{Options, QUEUE, Shared, TTL_MS};
use crate::clock::wall_ms;
use crate::kafka_client::client_config;
use crate::queue_api::{ApiError, NewHeader, NewMessage, QueueApi};

const BATCH: usize = 20;
const MAX_IN_FLIGHT: usize = 500;
const FLUSH_LIMIT: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(20);
const GIVE_UP: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Publishers(Vec<JoinHandle<()>>);

impl Publishers {
    pub fn start(
        http: SocketAddr,
        bootstrap: &str,
        options: &Options,
        pace: Duration,
        shared: &Shared,
    ) -> Result<Self> {
        let (mut by_kafka, mut by_http) = (Vec::new(), Vec::new());
        for number in 0..options.messages {
            let fate = Fate::of(options.seed, number, TTL_MS);
            // The HTTP API refuses what Kafka's protocol has to store as it comes.
            if fate == Fate::Undecodable || number.is_multiple_of(2) {
                by_kafka.push((number, fate));
            } else {
                by_http.push((number, fate));
            }
        }
        let producer = producer(bootstrap, shared)?;
        let (for_kafka, for_http) = (shared.clone(), shared.clone());
        Ok(Self(vec![
            std::thread::spawn(move || send_by_kafka(&producer, &by_kafka, pace, &for_kafka)),
            std::thread::spawn(move || send_by_http(http, &by_http, pace, &for_http)),
        ]))
    }

    pub fn are_done(&self) -> bool {
        self.0.iter().all(JoinHandle::is_finished)
    }

    pub fn finish(self, shared: &Shared) {
        for thread in self.0 {
            if thread.join().is_err() {
                shared.broken(Promise::WorkersGoOn, "a publisher panicked".to_owned());
            }
        }
    }
}

/// A letter with the headers that its fate needs.
fn write(number: Number, fate: Fate, shared: &Shared) -> (Letter, Vec<(&'static str, String)>) {
    let letter = Letter {
        number,
        sent_ms: wall_ms(),
        fate,
    };
    shared.facts().letters.insert(number, letter);
    let mut headers = vec![("outlast-message-id", format!("letter-{number}"))];
    match fate {
        Fate::Delay { delay_ms } if number % 4 < 2 => {
            headers.push(("outlast-delay-ms", delay_ms.to_string()));
        }
        Fate::Delay { .. } => headers.push(("outlast-deliver-at", letter.due_ms().to_string())),
        Fate::Expire { ttl_ms } => headers.push(("outlast-ttl-ms", ttl_ms.to_string())),
        Fate::Undecodable => headers.push(("outlast-delay-ms", "soon".to_owned())),
        _ => {}
    }
    (letter, headers)
}

/// Waits until the next batch is due.
fn keep_pace(started: Instant, sent: usize, pace: Duration) {
    let due = started + pace * u32::try_from(sent).unwrap_or(u32::MAX);
    std::thread::sleep(due.saturating_duration_since(Instant::now()));
}

fn send_by_http(address: SocketAddr, numbers: &[(Number, Fate)], pace: Duration, shared: &Shared) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return shared.broken(Promise::WorkersGoOn, "no runtime for HTTP".to_owned());
    };
    let mut api = QueueApi::new(address, QUEUE);
    let started = Instant::now();
    let mut sent = 0;
    for (turn, batch) in numbers.chunks(BATCH).enumerate() {
        let message = |&(number, fate): &(Number, Fate)| {
            let (letter, headers) = write(number, fate, shared);
            let headers = headers.into_iter();
            NewMessage {
                value: String::from_utf8_lossy(&letter.encode()).into_owned(),
                headers: headers
                    .map(|(name, value)| NewHeader {
                        name: name.to_owned(),
                        value,
                    })
                    .collect(),
            }
        };
        let messages: Vec<NewMessage> = batch.iter().map(message).collect();
        let times = if turn % 10 == 9 { 2 } else { 1 };
        for _ in 0..times {
            if let Err(why) = runtime.block_on(publish(&mut api, &messages)) {
                shared.broken(Promise::WorkersGoOn, format!("publishing over HTTP: {why}"));
                return;
            }
        }
        let numbers = batch.iter().map(|(number, _)| *number);
        shared.facts().published.extend(numbers);
        sent += batch.len();
        keep_pace(started, sent, pace);
    }
}

async fn publish(api: &mut QueueApi, messages: &[NewMessage]) -> Result<(), ApiError> {
    let started = Instant::now();
    loop {
        match api.publish(messages).await {
            Err(ApiError::NoAnswer(_)) if started.elapsed() < GIVE_UP => {
                tokio::time::sleep(PAUSE).await;
            }
            result => return result,
        }
    }
}

struct Deliveries {
    in_flight: AtomicUsize,
    shared: Shared,
}

fn producer(bootstrap: &str, shared: &Shared) -> Result<Arc<ThreadedProducer<Deliveries>>> {
    let context = Deliveries {
        in_flight: AtomicUsize::new(0),
        shared: shared.clone(),
    };
    let producer = client_config(bootstrap)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("message.timeout.ms", "0")
        .set("request.timeout.ms", "10000")
        .set("retry.backoff.ms", "20")
        .set("linger.ms", "5")
        .create_with_context(context)?;
    Ok(Arc::new(producer))
}

fn send_by_kafka(
    producer: &ThreadedProducer<Deliveries>,
    numbers: &[(Number, Fate)],
    pace: Duration,
    shared: &Shared,
) {
    let started = Instant::now();
    for (sent, &(number, fate)) in numbers.iter().enumerate() {
        keep_pace(started, sent, pace);
        while producer.context().in_flight.load(Ordering::Acquire) >= MAX_IN_FLIGHT {
            std::thread::sleep(Duration::from_millis(2));
        }
        let (letter, headers) = write(number, fate, shared);
        let value = letter.encode();
        let mut record_headers = OwnedHeaders::new();
        for (key, value) in &headers {
            record_headers = record_headers.insert(Header {
                key,
                value: Some(value.as_bytes()),
            });
        }
        let mut record = BaseRecord::<(), _, _>::with_opaque_to(QUEUE, number as usize)
            .payload(&value)
            .timestamp(i64::try_from(letter.sent_ms).unwrap_or(0))
            .headers(record_headers);
        producer.context().in_flight.fetch_add(1, Ordering::AcqRel);
        loop {
            match producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                    record = again;
                    std::thread::sleep(PAUSE);
                }
                Err((error, _)) => {
                    let what = format!("publishing message {number}: {error}");
                    return shared.broken(Promise::WorkersGoOn, what);
                }
            }
        }
    }
    if let Err(error) = producer.flush(FLUSH_LIMIT) {
        shared.broken(Promise::WorkersGoOn, format!("flushing: {error}"));
    }
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        // A broker that is down is what this is about; only a fatal error is news.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.shared
                .broken(Promise::WorkersGoOn, format!("librdkafka: {reason}"));
        }
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
        match result {
            Ok(_) => {
                let number = Number::try_from(number).unwrap_or(Number::MAX);
                self.shared.facts().published.insert(number);
            }
            Err((error, _)) => self
                .shared
                .broken(Promise::WorkersGoOn, format!("message {number}: {error}")),
        }
    }
}
