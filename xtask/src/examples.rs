//! Runs the example programs, each pair against a broker of its own and then all of them together.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;

use crate::broker::Broker;
use crate::dependencies::{Installations, Language, Prepared, Toolbox};
use crate::tally::Tally;
use crate::workspace::Build;
use crate::{process, share_consumers, workspace};

const PROGRAM_LIMIT: Duration = Duration::from_secs(90);
pub const ALL: &[Language] = &[
    Language::Python,
    Language::Java,
    Language::Go,
    Language::Node,
    Language::C,
    Language::Rust,
];

#[derive(Args)]
pub struct ExamplesArgs {
    /// Only these languages
    #[arg(value_enum)]
    languages: Vec<Language>,
    /// Run against this broker, whose test_topic is empty or absent, instead of a new Outlast
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap: Option<String>,
}

/// `cargo xtask examples`.
pub fn run(args: &ExamplesArgs, tally: &mut Tally) -> Result<()> {
    let languages = if args.languages.is_empty() {
        ALL
    } else {
        &args.languages
    };
    let mut installations = Installations::start(languages);
    workspace::build(Build::Programs)?;
    let ready = install(languages, &mut installations, tally);
    match &args.bootstrap {
        Some(bootstrap) => {
            for (language, toolbox) in &ready {
                let started = Instant::now();
                let result = run_pair(*language, toolbox, bootstrap);
                tally.record(
                    &format!("example pair: {}", language.name()),
                    started,
                    result,
                );
            }
        }
        None => {
            run_all(&ready, tally);
            share_consumers::test(languages, tally);
        }
    }
    Ok(())
}

/// Starts installing what all the examples need; `cargo xtask test` does so before it builds.
pub fn start_installations() -> Installations {
    Installations::start(ALL)
}

/// The examples as a part of `cargo xtask test`.
pub fn test(installations: &mut Installations, tally: &mut Tally) {
    let ready = install(ALL, installations, tally);
    run_all(&ready, tally);
}

fn install(
    languages: &[Language],
    installations: &mut Installations,
    tally: &mut Tally,
) -> Vec<(Language, Toolbox)> {
    let mut ready = Vec::new();
    for &language in languages {
        let name = format!("example pair: {}", language.name());
        match installations.finish(language) {
            Ok(Prepared::Ready(toolbox)) => ready.push((language, toolbox)),
            Ok(Prepared::MissingToolchain(program)) => {
                tally.skip(&name, &format!("`{program}` is not installed"));
            }
            Err(error) => tally.fail(&name, &format!("{error:#}")),
        }
    }
    ready
}

fn run_all(ready: &[(Language, Toolbox)], tally: &mut Tally) {
    let binary = workspace::built("debug", "outlast");
    for (language, toolbox) in ready {
        let started = Instant::now();
        let name = format!("example pair: {}", language.name());
        let result = Broker::start(&binary, &name)
            .and_then(|broker| run_pair(*language, toolbox, &broker.bootstrap()));
        tally.record(&name, started, result);
    }
    if ready.len() > 1 {
        let started = Instant::now();
        let result = run_mixed(&binary, ready);
        tally.record(
            "examples: every consumer reads what every producer sent",
            started,
            result,
        );
    }
}

/// What one producer sends.
fn sent() -> Vec<String> {
    (0..10).map(|i| format!("message {i}")).collect()
}

fn run_pair(language: Language, toolbox: &Toolbox, bootstrap: &str) -> Result<()> {
    produce(language, toolbox, bootstrap)?;
    let received = consume(language, toolbox, bootstrap, 10)?;
    ensure!(received == sent(), "the consumer printed {received:?}");
    Ok(())
}

fn run_mixed(binary: &Path, ready: &[(Language, Toolbox)]) -> Result<()> {
    let broker = Broker::start(binary, "examples mixed")?;
    for (language, toolbox) in ready {
        produce(*language, toolbox, &broker.bootstrap())?;
    }
    let expected: Vec<String> = ready.iter().flat_map(|_| sent()).collect();
    for (language, toolbox) in ready {
        let received = consume(*language, toolbox, &broker.bootstrap(), expected.len())?;
        ensure!(
            received == expected,
            "the {} consumer printed {received:?}",
            language.name()
        );
    }
    Ok(())
}

fn produce(language: Language, toolbox: &Toolbox, bootstrap: &str) -> Result<()> {
    let name = format!("{} producer", language.name());
    let mut producer = toolbox.producer();
    let finished = process::run(&name, producer.env("BOOTSTRAP", bootstrap), PROGRAM_LIMIT);
    finished
        .and_then(|finished| finished.expect_success())
        .map_err(|error| error.context(name))?;
    Ok(())
}

fn consume(
    language: Language,
    toolbox: &Toolbox,
    bootstrap: &str,
    count: usize,
) -> Result<Vec<String>> {
    let name = format!("{} consumer", language.name());
    let mut consumer = toolbox.consumer();
    consumer
        .env("BOOTSTRAP", bootstrap)
        .env("COUNT", count.to_string());
    let finished = process::run(&name, &mut consumer, PROGRAM_LIMIT)
        .and_then(|finished| finished.expect_success())
        .map_err(|error| error.context(name))?;
    // Some clients log to standard output too.
    let messages = finished
        .stdout
        .lines()
        .filter(|line| line.starts_with("message "));
    Ok(messages.map(str::to_owned).collect())
}
