//! The same requests to Apache Kafka and to Outlast, their answers compared field by field. The
//! requests and the comparison are the program `differential` of outlast-sim.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use tempfile::TempDir;

use crate::bench::{self, Kind, Subject};
use crate::{process, workspace};

use super::suite::{Findings, Suite, Verdict};

const RUN_LIMIT: Duration = Duration::from_secs(180);

pub fn run(suite: &Suite, outlast: &str) -> Result<Findings> {
    let libraries = bench::fetch_kafka()?;
    let data = TempDir::new()?;
    let kafka = Subject::start(Kind::Kafka, &libraries, data.path())?;
    let mut program = Command::new(workspace::built("debug", "differential"));
    program.args(["--kafka", &kafka.bootstrap(), "--outlast", outlast]);
    program.arg("--accepted");
    program.arg(workspace::root().join("compat/differential/accepted.toml"));
    let finished = process::run("compat differential", &mut program, RUN_LIMIT)?;
    kafka.stop()?;
    let found = verdicts(&finished.stdout);
    if found.is_empty() {
        bail!("nothing was compared\n{}", finished.tail(40));
    }
    let mut findings = Findings::of(suite);
    for (test, verdict) in found {
        findings.add(&test, verdict);
    }
    Ok(findings)
}

/// `same NAME` or `differs NAME`, the latter followed by indented lines that say how.
fn verdicts(output: &str) -> Vec<(String, Verdict)> {
    let mut verdicts: Vec<(String, Verdict)> = Vec::new();
    for line in output.lines() {
        if let Some(name) = line.strip_prefix("same ") {
            verdicts.push((name.to_owned(), Verdict::Passed));
        } else if let Some(name) = line.strip_prefix("differs ") {
            verdicts.push((name.to_owned(), Verdict::Failed(String::new())));
        } else if let (Some(detail), Some((_, Verdict::Failed(why)))) =
            (line.strip_prefix("  "), verdicts.last_mut())
        {
            *why += &format!("{detail}\n");
        }
    }
    verdicts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_read() {
        let output = "same a b\ndiffers c\n  x: 1 / 2\n  y: 3 / 4\nsame d\n";
        let differs = Verdict::Failed("x: 1 / 2\ny: 3 / 4\n".to_owned());
        let expected = [
            ("a b", Verdict::Passed),
            ("c", differs),
            ("d", Verdict::Passed),
        ];
        let expected = expected.map(|(name, verdict)| (name.to_owned(), verdict));
        assert_eq!(verdicts(output), expected);
    }
}
