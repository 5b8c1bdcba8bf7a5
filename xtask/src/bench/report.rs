//! Collects the samples, takes medians, and writes docs/BENCHMARKS.md.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::case::{Case, Sample};
use super::start_up::StartUp;
use super::subject::Kind;

pub struct Results {
    pub quick: bool,
    pub rounds: usize,
    pub kinds: Vec<Kind>,
    samples: HashMap<(String, Kind), Vec<Sample>>,
    pub start_ups: HashMap<Kind, Vec<StartUp>>,
}

impl Results {
    pub fn new(quick: bool, rounds: usize, kinds: &[Kind]) -> Self {
        let kinds = kinds.to_vec();
        Self {
            quick,
            rounds,
            kinds,
            samples: HashMap::new(),
            start_ups: HashMap::new(),
        }
    }

    pub fn add(&mut self, case: &str, kind: Kind, sample: Sample) {
        self.samples
            .entry((case.to_owned(), kind))
            .or_default()
            .push(sample);
    }

    fn median(&self, case: &Case, kind: Kind, of: fn(&Sample) -> Option<f64>) -> Option<f64> {
        let samples = self.samples.get(&(case.name.clone(), kind))?;
        median(samples.iter().filter_map(of).collect())
    }
}

pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

pub fn markdown(cases: &[Case], results: &Results, machine: &[String]) -> String {
    let mut page = String::from(
        "# Outlast and Apache Kafka, measured\n\n\
         Written by `cargo xtask bench --against kafka`. Outlast syncs its write-ahead log before \
         every acknowledgement. Kafka as it comes leaves writing to the operating system; \"Kafka \
         with fsync\" has `log.flush.interval.messages=1`. All producers use acks=all. Ratios are \
         Outlast's number over the other's.\n\n",
    );
    for line in machine {
        let _ = writeln!(page, "- {line}");
    }
    let _ = writeln!(
        page,
        "- Medians of {} rounds; the brokers take turns within each case{}",
        results.rounds,
        if results.quick {
            "; a quick run, not for publication"
        } else {
            ""
        }
    );
    let (latency, throughput): (Vec<&Case>, Vec<&Case>) =
        cases.iter().partition(|case| case.load.is_about_latency());
    if !throughput.is_empty() {
        table(
            &mut page,
            "Throughput, MiB/s",
            &throughput,
            results,
            |sample| sample.mib_a_second,
        );
    }
    if !latency.is_empty() {
        table(
            &mut page,
            "Latency, 99th percentile in ms",
            &latency,
            results,
            |sample| sample.p99_ms,
        );
        table(
            &mut page,
            "Latency, median in ms",
            &latency,
            results,
            |sample| sample.p50_ms,
        );
    }
    let cpu = |sample: &Sample| sample.cpu_seconds_a_gib;
    table(
        &mut page,
        "Broker CPU-seconds per GiB of records",
        &throughput,
        results,
        cpu,
    );
    let all: Vec<&Case> = cases.iter().collect();
    table(
        &mut page,
        "Peak resident memory, MiB",
        &all,
        results,
        |sample| sample.peak_mib,
    );
    start_up_table(&mut page, results);
    page
}

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
    let others: Vec<Kind> = results
        .kinds
        .iter()
        .copied()
        .filter(|&kind| kind != Kind::Outlast)
        .collect();
    let mut head = vec!["case".to_owned(), "what".to_owned()];
    head.extend(results.kinds.iter().map(|kind| kind.title().to_owned()));
    head.extend(others.iter().map(|kind| format!("÷ {}", kind.title())));
    let _ = writeln!(page, "\n## {title}\n\n{}", row(&head));
    let _ = writeln!(page, "|---|---|{}", "---:|".repeat(head.len() - 2));
    for case in cases {
        let number = |kind| results.median(case, kind, of);
        let mut cells = vec![case.name.clone(), case.what.to_owned()];
        cells.extend(results.kinds.iter().map(|&kind| cell(number(kind))));
        cells.extend(others.iter().map(|&kind| {
            let both = number(Kind::Outlast).zip(number(kind));
            cell(both.map(|(ours, theirs)| ours / theirs))
        }));
        let _ = writeln!(page, "{}", row(&cells));
    }
}

pub fn row(cells: &[String]) -> String {
    format!("| {} |", cells.join(" | "))
}

fn start_up_table(page: &mut String, results: &Results) {
    if results.start_ups.is_empty() {
        return;
    }
    page.push_str(
        "\n## Start, in seconds\n\n\
         | broker | empty directory to first acknowledged message \
         | after SIGKILL, to first acknowledged message | data at the kill, MiB |\n\
         |---|---:|---:|---:|\n",
    );
    for kind in &results.kinds {
        let Some(start_ups) = results.start_ups.get(kind) else {
            continue;
        };
        let of = |part: fn(&StartUp) -> f64| cell(median(start_ups.iter().map(part).collect()));
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} |",
            kind.title(),
            of(|start_up| start_up.empty_seconds),
            of(|start_up| start_up.recovery_seconds),
            of(|start_up| start_up.data_mib),
        );
    }
}

pub fn cell(value: Option<f64>) -> String {
    match value {
        Some(value) if value.is_finite() && value >= 100.0 => format!("{value:.0}"),
        Some(value) if value.is_finite() => format!("{value:.2}"),
        _ => "—".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_few_values() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
    }
}
