//! The cases: a queue that is full is worked off by so many consumers, or messages come at a modest
//! rate and are waited for.

use std::fmt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::bench::process_stats::reset_peak;
use crate::bench::subject::java;
use crate::process;
use crate::workspace;

use super::product::{Product, Running};

const CLIENT_LIMIT: Duration = Duration::from_secs(600);
/// Kafka's topics, and Outlast's queues, have so many; the others have one sequence.
const PARTITIONS: u32 = 16;
const MESSAGES: u64 = 100_000;
/// Filling a queue that syncs each message takes too long for as many.
const MESSAGES_SYNC: u64 = 40_000;
/// A drain ends after this even if something is left.
const DRAIN_SECONDS: u64 = 10;
const RATE: u32 = 1000;
const RATE_SECONDS: u64 = 12;

#[derive(Clone, Debug)]
pub struct Case {
    pub name: &'static str,
    pub what: &'static str,
    pub load: Load,
    consumers: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Load {
    Drain,
    Rate,
}

/// What one run of a case measured.
#[derive(Clone, Copy, Default, Debug)]
pub struct Sample {
    pub per_second: Option<f64>,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub cpu_seconds_a_million: Option<f64>,
    pub peak_mib: Option<f64>,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut number = |value: Option<f64>, unit: &str| match value {
            Some(value) => write!(f, "{value:>9.2} {unit} "),
            None => write!(f, "{:>9} {unit} ", "-"),
        };
        number(self.per_second, "messages/s")?;
        number(self.p50_ms, "ms p50")?;
        number(self.p99_ms, "ms p99")?;
        number(self.cpu_seconds_a_million, "cpu-s/million")?;
        number(self.peak_mib, "MiB peak")
    }
}

pub fn all() -> Vec<Case> {
    let case = |name, what, load, consumers| Case {
        name,
        what,
        load,
        consumers,
    };
    vec![
        case("work-1", "1 consumer", Load::Drain, 1),
        case("work-8", "8 consumers", Load::Drain, 8),
        case("work-64", "64 consumers", Load::Drain, 64),
        case("rate-8", "1,000 messages/s, 8 consumers", Load::Rate, 8),
    ]
}

/// The programs that publish and receive.
pub struct Clients<'a> {
    pub libraries: &'a Path,
    pub quick: bool,
}

impl Case {
    /// Runs the case on a queue of its own.
    pub fn run(&self, running: &Running, clients: &Clients, round: usize) -> Result<Sample> {
        let queue = format!("{}-{round}", self.name);
        let target = Target {
            running,
            clients,
            queue: &queue,
        };
        let partitions = PARTITIONS.to_string();
        target.native(&["create", "--partitions", &partitions])?;
        let sample = match self.load {
            Load::Drain => self.drain(&target),
            Load::Rate => self.rate(&target),
        };
        target.native(&["delete"])?;
        sample
    }

    fn drain(&self, target: &Target<'_>) -> Result<Sample> {
        let messages = match target.running.product {
            Product::NatsSync => MESSAGES_SYNC,
            _ => MESSAGES,
        };
        let messages = if target.clients.quick {
            messages / 10
        } else {
            messages
        };
        target.fill(messages)?;
        Command::new("sync").status()?;
        let (consumers, wanted) = (self.consumers.to_string(), messages.to_string());
        let seconds = DRAIN_SECONDS.to_string();
        self.measured(target, |target| {
            if target.running.product.has_share_consumers() {
                return target.share(&[&consumers, "drain", &wanted, &seconds]);
            }
            target.native(&[
                "drain",
                "--consumers",
                &consumers,
                "--messages",
                &wanted,
                "--seconds",
                &seconds,
            ])
        })
    }

    fn rate(&self, target: &Target<'_>) -> Result<Sample> {
        let seconds = if target.clients.quick {
            4
        } else {
            RATE_SECONDS
        };
        let (rate, consumers) = (RATE.to_string(), self.consumers.to_string());
        self.measured(target, |target| {
            if target.running.product.has_share_consumers() {
                // A JVM on a busy machine takes its time to begin: the publisher goes on until it ends.
                let publishing = CLIENT_LIMIT.as_secs().to_string();
                let publish = ["publish", "--rate", &rate, "--seconds", &publishing];
                let _publisher = target.start(&publish)?;
                return target.share(&[&consumers, "rate", &seconds.to_string()]);
            }
            target.native(&[
                "rate",
                "--consumers",
                &consumers,
                "--rate",
                &rate,
                "--seconds",
                &seconds.to_string(),
            ])
        })
    }

    /// What the load says of itself, and what it cost the broker.
    fn measured(
        &self,
        target: &Target<'_>,
        load: impl FnOnce(&Target<'_>) -> Result<String>,
    ) -> Result<Sample> {
        let running = target.running;
        reset_peak(running.pid()?)?;
        let before = running.stats()?;
        let said = load(target)?;
        let after = running.stats()?;
        let line = said.lines().last().unwrap_or_default();
        let said: Value = serde_json::from_str(line).with_context(|| said.clone())?;
        let number = |name: &str| said[name].as_f64();
        let cpu = after.cpu_seconds - before.cpu_seconds;
        let millions = number("messages").unwrap_or(0.0) / 1e6;
        Ok(Sample {
            per_second: number("per_second"),
            p50_ms: number("p50_ms"),
            p99_ms: number("p99_ms"),
            // At a rate the publisher costs as much as the consumers, and warm-ups count.
            cpu_seconds_a_million: (self.load == Load::Drain).then(|| cpu / millions),
            peak_mib: Some(after.peak_mib),
        })
    }
}

/// A queue of a running product.
struct Target<'a> {
    running: &'a Running,
    clients: &'a Clients<'a>,
    queue: &'a str,
}

impl Target<'_> {
    /// Calls the load program.
    fn native(&self, arguments: &[&str]) -> Result<String> {
        let product = self.running.product;
        self.load(product.client(), &self.running.address(), arguments)
    }

    /// Fills the queue; Outlast's over Kafka's protocol, which is nobody's subject here.
    fn fill(&self, messages: u64) -> Result<()> {
        let arguments = ["fill", "--messages", &messages.to_string()];
        if self.running.product.is_outlast() {
            return self
                .load("kafka", &self.running.bootstrap()?, &arguments)
                .map(drop);
        }
        self.native(&arguments).map(drop)
    }

    fn load(&self, client: &str, address: &str, arguments: &[&str]) -> Result<String> {
        let mut command = self.program(client, address);
        run(
            &format!("{client} {}", arguments[0]),
            command.args(arguments),
        )
    }

    /// Starts the load program; it ends with the returned value.
    fn start(&self, arguments: &[&str]) -> Result<Background> {
        let client = self.running.product.client();
        let mut command = self.program(client, &self.running.bootstrap()?);
        let child = command.args(arguments).stdin(Stdio::null()).spawn()?;
        Ok(Background(child))
    }

    fn program(&self, client: &str, address: &str) -> Command {
        let mut command = Command::new(workspace::built("release", "queue-load"));
        command.args(["--product", client, "--address", address]);
        command.args(["--queue", self.queue]);
        command
    }

    /// Kafka's share consumers; the group has the queue's name.
    fn share(&self, arguments: &[&str]) -> Result<String> {
        let mut command = java(self.clients.libraries);
        command.arg(workspace::root().join("xtask/kafka/ShareLoad.java"));
        command.args([&self.running.bootstrap()?, self.queue, self.queue]);
        run("share load", command.args(arguments))
    }
}

struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(name: &str, command: &mut Command) -> Result<String> {
    let finished = process::run(name, command, CLIENT_LIMIT)?.expect_success()?;
    Ok(finished.stdout)
}
