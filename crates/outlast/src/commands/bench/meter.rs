//! Counts, latencies, the live line while a bench runs, and the summary at its end.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::time::Instant;

use crate::commands::output::{FAINT, HEADING, grouped, say, styled};

/// What all workers of a bench write to.
pub struct Meter {
    records: AtomicU64,
    bytes: AtomicU64,
    /// Microseconds, three digits exact.
    latencies: Mutex<Histogram<u64>>,
    /// When the first worker began and the last one had its last result.
    span: Mutex<Option<(Instant, Instant)>>,
}

impl Meter {
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self {
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            latencies: Mutex::new(Histogram::new(3)?),
            span: Mutex::new(None),
        })
    }

    pub fn count(&self, records: u64, bytes: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Adds a worker's latencies and empties its own histogram.
    pub fn merge(&self, own: &mut Histogram<u64>) {
        let mut all = self.lock_latencies();
        // Both resize themselves, so nothing can be out of range.
        let _ = all.add(&*own);
        own.reset();
    }

    /// A worker worked from `first` to `last`.
    pub fn worked(&self, first: Instant, last: Instant) {
        let mut span = self.span.lock().unwrap_or_else(PoisonError::into_inner);
        *span = Some(match *span {
            None => (first, last),
            Some((a, b)) => (a.min(first), b.max(last)),
        });
    }

    fn lock_latencies(&self) -> std::sync::MutexGuard<'_, Histogram<u64>> {
        self.latencies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn elapsed(&self) -> Duration {
        let span = *self.span.lock().unwrap_or_else(PoisonError::into_inner);
        span.map_or(Duration::ZERO, |(first, last)| last - first)
    }

    pub fn summary(&self, bench: &'static str, topic: &str, partitions: usize) -> Summary {
        let seconds = self.elapsed().as_secs_f64();
        let records = self.records();
        let bytes = self.bytes.load(Ordering::Relaxed);
        let per_second = |n: f64| if seconds > 0.0 { n / seconds } else { 0.0 };
        let latencies = self.lock_latencies();
        let at = |quantile: f64| {
            let micros = latencies.value_at_quantile(quantile);
            (!latencies.is_empty()).then(|| micros as f64 / 1000.0)
        };
        Summary {
            bench,
            topic: topic.to_owned(),
            partitions,
            records,
            bytes,
            seconds,
            records_per_second: per_second(records as f64),
            mib_per_second: per_second(bytes as f64 / f64::from(1 << 20)),
            mean_ms: (!latencies.is_empty()).then(|| latencies.mean() / 1000.0),
            p50_ms: at(0.5),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: at(1.0),
        }
    }
}

pub fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new(3)?)
}

/// Notes a latency, in whole microseconds.
pub fn record(histogram: &mut Histogram<u64>, latency: Duration) {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    // It grows by itself, so no value is out of range.
    let _ = histogram.record(micros);
}

#[derive(Debug, Serialize)]
pub struct Summary {
    bench: &'static str,
    topic: String,
    partitions: usize,
    records: u64,
    /// Of keys and values when producing; of batches as they travel when consuming.
    bytes: u64,
    seconds: f64,
    records_per_second: f64,
    mib_per_second: f64,
    mean_ms: Option<f64>,
    p50_ms: Option<f64>,
    p95_ms: Option<f64>,
    p99_ms: Option<f64>,
    p999_ms: Option<f64>,
    max_ms: Option<f64>,
}

impl Summary {
    pub fn print(&self, as_json: bool) -> anyhow::Result<()> {
        if as_json {
            // One line, also on a terminal: it is meant for programs.
            say(&serde_json::to_string(self)?)?;
            return Ok(());
        }
        say(&format!(
            "{}  {} records in {:.2} s",
            styled(HEADING, self.bench),
            grouped(self.records),
            self.seconds
        ))?;
        say(&format!(
            "  throughput  {} records/s  {:.2} MiB/s",
            styled(HEADING, grouped(self.records_per_second as u64)),
            self.mib_per_second
        ))?;
        if let Some(p50) = self.p50_ms {
            let of = |ms: Option<f64>| ms.unwrap_or_default();
            say(&format!(
                "  latency     p50 {p50:.2} ms  p95 {:.2} ms  {}  p99.9 {:.2} ms  max {:.2} ms",
                of(self.p95_ms),
                styled(HEADING, format!("p99 {:.2} ms", of(self.p99_ms))),
                of(self.p999_ms),
                of(self.max_ms),
            ))?;
        }
        say(&styled(
            FAINT,
            format!("  {} with {} partitions", self.topic, self.partitions),
        ))?;
        Ok(())
    }
}

/// The line on a terminal while a bench runs. Hidden elsewhere.
pub struct LiveLine {
    bar: ProgressBar,
}

impl LiveLine {
    pub fn new(count: u64, quiet: bool) -> Self {
        let bar = if quiet {
            ProgressBar::hidden()
        } else if count == u64::MAX {
            ProgressBar::new_spinner()
        } else {
            ProgressBar::new(count)
        };
        let template = if count == u64::MAX {
            "{spinner} {elapsed} {msg}"
        } else {
            "{bar:30} {percent:>3}% {elapsed} {msg}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar }
    }

    /// Never ends by itself: run it beside the bench.
    pub async fn follow(&self, meter: &Meter) {
        const EVERY: Duration = Duration::from_millis(250);
        let mut before = (meter.records(), 0, Instant::now());
        loop {
            tokio::time::sleep(EVERY).await;
            let now = Instant::now();
            let (records, bytes) = (meter.records(), meter.bytes.load(Ordering::Relaxed));
            let seconds = (now - before.2).as_secs_f64();
            let rate = (records - before.0) as f64 / seconds;
            let mib = (bytes - before.1) as f64 / seconds / f64::from(1 << 20);
            let p99 = {
                let latencies = meter.lock_latencies();
                (!latencies.is_empty()).then(|| latencies.value_at_quantile(0.99))
            };
            let p99 = p99.map_or(String::new(), |micros| {
                format!("  p99 {:.2} ms", micros as f64 / 1000.0)
            });
            self.bar.set_position(records);
            self.bar.set_message(format!(
                "{} records/s  {mib:.1} MiB/s{p99}",
                grouped(rate as u64)
            ));
            before = (records, bytes, now);
        }
    }

    pub fn clear(self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_has_rates_and_percentiles() {
        let meter = Meter::new().unwrap();
        let mut own = histogram().unwrap();
        for ms in 1..=100 {
            record(&mut own, Duration::from_millis(ms));
        }
        meter.merge(&mut own);
        assert!(own.is_empty());
        meter.count(100, 2 << 20);
        let start = Instant::now();
        meter.worked(
            start + Duration::from_secs(1),
            start + Duration::from_secs(2),
        );
        meter.worked(start, start + Duration::from_secs(1));
        let summary = meter.summary("produce", "t", 1);
        assert_eq!(summary.seconds, 2.0);
        assert_eq!(summary.records_per_second, 50.0);
        assert_eq!(summary.mib_per_second, 1.0);
        let near = |value: Option<f64>, expect: f64| {
            let value = value.unwrap();
            assert!(
                (value - expect).abs() / expect < 0.01,
                "{value} is not {expect}"
            );
        };
        near(summary.p50_ms, 50.0);
        near(summary.p99_ms, 99.0);
        near(summary.max_ms, 100.0);
    }

    #[test]
    fn without_latencies_there_are_no_percentiles() {
        let summary = Meter::new().unwrap().summary("consume", "t", 1);
        assert_eq!(summary.p50_ms, None);
        assert_eq!(summary.records_per_second, 0.0);
    }
}
