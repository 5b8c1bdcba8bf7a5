//! librdkafka's own tests, which travel inside the crate `rdkafka-sys`.
//!
//! Each test is run in a process of its own under a deadline, because one that fails aborts, and
//! takes what would have come after it along. Tests that only talk to librdkafka's built-in mock
//! broker say nothing about Outlast and aren't run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{bench, process};

use super::install::{self, step};
use super::suite::{Extent, Findings, Suite, Verdict};

/// Of one test. The slowest waits a minute for a subscription to change.
const TEST_LIMIT: Duration = Duration::from_secs(120);
/// What a test may believe about the broker, the newest version librdkafka 2.12 knows of.
const KAFKA_VERSION: &str = "4.2.0";

pub fn install() -> Result<PathBuf> {
    let sources = install::crate_sources("rdkafka-sys")?;
    let version = sources.display().to_string();
    install::once("librdkafka", &version, |dir| {
        install::copy(&sources.join("librdkafka"), dir)?;
        let mut configure = Command::new("./configure");
        configure.args(["--disable-lz4-ext", "--enable-devel"]);
        step("librdkafka configure", &mut configure, dir)?;
        let mut libraries = Command::new("make");
        step("librdkafka make", libraries.args(["-j2", "libs"]), dir)?;
        let mut tests = Command::new("make");
        let tests = tests.args(["-j2", "-C", "tests", "build"]);
        step("librdkafka make tests", tests, dir)
    })
}

pub fn run(suite: &Suite, extent: Extent, bootstrap: &str) -> Result<Findings> {
    let dir = install()?;
    let tests = tests_of_brokers(&fs::read_to_string(dir.join("tests/test.c"))?);
    let mut findings = match extent {
        Extent::Everything => Findings::of(suite),
        Extent::Fast => Findings::default(),
    };
    let configuration = dir.join("test.conf");
    fs::write(
        &configuration,
        format!("bootstrap.servers={bootstrap}\ntest.topic.random=true\n"),
    )?;
    let scripts = kafka_scripts(&dir)?;
    for test in tests {
        let is_wanted = match extent {
            Extent::Everything => suite.skip(&test).is_none(),
            Extent::Fast => suite.fast.contains(&test),
        };
        if !is_wanted {
            continue;
        }
        let mut runner = Command::new(dir.join("tests/test-runner"));
        // No tests without a broker, the quick form of each, and real sockets.
        runner.args(["-L", "-Q", "-E", "-p1"]);
        runner.current_dir(dir.join("tests"));
        let libraries = format!("{0}/src:{0}/src-cpp", dir.display());
        runner.env("LD_LIBRARY_PATH", libraries);
        runner.env("RDKAFKA_TEST_CONF", &configuration);
        runner.env("TEST_KAFKA_VERSION", KAFKA_VERSION);
        if let Some(scripts) = &scripts {
            runner.env("KAFKA_PATH", scripts).env("BROKERS", bootstrap);
        }
        // Tests are chosen by how their name begins: one may bring its neighbours along.
        runner.env("TESTS", &test);
        let finished = process::run(&format!("librdkafka {test}"), &mut runner, TEST_LIMIT);
        let verdict = match finished {
            Ok(finished) => {
                let output = format!("{}\n{}", finished.stdout, finished.stderr);
                verdict(&test, &output)
            }
            Err(error) => Verdict::Failed(format!("{error:#}")),
        };
        println!("      {test}: {}", verdict.word());
        findings.add(&test, verdict);
    }
    Ok(findings)
}

/// The names of the tests that want a real broker, from the list in `test.c`.
fn tests_of_brokers(source: &str) -> Vec<String> {
    let list = source.split("struct test tests[] = {").nth(1);
    let list = list.and_then(|rest| rest.split("{NULL}").next());
    let entries = list.unwrap_or_default().split("_TEST(").skip(1);
    let wants_broker = |entry: &&str| {
        let flags = entry.split(',').nth(1).unwrap_or_default();
        !flags.contains("LOCAL") && !flags.contains("MANUAL")
    };
    let name = |entry: &str| entry.split(',').next().map(str::to_owned);
    entries.filter(wants_broker).filter_map(name).collect()
}

/// What the runner says of one test: `Test NAME PASSED`, or a row in the table at its end.
fn verdict(test: &str, output: &str) -> Verdict {
    let is_row = |line: &&str| line.contains('|') && line.contains(&format!(" {test} "));
    for row in output.lines().filter(is_row) {
        if row.contains(" SKIPPED ") {
            let reason = row.split('|').nth(4).unwrap_or("the runner skipped it");
            return Verdict::Skipped(format!("the test itself: {}", plain(reason)));
        }
        if row.contains(" PASSED ") {
            return Verdict::Passed;
        }
    }
    let passed = format!("Test {test} PASSED");
    if output.lines().any(|line| plain(line).contains(&passed)) {
        return Verdict::Passed;
    }
    let lines: Vec<String> = output.lines().map(plain).collect();
    let at = lines
        .iter()
        .position(|line| line.starts_with("### Test \"") && line.contains("failed at"));
    let end = at.map_or(lines.len(), |at| (at + 2).min(lines.len()));
    Verdict::Failed(lines[end.saturating_sub(8)..end].join("\n"))
}

/// A line without the colours of a terminal.
fn plain(line: &str) -> String {
    let mut text = String::new();
    for (number, part) in line.split('\x1b').enumerate() {
        let shown = match number {
            0 => part,
            _ => part.split_once('m').map_or("", |(_, rest)| rest),
        };
        text += shown;
    }
    text.trim().to_owned()
}

/// A few tests call `$KAFKA_PATH/bin/kafka-topics.sh`; ours starts Kafka's own command. `None`
/// where Kafka isn't there.
fn kafka_scripts(dir: &Path) -> Result<Option<PathBuf>> {
    let Ok(libraries) = bench::fetch_kafka() else {
        return Ok(None);
    };
    let home = dir.join("kafka");
    fs::create_dir_all(home.join("bin"))?;
    let script = home.join("bin/kafka-topics.sh");
    let class = "org.apache.kafka.tools.TopicCommand";
    let options = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error";
    let text = format!(
        "#!/bin/sh\nexec java {options} -cp '{}/*' {class} \"$@\"\n",
        libraries.display()
    );
    fs::write(&script, text)?;
    make_executable(&script).context("kafka-topics.sh")?;
    Ok(Some(home))
}

fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::set_permissions(
        path,
        fs::Permissions::from_mode(0o755),
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_that_want_a_broker_are_listed() {
        let source = "_TEST_DECL(x);\nstruct test tests[] = {\n\
            _TEST(0000_unittests,\n TEST_F_LOCAL, _THRES(.ucpu = 1.0)),\n\
            _TEST(0001_multiobj, 0),\n_TEST(0018_cgrp, 0, TEST_BRKVER(0, 9, 0, 0)),\n\
            _TEST(8000_idle, TEST_F_MANUAL),\n{NULL}};\n_TEST(0002_no, 0)";
        assert_eq!(tests_of_brokers(source), ["0001_multiobj", "0018_cgrp"]);
    }

    #[test]
    fn verdicts_are_read() {
        let passed = "|\x1b[32m 0001_a   |     PASSED |   0.000s \x1b[0m| |";
        assert_eq!(verdict("0001_a", passed), Verdict::Passed);
        let skipped = "|\x1b[36m 0001_a  |    SKIPPED |  0.0s \x1b[0m|\x1b[36m no SASL\x1b[0m";
        assert_eq!(
            verdict("0001_a", skipped),
            Verdict::Skipped("the test itself: no SASL".to_owned())
        );
        let failed = "x\n\x1b[31m### Test \"0001_a\" failed at a.c:1\nwhy\nafterwards";
        assert_eq!(
            verdict("0001_a", failed),
            Verdict::Failed("x\n### Test \"0001_a\" failed at a.c:1\nwhy".to_owned())
        );
        assert!(matches!(verdict("0001_a", "died"), Verdict::Failed(_)));
    }
}
