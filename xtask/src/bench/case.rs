//! The cases: what is sent or read, by whom, over how many partitions.

use std::fmt;

use anyhow::Result;

use super::client::Clients;
use super::process_stats::reset_peak;
use super::subject::{Kind, Subject};

#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub what: &'static str,
    pub load: Load,
    pub partitions: u32,
    pub record_size: u64,
    pub records: u64,
    pub compression: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Load {
    /// So many Java producers, as fast as they can
    Produce { producers: u64 },
    /// One Java producer at this many records a second
    ProduceAtRate(u64),
    /// A Java consumer reads what is there already
    CatchUp,
    /// A Java consumer reads while a producer writes
    Tail,
    /// One record at a time, from send to receipt, in Java
    EndToEnd,
    /// `outlast bench produce`
    OutlastProduce { producers: u64 },
    /// `outlast bench produce` at this many records a second
    OutlastProduceAtRate(u64),
    /// `outlast bench consume` of what is there already
    OutlastCatchUp,
    /// `outlast bench e2e`
    OutlastEndToEnd,
}

impl Load {
    /// Whether the client is `outlast bench`.
    pub fn is_by_outlast(self) -> bool {
        matches!(
            self,
            Load::OutlastProduce { .. }
                | Load::OutlastProduceAtRate(_)
                | Load::OutlastCatchUp
                | Load::OutlastEndToEnd
        )
    }

    /// The number a reader compares first.
    pub fn is_about_latency(self) -> bool {
        matches!(
            self,
            Load::ProduceAtRate(_)
                | Load::EndToEnd
                | Load::OutlastProduceAtRate(_)
                | Load::OutlastEndToEnd
        )
    }
}

/// The one topic of all cases with this many partitions. Creating so many files takes Kafka minutes,
/// which isn't what these cases are about.
const WIDE_TOPIC: &str = "wide";
const WIDE_PARTITIONS: u32 = 1000;

/// What one run of a case measured.
#[derive(Clone, Copy, Default, Debug)]
pub struct Sample {
    pub mib_a_second: Option<f64>,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub cpu_seconds_a_gib: Option<f64>,
    pub peak_mib: Option<f64>,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut number = |value: Option<f64>, unit: &str| match value {
            Some(value) => write!(f, "{value:>8.2} {unit} "),
            None => write!(f, "{:>8} {unit} ", "-"),
        };
        number(self.mib_a_second, "MiB/s")?;
        number(self.p50_ms, "ms p50")?;
        number(self.p99_ms, "ms p99")?;
        number(self.cpu_seconds_a_gib, "cpu-s/GiB")?;
        number(self.peak_mib, "MiB peak")
    }
}

pub fn all() -> Vec<Case> {
    use Load::*;
    let case = |name: &str, what, load, partitions, record_size, records| Case {
        name: name.to_owned(),
        what,
        load,
        partitions,
        record_size,
        records,
        compression: "none",
    };
    let one = Produce { producers: 1 };
    let mut cases = vec![
        case(
            "produce-1k-1p",
            "1 KiB records, 1 partition",
            one,
            1,
            1024,
            400_000,
        ),
        case(
            "produce-1k-16p",
            "1 KiB records, 16 partitions",
            one,
            16,
            1024,
            400_000,
        ),
        case(
            "produce-1k-1000p",
            "1 KiB records, 1,000 partitions",
            one,
            1000,
            1024,
            100_000,
        ),
        case(
            "produce-100b-1p",
            "100 B records, 1 partition",
            one,
            1,
            100,
            3_000_000,
        ),
        case(
            "produce-100b-16p",
            "100 B records, 16 partitions",
            one,
            16,
            100,
            3_000_000,
        ),
        case(
            "produce-100b-1000p",
            "100 B records, 1,000 partitions",
            one,
            1000,
            100,
            1_000_000,
        ),
        case(
            "produce-1k-16p-x10",
            "1 KiB records, 16 partitions, ten producers",
            Produce { producers: 10 },
            16,
            1024,
            400_000,
        ),
        case(
            "produce-1k-1000p-x10",
            "1 KiB records, 1,000 partitions, ten producers",
            Produce { producers: 10 },
            1000,
            1024,
            100_000,
        ),
        case(
            "produce-1k-16p-lz4",
            "1 KiB of text, 16 partitions, lz4",
            one,
            16,
            1024,
            400_000,
        ),
        case(
            "rate-1k-1p",
            "1 KiB records at 1,000/s",
            ProduceAtRate(1000),
            1,
            1024,
            15_000,
        ),
        case(
            "rate-1k-16p",
            "1 KiB records at 5,000/s",
            ProduceAtRate(5000),
            16,
            1024,
            75_000,
        ),
        case(
            "e2e-1k",
            "1 KiB records one by one, send to receipt",
            EndToEnd,
            1,
            1024,
            5_000,
        ),
        case(
            "catch-up-1k-1p",
            "1 KiB records read back",
            CatchUp,
            1,
            1024,
            400_000,
        ),
        case(
            "catch-up-1k-16p",
            "1 KiB records read back",
            CatchUp,
            16,
            1024,
            400_000,
        ),
        case(
            "catch-up-100b-16p",
            "100 B records read back",
            CatchUp,
            16,
            100,
            3_000_000,
        ),
        case(
            "tail-1k-16p",
            "1 KiB records read while written",
            Tail,
            16,
            1024,
            400_000,
        ),
        case(
            "outlast-produce-1k-16p",
            "1 KiB records, 16 partitions",
            OutlastProduce { producers: 1 },
            16,
            1024,
            400_000,
        ),
        case(
            "outlast-produce-1k-1000p",
            "1 KiB records, 1,000 partitions, ten producers",
            OutlastProduce { producers: 10 },
            1000,
            1024,
            100_000,
        ),
        case(
            "outlast-rate-1k-16p",
            "1 KiB records at 5,000/s",
            OutlastProduceAtRate(5000),
            16,
            1024,
            75_000,
        ),
        case(
            "outlast-catch-up-1k-16p",
            "1 KiB records read back",
            OutlastCatchUp,
            16,
            1024,
            400_000,
        ),
        case(
            "outlast-e2e-1k",
            "1 KiB records one by one",
            OutlastEndToEnd,
            1,
            1024,
            5_000,
        ),
    ];
    for case in &mut cases {
        if case.name.ends_with("lz4") {
            case.compression = "lz4";
        }
    }
    cases
}

/// Creates the wide topic where a case wants it, and writes to about all of its partitions once.
pub fn prepare(cases: &[Case], subject: &Subject, clients: &Clients) -> Result<()> {
    let Some(wide) = cases.iter().find(|case| case.is_wide()) else {
        return Ok(());
    };
    clients.create_topic(subject, WIDE_TOPIC, WIDE_PARTITIONS)?;
    let touch = Case {
        record_size: 1024,
        // The producer stays with a partition for a batch of 16 KiB.
        records: u64::from(WIDE_PARTITIONS) * 32,
        ..wide.clone()
    };
    clients.produce(subject, WIDE_TOPIC, &touch, 1)?;
    Ok(())
}

impl Case {
    fn is_wide(&self) -> bool {
        self.partitions >= WIDE_PARTITIONS
    }

    /// Runs the case, on a topic of its own unless it is a wide one.
    pub fn run(
        &self,
        subject: &Subject,
        clients: &Clients,
        round: usize,
        quick: bool,
    ) -> Result<Sample> {
        let case = Self {
            records: self.records_for(subject.kind, quick),
            ..self.clone()
        };
        let topic = if self.is_wide() {
            WIDE_TOPIC.to_owned()
        } else {
            format!("{}-{round}", self.name)
        };
        if !self.is_wide() {
            clients.create_topic(subject, &topic, self.partitions)?;
        }
        let reads_back = matches!(self.load, Load::CatchUp | Load::OutlastCatchUp);
        if reads_back {
            clients.produce(subject, &topic, &case, 1)?;
        }
        settle()?;
        reset_peak(subject.pid()?)?;
        let before = subject.stats()?;
        let (mut sample, moved_records) = case.load(subject, clients, &topic)?;
        let after = subject.stats()?;
        let gib = (moved_records * self.record_size) as f64 / (1 << 30) as f64;
        sample.cpu_seconds_a_gib = Some((after.cpu_seconds - before.cpu_seconds) / gib);
        sample.peak_mib = Some(after.peak_mib);
        if !self.is_wide() {
            clients.delete_topic(subject, &topic)?;
        }
        Ok(sample)
    }

    /// A broker that syncs file by file needs minutes for what the others do in seconds, and the
    /// same few seconds tell its throughput too.
    fn records_for(&self, kind: Kind, quick: bool) -> u64 {
        let is_paced = matches!(
            self.load,
            Load::ProduceAtRate(_)
                | Load::OutlastProduceAtRate(_)
                | Load::EndToEnd
                | Load::OutlastEndToEnd
        );
        let share = match kind {
            Kind::KafkaFsync if !is_paced => 10,
            _ => 1,
        };
        let quick = match self.load {
            _ if !quick => 1,
            // A few seconds at the rate: less shows how a JVM starts.
            Load::ProduceAtRate(_) | Load::OutlastProduceAtRate(_) => 2,
            _ => 10,
        };
        (self.records / share / quick).max(1000)
    }

    /// What was measured, and how many records went in or out of the broker.
    fn load(&self, subject: &Subject, clients: &Clients, topic: &str) -> Result<(Sample, u64)> {
        let n = self.records;
        Ok(match self.load {
            Load::Produce { producers } => (clients.produce(subject, topic, self, producers)?, n),
            Load::ProduceAtRate(rate) => (clients.produce_at_rate(subject, topic, self, rate)?, n),
            Load::CatchUp => (clients.consume(subject, topic, self)?, n),
            Load::Tail => (clients.tail(subject, topic, self)?, 2 * n),
            Load::EndToEnd => (clients.end_to_end(subject, topic, self)?, 2 * n),
            Load::OutlastProduce { producers } => (
                clients.outlast_produce(subject, topic, self, producers, None)?,
                n,
            ),
            Load::OutlastProduceAtRate(rate) => (
                clients.outlast_produce(subject, topic, self, 1, Some(rate))?,
                n,
            ),
            Load::OutlastCatchUp => (clients.outlast_consume(subject, topic, self)?, n),
            Load::OutlastEndToEnd => (clients.outlast_end_to_end(subject, topic, self)?, 2 * n),
        })
    }
}

/// Writes out what an earlier run left in the page cache, which the next one would pay for.
fn settle() -> Result<()> {
    std::process::Command::new("sync").status()?;
    Ok(())
}
