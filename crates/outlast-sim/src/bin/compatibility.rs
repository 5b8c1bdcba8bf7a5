//! Prints docs/COMPATIBILITY.md from the broker's own list of what it serves and from the results
//! of other people's tests.

use std::ops::RangeInclusive;

use outlast_broker::served_versions;
use outlast_protocol::ApiKey;
use toml::{Table, Value};

/// Written by `cargo xtask compat`.
const RESULTS: &str = include_str!("../../../../compat/RESULTS.toml");

fn main() -> anyhow::Result<()> {
    print!("{}{}", page(), suites(&RESULTS.parse()?));
    Ok(())
}

/// What each suite found: a row a suite, then what failed and what was skipped, by reason.
fn suites(results: &Table) -> String {
    let mut section = String::from(
        "\n## Suites\n\n\
         Tests that other people wrote for Kafka and its clients, run against Outlast by \
         `cargo xtask compat`; [compat/](../compat) says how each is run. What failed and what \
         was skipped is listed in full.\n\n\
         | suite | version | run | passed | failed | skipped |\n|---|---|---:|---:|---:|---:|\n",
    );
    let mut details = String::new();
    for (name, suite) in results {
        let word = |key: &str| suite.get(key).and_then(Value::as_str).unwrap_or_default();
        let count = |key: &str| {
            let count = suite.get(key).and_then(Value::as_integer);
            count.unwrap_or_default()
        };
        let failed = names(suite.get("failed"));
        let skips = suite.get("skipped").and_then(Value::as_array);
        let skips: Vec<(&str, Vec<&str>)> = skips
            .into_iter()
            .flatten()
            .filter_map(|skip| Some((skip.get("reason")?.as_str()?, names(skip.get("tests")))))
            .collect();
        let skipped: usize = skips.iter().map(|(_, tests)| tests.len()).sum();
        section += &format!(
            "| [{}](../compat/{name}/README.md) | {} | {} | {} | {} | {skipped} |\n",
            word("title"),
            word("version"),
            count("run"),
            count("passed"),
            failed.len()
        );
        if failed.is_empty() && skips.is_empty() {
            continue;
        }
        details += &format!("\n### {}\n\n", word("title"));
        if !failed.is_empty() {
            details += &format!("- **Failed**: {}\n", failed.join(", "));
        }
        for (reason, tests) in skips {
            details += &format!("- Skipped ({reason}): {}\n", tests.join(", "));
        }
    }
    section + &details
}

fn names(list: Option<&Value>) -> Vec<&str> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).collect()
}

fn page() -> String {
    let mut page = String::from(
        "# Which of Kafka's APIs Outlast serves\n\n\
         Generated from the broker's list of handlers; `cargo xtask tidy --bless` writes it anew. \
         An API or a version is listed as served only when it works in full; ApiVersions tells \
         clients the same.\n\n\
         | API | key | served | Apache Kafka 4.3 |\n|---|---:|---|---|\n",
    );
    let is_served = |api: &&ApiKey| served_versions(**api).is_some();
    for &api in ApiKey::ALL.iter().filter(is_served) {
        let served = served_versions(api).map_or_else(String::new, versions);
        let kafka = versions(api.stable_versions());
        page += &format!("| {} | {} | {served} | {kafka} |\n", api.name(), api.code());
    }
    page += "\n## Not served\n\n";
    for &api in ApiKey::ALL.iter().filter(|api| !is_served(api)) {
        page += &format!("- {} ({})\n", api.name(), api.code());
    }
    page
}

fn versions(range: RangeInclusive<i16>) -> String {
    let (first, last) = range.into_inner();
    if first == last {
        first.to_string()
    } else {
        format!("{first}–{last}")
    }
}
