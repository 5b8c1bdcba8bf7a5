//! The loops: fill, drain, and publish at a rate.
//!
//! A message begins with the time at which it was sent, in nanoseconds of the machine's monotonic
//! clock as 20 decimal digits, so that any program on the machine can tell how long it took.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use outlast_sim::clock::monotonic_ns;
use serde::Serialize;
use tokio::sync::{Barrier, Notify};

use super::product::{BATCH, Consumer, Product, Publisher};

const STAMP_DIGITS: usize = 20;
/// Publishers of a fill.
const FILLERS: u64 = 4;
/// The share of a drain that warms up, in hundredths.
const WARM_UP_PERCENT: u64 = 10;
/// The first seconds at a rate warm up.
const WARM_UP: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub size: usize,
}

impl Load {
    fn message(&self) -> Bytes {
        let mut message = format!("{:0width$}", monotonic_ns(), width = STAMP_DIGITS).into_bytes();
        message.resize(self.size.max(STAMP_DIGITS), b'x');
        message.into()
    }
}

#[derive(Serialize, Debug)]
pub struct Drained {
    /// Everything that was acknowledged, warm-up included.
    pub messages: u64,
    pub per_second: f64,
}

#[derive(Serialize, Debug)]
pub struct Delays {
    pub messages: usize,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

pub async fn fill(product: &impl Product, load: &Load, messages: u64) -> Result<()> {
    let mut fillers = Vec::new();
    for filler in 0..FILLERS {
        let mut publisher = product.publisher().await?;
        let load = *load;
        let mut left = messages / FILLERS + u64::from(filler < messages % FILLERS);
        fillers.push(tokio::spawn(async move {
            while left > 0 {
                let count = left.min(BATCH as u64);
                let batch = (0..count).map(|_| load.message()).collect();
                publisher.publish(batch).await?;
                left -= count;
            }
            anyhow::Ok(())
        }));
    }
    for filler in fillers {
        filler.await??;
    }
    Ok(())
}

pub async fn publish(product: &impl Product, load: &Load, rate: u32, time: Duration) -> Result<()> {
    let publisher = product.publisher().await?;
    publish_at_rate(publisher, *load, rate, time).await
}

/// Sends what is due every few milliseconds, one message at a time as its own request where the
/// rate is modest. A late answer delays what comes after it, which the time of sending shows.
async fn publish_at_rate(
    mut publisher: impl Publisher,
    load: Load,
    rate: u32,
    time: Duration,
) -> Result<()> {
    let started = Instant::now();
    let mut sent = 0_u32;
    while started.elapsed() < time {
        let due = started.elapsed().as_secs_f64() * f64::from(rate);
        let count = (due as u32).saturating_sub(sent).min(BATCH as u32);
        if count > 0 {
            let batch = (0..count).map(|_| load.message()).collect();
            publisher.publish(batch).await?;
            sent += count;
        }
        let next = started + Duration::from_secs_f64(f64::from(sent + 1) / f64::from(rate));
        tokio::time::sleep_until(next.into()).await;
    }
    Ok(())
}

/// What the consumers of a drain have in common.
struct Progress {
    wanted: u64,
    done: AtomicU64,
    /// When the warm-up was over and when the last message was acknowledged, in ns.
    warm: AtomicU64,
    /// How many were done when the warm-up was over.
    done_when_warm: AtomicU64,
    last: AtomicU64,
    over: AtomicBool,
    end: Notify,
}

pub async fn drain(
    product: &impl Product,
    consumers: usize,
    messages: u64,
    limit: Duration,
) -> Result<Drained> {
    let progress = Arc::new(Progress {
        wanted: messages,
        done: AtomicU64::new(0),
        warm: AtomicU64::new(0),
        done_when_warm: AtomicU64::new(0),
        last: AtomicU64::new(0),
        over: AtomicBool::new(false),
        end: Notify::new(),
    });
    let all_there = Arc::new(Barrier::new(consumers));
    let mut tasks = Vec::new();
    for number in 0..consumers {
        let mut consumer = product.consumer(number).await?;
        let (progress, all_there) = (Arc::clone(&progress), Arc::clone(&all_there));
        tasks.push(tokio::spawn(async move {
            all_there.wait().await;
            let started = Instant::now();
            while !progress.over.load(Ordering::Relaxed) && started.elapsed() < limit {
                let taken = tokio::select! {
                    taken = consumer.take() => taken?,
                    // Who waits for a message that another one has must not make the end late.
                    () = progress.end.notified() => break,
                };
                let count = taken.len() as u64;
                if count > 0 {
                    consumer.acknowledge().await?;
                    progress.add(count);
                }
            }
            consumer.finish().await?;
            progress.last.fetch_max(monotonic_ns(), Ordering::AcqRel);
            anyhow::Ok(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    progress.result()
}

impl Progress {
    fn add(&self, count: u64) {
        let now = monotonic_ns();
        let done = self.done.fetch_add(count, Ordering::AcqRel) + count;
        self.last.fetch_max(now, Ordering::AcqRel);
        let warm_at = self.wanted * WARM_UP_PERCENT / 100;
        if done >= warm_at && done - count < warm_at {
            self.warm.store(now, Ordering::Release);
            self.done_when_warm.store(done, Ordering::Release);
        }
        if done >= self.wanted {
            self.over.store(true, Ordering::Relaxed);
            self.end.notify_waiters();
        }
    }

    fn result(&self) -> Result<Drained> {
        let messages = self.done.load(Ordering::Acquire);
        let (warm, last) = (
            self.warm.load(Ordering::Acquire),
            self.last.load(Ordering::Acquire),
        );
        ensure!(
            warm > 0 && last > warm,
            "{messages} messages were done: too few to measure"
        );
        let counted = messages - self.done_when_warm.load(Ordering::Acquire);
        let seconds = (last - warm) as f64 / 1e9;
        Ok(Drained {
            messages,
            per_second: counted as f64 / seconds,
        })
    }
}

pub async fn rate(
    product: &impl Product,
    load: &Load,
    consumers: usize,
    rate: u32,
    time: Duration,
) -> Result<Delays> {
    let over = Arc::new(AtomicBool::new(false));
    let started = Instant::now();
    let mut tasks = Vec::new();
    for number in 0..consumers {
        let mut consumer = product.consumer(number).await?;
        let over = Arc::clone(&over);
        tasks.push(tokio::spawn(async move {
            let mut delays = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let messages = consumer.take().await?;
                let now = monotonic_ns();
                if started.elapsed() > WARM_UP {
                    for message in &messages {
                        delays.push(now.saturating_sub(sent_at(message)?));
                    }
                }
                if !messages.is_empty() {
                    consumer.acknowledge().await?;
                }
            }
            anyhow::Ok(delays)
        }));
    }
    let publisher = product.publisher().await?;
    publish_at_rate(publisher, *load, rate, WARM_UP + time).await?;
    // What is under way arrives, too.
    tokio::time::sleep(Duration::from_millis(500)).await;
    over.store(true, Ordering::Relaxed);
    let mut delays = Vec::new();
    for task in tasks {
        delays.extend(task.await??);
    }
    delays.sort_unstable();
    let ms = |share: f64| -> Result<f64> {
        let at = (delays.len() as f64 * share) as usize;
        let nanos = delays.get(at).context("no message was received")?;
        Ok(*nanos as f64 / 1e6)
    };
    Ok(Delays {
        messages: delays.len(),
        p50_ms: ms(0.50)?,
        p99_ms: ms(0.99)?,
    })
}

fn sent_at(message: &[u8]) -> Result<u64> {
    let digits = message.get(..STAMP_DIGITS).context("a stamped message")?;
    Ok(std::str::from_utf8(digits)?.parse()?)
}
