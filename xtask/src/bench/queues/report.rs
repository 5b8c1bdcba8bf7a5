//! Medians of the samples as docs/BENCHMARKS-QUEUES.md.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::bench::report::{cell, median, row};

use super::case::{Case, Load, Sample};
use super::product::Product;

pub struct Results {
    pub quick: bool,
    pub rounds: usize,
    pub products: Vec<Product>,
    /// Products that could not be run, and why.
    pub missing: Vec<(Product, String)>,
    samples: HashMap<(&'static str, Product), Vec<Sample>>,
}

impl Results {
    pub fn new(quick: bool, rounds: usize) -> Self {
        Self {
            quick,
            rounds,
            products: Vec::new(),
            missing: Vec::new(),
            samples: HashMap::new(),
        }
    }

    pub fn add(&mut self, case: &Case, product: Product, sample: Sample) {
        let samples = self.samples.entry((case.name, product)).or_default();
        samples.push(sample);
    }

    fn median(&self, case: &Case, product: Product, of: fn(&Sample) -> Option<f64>) -> Option<f64> {
        let samples = self.samples.get(&(case.name, product))?;
        median(samples.iter().filter_map(of).collect())
    }
}

pub fn markdown(cases: &[Case], results: &Results, machine: &[String]) -> String {
    let mut page = String::from(
        "# Outlast's queues and others, measured\n\n\
         Written by `cargo xtask bench --queues`. All products run on the same machine for the \
         whole of it, each on a directory of its own, and take turns within each case. Messages \
         have 1 KiB; a consumer has connections of its own, takes up to 100 messages at a time, and \
         asks for the next while those are acknowledged; a run ends when all acknowledgements have \
         been worked off. Queues of \
         Outlast and Kafka have 16 partitions. Kafka's share consumer is Kafka's own, in Java, for \
         Kafka and for Outlast; all other clients are in Rust: HTTP requests, lapin, async-nats.\n\n",
    );
    for line in machine {
        let _ = writeln!(page, "- {line}");
    }
    let quick = match results.quick {
        true => "; a quick run, not for publication",
        false => "",
    };
    let _ = writeln!(page, "- Medians of {} rounds{quick}", results.rounds);
    page.push_str("\n## What an acknowledgement is worth\n\n| product | durability as it was run |\n|---|---|\n");
    for product in &results.products {
        let _ = writeln!(page, "| {} | {} |", product.title(), product.durability());
    }
    for (product, why) in &results.missing {
        let why = why.lines().next().unwrap_or_default();
        let _ = writeln!(page, "\n{} was not measured: {why}.", product.title());
    }
    let of = |load| -> Vec<&Case> { cases.iter().filter(|case| case.load == load).collect() };
    let (drains, rates): (Vec<&Case>, Vec<&Case>) = (of(Load::Drain), of(Load::Rate));
    let all: Vec<&Case> = cases.iter().collect();
    let mut table = |title: &str, cases: &[&Case], of: fn(&Sample) -> Option<f64>| {
        table(&mut page, title, cases, results, of);
    };
    table(
        "Messages received and acknowledged a second",
        &drains,
        |sample| sample.per_second,
    );
    table(
        "Publish to receive, 99th percentile in ms",
        &rates,
        |sample| sample.p99_ms,
    );
    table("Publish to receive, median in ms", &rates, |sample| {
        sample.p50_ms
    });
    table(
        "Broker CPU-seconds for a million messages",
        &drains,
        |sample| sample.cpu_seconds_a_million,
    );
    table("Peak resident memory, MiB", &all, |sample| sample.peak_mib);
    page
}

/// A row for each product, so that there is room for as many as there are.
fn table(
    page: &mut String,
    title: &str,
    cases: &[&Case],
    results: &Results,
    of: fn(&Sample) -> Option<f64>,
) {
    if cases.is_empty() {
        return;
    }
    let mut head = vec!["product".to_owned()];
    head.extend(cases.iter().map(|case| case.what.to_owned()));
    let _ = writeln!(page, "\n## {title}\n\n{}", row(&head));
    let _ = writeln!(page, "|---|{}", "---:|".repeat(cases.len()));
    for &product in &results.products {
        let mut cells = vec![product.title().to_owned()];
        let number = |case: &&Case| cell(results.median(case, product, of));
        cells.extend(cases.iter().map(number));
        let _ = writeln!(page, "{}", row(&cells));
    }
}
