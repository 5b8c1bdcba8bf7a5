//! `cargo xtask bench --against kafka`: Outlast and Apache Kafka under the same clients.
//!
//! All brokers run for the whole of it, on loopback ports and directories of their own; each case
//! loads them one after the other, and the order turns with every round, so that noise of the
//! machine falls on all of them. Medians and ratios go to docs/BENCHMARKS.md. `--queues` compares
//! queues instead, with more products.

mod case;
mod client;
mod machine;
mod process_stats;
mod queues;
mod report;
mod start_up;
mod subject;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use crate::process::Finished;
use crate::{process, workspace};

use case::Case;
use client::Clients;
use report::Results;
pub use subject::{Kind, Subject, java};

#[derive(Args)]
pub struct BenchArgs {
    /// What to compare with
    #[arg(long, value_enum)]
    against: Option<Against>,
    /// Compare queues: Outlast, Kafka's share groups, RabbitMQ and NATS JetStream
    #[arg(long, conflicts_with_all = ["against", "without"])]
    queues: bool,
    /// How often each case runs against each broker
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// A tenth of the records: numbers for development, not for publication
    #[arg(long)]
    quick: bool,
    /// Only the cases whose name starts with this (repeatable)
    #[arg(long, value_name = "NAME")]
    case: Vec<String>,
    /// Leave out a broker
    #[arg(long, value_enum, value_name = "BROKER")]
    without: Vec<Kind>,
    /// Leave out a product of those whose queues are compared
    #[arg(long, value_enum, value_name = "PRODUCT", requires = "queues")]
    without_product: Vec<queues::Product>,
    /// Where the brokers keep their data; it should be the disk you care about
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the table goes; printed too
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Measure the release build that is there already
    #[arg(long)]
    no_build: bool,
    /// List the cases and stop
    #[arg(long)]
    list: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Against {
    /// Apache Kafka 4, with its default flush settings and with a flush for every append
    Kafka,
}

pub fn run(args: &BenchArgs) -> Result<()> {
    if args.queues {
        return queues::run(args);
    }
    let is_wanted = |case: &Case| {
        args.case.is_empty()
            || args
                .case
                .iter()
                .any(|part| case.name.starts_with(part.as_str()))
    };
    let cases: Vec<Case> = case::all().into_iter().filter(is_wanted).collect();
    if args.list {
        cases
            .iter()
            .for_each(|case| println!("{:<24} {}", case.name, case.what));
        return Ok(());
    }
    let kinds: Vec<Kind> = match args.against {
        Some(Against::Kafka) => Kind::value_variants().to_vec(),
        None => vec![Kind::Outlast],
    };
    let kinds: Vec<Kind> = kinds
        .into_iter()
        .filter(|kind| !args.without.contains(kind))
        .collect();

    let libraries = fetch_kafka()?;
    let needs_outlast = kinds.contains(&Kind::Outlast)
        || cases.iter().any(|case| case.load.is_by_outlast())
        || start_up::is_wanted(&args.case);
    if needs_outlast && !args.no_build {
        build_outlast()?;
    }
    let data = args
        .data
        .clone()
        .unwrap_or_else(|| workspace::target().join("bench-data"));
    let _ = std::fs::remove_dir_all(&data);
    let clients = Clients::new(&libraries, &data)?;
    let mut results = Results::new(args.quick, args.rounds, &kinds);
    measure(args, &cases, &kinds, &clients, &data, &mut results)?;
    if start_up::is_wanted(&args.case) {
        start_up::measure(
            &kinds,
            &clients,
            &data,
            args.quick,
            args.rounds,
            &mut results,
        )?;
    }
    std::fs::remove_dir_all(&data)?;

    let table = report::markdown(&cases, &results, &machine::describe(&workspace::target()));
    println!("\n{table}");
    if let Some(output) = &args.output {
        std::fs::write(output, table)?;
        println!("written to {}", output.display());
    }
    Ok(())
}

/// Runs every case against every broker, round after round.
fn measure(
    args: &BenchArgs,
    cases: &[Case],
    kinds: &[Kind],
    clients: &Clients,
    data: &std::path::Path,
    results: &mut Results,
) -> Result<()> {
    if cases.is_empty() {
        return Ok(());
    }
    let mut subjects: Vec<Subject> = Vec::new();
    for &kind in kinds {
        let subject = Subject::start(kind, clients.libraries(), data)
            .with_context(|| format!("starting {}", kind.title()))?;
        clients.warm_up(&subject, args.quick)?;
        case::prepare(cases, &subject, clients)?;
        subjects.push(subject);
    }
    for round in 0..args.rounds {
        for case in cases {
            for turn in 0..subjects.len() {
                let subject = &subjects[(turn + round) % subjects.len()];
                let started = Instant::now();
                let sample = case
                    .run(subject, clients, round, args.quick)
                    .with_context(|| format!("{} against {}", case.name, subject.kind.title()))?;
                println!(
                    "round {} {:<22} {:<20} {sample} ({:.0} s)",
                    round + 1,
                    case.name,
                    subject.kind.title(),
                    started.elapsed().as_secs_f32()
                );
                results.add(&case.name, subject.kind, sample);
            }
        }
    }
    subjects.into_iter().try_for_each(Subject::stop)
}

/// Kafka's jars, from Maven Central by Maven itself.
pub fn fetch_kafka() -> Result<PathBuf> {
    let libraries = workspace::target().join("deps/kafka/libs");
    let stamp = libraries.join(".complete");
    let pom = workspace::root().join("xtask/kafka/pom.xml");
    let wanted = std::fs::read_to_string(&pom)?;
    if std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(libraries);
    }
    ensure!(
        process::is_installed("mvn", "--version"),
        "Maven is needed to fetch Kafka"
    );
    println!("fetching Apache Kafka");
    let _ = std::fs::remove_dir_all(&libraries);
    let mut maven = Command::new("mvn");
    maven.args(["--batch-mode", "--quiet", "--file"]).arg(&pom);
    maven.arg("org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies");
    maven.arg(format!("-DoutputDirectory={}", libraries.display()));
    process::run("fetch kafka", &mut maven, Duration::from_secs(1800))
        .and_then(Finished::expect_success)?;
    std::fs::write(stamp, wanted)?;
    Ok(libraries)
}

fn build_outlast() -> Result<()> {
    println!("building Outlast (release)");
    let mut cargo = workspace::cargo();
    let status = cargo
        .args(["build", "--release", "--quiet", "--package", "outlast"])
        .status()?;
    ensure!(status.success(), "the release build failed");
    Ok(())
}
