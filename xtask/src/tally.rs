//! Counts what passed, failed and was skipped, and ends a run with the one line that says so.

use std::process::ExitCode;
use std::time::{Duration, Instant};

pub struct Tally {
    started: Instant,
    passed: usize,
    failures: Vec<String>,
    skips: Vec<String>,
}

impl Tally {
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            passed: 0,
            failures: Vec::new(),
            skips: Vec::new(),
        }
    }

    /// Names what is about to run, so that a reader of a growing log knows where it is.
    pub fn section(&self, name: &str) {
        println!("[{:>4}s] {name}", self.started.elapsed().as_secs());
    }

    pub fn pass(&mut self, name: &str, took: Duration) {
        self.passed += 1;
        println!("    ok       {name} ({:.1}s)", took.as_secs_f32());
    }

    /// Adds tests that somebody else's runner has already named.
    pub fn pass_many(&mut self, count: usize) {
        self.passed += count;
    }

    pub fn fail(&mut self, name: &str, why: &str) {
        println!("    FAILED   {name}");
        for line in why.lines() {
            println!("             {line}");
        }
        self.failures.push(name.to_owned());
    }

    pub fn skip(&mut self, name: &str, why: &str) {
        println!("    skipped  {name}: {why}");
        self.skips.push(format!("{name}: {why}"));
    }

    /// Counts a check by its result.
    pub fn record(&mut self, name: &str, started: Instant, result: anyhow::Result<()>) {
        match result {
            Ok(()) => self.pass(name, started.elapsed()),
            Err(error) => self.fail(name, &format!("{error:#}")),
        }
    }

    /// Prints the summary, whose last line is `N passed, N failed, N skipped`.
    pub fn finish(self) -> ExitCode {
        println!("\ntook {} s", self.started.elapsed().as_secs());
        for failure in &self.failures {
            println!("failed:  {failure}");
        }
        for skip in &self.skips {
            println!("skipped: {skip}");
        }
        println!(
            "{} passed, {} failed, {} skipped",
            self.passed,
            self.failures.len(),
            self.skips.len()
        );
        if self.failures.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}
