//! The tests of rust-rdkafka out of its crate: the high-level and the low-level clients, admin.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::process;

use super::install::{self, step};
use super::suite::{Extent, Findings, Suite, Verdict};

const RUN_LIMIT: Duration = Duration::from_secs(600);

pub fn install() -> Result<PathBuf> {
    let sources = install::crate_sources("rdkafka")?;
    let version = sources.display().to_string();
    install::once("rust-rdkafka", &version, |dir| {
        install::copy(&sources, dir)?;
        // Otherwise cargo would take it for a member of the workspace around it.
        let manifest = dir.join("Cargo.toml");
        let text = fs::read_to_string(&manifest)?;
        fs::write(&manifest, text + "\n[workspace]\n")?;
        let mut cargo = cargo(&dir.to_owned());
        step("rust-rdkafka build", cargo.arg("--no-run"), dir)
    })
}

fn cargo(dir: &PathBuf) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(dir);
    cargo.env("CARGO_TARGET_DIR", dir.join("target"));
    cargo.args(["test", "--tests"]);
    cargo
}

pub fn run(suite: &Suite, extent: Extent, bootstrap: &str) -> Result<Findings> {
    let dir = install()?;
    let mut cargo = cargo(&dir);
    cargo
        .env("KAFKA_HOST", bootstrap)
        .env("KAFKA_VERSION", "4.3.0");
    cargo.args(["--no-fail-fast", "--", "--test-threads=2", "--exact"]);
    for (test, _) in suite.skips() {
        cargo.args(["--skip", test]);
    }
    let mut findings = Findings::of(suite);
    if extent == Extent::Fast {
        findings = Findings::default();
        cargo.args(&suite.fast);
    }
    // A failed test makes cargo fail; the lines tell which.
    let finished = process::run("compat rust-rdkafka", &mut cargo, RUN_LIMIT)?;
    let before = findings.iter().count();
    for (test, verdict) in verdicts(&finished.stdout) {
        findings.add(&test, verdict);
    }
    if findings.iter().count() == before {
        bail!("no test ran\n{}", finished.tail(40));
    }
    Ok(findings)
}

/// libtest's lines. The clients log in between, so that a result may stand at the end of a line
/// that begins with something else.
fn verdicts(output: &str) -> Vec<(String, Verdict)> {
    let mut verdicts = Vec::new();
    for line in output.lines() {
        let Some((name, result)) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.split_once(" ... "))
        else {
            continue;
        };
        // Each of the test programs runs the tests of the module that they share.
        if name.starts_with("utils::") {
            continue;
        }
        if result.ends_with("ok") {
            verdicts.push((name.to_owned(), Verdict::Passed));
        } else if result.ends_with("FAILED") {
            verdicts.push((name.to_owned(), Verdict::Failed(panic_of(name, output))));
        }
    }
    verdicts
}

fn panic_of(test: &str, output: &str) -> String {
    let start = format!("thread '{test}'");
    let lines = output.lines().skip_while(|line| !line.starts_with(&start));
    lines.take(6).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_read() {
        let output = "test a ... ok\ntest b ... FAILED\ntest utils::c ... ok\n\
            thread 'b' (7) panicked at x.rs\nleft\n";
        let failed = Verdict::Failed("thread 'b' (7) panicked at x.rs\nleft".to_owned());
        assert_eq!(
            verdicts(output),
            [("a".to_owned(), Verdict::Passed), ("b".to_owned(), failed)]
        );
    }
}
