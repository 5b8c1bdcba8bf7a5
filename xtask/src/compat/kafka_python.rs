//! kafka-python's integration tests out of its source distribution on PyPI.
//!
//! The distribution leaves out two files that the tests import: the empty `test/__init__.py` and
//! `test/service.py`, which starts brokers. A broker is there already, so that a stand-in of ours
//! does for the second.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::{process, workspace};

use super::install::{self, step};
use super::suite::{Extent, Findings, Suite, Verdict};

const RUN_LIMIT: Duration = Duration::from_secs(600);

pub fn install() -> Result<PathBuf> {
    ensure!(
        process::is_installed("python3", "--version"),
        "there is no python3"
    );
    let suite = Suite::read("kafka-python")?;
    install::once("kafka-python", &suite.version, |dir| {
        let mut venv = Command::new("python3");
        step("kafka-python venv", venv.args(["-m", "venv", "venv"]), dir)?;
        let pip = |arguments: &[&str]| {
            let mut pip = Command::new(dir.join("venv/bin/python"));
            pip.args(["-m", "pip", "--disable-pip-version-check"]);
            pip.args(arguments);
            pip
        };
        let package = format!("kafka-python=={}", suite.version);
        let download = ["download", "--no-deps", "--no-binary", ":all:", &package];
        step("kafka-python download", &mut pip(&download), dir)?;
        let archive = format!("kafka_python-{}.tar.gz", suite.version);
        let mut unpack = Command::new("tar");
        unpack.args(["--strip-components=1", "-xzf", &archive]);
        step("kafka-python unpack", &mut unpack, dir)?;
        let tools = ["install", "pytest", "pytest-mock", "pytest-timeout"];
        let tools = [
            &tools[..],
            &["crc32c", "lz4", "python-snappy", "zstandard", "."],
        ]
        .concat();
        step("kafka-python pip install", &mut pip(&tools), dir)?;
        fs::write(dir.join("test/__init__.py"), "")?;
        let ours = workspace::root().join("compat/kafka-python/service.py");
        fs::copy(ours, dir.join("test/service.py"))?;
        Ok(())
    })
}

pub fn run(suite: &Suite, extent: Extent, bootstrap: &str) -> Result<Findings> {
    let dir = install()?;
    let mut pytest = Command::new(dir.join("venv/bin/python"));
    pytest.current_dir(&dir);
    pytest.args(["-m", "pytest", "-rA", "--tb=line", "-q", "--timeout=90"]);
    // Says where the broker's own files are, which tests of a foreign broker don't read.
    pytest.env("KAFKA_ROOT", &dir);
    pytest.env("KAFKA_URI", format!("kafka://{bootstrap}"));
    pytest.env("KAFKA_VERSION", "4.3.0");
    let mut findings = Findings::default();
    match extent {
        Extent::Everything => {
            findings = Findings::of(suite);
            pytest.arg("test/integration");
            for (test, _) in suite.skips() {
                pytest.arg(format!("--deselect=test/integration/{test}"));
            }
        }
        Extent::Fast => {
            let path = |test: &String| format!("test/integration/{test}");
            pytest.args(suite.fast.iter().map(path));
        }
    }
    let finished = process::run("compat kafka-python", &mut pytest, RUN_LIMIT)?;
    let report = &finished.stdout;
    let summary = report.split("short test summary info").nth(1);
    let summary = summary.with_context(|| finished.tail(40))?;
    let found = verdicts(summary);
    if found.is_empty() {
        bail!("no test ran\n{}", finished.tail(40));
    }
    for (test, verdict) in found {
        findings.add(&test, verdict);
    }
    Ok(findings)
}

/// pytest's summary: `PASSED file::test`, `FAILED file::test - why`, `SKIPPED [n] file:line: why`.
fn verdicts(summary: &str) -> Vec<(String, Verdict)> {
    let mut verdicts = Vec::new();
    for line in summary.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (place, why) = rest.split_once(" - ").unwrap_or((rest, ""));
        let test = place.trim().trim_start_matches("test/integration/");
        match word {
            "PASSED" => verdicts.push((test.to_owned(), Verdict::Passed)),
            "FAILED" | "ERROR" => {
                verdicts.push((test.to_owned(), Verdict::Failed(why.to_owned())));
            }
            "SKIPPED" => {
                let rest = rest.split_once("] ").map_or(rest, |(_, rest)| rest);
                let (place, reason) = rest.split_once(": ").unwrap_or((rest, "no reason given"));
                let test = place.trim_start_matches("test/integration/").to_owned();
                let reason = format!("the test itself: {reason}");
                verdicts.push((test, Verdict::Skipped(reason)));
            }
            _ => {}
        }
    }
    verdicts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_read() {
        let summary = "PASSED test/integration/a.py::b[None]\n\
            FAILED test/integration/a.py::c - AssertionError: x\n\
            SKIPPED [2] test/integration/a.py:38: no SASL\n2 failed";
        let expected = [
            ("a.py::b[None]", Verdict::Passed),
            ("a.py::c", Verdict::Failed("AssertionError: x".to_owned())),
            (
                "a.py:38",
                Verdict::Skipped("the test itself: no SASL".to_owned()),
            ),
        ];
        let expected = expected.map(|(name, verdict)| (name.to_owned(), verdict));
        assert_eq!(verdicts(summary), expected);
    }
}
