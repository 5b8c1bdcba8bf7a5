//! `compat/RESULTS.toml`: what the last whole run of each suite found, committed so that
//! docs/COMPATIBILITY.md can be generated without running anything.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use toml::{Table, Value};

use crate::workspace;

use super::suite::{Findings, Suite};

const HEADER: &str = "# Written by `cargo xtask compat`; then run `cargo xtask tidy --bless`.\n\n";

/// Replaces the suite's part; the others stay.
pub fn write(suite: &Suite, findings: &Findings) -> Result<()> {
    let mut all: Table = match fs::read_to_string(path()) {
        Ok(text) => text.parse()?,
        Err(_) => Table::new(),
    };
    all.insert(suite.name.to_owned(), Value::Table(part(suite, findings)));
    fs::write(path(), format!("{HEADER}{}", toml::to_string_pretty(&all)?))?;
    Ok(())
}

fn path() -> PathBuf {
    workspace::root().join("compat/RESULTS.toml")
}

fn part(suite: &Suite, findings: &Findings) -> Table {
    let texts = |names: &[&str]| {
        let names = names.iter().map(|&name| Value::from(name));
        Value::Array(names.collect())
    };
    let failed = findings.failed();
    let count = |number: usize| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    let skipped = findings.skipped().into_iter().map(|(reason, tests)| {
        let mut skip = Table::new();
        skip.insert("reason".to_owned(), Value::from(reason));
        skip.insert("tests".to_owned(), texts(&tests));
        Value::Table(skip)
    });
    let mut part = Table::new();
    part.insert("title".to_owned(), Value::from(suite.title.as_str()));
    part.insert("version".to_owned(), Value::from(suite.version.as_str()));
    part.insert("run".to_owned(), count(findings.passed() + failed.len()));
    part.insert("passed".to_owned(), count(findings.passed()));
    part.insert("failed".to_owned(), texts(&failed));
    part.insert("skipped".to_owned(), Value::Array(skipped.collect()));
    part
}
