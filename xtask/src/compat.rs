//! `cargo xtask compat`: the tests that other people wrote for their clients and brokers, run
//! against Outlast.
//!
//! A suite is fetched from its package registry into `target/deps/compat`, never committed.
//! What it found is kept in `compat/RESULTS.toml`, from which docs/COMPATIBILITY.md is made.
//! Tests that are left out are listed with their reason in `compat/<suite>/suite.toml`.

mod differential;
mod franz_go;
mod install;
mod kafka_python;
mod kafka_tools;
mod kcat;
mod librdkafka;
mod results;
mod rust_rdkafka;
mod script;
mod suite;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::broker::Broker;
use crate::tally::Tally;
use crate::workspace;
use suite::{Extent, Findings, Suite, Verdict};

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Name {
    /// The tests of librdkafka, on which most clients outside the JVM stand
    Librdkafka,
    /// The tests of the Rust client over librdkafka
    RustRdkafka,
    /// The integration tests of the client written in Python
    KafkaPython,
    /// The tests of the client written in Go
    FranzGo,
    /// Apache Kafka's own command-line tools
    KafkaTools,
    /// Debian's kcat with its old librdkafka
    Kcat,
    /// The same requests to Apache Kafka and to Outlast, answers compared
    Differential,
}

impl Name {
    fn folder(self) -> &'static str {
        match self {
            Name::Librdkafka => "librdkafka",
            Name::RustRdkafka => "rust-rdkafka",
            Name::KafkaPython => "kafka-python",
            Name::FranzGo => "franz-go",
            Name::KafkaTools => "kafka-tools",
            Name::Kcat => "kcat",
            Name::Differential => "differential",
        }
    }

    /// Fetches and builds what the suite needs; `Err` with a reason where that can't be had here.
    fn install(self) -> Result<()> {
        match self {
            Name::Librdkafka => librdkafka::install().map(drop),
            Name::RustRdkafka => rust_rdkafka::install().map(drop),
            Name::KafkaPython => kafka_python::install().map(drop),
            Name::FranzGo => franz_go::install().map(drop),
            Name::KafkaTools | Name::Differential => crate::bench::fetch_kafka().map(drop),
            Name::Kcat => kcat::install().map(drop),
        }
    }

    fn run(self, suite: &Suite, extent: Extent, binary: &Path) -> Result<Findings> {
        let log = format!("compat {}", suite.name);
        let flags: Vec<&str> = suite.broker.iter().map(String::as_str).collect();
        let broker = Broker::start_with(binary, &log, &flags)?;
        let bootstrap = broker.bootstrap();
        match self {
            Name::Librdkafka => librdkafka::run(suite, extent, &bootstrap),
            Name::RustRdkafka => rust_rdkafka::run(suite, extent, &bootstrap),
            Name::KafkaPython => kafka_python::run(suite, extent, &bootstrap),
            Name::FranzGo => franz_go::run(suite, extent, &bootstrap),
            Name::KafkaTools => kafka_tools::run(suite, extent, &bootstrap),
            Name::Kcat => kcat::run(suite, extent, &bootstrap),
            Name::Differential => differential::run(suite, &bootstrap),
        }
    }
}

#[derive(Args)]
pub struct CompatArgs {
    /// Which suites; all by default
    #[arg(value_enum)]
    names: Vec<Name>,
    /// Only the tests that `cargo xtask test` runs; compat/RESULTS.toml stays as it is
    #[arg(long)]
    fast: bool,
    /// Don't build; use the binaries that are there
    #[arg(long)]
    no_build: bool,
}

/// `cargo xtask compat`.
pub fn run(args: &CompatArgs, tally: &mut Tally) -> Result<()> {
    if !args.no_build {
        let mut cargo = workspace::cargo();
        let programs = ["--package", "outlast", "--package", "outlast-sim"];
        let status = cargo.args(["build", "--bins"]).args(programs).status()?;
        anyhow::ensure!(status.success(), "the build failed");
    }
    let names = match args.names.is_empty() {
        true => Name::value_variants(),
        false => &args.names,
    };
    let extent = if args.fast {
        Extent::Fast
    } else {
        Extent::Everything
    };
    for &name in names {
        tally.section(name.folder());
        let suite = Suite::read(name.folder())?;
        let install = name.install();
        let found = install.and_then(|()| run_one(name, &suite, extent, tally));
        match found {
            Ok(findings) if extent == Extent::Everything => results::write(&suite, &findings)?,
            Ok(_) => {}
            Err(error) => tally.fail(name.folder(), &format!("{error:#}")),
        }
    }
    Ok(())
}

/// The fast tests of the suites whose installation takes seconds, as a part of `cargo xtask test`.
/// What can't be installed here is skipped.
pub fn test(tally: &mut Tally) {
    for &name in Name::value_variants() {
        let suite = match Suite::read(name.folder()) {
            Ok(suite) => suite,
            Err(error) => {
                tally.fail(name.folder(), &format!("{error:#}"));
                continue;
            }
        };
        if suite.fast.is_empty() {
            continue;
        }
        if let Err(error) = name.install() {
            tally.skip(
                &format!("compat: {}", name.folder()),
                &format!("can't be installed here: {error:#}"),
            );
            continue;
        }
        if let Err(error) = run_one(name, &suite, Extent::Fast, tally) {
            tally.fail(name.folder(), &format!("{error:#}"));
        }
    }
}

fn run_one(name: Name, suite: &Suite, extent: Extent, tally: &mut Tally) -> Result<Findings> {
    let started = Instant::now();
    let binary = workspace::built("debug", "outlast");
    let findings = name
        .run(suite, extent, &binary)
        .with_context(|| suite.title.clone())?;
    for (test, verdict) in findings.iter() {
        if let Verdict::Failed(why) = verdict {
            tally.fail(&format!("{}: {test}", suite.name), why);
        }
    }
    tally.pass_many(findings.passed());
    let skipped = findings.skipped();
    println!(
        "    {}: {} passed, {} failed, {} skipped ({:.0}s)",
        suite.name,
        findings.passed(),
        findings.failed().len(),
        skipped.values().map(Vec::len).sum::<usize>(),
        started.elapsed().as_secs_f32()
    );
    if extent == Extent::Everything {
        for (reason, tests) in skipped {
            tally.skip(&format!("{}: {}", suite.name, tests.join(", ")), reason);
        }
    }
    Ok(findings)
}
