//! The clients: Kafka's own performance classes, and `outlast bench`. The same commands run against
//! every broker.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::process::{self, Finished};
use crate::workspace;

use super::case::{Case, Sample};
use super::subject::{Subject, java};

const CLIENT_LIMIT: Duration = Duration::from_secs(20 * 60);
/// Records that the Java producer leaves out of its statistics, while its code gets compiled.
const WARM_UP_SHARE: u64 = 10;

pub struct Clients {
    libraries: PathBuf,
    /// A file of text lines: random bytes, ProducerPerformance's default, don't compress.
    text: PathBuf,
}

impl Clients {
    pub fn new(libraries: &Path, dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let text = dir.join("payloads.txt");
        fs::write(&text, payloads())?;
        Ok(Self {
            libraries: libraries.to_owned(),
            text,
        })
    }

    pub fn libraries(&self) -> &Path {
        &self.libraries
    }

    /// Lets a broker's code be compiled and its files be made before anything counts.
    pub fn warm_up(&self, subject: &Subject, quick: bool) -> Result<()> {
        self.create_topic(subject, "warm-up", 4)?;
        let records = if quick { 20_000 } else { 300_000 };
        let mut command = self.producer(subject, "warm-up", records, "none");
        command.args(["--record-size", "1024", "--throughput", "-1"]);
        run("warm up", &mut command)?;
        self.delete_topic(subject, "warm-up")
    }

    pub fn create_topic(&self, subject: &Subject, topic: &str, partitions: u32) -> Result<()> {
        let mut command = self.topics(subject);
        command.args([
            "--create",
            "--topic",
            topic,
            "--partitions",
            &partitions.to_string(),
        ]);
        run("create topic", &mut command).map(drop)
    }

    pub fn delete_topic(&self, subject: &Subject, topic: &str) -> Result<()> {
        let mut command = self.topics(subject);
        run("delete topic", command.args(["--delete", "--topic", topic])).map(drop)
    }

    /// As fast as possible; several producers are several processes.
    pub fn produce(
        &self,
        subject: &Subject,
        topic: &str,
        case: &Case,
        producers: u64,
    ) -> Result<Sample> {
        let records = case.records / producers;
        let run_one = |number: u64| {
            let mut command = self.producer(subject, topic, records, case.compression);
            command.args(["--throughput", "-1"]);
            command.args(["--warmup-records", &(records / WARM_UP_SHARE).to_string()]);
            self.payload(&mut command, case);
            producer_summary(&run(&format!("producer {number}"), &mut command)?.stdout)
        };
        let samples: Vec<Sample> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..producers)
                .map(|number| scope.spawn(move || run_one(number)))
                .collect();
            let joined = threads.into_iter().map(|thread| match thread.join() {
                Ok(result) => result,
                Err(_) => bail!("a producer's thread panicked"),
            });
            joined.collect::<Result<_>>()
        })?;
        Ok(Sample {
            mib_a_second: Some(
                samples
                    .iter()
                    .filter_map(|sample| sample.mib_a_second)
                    .sum(),
            ),
            p50_ms: worst(&samples, |sample| sample.p50_ms),
            p99_ms: worst(&samples, |sample| sample.p99_ms),
            ..Sample::default()
        })
    }

    pub fn produce_at_rate(
        &self,
        subject: &Subject,
        topic: &str,
        case: &Case,
        rate: u64,
    ) -> Result<Sample> {
        let mut command = self.producer(subject, topic, case.records, case.compression);
        command.args(["--throughput", &rate.to_string()]);
        command.args(["--warmup-records", &(case.records / 3).to_string()]);
        self.payload(&mut command, case);
        producer_summary(&run("producer at rate", &mut command)?.stdout)
    }

    pub fn consume(&self, subject: &Subject, topic: &str, case: &Case) -> Result<Sample> {
        consumer_summary(&run("consumer", &mut self.consumer(subject, topic, case))?.stdout)
    }

    /// The consumer starts first; what it reports includes waiting for the producer, as long as
    /// both JVMs take to start.
    pub fn tail(&self, subject: &Subject, topic: &str, case: &Case) -> Result<Sample> {
        std::thread::scope(|scope| {
            let consumer = scope.spawn(|| {
                let mut consumer = self.consumer(subject, topic, case);
                run("tail consumer", consumer.args(["--timeout", "60000"]))
            });
            let mut producer = self.producer(subject, topic, case.records, case.compression);
            producer.args(["--throughput", "-1"]);
            self.payload(&mut producer, case);
            run("tail producer", &mut producer)?;
            match consumer.join() {
                Ok(finished) => consumer_summary(&finished?.stdout),
                Err(_) => bail!("the consumer's thread panicked"),
            }
        })
    }

    pub fn end_to_end(&self, subject: &Subject, topic: &str, case: &Case) -> Result<Sample> {
        let mut command = java(&self.libraries);
        command.arg("org.apache.kafka.tools.EndToEndLatency");
        command.args(["--bootstrap-server", &subject.bootstrap(), "--topic", topic]);
        command.args([
            "--num-records",
            &case.records.to_string(),
            "--producer-acks",
            "all",
        ]);
        command.args(["--record-size", &case.record_size.to_string()]);
        end_to_end_summary(&run("end to end", &mut command)?.stdout)
    }

    pub fn outlast_produce(
        &self,
        subject: &Subject,
        topic: &str,
        case: &Case,
        producers: u64,
        rate: Option<u64>,
    ) -> Result<Sample> {
        let mut command = outlast_bench("produce", subject, topic, case);
        command.args(["--producers", &producers.to_string()]);
        command.args(["--size", &case.record_size.to_string()]);
        if let Some(rate) = rate {
            command.args(["--rate", &format!("{rate}/s")]);
        }
        outlast_summary(&run("outlast bench produce", &mut command)?.stdout)
    }

    pub fn outlast_consume(&self, subject: &Subject, topic: &str, case: &Case) -> Result<Sample> {
        let mut command = outlast_bench("consume", subject, topic, case);
        outlast_summary(&run("outlast bench consume", &mut command)?.stdout)
    }

    pub fn outlast_end_to_end(
        &self,
        subject: &Subject,
        topic: &str,
        case: &Case,
    ) -> Result<Sample> {
        let mut command = outlast_bench("e2e", subject, topic, case);
        command.args(["--size", &case.record_size.to_string()]);
        outlast_summary(&run("outlast bench e2e", &mut command)?.stdout)
    }

    fn topics(&self, subject: &Subject) -> Command {
        let mut command = java(&self.libraries);
        command.arg("org.apache.kafka.tools.TopicCommand");
        command.args(["--bootstrap-server", &subject.bootstrap()]);
        command
    }

    fn producer(&self, subject: &Subject, topic: &str, records: u64, compression: &str) -> Command {
        let mut command = java(&self.libraries);
        command.arg("org.apache.kafka.tools.ProducerPerformance");
        command.args(["--bootstrap-server", &subject.bootstrap(), "--topic", topic]);
        command.args([
            "--num-records",
            &records.to_string(),
            "--command-property",
            "acks=all",
        ]);
        command.arg(format!("compression.type={compression}"));
        command
    }

    fn consumer(&self, subject: &Subject, topic: &str, case: &Case) -> Command {
        let mut command = java(&self.libraries);
        command.arg("org.apache.kafka.tools.ConsumerPerformance");
        command.args(["--bootstrap-server", &subject.bootstrap(), "--topic", topic]);
        command.args(["--num-records", &case.records.to_string()]);
        command
    }

    fn payload(&self, command: &mut Command, case: &Case) {
        if case.compression == "none" {
            command.args(["--record-size", &case.record_size.to_string()]);
        } else {
            command.arg("--payload-file").arg(&self.text);
        }
    }
}

fn outlast_bench(what: &str, subject: &Subject, topic: &str, case: &Case) -> Command {
    let mut command = Command::new(workspace::built("release", "outlast"));
    command.args([
        "bench",
        what,
        "--bootstrap",
        &subject.bootstrap(),
        "--topic",
        topic,
    ]);
    command.args(["--count", &case.records.to_string(), "--json"]);
    command
}

fn run(name: &str, command: &mut Command) -> Result<Finished> {
    let finished = process::run(name, command, CLIENT_LIMIT)?;
    finished.expect_success().with_context(|| name.to_owned())
}

fn worst(samples: &[Sample], of: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
    samples.iter().filter_map(of).reduce(f64::max)
}

/// The last summary that ProducerPerformance prints: of the steady state when it was warmed up.
fn producer_summary(output: &str) -> Result<Sample> {
    let summary = output
        .lines()
        .rfind(|line| line.contains("records sent") && line.contains(" 99th"));
    let summary = summary.with_context(|| format!("no summary in\n{output}"))?;
    let before = |unit: &str| {
        let words = summary.split(unit).next()?;
        words.rsplit([' ', '(']).next()?.parse().ok()
    };
    let sample = Sample {
        mib_a_second: before(" MB/sec"),
        p50_ms: before(" ms 50th"),
        p99_ms: before(" ms 99th"),
        ..Sample::default()
    };
    ensure!(
        sample.mib_a_second.is_some() && sample.p99_ms.is_some(),
        "cannot read `{summary}`"
    );
    Ok(sample)
}

/// The last line of ConsumerPerformance's table; its `fetch.MB.sec` leaves joining the group out.
fn consumer_summary(output: &str) -> Result<Sample> {
    ensure!(
        !output.contains("WARNING: Exiting before"),
        "records are missing\n{output}"
    );
    let row = output.lines().rfind(|line| line.split(", ").count() == 10);
    let row = row.with_context(|| format!("no table in\n{output}"))?;
    let rate = row.split(", ").nth(8).and_then(|rate| rate.parse().ok());
    ensure!(rate.is_some(), "cannot read `{row}`");
    Ok(Sample {
        mib_a_second: rate,
        ..Sample::default()
    })
}

/// EndToEndLatency gives percentiles in whole milliseconds.
fn end_to_end_summary(output: &str) -> Result<Sample> {
    let percentiles = output
        .lines()
        .find_map(|line| line.strip_prefix("Percentiles: "));
    let percentiles = percentiles.with_context(|| format!("no percentiles in\n{output}"))?;
    let of = |name: &str| {
        let (_, after) = percentiles.split_once(&format!("{name} = "))?;
        after.split(',').next()?.trim().parse().ok()
    };
    Ok(Sample {
        p50_ms: of("50th"),
        p99_ms: of("99th"),
        ..Sample::default()
    })
}

/// The last line of `outlast bench --json`; its latencies are exact to three digits.
fn outlast_summary(output: &str) -> Result<Sample> {
    let summary = output.lines().next_back().context("no output")?;
    let summary: serde_json::Value = serde_json::from_str(summary)?;
    let number = |key: &str| summary[key].as_f64();
    Ok(Sample {
        mib_a_second: number("mib_per_second"),
        p50_ms: number("p50_ms"),
        p99_ms: number("p99_ms"),
        ..Sample::default()
    })
}

/// A thousand lines of 1 KiB that compress about as well as JSON events do.
fn payloads() -> String {
    let mut random = 88_172_645_463_325_252_u64;
    let mut lines = String::new();
    for number in 0..1000 {
        let mut line = format!("{{\"number\":{number},\"events\":[");
        while line.len() < 1000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            line += &format!(
                "{{\"account\":{},\"state\":\"accepted\"}},",
                random % 100_000_000
            );
        }
        line.truncate(1023);
        lines += &line;
        lines.push('\n');
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tools_own_words_are_understood() {
        let output = "In steady state.\n\
            1000 records sent, 900.1 records/sec (0.88 MB/sec), 9.0 ms avg latency, 9.0 ms max latency.\n\
            1000 records sent, 900.123456 records/sec (0.88 MB/sec), 9.00 ms avg latency, 99.00 ms max latency, 8 ms 50th, 9 ms 95th, 10 ms 99th, 99 ms 99.9th.\n\
            900 steady state records sent, 1800.5 records/sec (1.76 MB/sec), 1.00 ms avg latency, 9.00 ms max latency, 1 ms 50th, 2 ms 95th, 3 ms 99th, 9 ms 99.9th.\n";
        let sample = producer_summary(output).unwrap();
        assert_eq!(
            (sample.mib_a_second, sample.p50_ms, sample.p99_ms),
            (Some(1.76), Some(1.0), Some(3.0))
        );

        let output = "start.time, end.time, ...\n\
            2026-01-01 00:00:00:000, 2026-01-01 00:00:01:000, 97.6562, 97.1, 100000, 99000.1, 300, 700, 139.5, 142857.1\n";
        assert_eq!(consumer_summary(output).unwrap().mib_a_second, Some(139.5));

        let output = "Avg latency: 1.1 ms\nPercentiles: 50th = 1, 99th = 4, 99.9th = 12\n";
        let sample = end_to_end_summary(output).unwrap();
        assert_eq!((sample.p50_ms, sample.p99_ms), (Some(1.0), Some(4.0)));
    }
}
