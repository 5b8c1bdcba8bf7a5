//! `outlast bench e2e`: from the producer's `send` to the consumer's hands. Each record carries the moment from
//! which its latency counts.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use hdrhistogram::Histogram;
use outlast_client::consumer::{ConsumerConfig, Fetched, Start};
use outlast_client::producer::ProducerRecord;
use outlast_client::{Client, Consumer, OffsetSpec, Producer, TopicPartition};
use outlast_records::RecordSet;
use tokio::sync::watch;
use tokio::time::Instant;

use super::meter::{LiveLine, Meter, histogram, record};
use super::{BenchTopic, CommonArgs, until_stopped};
use crate::commands::produce::{Pace, SendingArgs};
use crate::commands::when;

pub const EXAMPLES: &str = "Examples:
  outlast bench e2e
      one record after the other for ten seconds
  outlast bench e2e --count 10000 --size 100
  outlast bench e2e --rate 1000/s --duration 30s --partitions 16
      a steady stream, whether the broker keeps up or not

The producer and the consumer are in this process, so one clock measures both ends.";

#[derive(Debug, Args)]
pub struct EndToEndBench {
    #[command(flatten)]
    common: CommonArgs,
    /// Bytes in a record's value, at least 8
    #[arg(short, long, value_parser = when::size, default_value = "1KiB", value_name = "SIZE")]
    size: usize,
    /// Send this many records a second, instead of one after the other
    #[arg(short, long, value_parser = when::rate, value_name = "N/s")]
    rate: Option<f64>,
    #[command(flatten)]
    sending: SendingArgs,
}

/// How long the consumer waits for a record before it is lost.
const PATIENCE: Duration = Duration::from_secs(30);

pub async fn run(args: EndToEndBench) -> anyhow::Result<()> {
    let topic = args.common.open_topic().await?;
    let meter = Meter::new()?;
    let (count, _) = args.common.limit();
    let line = LiveLine::new(count, args.common.json);
    let worked = until_stopped(async {
        tokio::select! {
            worked = measure(&args, &topic, &meter) => worked,
            () = line.follow(&meter) => Ok(()),
        }
    })
    .await;
    line.clear();
    meter
        .summary("e2e", topic.name(), topic.info.partitions.len())
        .print(args.common.json)?;
    topic.clean_up().await?;
    worked
}

async fn measure(args: &EndToEndBench, topic: &BenchTopic, meter: &Meter) -> anyhow::Result<()> {
    let config = args.common.target.config("bench")?;
    let consumer = at_the_end(Client::connect(config.clone()).await?, topic).await?;
    let producer = Producer::new(Client::connect(config).await?, args.sending.config())?;
    let (received, receipts) = watch::channel(0);
    let (sent, total) = watch::channel(None);
    let epoch = Instant::now();
    let sending = Sending {
        args,
        producer,
        topic: topic.name(),
        epoch,
        receipts,
        total: sent,
    };
    let receiving = Receiving {
        consumer,
        epoch,
        meter,
        own: histogram()?,
        received,
        total,
        size: args.size.max(8) as u64,
    };
    let (sent, received) = tokio::join!(sending.run(), receiving.run());
    sent?;
    received
}

/// The consumer must be in place before the first record is sent.
async fn at_the_end(client: Client, topic: &BenchTopic) -> anyhow::Result<Consumer> {
    let partitions = topic.info.partitions.iter();
    let specs: Vec<_> = partitions
        .map(|p| {
            (
                TopicPartition::new(topic.name(), p.index),
                OffsetSpec::Latest,
            )
        })
        .collect();
    client.topic(topic.name(), false).await?;
    let mut starts = Vec::new();
    for (tp, listed) in client.list_offsets(&specs).await? {
        starts.push((tp, Start::Offset(listed?.offset.unwrap_or(0))));
    }
    Ok(Consumer::assigned(
        client,
        ConsumerConfig::default(),
        starts,
    ))
}

struct Sending<'a> {
    args: &'a EndToEndBench,
    producer: Producer,
    topic: &'a str,
    epoch: Instant,
    receipts: watch::Receiver<u64>,
    /// How many were sent, once that is known.
    total: watch::Sender<Option<u64>>,
}

impl Sending<'_> {
    async fn run(mut self) -> anyhow::Result<()> {
        let (count, duration) = self.args.common.limit();
        let deadline = self.epoch.checked_add(duration);
        let mut payload = vec![b'.'; self.args.size.max(8)];
        let mut pace = self.args.rate.map(Pace::new);
        let mut sent = 0;
        while sent < count {
            let due = match &mut pace {
                Some(pace) => {
                    let due = pace.next_due();
                    if due > Instant::now() {
                        tokio::time::sleep_until(due).await;
                        Instant::now()
                    } else {
                        due
                    }
                }
                None => Instant::now(),
            };
            if deadline.is_some_and(|deadline| due >= deadline) {
                break;
            }
            let since = due.saturating_duration_since(self.epoch);
            let nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
            payload[..8].copy_from_slice(&nanos.to_be_bytes());
            let delivery = self
                .producer
                .send(ProducerRecord {
                    topic: self.topic,
                    value: Some(&payload),
                    ..ProducerRecord::default()
                })
                .await?;
            sent += 1;
            if pace.is_none() {
                delivery.wait().await?;
                // One at a time: the next record follows the receipt of this one.
                let received = self.receipts.wait_for(|received| *received >= sent);
                tokio::time::timeout(PATIENCE, received)
                    .await
                    .context("a record never arrived at the consumer")?
                    .context("the consumer ended")?;
            }
        }
        self.producer.flush().await;
        self.total.send_replace(Some(sent));
        Ok(())
    }
}

struct Receiving<'a> {
    consumer: Consumer,
    epoch: Instant,
    meter: &'a Meter,
    own: Histogram<u64>,
    received: watch::Sender<u64>,
    total: watch::Receiver<Option<u64>>,
    size: u64,
}

impl Receiving<'_> {
    async fn run(mut self) -> anyhow::Result<()> {
        let mut received = 0;
        let mut quiet_since = Instant::now();
        loop {
            let total = *self.total.borrow_and_update();
            if total.is_some_and(|total| received >= total) {
                self.meter.worked(self.epoch, Instant::now());
                return Ok(());
            }
            let fetched = tokio::select! {
                fetched = self.consumer.poll(Duration::from_secs(1)) => fetched?,
                changed = self.total.changed() => match changed {
                    Ok(()) => continue,
                    // The sender failed and says why.
                    Err(_) if self.total.borrow().is_none() => return Ok(()),
                    Err(_) => self.consumer.poll(Duration::from_secs(1)).await?,
                },
            };
            match fetched {
                Some(fetched) => {
                    received += self.note(&fetched)?;
                    self.received.send_replace(received);
                    quiet_since = Instant::now();
                }
                None if total.is_some() && quiet_since.elapsed() > PATIENCE => {
                    bail!(
                        "{received} of {} records arrived",
                        total.unwrap_or_default()
                    );
                }
                None => {}
            }
        }
    }

    fn note(&mut self, fetched: &Fetched) -> anyhow::Result<u64> {
        let now = Instant::now();
        let mut records = 0;
        for (header, batch) in &fetched.batches {
            let set = RecordSet::decode(batch, 64 << 20)?;
            for one in set.iter() {
                let one = one?;
                let stamp = one.value.and_then(|value| value.first_chunk::<8>());
                if one.offset.0 < fetched.from || header.attributes.is_control() {
                    continue;
                }
                let sent = Duration::from_nanos(stamp.map_or(0, |s| u64::from_be_bytes(*s)));
                record(&mut self.own, (now - self.epoch).saturating_sub(sent));
                records += 1;
            }
        }
        self.meter.count(records, records * self.size);
        self.meter.merge(&mut self.own);
        Ok(records)
    }
}
