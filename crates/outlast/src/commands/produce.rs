//! `outlast produce`: sends lines, JSON objects or whole files as records, and exits with success only when the
//! broker has acknowledged every one of them.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use outlast_client::Producer;
use outlast_client::producer::{Acks, Delivery, ProducerConfig, ProducerRecord};
use outlast_records::Compression;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};
use tokio::time::Instant;

use super::output::{grouped, note};
use super::target::TargetArgs;
use super::topic::pair;
use super::when;

pub const EXAMPLES: &str = "Examples:
  echo 'hello' | outlast produce greetings
      every line becomes a record
  outlast produce orders orders.txt --key-separator :
      lines such as  42:paid  have a key; records of one key stay in order
  outlast produce events --header source=import --compression zstd < events.ndjson
  outlast produce events --as json < dump.ndjson
      what  outlast consume --format json  printed, back again
  outlast produce scans --as files *.pdf
      every file becomes a record, with its name as key
  outlast produce load --rate 100/s < lines.txt
  outlast produce orders
      type records; Ctrl-D ends";

#[derive(Debug, Args)]
pub struct ProduceArgs {
    /// Where to send the records; created if the broker is configured so
    topic: String,
    /// Read these files instead of standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What a record is
    #[arg(long = "as", value_enum, default_value = "lines", value_name = "WHAT")]
    input: Input,
    /// The key of every record
    #[arg(short, long, conflicts_with = "key_separator")]
    key: Option<String>,
    /// What stands between key and value in a line
    #[arg(short = 'K', long, value_name = "TEXT")]
    key_separator: Option<String>,
    /// A header of every record; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", value_parser = pair)]
    headers: Vec<(String, String)>,
    /// Send to this partition, whatever the key
    #[arg(short, long)]
    partition: Option<i32>,
    /// No faster than this, such as 100/s or 30/m
    #[arg(long, value_parser = when::rate, value_name = "N/s")]
    rate: Option<f64>,
    #[command(flatten)]
    sending: SendingArgs,
    /// Print where each record went, as JSON
    #[arg(long)]
    json: bool,
    /// Say nothing but errors
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Input {
    /// Each line is a value
    Lines,
    /// Each line is a JSON object with value, key and headers
    Json,
    /// Each file is a value, and its name the key
    Files,
}

/// How records travel; shared with the benches.
#[derive(Clone, Debug, Args)]
pub struct SendingArgs {
    /// Compress batches
    #[arg(short = 'z', long, value_enum, default_value = "none")]
    pub compression: Codec,
    /// When a record counts as sent: all (on stable storage, in every in-sync replica), 1 (the leader has it), 0 (it left this machine)
    #[arg(long, value_enum, default_value = "all")]
    pub acks: AcksArg,
    /// How long to wait for more records before sending a batch
    #[arg(long, value_parser = when::duration, default_value = "0ms", value_name = "TIME")]
    pub linger: Duration,
    /// Send a batch when it has this size
    #[arg(long, value_parser = when::size, default_value = "64KiB", value_name = "SIZE")]
    pub batch_size: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AcksArg {
    #[value(name = "0")]
    None,
    #[value(name = "1")]
    Leader,
    #[value(name = "all", alias = "-1")]
    All,
}

impl Codec {
    pub fn name(self) -> &'static str {
        Compression::from(self).name()
    }
}

impl From<Codec> for Compression {
    fn from(codec: Codec) -> Self {
        match codec {
            Codec::None => Self::None,
            Codec::Gzip => Self::Gzip,
            Codec::Snappy => Self::Snappy,
            Codec::Lz4 => Self::Lz4,
            Codec::Zstd => Self::Zstd,
        }
    }
}

impl SendingArgs {
    pub fn config(&self) -> ProducerConfig {
        let defaults = ProducerConfig::default();
        ProducerConfig {
            acks: match self.acks {
                AcksArg::None => Acks::None,
                AcksArg::Leader => Acks::Leader,
                AcksArg::All => Acks::All,
            },
            compression: self.compression.into(),
            linger: self.linger,
            batch_bytes: self.batch_size,
            ..defaults
        }
    }
}

pub async fn run(args: ProduceArgs) -> anyhow::Result<()> {
    if args.input == Input::Files && args.files.is_empty() {
        bail!("--as files needs the files' names");
    }
    let client = args.target.connect("produce").await?;
    let mut config = args.sending.config();
    if args.input == Input::Files {
        // A file is one record, as large as the topic allows.
        config.max_request_bytes = 64 << 20;
        config.buffer_bytes = 128 << 20;
    }
    let started = Instant::now();
    let mut sink = Sink {
        producer: Producer::new(client, config)?,
        pace: args.rate.map(Pace::new),
        pending: VecDeque::new(),
        records: 0,
        bytes: 0,
        args,
    };
    let sent = sink.send_everything().await;
    let settled = sink.settle_all().await;
    if !sink.args.quiet && !sink.args.json {
        note(&format!(
            "{} records ({} bytes) sent to {} in {:.1} s",
            grouped(sink.records),
            grouped(sink.bytes),
            sink.args.topic,
            started.elapsed().as_secs_f64()
        ));
    }
    sent.and(settled)
}

/// Where records go, with what is still unacknowledged.
struct Sink {
    args: ProduceArgs,
    producer: Producer,
    pace: Option<Pace>,
    pending: VecDeque<Delivery>,
    /// Acknowledged.
    records: u64,
    bytes: u64,
}

/// A line of `--as json`, and of `consume --format json`. Unknown fields (where it was read from) are ignored.
#[derive(Deserialize)]
struct JsonRecord {
    key: Option<String>,
    key_hex: Option<String>,
    value: Option<serde_json::Value>,
    value_hex: Option<String>,
    #[serde(default)]
    headers: Vec<JsonHeader>,
}

#[derive(Deserialize)]
struct JsonHeader {
    name: String,
    value: Option<String>,
    value_hex: Option<String>,
}

#[derive(Serialize)]
struct Sent<'a> {
    topic: &'a str,
    partition: i32,
    offset: Option<i64>,
}

impl Sink {
    async fn send_everything(&mut self) -> anyhow::Result<()> {
        let files = std::mem::take(&mut self.args.files);
        if files.is_empty() {
            return self.send_lines(BufReader::new(tokio::io::stdin())).await;
        }
        for file in &files {
            let reading = || format!("reading {}", file.display());
            if self.args.input == Input::Files {
                let value = tokio::fs::read(file).await.with_context(reading)?;
                self.send_file(file, &value).await?;
            } else {
                let file = tokio::fs::File::open(file).await.with_context(reading)?;
                self.send_lines(BufReader::with_capacity(64 << 10, file))
                    .await?;
            }
        }
        Ok(())
    }

    async fn send_lines(&mut self, mut input: impl AsyncBufRead + Unpin) -> anyhow::Result<()> {
        let mut line = Vec::new();
        let mut number = 0u64;
        loop {
            line.clear();
            if input.read_until(b'\n', &mut line).await? == 0 {
                return Ok(());
            }
            number += 1;
            if line.ends_with(b"\n") {
                line.pop();
                if line.ends_with(b"\r") {
                    line.pop();
                }
            }
            let sent = match self.args.input {
                Input::Json => self.send_json(&line).await,
                _ => self.send_line(&line).await,
            };
            sent.with_context(|| format!("line {number}"))?;
        }
    }

    async fn send_line(&mut self, line: &[u8]) -> anyhow::Result<()> {
        let Some(separator) = self.args.key_separator.clone() else {
            let key = self.args.key.clone();
            return self
                .send(key.as_deref().map(str::as_bytes), Some(line), &[])
                .await;
        };
        let separator = separator.as_bytes();
        let at = line
            .windows(separator.len().max(1))
            .position(|window| window == separator)
            .with_context(|| {
                let separator = String::from_utf8_lossy(separator);
                format!("there is no '{separator}' between key and value")
            })?;
        let (key, rest) = line.split_at(at);
        let value = &rest[separator.len()..];
        self.send(Some(key), Some(value), &[]).await
    }

    async fn send_file(&mut self, path: &Path, value: &[u8]) -> anyhow::Result<()> {
        let name = path.file_name().map(|name| name.to_string_lossy());
        let key = self.args.key.clone().or(name.map(|name| name.into_owned()));
        self.send(key.as_deref().map(str::as_bytes), Some(value), &[])
            .await
    }

    async fn send_json(&mut self, line: &[u8]) -> anyhow::Result<()> {
        let record: JsonRecord = serde_json::from_slice(line)
            .context("expected a JSON object such as {\"key\": \"k\", \"value\": \"v\"}")?;
        let key = bytes_of(record.key, record.key_hex)?.or_else(|| {
            let key = self.args.key.as_ref()?;
            Some(key.clone().into_bytes())
        });
        let value = record.value.filter(|value| !value.is_null());
        let text = value.map(|value| match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        });
        let value = bytes_of(text, record.value_hex)?;
        let mut headers = Vec::new();
        for header in record.headers {
            headers.push((header.name, bytes_of(header.value, header.value_hex)?));
        }
        self.send(key.as_deref(), value.as_deref(), &headers).await
    }

    async fn send(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(String, Option<Vec<u8>>)],
    ) -> anyhow::Result<()> {
        if let Some(pace) = &mut self.pace {
            pace.wait().await;
        }
        let fixed = self
            .args
            .headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), Some(value.as_bytes())));
        let own = headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_deref()));
        let headers: Vec<_> = fixed.chain(own).collect();
        let delivery = self
            .producer
            .send(ProducerRecord {
                topic: &self.args.topic,
                partition: self.args.partition,
                key,
                value,
                headers: &headers,
                timestamp: None,
            })
            .await?;
        self.bytes += (key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len)) as u64;
        self.pending.push_back(delivery);
        while let Some(result) = self.pending.front().and_then(Delivery::ready) {
            self.settle(result?)?;
        }
        Ok(())
    }

    fn settle(&mut self, delivered: outlast_client::producer::Delivered) -> anyhow::Result<()> {
        self.pending.pop_front();
        self.records += 1;
        if self.args.json {
            super::output::json(&Sent {
                topic: &self.args.topic,
                partition: delivered.partition,
                offset: delivered.offset,
            })?;
        }
        Ok(())
    }

    /// Waits for every record. All are waited for even if one fails, so that the count is right.
    async fn settle_all(&mut self) -> anyhow::Result<()> {
        self.producer.flush().await;
        let mut lost = 0u64;
        let mut first = None;
        while let Some(delivery) = self.pending.front().cloned() {
            match delivery.wait().await {
                Ok(delivered) => self.settle(delivered)?,
                Err(error) => {
                    self.pending.pop_front();
                    lost += 1;
                    first.get_or_insert(error);
                }
            }
        }
        match first {
            None => Ok(()),
            Some(error) => {
                Err(anyhow::Error::new(error).context(format!("{lost} records were not delivered")))
            }
        }
    }
}

fn bytes_of(text: Option<String>, hex: Option<String>) -> anyhow::Result<Option<Vec<u8>>> {
    match hex {
        None => Ok(text.map(String::into_bytes)),
        Some(hex) => {
            let bytes = super::record_format::from_hex(&hex);
            Ok(Some(
                bytes.with_context(|| format!("'{hex}' is not hexadecimal"))?,
            ))
        }
    }
}

/// Spreads events evenly, without drifting.
#[derive(Debug)]
pub struct Pace {
    started: Instant,
    per_second: f64,
    events: u64,
}

impl Pace {
    pub fn new(per_second: f64) -> Self {
        Self {
            started: Instant::now(),
            per_second,
            events: 0,
        }
    }

    /// When the next event is due.
    pub fn next_due(&mut self) -> Instant {
        let due = self.started + Duration::from_secs_f64(self.events as f64 / self.per_second);
        self.events += 1;
        due
    }

    pub async fn wait(&mut self) {
        let due = self.next_due();
        if due > Instant::now() {
            tokio::time::sleep_until(due).await;
        }
    }
}
