//! `cargo xtask bench --queues`: queues of Outlast, Kafka, RabbitMQ and NATS under the same load.
//!
//! What can't be installed here is named in the result and left out. Medians go to
//! docs/BENCHMARKS-QUEUES.md.

mod case;
mod nats;
mod product;
mod rabbitmq;
mod report;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::workspace;

use super::{BenchArgs, build_outlast, fetch_kafka, machine};
use case::{Case, Clients};
use product::Running;
use report::Results;

pub use product::Product;

pub fn run(args: &BenchArgs) -> Result<()> {
    let is_wanted = |case: &Case| {
        let named = |part: &String| case.name.starts_with(part.as_str());
        args.case.is_empty() || args.case.iter().any(named)
    };
    let cases: Vec<Case> = case::all().into_iter().filter(is_wanted).collect();
    if args.list {
        let list = |case: &Case| println!("{:<24} {}", case.name, case.what);
        cases.iter().for_each(list);
        return Ok(());
    }
    let libraries = fetch_kafka()?;
    if !args.no_build {
        build_outlast()?;
        build_load()?;
    }
    let mut results = Results::new(args.quick, args.rounds);
    for &product in Product::value_variants() {
        if args.without_product.contains(&product) {
            continue;
        }
        match product::install(product) {
            Ok(()) => results.products.push(product),
            Err(error) => {
                println!("{} can't be run here: {error:#}", product.title());
                results.missing.push((product, format!("{error:#}")));
            }
        }
    }
    let data = match &args.data {
        Some(data) => data.clone(),
        None => workspace::target().join("bench-data"),
    };
    let _ = std::fs::remove_dir_all(&data);
    measure(args, &cases, &libraries, &data, &mut results)?;
    std::fs::remove_dir_all(&data)?;

    let page = report::markdown(&cases, &results, &machine::describe(&workspace::target()));
    println!("\n{page}");
    if let Some(output) = &args.output {
        std::fs::write(output, page)?;
        println!("written to {}", output.display());
    }
    Ok(())
}

/// Runs every case against every product, round after round.
fn measure(
    args: &BenchArgs,
    cases: &[Case],
    libraries: &Path,
    data: &Path,
    results: &mut Results,
) -> Result<()> {
    let mut running = Vec::new();
    for &product in &results.products {
        let started = Running::start(product, libraries, data);
        running.push(started.with_context(|| format!("starting {}", product.title()))?);
    }
    let clients = Clients {
        libraries,
        quick: args.quick,
    };
    for round in 0..args.rounds {
        for case in cases {
            for turn in 0..running.len() {
                let running = &running[(turn + round) % running.len()];
                let (product, started) = (running.product, Instant::now());
                let sample = case
                    .run(running, &clients, round)
                    .with_context(|| format!("{} against {}", case.name, product.title()))?;
                println!(
                    "round {} {:<8} {:<22} {sample} ({:.0} s)",
                    round + 1,
                    case.name,
                    product.title(),
                    started.elapsed().as_secs_f32()
                );
                results.add(case, product, sample);
            }
        }
    }
    Ok(())
}

fn build_load() -> Result<()> {
    println!("building the clients (release)");
    let mut cargo = workspace::cargo();
    let package = ["--package", "outlast-sim", "--bin", "queue-load"];
    cargo.args(["build", "--release", "--quiet", "--features", "peers"]);
    let status = cargo.args(package).status()?;
    ensure!(status.success(), "the build of the clients failed");
    Ok(())
}
