//! `outlast bench produce`: as fast as it goes, or at a fixed rate.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Args;
use hdrhistogram::Histogram;
use outlast_client::producer::{Delivery, ProducerRecord};
use outlast_client::{Client, Producer};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::meter::{LiveLine, Meter, histogram, record};
use super::payload::{Content, Payloads};
use super::{CommonArgs, until_stopped};
use crate::commands::produce::{Pace, SendingArgs};
use crate::commands::when;

pub const EXAMPLES: &str = "Examples:
  outlast bench produce
  outlast bench produce --size 100 --count 5000000 --partitions 16 --producers 4
  outlast bench produce --compression lz4 --linger 5ms --batch-size 256KiB
  outlast bench produce --rate 5000/s --duration 30s --json

Latency is the time from when a record was due to be sent until its acknowledgement.
Without --rate it is mostly the time that records wait in a full client.";

#[derive(Debug, Args)]
pub struct ProduceBench {
    #[command(flatten)]
    common: CommonArgs,
    /// Bytes in a record's value
    #[arg(short, long, value_parser = when::size, default_value = "1KiB", value_name = "SIZE")]
    size: usize,
    /// What the values are made of
    #[arg(long, value_enum, default_value = "text")]
    content: Content,
    /// How many producers, each with connections of its own
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000), value_name = "N")]
    producers: u32,
    /// All producers together send this many records a second
    #[arg(short, long, value_parser = when::rate, value_name = "N/s")]
    rate: Option<f64>,
    /// How much each producer may hold unacknowledged
    #[arg(long, value_parser = when::size, default_value = "32MiB", value_name = "SIZE")]
    buffer: usize,
    #[command(flatten)]
    sending: SendingArgs,
}

pub async fn run(args: ProduceBench) -> anyhow::Result<()> {
    let topic = args.common.open_topic().await?;
    let args = Arc::new(args);
    let meter = Arc::new(Meter::new()?);
    let (count, duration) = args.common.limit();
    let line = LiveLine::new(count, args.common.json);
    let mut workers = JoinSet::new();
    for index in 0..args.producers {
        let client = Client::connect(args.common.target.config("bench")?).await?;
        let share = share(count, args.producers, index);
        let worker = Worker::new(&args, client, topic.name(), &meter, index)?;
        workers.spawn(worker.run(share, duration));
    }
    let work = async {
        while let Some(worker) = workers.join_next().await {
            worker??;
        }
        Ok(())
    };
    let worked = until_stopped(async {
        tokio::select! {
            worked = work => worked,
            () = line.follow(&meter) => Ok(()),
        }
    })
    .await;
    line.clear();
    meter
        .summary("produce", topic.name(), topic.info.partitions.len())
        .print(args.common.json)?;
    workers.shutdown().await;
    topic.clean_up().await?;
    worked
}

/// An even part of `count`, the first ones getting what is left over.
fn share(count: u64, workers: u32, index: u32) -> u64 {
    if count == u64::MAX {
        return count;
    }
    let workers = u64::from(workers);
    count / workers + u64::from(u64::from(index) < count % workers)
}

struct Worker {
    producer: Producer,
    topic: String,
    payloads: Payloads,
    size: u64,
    pace: Option<Pace>,
    meter: Arc<Meter>,
    own: Histogram<u64>,
    /// Sent, oldest first, with the moment from which each one's latency counts.
    pending: VecDeque<(Delivery, Instant)>,
    acknowledged: u64,
    last: Instant,
}

/// Between looks at the clock and at what is acknowledged.
const STRIDE: u64 = 64;

impl Worker {
    fn new(
        args: &ProduceBench,
        client: Client,
        topic: &str,
        meter: &Arc<Meter>,
        index: u32,
    ) -> anyhow::Result<Self> {
        let mut config = args.sending.config();
        config.buffer_bytes = args.buffer.max(config.max_request_bytes);
        // One record of any size must fit.
        config.max_request_bytes = config.max_request_bytes.max(args.size + (64 << 10));
        config.buffer_bytes = config.buffer_bytes.max(config.max_request_bytes);
        Ok(Self {
            producer: Producer::new(client, config)?,
            topic: topic.to_owned(),
            payloads: Payloads::new(args.content, args.size, u64::from(index) + 1),
            size: args.size as u64,
            pace: args
                .rate
                .map(|rate| Pace::new(rate / f64::from(args.producers))),
            meter: Arc::clone(meter),
            own: histogram()?,
            pending: VecDeque::new(),
            acknowledged: 0,
            last: Instant::now(),
        })
    }

    async fn run(mut self, count: u64, duration: Duration) -> anyhow::Result<()> {
        let first = Instant::now();
        let deadline = first.checked_add(duration);
        let mut now = first;
        // The records' own timestamp is looked up now and then only: a clock is dear at this rate.
        let mut timestamp = when::millis(SystemTime::now());
        for sent in 0..count {
            let due = match &mut self.pace {
                Some(pace) => {
                    let due = pace.next_due();
                    if due > Instant::now() {
                        self.collect_ready()?;
                        tokio::time::sleep_until(due).await;
                        timestamp = when::millis(SystemTime::now());
                        // A timer that fires late is this machine's fault, not the broker's.
                        Instant::now()
                    } else {
                        due
                    }
                }
                None => now,
            };
            if deadline.is_some_and(|deadline| due >= deadline) {
                break;
            }
            let sending = self.producer.send(ProducerRecord {
                topic: &self.topic,
                value: Some(self.payloads.next()),
                timestamp: Some(timestamp),
                ..ProducerRecord::default()
            });
            let delivery = sending.await?;
            self.pending.push_back((delivery, due));
            if sent % STRIDE == STRIDE - 1 {
                self.collect_ready()?;
                // The sender's task needs this thread, too.
                tokio::task::yield_now().await;
                timestamp = when::millis(SystemTime::now());
            }
            now = Instant::now();
        }
        self.producer.flush().await;
        while let Some((delivery, due)) = self.pending.pop_front() {
            let delivered = delivery.wait().await?;
            self.acknowledge(delivered.acknowledged, due);
        }
        self.report();
        self.meter.worked(first, self.last.max(first));
        Ok(())
    }

    fn collect_ready(&mut self) -> anyhow::Result<()> {
        while let Some((delivery, due)) = self.pending.front() {
            let Some(result) = delivery.ready() else {
                break;
            };
            let (acknowledged, due) = (result?.acknowledged, *due);
            self.pending.pop_front();
            self.acknowledge(acknowledged, due);
        }
        if self.acknowledged >= 1024 {
            self.report();
        }
        Ok(())
    }

    fn acknowledge(&mut self, at: Instant, due: Instant) {
        self.acknowledged += 1;
        self.last = self.last.max(at);
        record(&mut self.own, at.saturating_duration_since(due));
    }

    fn report(&mut self) {
        self.meter
            .count(self.acknowledged, self.acknowledged * self.size);
        self.acknowledged = 0;
        self.meter.merge(&mut self.own);
    }
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn shares_add_up() {
        for (count, workers) in [(10, 3), (2, 5), (1_000_000, 7)] {
            let total: u64 = (0..workers).map(|i| share(count, workers, i)).sum();
            assert_eq!(total, count);
        }
        assert_eq!(share(u64::MAX, 3, 1), u64::MAX);
    }
}
