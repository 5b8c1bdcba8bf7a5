//! The producers of a crash run: librdkafka in this process, other languages' clients as children.
//!
//! All are idempotent with acks=all, retry without end and keep at most a few hundred messages in
//! flight. None may report an error: a broker that comes back with its state intact gives them no
//! reason to.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rdkafka::client::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;

use super::message::Message;
use super::promise::Promise;
use super::{PARTITIONS, Shared, TOPIC};
use crate::kafka_client::client_config;

const MAX_IN_FLIGHT: usize = 200;
const PACE: Duration = Duration::from_millis(2);
const FLUSH_LIMIT: Duration = Duration::from_secs(120);

/// A running producer.
#[derive(Debug)]
pub enum RunningProducer {
    InProcess {
        name: String,
        stop: Arc<AtomicBool>,
        thread: JoinHandle<()>,
    },
    Child {
        name: String,
        child: Child,
        stdin: ChildStdin,
        reader: JoinHandle<()>,
    },
}

impl RunningProducer {
    pub fn name(&self) -> &str {
        match self {
            Self::InProcess { name, .. } | Self::Child { name, .. } => name,
        }
    }

    /// Starts librdkafka's producer with the given compression.
    pub fn librdkafka(compression: &str, bootstrap: &str, shared: &Shared) -> Result<Self> {
        let name = format!("librdkafka-{compression}");
        let stop = Arc::new(AtomicBool::new(false));
        let context = Deliveries {
            in_flight: AtomicUsize::new(0),
            shared: shared.clone(),
        };
        let producer: ThreadedProducer<Deliveries> = client_config(bootstrap)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", compression)
            .set("message.timeout.ms", "0")
            .set("request.timeout.ms", "10000")
            .set("retry.backoff.ms", "20")
            .set("linger.ms", "2")
            .create_with_context(context)?;
        let (worker_name, worker_stop) = (name.clone(), Arc::clone(&stop));
        let thread = std::thread::spawn(move || produce(&worker_name, &producer, &worker_stop));
        Ok(Self::InProcess { name, stop, thread })
    }

    /// Starts a program that speaks the line protocol described in `clients/`; what it
    /// complains about goes to `log`.
    pub fn child(
        name: &str,
        command: &mut Command,
        log: &Path,
        bootstrap: &str,
        shared: &Shared,
    ) -> Result<Self> {
        let mut child = command
            .args([bootstrap, TOPIC, &PARTITIONS.to_string(), name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(log)?)
            .spawn()
            .with_context(|| format!("starting the producer {name}"))?;
        let stdin = child.stdin.take().context("its input is piped")?;
        let stdout = child.stdout.take().context("its output is piped")?;
        let (reader_name, shared) = (name.to_owned(), shared.clone());
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                note_line(&reader_name, &line, &shared);
            }
        });
        Ok(Self::Child {
            name: name.to_owned(),
            child,
            stdin,
            reader,
        })
    }

    /// Tells the producer to send no more and to flush; returns when all it sent is settled.
    pub fn finish(self, shared: &Shared) {
        let (name, result) = match self {
            Self::InProcess { name, stop, thread } => {
                stop.store(true, Ordering::Relaxed);
                (name, thread.join().map_err(|_| "it panicked".to_owned()))
            }
            Self::Child {
                name,
                mut child,
                stdin,
                reader,
            } => {
                drop(stdin);
                let ended = await_end(&mut child);
                let _ = reader.join();
                (name, ended)
            }
        };
        if let Err(why) = result {
            shared.broken(Promise::ProducersGoOn, format!("{name}: {why}"));
        }
    }

    /// Ends a producer whose results no longer matter.
    pub fn abandon(self) {
        match self {
            Self::InProcess { stop, .. } => stop.store(true, Ordering::Relaxed),
            Self::Child { mut child, .. } => {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

fn await_end(child: &mut Child) -> Result<(), String> {
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("ended with {status}")),
            Ok(None) if started.elapsed() < FLUSH_LIMIT + Duration::from_secs(10) => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err("did not finish after its last message".to_owned());
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn note_line(name: &str, line: &str, shared: &Shared) {
    let ack = line.strip_prefix("ack ").and_then(|numbers| {
        let mut numbers = numbers.split(' ').map(str::parse::<i64>);
        let mut next = || numbers.next()?.ok();
        let (partition, sequence, offset) = (next()?, next()?, next()?);
        let producer = name.to_owned();
        let partition = partition.try_into().ok()?;
        Some((
            Message {
                producer,
                partition,
                sequence: sequence.try_into().ok()?,
            },
            offset,
        ))
    });
    match ack {
        Some((message, offset)) => shared.acknowledge(&message, offset),
        // Anything else is an `error` line or a client's own complaint on its standard output.
        None => shared.broken(Promise::ProducersGoOn, format!("{name}: {line}")),
    }
}

fn produce(name: &str, producer: &ThreadedProducer<Deliveries>, stop: &AtomicBool) {
    let shared = &producer.context().shared;
    let mut sequences = [0; PARTITIONS as usize];
    let mut sent = 0_usize;
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(PACE);
        if producer.context().in_flight.load(Ordering::Acquire) >= MAX_IN_FLIGHT {
            continue;
        }
        let partition = sent % sequences.len();
        let message = Message {
            producer: name.to_owned(),
            partition: partition as i32,
            sequence: sequences[partition],
        };
        let value = message.encode();
        let record = BaseRecord::<(), _, _>::with_opaque_to(TOPIC, Box::new(message.clone()));
        match producer.send(record.partition(message.partition).payload(&value)) {
            Ok(()) => {
                producer.context().in_flight.fetch_add(1, Ordering::AcqRel);
                sequences[partition] += 1;
                sent += 1;
            }
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {}
            Err((error, _)) => {
                shared.broken(
                    Promise::ProducersGoOn,
                    format!("{name}: {message}: {error}"),
                );
                return;
            }
        }
    }
    if let Err(error) = producer.flush(FLUSH_LIMIT) {
        shared.broken(Promise::ProducersGoOn, format!("{name}: flush: {error}"));
    }
}

struct Deliveries {
    in_flight: AtomicUsize,
    shared: Shared,
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        // A broker that is down is what this is about; only a fatal error is news.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.shared
                .broken(Promise::ProducersGoOn, format!("librdkafka: {reason}"));
        }
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Message>;

    fn delivery(&self, result: &DeliveryResult<'_>, message: Box<Message>) {
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
        match result {
            Ok(delivered) => self.shared.acknowledge(&message, delivered.offset()),
            Err((error, _)) => {
                self.shared
                    .broken(Promise::ProducersGoOn, format!("{message}: {error}"));
            }
        }
    }
}
