//! What `compat/<suite>/suite.toml` says of a suite, and what a run of it found.
//!
//! The file names where the suite comes from, which of its tests are left out and why, and which
//! are the fast ones. Everything else that a test could be is a result.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, ensure};
use toml::{Table, Value};

use crate::workspace;

/// The settings of one suite.
pub struct Suite {
    pub name: &'static str,
    pub title: String,
    pub version: String,
    /// Tests that can't say anything about this release, with the reason.
    skips: BTreeMap<String, String>,
    /// Flags for `outlast serve`: what the suite's authors set up their own broker with.
    pub broker: Vec<String>,
    /// The tests that `cargo xtask test` runs.
    pub fast: Vec<String>,
    /// All that are meant to run, for a suite whose own list holds more.
    pub tests: Vec<String>,
}

impl Suite {
    pub fn read(name: &'static str) -> Result<Self> {
        let path = workspace::root().join(format!("compat/{name}/suite.toml"));
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Self::parse(name, &text).with_context(|| path.display().to_string())
    }

    fn parse(name: &'static str, text: &str) -> Result<Self> {
        let table: Table = text.parse()?;
        let word = |key: &str| -> Result<String> {
            let value = table.get(key).and_then(Value::as_str);
            Ok(value.with_context(|| format!("no `{key}`"))?.to_owned())
        };
        let mut skips = BTreeMap::new();
        let no_skips = Vec::new();
        let listed = table.get("skip").and_then(Value::as_array);
        for skip in listed.unwrap_or(&no_skips) {
            let reason = skip.get("reason").and_then(Value::as_str);
            let reason = reason.context("a [[skip]] has no `reason`")?;
            for test in words(skip.get("tests")) {
                let twice = skips.insert(test.clone(), reason.to_owned());
                ensure!(twice.is_none(), "{test} is skipped twice");
            }
        }
        Ok(Self {
            name,
            title: word("title")?,
            version: word("version")?,
            skips,
            broker: words(table.get("broker")),
            fast: words(table.get("fast")),
            tests: words(table.get("tests")),
        })
    }

    /// Why a test is left out.
    pub fn skip(&self, test: &str) -> Option<&str> {
        self.skips.get(test).map(String::as_str)
    }

    pub fn skips(&self) -> impl Iterator<Item = (&String, &String)> {
        self.skips.iter()
    }
}

fn words(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// How much of a suite to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extent {
    Everything,
    Fast,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    Passed,
    /// With what the test said.
    Failed(String),
    /// With the reason.
    Skipped(String),
}

impl Verdict {
    pub fn word(&self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Failed(_) => "FAILED",
            Verdict::Skipped(_) => "skipped",
        }
    }
}

/// The tests of a run by name. Skips may be noted beforehand; a result replaces them.
#[derive(Default)]
pub struct Findings(BTreeMap<String, Verdict>);

impl Findings {
    /// Starts with the tests that the suite's settings leave out.
    pub fn of(suite: &Suite) -> Self {
        let skip =
            |(test, reason): (&String, &String)| (test.clone(), Verdict::Skipped(reason.clone()));
        Self(suite.skips().map(skip).collect())
    }

    pub fn add(&mut self, test: &str, verdict: Verdict) {
        self.0.insert(test.to_owned(), verdict);
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &Verdict)> {
        self.0.iter()
    }

    pub fn passed(&self) -> usize {
        let passed = |verdict: &&Verdict| **verdict == Verdict::Passed;
        self.0.values().filter(passed).count()
    }

    pub fn failed(&self) -> Vec<&str> {
        let failed = |(_, verdict): &(&String, &Verdict)| matches!(verdict, Verdict::Failed(_));
        let names = self.0.iter().filter(failed);
        names.map(|(name, _)| name.as_str()).collect()
    }

    /// The skipped tests by reason.
    pub fn skipped(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (test, verdict) in &self.0 {
            if let Verdict::Skipped(reason) = verdict {
                reasons.entry(reason).or_default().push(test);
            }
        }
        reasons
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_is_read() {
        let text = "title = \"t\"\nversion = \"1\"\nfast = [\"a\"]\n\
            [[skip]]\nreason = \"r\"\ntests = [\"b\", \"c\"]\n";
        let suite = Suite::parse("x", text).unwrap();
        assert_eq!(suite.skip("b"), Some("r"));
        assert_eq!(suite.skip("a"), None);
        assert_eq!(suite.fast, ["a"]);
        let findings = Findings::of(&suite);
        assert_eq!(findings.skipped()["r"], ["b", "c"]);
    }

    #[test]
    fn a_test_has_one_reason() {
        let skip = "[[skip]]\nreason = \"r\"\ntests = [\"b\"]\n";
        let text = format!("title = \"t\"\nversion = \"1\"\n{skip}{skip}");
        assert!(Suite::parse("x", &text).is_err());
        let unreasoned = "title = \"t\"\nversion = \"1\"\n[[skip]]\ntests = [\"b\"]\n";
        assert!(Suite::parse("x", unreasoned).is_err());
    }
}
