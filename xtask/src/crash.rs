//! `cargo xtask crash`: builds the broker and the crash harness, and runs the one against the other.
//!
//! The harness itself is the `crash` program of outlast-sim, or with `--queue` its `queue-crash`,
//! which kills a queue's workers, too. Both end with code 0 when every promise was kept, 2 when one
//! was broken, and 1 when they could not do their work.

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::dependencies::{self, Language, Prepared};
use crate::process::{self, Finished};
use crate::tally::Tally;
use crate::workspace::{self, Build};

/// The exit code of a harness that found a broken promise.
const BROKEN_PROMISE: i32 = 2;
/// Enough for every fate, and done in less than half a minute.
const QUEUE_MESSAGES: u32 = 2_000;
const QUEUE_LIMIT: Duration = Duration::from_secs(420);

#[derive(Args)]
pub struct CrashArgs {
    /// How often the broker is killed
    #[arg(long, default_value_t = 50, conflicts_with = "queue")]
    rounds: u32,
    /// Work a queue off, and kill its workers, too
    #[arg(long)]
    queue: bool,
    /// How many messages go through the queue
    #[arg(long, default_value_t = 20_000, requires = "queue")]
    messages: u32,
    /// Repeat the random choices of an earlier run; a random one by default
    #[arg(long)]
    seed: Option<u64>,
    /// Damage something on purpose, to see the harness notice
    #[arg(long, value_name = "FAULT")]
    plant: Option<String>,
    /// Test the optimised build
    #[arg(long)]
    release: bool,
}

/// `cargo xtask crash`: the harness talks to the terminal itself.
pub fn run_alone(args: &CrashArgs) -> Result<ExitCode> {
    let profile = if args.release { "release" } else { "debug" };
    if args.release {
        let mut cargo = workspace::cargo();
        cargo.args([
            "build",
            "--release",
            "--package",
            "outlast",
            "--package",
            "outlast-sim",
        ]);
        ensure!(cargo.status()?.success(), "the build failed");
    } else {
        workspace::build(Build::Programs)?;
    }
    for language in [Language::Python, Language::Java] {
        if let Prepared::MissingToolchain(program) = dependencies::prepare(language)? {
            println!(
                "no {} producer: `{program}` is not installed",
                language.name()
            );
        }
    }
    let mut harness = if args.queue {
        queue_harness(profile, args.messages, args.seed)
    } else {
        harness(profile, args.rounds, args.seed)
    };
    if let Some(fault) = &args.plant {
        harness.args(["--plant", fault]);
    }
    let code = harness.status()?.code().unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// The crash runs of `cargo xtask test`: the harness must notice planted damage, and find none of
/// its own. Everything it needs has been built and installed before.
pub fn test(rounds: u32, seed: Option<u64>, tally: &mut Tally) {
    for fault in ["lost-tail", "dropped-record"] {
        let started = Instant::now();
        let mut command = harness("debug", 3, seed);
        let result = process::run(fault, command.args(["--plant", fault]), limit(3));
        let noticed = result.and_then(|finished| expect_broken_promise(&finished));
        tally.record(
            &format!("crash harness notices a planted {fault}"),
            started,
            noticed,
        );
    }
    if !dependencies::python_interpreter().exists() {
        tally.skip(
            "crash harness: a producer in Python",
            "kafka-python is not installed",
        );
    }
    if dependencies::java_class_path().is_err() {
        tally.skip(
            "crash harness: a producer in Java",
            "kafka-clients is not installed",
        );
    }
    let name = format!("crash harness: {rounds} kills");
    let started = Instant::now();
    match process::run("crash", &mut harness("debug", rounds, seed), limit(rounds)) {
        Ok(finished) => record_checks(&name, &finished, started, tally),
        Err(error) => tally.fail(&name, &format!("{error:#}")),
    }
}

/// The crash runs of a queue: a short one, and one with real damage.
pub fn test_queue(seed: Option<u64>, tally: &mut Tally) {
    let started = Instant::now();
    let mut command = queue_harness("debug", QUEUE_MESSAGES, seed);
    command.args(["--plant", "lost-tail"]);
    let result = process::run("queue lost-tail", &mut command, QUEUE_LIMIT);
    tally.record(
        "queue crash harness notices a planted lost-tail",
        started,
        result.and_then(|finished| expect_broken_promise(&finished)),
    );
    let name = format!("queue crash harness: {QUEUE_MESSAGES} messages");
    let started = Instant::now();
    let mut command = queue_harness("debug", QUEUE_MESSAGES, seed);
    match process::run("queue crash", &mut command, QUEUE_LIMIT) {
        Ok(finished) => record_checks(&name, &finished, started, tally),
        Err(error) => tally.fail(&name, &format!("{error:#}")),
    }
}

fn queue_harness(profile: &str, messages: u32, seed: Option<u64>) -> Command {
    let mut command = program(profile, "queue-crash", seed);
    command
        .arg("--worker")
        .arg(workspace::built(profile, "queue-worker"));
    command.args(["--messages", &messages.to_string()]);
    if let Ok(class_path) = dependencies::java_class_path() {
        command.args(["--java-class-path", &class_path]);
    }
    command
}

fn program(profile: &str, name: &str, seed: Option<u64>) -> Command {
    let mut command = Command::new(workspace::built(profile, name));
    command
        .arg("--server")
        .arg(workspace::built(profile, "outlast"));
    if let Some(seed) = seed {
        command.args(["--seed", &seed.to_string()]);
    }
    command.current_dir(workspace::root());
    command
}

fn harness(profile: &str, rounds: u32, seed: Option<u64>) -> Command {
    let mut command = program(profile, "crash", seed);
    command.args(["--rounds", &rounds.to_string()]);
    let python = dependencies::python_interpreter();
    if python.exists() {
        command.arg("--python").arg(python);
    }
    if let Ok(class_path) = dependencies::java_class_path() {
        command.args(["--java-class-path", &class_path]);
    }
    command
}

/// The harness stops itself before this.
fn limit(rounds: u32) -> Duration {
    Duration::from_secs(150 + 12 * u64::from(rounds))
}

fn expect_broken_promise(finished: &Finished) -> Result<()> {
    match finished.code {
        Some(BROKEN_PROMISE) => Ok(()),
        Some(0) => bail!("it noticed nothing\n{}", finished.tail(20)),
        _ => bail!("it could not do its work\n{}", finished.tail(20)),
    }
}

/// Counts the harness's own `check …: ok` and `check …: BROKEN` lines.
fn record_checks(name: &str, finished: &Finished, started: Instant, tally: &mut Tally) {
    let checks = finished
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("check "));
    for check in checks {
        match check.rsplit_once(": ") {
            Some((promise, "ok")) => tally.pass(&format!("crash: {promise}"), started.elapsed()),
            Some((promise, "skipped")) => tally.skip(&format!("crash: {promise}"), "see the log"),
            _ => tally.fail(&format!("crash: {check}"), &finished.tail(40)),
        }
    }
    let ended = match finished.code {
        Some(0) => Ok(()),
        _ => Err(anyhow::anyhow!(finished.tail(60))).context("the harness failed"),
    };
    tally.record(name, started, ended);
}
