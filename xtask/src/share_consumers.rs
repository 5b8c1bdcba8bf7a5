//! Other people's share consumers against Outlast: the examples in Java and Python, and the programs that Kafka tests and
//! administers its own share groups with.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::broker::Broker;
use crate::dependencies::{self, Language, Prepared, Toolbox};
use crate::process::{self, Finished};
use crate::tally::Tally;
use crate::{bench, workspace};

const LIMIT: Duration = Duration::from_secs(90);

/// Those of these languages that have a share consumer. A part of `cargo xtask test` and of `cargo xtask examples`.
pub fn test(languages: &[Language], tally: &mut Tally) {
    for language in [Language::Java, Language::Python] {
        if !languages.contains(&language) {
            continue;
        }
        let name = format!("share consumer: {}", language.name());
        match dependencies::prepare(language) {
            Ok(Prepared::Ready(toolbox)) => {
                let started = Instant::now();
                tally.record(&name, started, example(&name, &toolbox));
            }
            Ok(Prepared::MissingToolchain(program)) => {
                tally.skip(&name, &format!("`{program}` is not installed"));
            }
            Err(error) => tally.fail(&name, &format!("{error:#}")),
        }
    }
    if !languages.contains(&Language::Java) {
        return;
    }
    let name = "share consumer: Kafka's own tools";
    if process::is_installed("java", "-version") && process::is_installed("mvn", "--version") {
        let started = Instant::now();
        tally.record(name, started, kafkas_tools(name));
    } else {
        tally.skip(name, "Java or Maven is not installed");
    }
}

fn start(name: &str) -> Result<Broker> {
    Broker::start(&workspace::built("debug", "outlast"), name)
}

/// Every message once, although one in ten is given back the first time.
fn example(name: &str, toolbox: &Toolbox) -> Result<()> {
    let broker = start(name)?;
    let bootstrap = broker.bootstrap();
    let mut producer = toolbox.producer();
    process::run(name, producer.env("BOOTSTRAP", &bootstrap), LIMIT)?.expect_success()?;
    let mut worker = toolbox.share_consumer().context("no share consumer")?;
    worker.env("BOOTSTRAP", &bootstrap).env("COUNT", "10");
    let finished = process::run(name, &mut worker, LIMIT)?.expect_success()?;
    let mut messages: Vec<&str> = finished
        .stdout
        .lines()
        .filter(|line| line.starts_with("message "))
        .collect();
    ensure!(
        messages.last() == Some(&"message 7"),
        "what was given back came before the others: {messages:?}"
    );
    messages.sort_unstable();
    let sent: Vec<String> = (0..10).map(|index| format!("message {index}")).collect();
    ensure!(messages == sent, "the worker printed {messages:?}");
    Ok(())
}

struct Tools {
    class_path: String,
    bootstrap: String,
}

impl Tools {
    fn run(&self, class: &str, arguments: &str) -> Result<Finished> {
        let mut java = Command::new("java");
        java.args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp"]);
        java.args([&self.class_path, &format!("org.apache.kafka.tools.{class}")]);
        java.args(["--bootstrap-server", &self.bootstrap]);
        java.args(arguments.split_whitespace());
        process::run(class, &mut java, LIMIT)?
            .expect_success()
            .with_context(|| format!("{class} {arguments}"))
    }

    /// What ShareGroupCommand says of the queues: partition, start offset and lag.
    fn offsets(&self, group: &str) -> Result<BTreeSet<(i64, i64, i64)>> {
        let arguments = format!("--describe --offsets --group {group}");
        let printed = self.run("consumer.group.ShareGroupCommand", &arguments)?;
        let row = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |at: usize| words.get(at)?.parse().ok();
            Some((number(2)?, number(3)?, number(4)?))
        };
        Ok(printed.stdout.lines().filter_map(row).collect())
    }
}

fn kafkas_tools(name: &str) -> Result<()> {
    let libraries = bench::fetch_kafka()?;
    let broker = start(name)?;
    let tools = Tools {
        class_path: format!("{}/*", libraries.display()),
        bootstrap: broker.bootstrap(),
    };
    tools.run("TopicCommand", "--create --topic jobs --partitions 2")?;
    let group = "consumer.group.ShareGroupCommand";
    let reset = "--reset-offsets --group workers --topic jobs --to-earliest --execute";
    tools.run(group, reset)?;
    tools.run(
        "VerifiableProducer",
        "--topic jobs --max-messages 200 --throughput -1",
    )?;
    let left = |offsets: &BTreeSet<(i64, i64, i64)>| offsets.iter().map(|row| row.2).sum::<i64>();
    ensure!(left(&tools.offsets("workers")?) == 200, "200 messages wait");

    let verifiable = tools.run(
        "VerifiableShareConsumer",
        "--topic jobs --group-id workers --max-messages 200 --acknowledgement-mode sync",
    )?;
    let acknowledged = "\"name\":\"offsets_acknowledged\"";
    ensure!(
        verifiable.stdout.contains(acknowledged)
            && !verifiable.stdout.contains("\"success\":false"),
        "{}",
        verifiable.stdout
    );
    let offsets = tools.offsets("workers")?;
    ensure!(left(&offsets) == 0, "all is done: {offsets:?}");
    let done: i64 = offsets.iter().map(|row| row.1).sum();
    ensure!(done == 200, "the queues begin after all of it: {offsets:?}");

    tools.run(group, reset)?;
    ensure!(
        left(&tools.offsets("workers")?) == 200,
        "all is to be done again"
    );
    let console = tools.run(
        "consumer.ConsoleShareConsumer",
        "--topic jobs --group workers --max-messages 200 --timeout-ms 20000",
    )?;
    let lines = console.stdout.lines();
    let values: BTreeSet<u32> = lines.filter_map(|line| line.parse().ok()).collect();
    ensure!(
        values.len() == 200,
        "the console consumer printed {}",
        values.len()
    );

    let listed = tools.run(group, "--list --state")?;
    ensure!(listed.stdout.contains("workers"), "{}", listed.stdout);
    tools.run(group, "--delete-offsets --group workers --topic jobs")?;
    ensure!(tools.offsets("workers")?.is_empty(), "the queues are gone");
    tools.run(group, "--delete --group workers")?;
    let listed = tools.run(group, "--list")?;
    ensure!(!listed.stdout.contains("workers"), "{}", listed.stdout);
    Ok(())
}
