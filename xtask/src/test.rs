//! `cargo xtask test`: the one command that proves the project, for people and for CI alike.
//!
//! It goes on after a failure, so that one run tells everything, and ends with one line of counts.
//! Packages for the client programs are installed while cargo compiles. One build profile serves
//! the tests, the client programs and the crash harness.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;

use crate::process::{self, Finished};
use crate::tally::Tally;
use crate::workspace::Build;
use crate::{
    compat, crash, examples, first_contact, http_clients, share_consumers, tidy, workspace,
};

const BUILD_LIMIT: Duration = Duration::from_secs(25 * 60);

#[derive(Args)]
pub struct TestArgs {
    /// Leave out what needs package registries or takes minutes: the client programs and crashes
    #[arg(long)]
    quick: bool,
    /// How often the crash harness kills the broker
    #[arg(long, default_value_t = 50)]
    rounds: u32,
    /// The seed of the crash harness; a random one by default
    #[arg(long)]
    seed: Option<u64>,
}

pub fn run(args: &TestArgs, tally: &mut Tally) -> Result<()> {
    let installations = (!args.quick).then(examples::start_installations);
    let http_clients = (!args.quick).then(http_clients::start_installations);

    tally.section("formatting");
    cargo_check(
        tally,
        "rustfmt",
        &["fmt", "--all", "--", "--check", "--color", "never"],
    );
    tally.section("tidy");
    tidy::check_sources(tally)?;
    tally.section("clippy");
    let clippy = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ];
    cargo_check(tally, "clippy", &clippy);

    tally.section("building");
    let started = Instant::now();
    let build = workspace::build(Build::Everything);
    let is_built = build.is_ok();
    tally.record("build", started, build);
    tally.section("unit, property and CLI tests");
    cargo_tests(tally);
    if is_built {
        tidy::check_documents(tally);
    }

    let Some(mut installations) = installations else {
        return Ok(());
    };
    if !is_built {
        tally.skip("client programs", "the build failed");
        tally.skip("crash harness", "the build failed");
        return Ok(());
    }
    tally.section("client programs");
    examples::test(&mut installations, tally);
    share_consumers::test(examples::ALL, tally);
    first_contact::test(tally);
    if let Some(clients) = http_clients {
        http_clients::test(clients, tally);
    }
    tally.section("other people's tests");
    compat::test(tally);
    tally.section("crash harness");
    crash::test(args.rounds, args.seed, tally);
    crash::test_queue(args.seed, tally);
    Ok(())
}

/// Runs a cargo command that counts as one test.
fn cargo_check(tally: &mut Tally, name: &str, arguments: &[&str]) {
    let started = Instant::now();
    let result = process::run(name, workspace::cargo().args(arguments), BUILD_LIMIT)
        .and_then(Finished::expect_success);
    tally.record(name, started, result.map(drop));
}

/// Runs every test of the workspace, one package after the other, and counts them one by one.
fn cargo_tests(tally: &mut Tally) {
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--workspace", "--no-fail-fast"]);
    // Names of tests and suites are read from the output, so it must have no colours in it.
    cargo.env("CARGO_TERM_COLOR", "never");
    let finished = match process::run("cargo test", &mut cargo, BUILD_LIMIT) {
        Ok(finished) => finished,
        Err(error) => return tally.fail("cargo test", &format!("{error:#}")),
    };
    let counts = match count_tests(&finished.stdout) {
        Ok(counts) => counts,
        Err(error) => return tally.fail("cargo test", &format!("{error:#}")),
    };
    tally.pass_many(counts.passed);
    println!("    ok       {} tests", counts.passed);
    for failure in &counts.failures {
        tally.fail(failure, "");
    }
    if !counts.failures.is_empty() {
        println!("{}", failure_details(&finished.stdout));
    }
    for ignored in &counts.ignored {
        tally.skip(ignored, "ignored in the source");
    }
    // A test binary that doesn't compile or that dies prints no result line of its own.
    if !finished.success && counts.failures.is_empty() {
        tally.fail("cargo test", &finished.tail(60));
    }
}

#[derive(Default, Debug, PartialEq)]
struct Counts {
    passed: usize,
    failures: Vec<String>,
    ignored: Vec<String>,
}

/// Reads libtest's output: a line a test, and a `test result:` line a suite to check it against.
fn count_tests(output: &str) -> Result<Counts> {
    let mut counts = Counts::default();
    let mut summed = 0;
    for line in output.lines() {
        if let Some(result) = line.strip_prefix("test result: ") {
            summed += number_before(result, " passed");
        } else if let Some(test) = line.strip_prefix("test ") {
            // What a test prints itself may stand between its name and its result.
            let name = test.split(" ... ").next().unwrap_or(test);
            if test.ends_with("FAILED") {
                counts.failures.push(name.to_owned());
            } else if test.contains(" ... ignored") {
                counts.ignored.push(name.to_owned());
            }
        }
    }
    counts.passed = summed;
    if summed == 0 && counts.failures.is_empty() {
        bail!("no test ran");
    }
    Ok(counts)
}

fn number_before(text: &str, word: &str) -> usize {
    let before = text.split(word).next().unwrap_or_default();
    before
        .rsplit(' ')
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

/// What the failed tests printed: everything between `failures:` and the next suite.
fn failure_details(output: &str) -> String {
    let mut details = String::new();
    let mut inside = false;
    for line in output.lines() {
        inside = (inside || line == "failures:") && !line.starts_with("test result:");
        if inside {
            details += &format!("             {line}\n");
        }
    }
    details
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_counted_by_suite() {
        let output = "running 3 tests\n\
            test a::b ... ok\n\
            test a::c ... FAILED\n\
            test a::d ... ignored, slow\n\
            test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out\n\
            test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
        let expected = Counts {
            passed: 13,
            failures: vec!["a::c".to_owned()],
            ignored: vec!["a::d".to_owned()],
        };
        assert_eq!(count_tests(output).unwrap(), expected);
    }

    #[test]
    fn a_run_without_tests_is_an_error() {
        assert!(count_tests("running 0 tests\ntest result: ok. 0 passed; 0 failed;\n").is_err());
    }
}
