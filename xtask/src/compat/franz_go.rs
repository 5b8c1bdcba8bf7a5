//! franz-go's tests out of its Go module: those that want a broker.
//!
//! Which they are is listed in the suite's settings, because nothing in the sources marks them;
//! the unit tests beside them say nothing about Outlast.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::process;

use super::install::{self, step};
use super::suite::{Extent, Findings, Suite, Verdict};

const RUN_LIMIT: Duration = Duration::from_secs(600);
const MODULE: &str = "github.com/twmb/franz-go";
/// What a transforming test writes and reads, per chain; upstream's half a million takes minutes.
const RECORDS: &str = "50000";

pub fn install() -> Result<PathBuf> {
    ensure!(process::is_installed("go", "version"), "there is no go");
    let suite = Suite::read("franz-go")?;
    install::once("franz-go", &suite.version, |dir| {
        let module = format!("{MODULE}@{}", suite.version);
        let mut download = Command::new("go");
        download.args(["mod", "download", "-json", &module]);
        let finished = process::run(
            "franz-go download",
            download.current_dir(dir),
            install::BUILD_LIMIT,
        )?;
        let answer: serde_json::Value = serde_json::from_str(&finished.expect_success()?.stdout)?;
        let sources = answer["Dir"].as_str().context("the module has a folder")?;
        install::copy(sources.as_ref(), &dir.join("sources"))?;
        let mut build = Command::new("go");
        build.args(["test", "-c", "-o", "../kgo.test", "./pkg/kgo"]);
        step("franz-go build", &mut build, &dir.join("sources"))
    })
}

pub fn run(suite: &Suite, extent: Extent, bootstrap: &str) -> Result<Findings> {
    let dir = install()?;
    let (mut findings, tests) = match extent {
        Extent::Everything => (Findings::of(suite), &suite.tests),
        Extent::Fast => (Findings::default(), &suite.fast),
    };
    let chosen = tests.iter().filter(|test| suite.skip(test).is_none());
    let chosen: Vec<&str> = chosen.map(String::as_str).collect();
    let mut tests = Command::new(dir.join("kgo.test"));
    tests.current_dir(dir.join("sources/pkg/kgo"));
    tests.args(["-test.v", "-test.timeout=590s"]);
    tests.arg(format!("-test.run=^({})$", chosen.join("|")));
    tests.env("KGO_SEEDS", bootstrap);
    tests
        .env("KGO_TEST_RF", "1")
        .env("KGO_TEST_RECORDS", RECORDS);
    let finished = process::run("compat franz-go", &mut tests, RUN_LIMIT)?;
    let found = verdicts(&finished.stdout);
    if found.is_empty() {
        bail!("no test ran\n{}", finished.tail(40));
    }
    for test in chosen {
        let verdict = found.iter().find(|(name, _)| name == test);
        let verdict = verdict.map(|(_, verdict)| verdict.clone());
        // One that panics takes the rest along.
        let missing = || Verdict::Failed(format!("did not end\n{}", finished.tail(20)));
        findings.add(test, verdict.unwrap_or_else(missing));
    }
    Ok(findings)
}

/// The lines `--- PASS: Name (1.2s)` that aren't indented: tests, not their parts.
fn verdicts(output: &str) -> Vec<(String, Verdict)> {
    let result = |line: &str| {
        let (word, rest) = line.strip_prefix("--- ")?.split_once(": ")?;
        let test = rest.split(' ').next()?.to_owned();
        let verdict = match word {
            "PASS" => Verdict::Passed,
            "SKIP" => Verdict::Skipped("the test itself: see its source".to_owned()),
            _ => Verdict::Failed(complaints(&test, output)),
        };
        Some((test, verdict))
    };
    output.lines().filter_map(result).collect()
}

/// What the test logged with the place in its source.
fn complaints(test: &str, output: &str) -> String {
    let start = format!("--- FAIL: {test} ");
    let lines = output.lines().skip_while(|line| !line.starts_with(&start));
    lines.take(8).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_read() {
        let output = "=== RUN   TestA\n--- PASS: TestA (0.1s)\n    --- PASS: TestA/x (0.1s)\n\
            --- FAIL: TestB (1.0s)\n    b.go:1: no\n";
        let failed = Verdict::Failed("--- FAIL: TestB (1.0s)\n    b.go:1: no".to_owned());
        assert_eq!(
            verdicts(output),
            [
                ("TestA".to_owned(), Verdict::Passed),
                ("TestB".to_owned(), failed)
            ]
        );
    }
}
