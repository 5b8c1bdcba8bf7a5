//! One worker of the queue crash harness: takes messages over HTTP and does with each what its
//! fate says, until its standard input ends or it is killed.
//!
//! It tells what it does on standard output, a line each, before the fact where a crash could
//! come between. Times are nanoseconds of the machine's monotonic clock:
//!
//! ```text
//! take <number> <delivery count> <asked> <got> <wall clock, ms>
//! renew <number> <asked>                  a renewal that was confirmed
//! try <number> <accept|release|not-now|reject> <time>
//! done <number> <time>                    the broker confirmed it
//! refused <number>                        the broker said that the lock is gone
//! ```
//!
//! Anything else that it says is a complaint.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use outlast_sim::clock::{monotonic_ns, wall_ms};
use outlast_sim::queue_api::{ApiError, Outcome, QueueApi, Received};
use outlast_sim::queue_crash::facts::Verb;
use outlast_sim::queue_crash::fate::{Fate, Letter, mix};
use serde_json::json;

/// How long one request for messages waits.
const WAIT: Duration = Duration::from_millis(300);
const PAUSE: Duration = Duration::from_millis(30);
/// A released message that must expire doesn't come back before it does.
const LONG_DELAY_MS: u64 = 60_000;
const SHORT_DELAY_MS: u64 = 40;

#[derive(Parser)]
struct Cli {
    /// Address of the broker's HTTP port
    #[arg(long)]
    http: SocketAddr,
    #[arg(long)]
    queue: String,
    #[arg(long)]
    name: String,
    #[arg(long)]
    seed: u64,
    /// How long a lock lives
    #[arg(long)]
    lock_ms: u64,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let stop = Arc::new(AtomicBool::new(false));
    let on_end = Arc::clone(&stop);
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        on_end.store(true, Ordering::Relaxed);
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(Worker::new(cli).work(&stop));
    Ok(())
}

struct Worker {
    cli: Cli,
    api: QueueApi,
    rng: fastrand::Rng,
    /// Slow messages, with the time at which their work is done.
    slow: Vec<(Received, Letter, u64)>,
}

/// Messages of which the same is said, in one request.
struct Group {
    verb: Verb,
    delay: Option<u64>,
    messages: Vec<(Received, Letter)>,
}

/// What is to be done with a message now.
enum Plan {
    Settle(Verb, Option<u64>),
    Hold,
    Forget,
}

impl Worker {
    fn new(cli: Cli) -> Self {
        Self {
            api: QueueApi::new(cli.http, &cli.queue),
            rng: fastrand::Rng::with_seed(cli.seed),
            slow: Vec::new(),
            cli,
        }
    }

    async fn work(mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let max = self.rng.usize(1..=20);
            let asked = monotonic_ns();
            match self.api.receive(&self.cli.name, max, WAIT).await {
                Ok(messages) => self.take(messages, asked).await,
                Err(ApiError::NoAnswer(_)) => tokio::time::sleep(PAUSE).await,
                Err(refused) => {
                    say(&format!("receive: {refused}\n"));
                    tokio::time::sleep(PAUSE).await;
                }
            }
            self.go_on_with_slow().await;
        }
    }

    async fn take(&mut self, messages: Vec<Received>, asked: u64) {
        let (got, wall) = (monotonic_ns(), wall_ms());
        let mut lines = String::new();
        let mut letters = Vec::new();
        for message in messages {
            let Some(letter) = Letter::decode(message.value.as_bytes()) else {
                lines += &format!("a damaged message: {message:?}\n");
                continue;
            };
            let (number, count) = (letter.number, message.delivery_count);
            lines += &format!("take {number} {count} {asked} {got} {wall}\n");
            letters.push((message, letter));
        }
        say(&lines);
        // Work takes a moment, in which worker and broker can die.
        tokio::time::sleep(Duration::from_millis(self.rng.u64(0..15))).await;

        let mut groups: Vec<Group> = Vec::new();
        for (message, letter) in letters {
            match plan(&letter, message.delivery_count) {
                Plan::Settle(verb, delay) => {
                    let is_same = |group: &&mut Group| (group.verb, group.delay) == (verb, delay);
                    match groups.iter_mut().find(is_same) {
                        Some(group) => group.messages.push((message, letter)),
                        None => groups.push(Group {
                            verb,
                            delay,
                            messages: vec![(message, letter)],
                        }),
                    }
                }
                Plan::Hold => {
                    // Longer than one lock, shorter than two.
                    let end = got + self.cli.lock_ms * 1_500_000;
                    self.slow.push((message, letter, end));
                }
                Plan::Forget => {}
            }
        }
        for group in groups {
            self.settle(group.verb, group.delay, &group.messages).await;
        }
    }

    /// Tries until there is an answer, or the lock has certainly run out.
    async fn settle(&mut self, verb: Verb, delay: Option<u64>, messages: &[(Received, Letter)]) {
        let started = monotonic_ns();
        let each = |line: &dyn Fn(u32) -> String| -> String {
            let lines = messages.iter().map(|(_, letter)| line(letter.number));
            lines.collect()
        };
        say(&each(&|number| {
            format!("try {number} {} {started}\n", verb.name())
        }));
        let (action, more) = match verb {
            Verb::Accept => ("acknowledge", json!({})),
            Verb::Reject => ("reject", json!({})),
            Verb::NotNow => ("release", json!({ "delayMs": delay, "counts": false })),
            _ => ("release", json!({ "delayMs": delay })),
        };
        let mut open: Vec<&(Received, Letter)> = messages.iter().collect();
        let mut is_first = true;
        while !open.is_empty() {
            let receipts: Vec<&str> = open.iter().map(|(it, _)| it.receipt.as_str()).collect();
            let answer = self.api.settle(action, &receipts, more.clone()).await;
            let now = monotonic_ns();
            match answer {
                Ok(outcomes) => {
                    let mut lines = String::new();
                    let mut unknown = Vec::new();
                    for (&message, outcome) in open.iter().zip(outcomes) {
                        let number = message.1.number;
                        match outcome {
                            Outcome::Done => lines += &format!("done {number} {now}\n"),
                            Outcome::Unknown => unknown.push(message),
                            // After a try without an answer a "no" may mean that it had worked.
                            Outcome::Refused if is_first => lines += &format!("refused {number}\n"),
                            Outcome::Refused => {}
                        }
                    }
                    say(&lines);
                    open = unknown;
                }
                Err(ApiError::NoAnswer(_)) => {}
                Err(refused) => return say(&format!("{action}: {refused}\n")),
            }
            is_first = false;
            if now > started + 2 * self.cli.lock_ms * 1_000_000 {
                return;
            }
            if !open.is_empty() {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Renews the locks of slow messages, and accepts those whose work is done.
    async fn go_on_with_slow(&mut self) {
        for (message, letter, end) in std::mem::take(&mut self.slow) {
            let asked = monotonic_ns();
            if asked >= end {
                self.settle(Verb::Accept, None, &[(message, letter)]).await;
                continue;
            }
            let receipts = [message.receipt.as_str()];
            match self
                .api
                .settle("extend", &receipts, json!({}))
                .await
                .as_deref()
            {
                Ok([Outcome::Done]) => say(&format!("renew {} {asked}\n", letter.number)),
                // The lock has run out while the broker was away: it is somebody else's now.
                Ok([Outcome::Refused]) => continue,
                Ok(_) | Err(ApiError::NoAnswer(_)) => {}
                Err(refused) => say(&format!("extend: {refused}\n")),
            }
            self.slow.push((message, letter, end));
        }
    }
}

fn plan(letter: &Letter, count: u32) -> Plan {
    // One failure in eight is silent: the worker hangs until the lock runs out.
    let dice = mix(u64::from(letter.number) << 8 | u64::from(count)) % 8;
    let fail = match dice {
        0 => Plan::Forget,
        1 => Plan::Settle(Verb::Release, Some(SHORT_DELAY_MS)),
        _ => Plan::Settle(Verb::Release, None),
    };
    match letter.fate {
        Fate::Fail { times } if count <= times => fail,
        Fate::Doomed => fail,
        Fate::Reject { delivery } if count >= delivery => Plan::Settle(Verb::Reject, None),
        Fate::Reject { .. } => fail,
        Fate::Expire { .. } => Plan::Settle(Verb::Release, Some(LONG_DELAY_MS)),
        Fate::NotNow { until_ms } if wall_ms() < letter.sent_ms + u64::from(until_ms) => {
            Plan::Settle(Verb::NotNow, Some(SHORT_DELAY_MS))
        }
        // Long work is easily killed: without an end to it, kills alone would use up the deliveries.
        Fate::Slow if count <= 3 => Plan::Hold,
        Fate::Accept
        | Fate::Fail { .. }
        | Fate::Delay { .. }
        | Fate::NotNow { .. }
        | Fate::Slow => Plan::Settle(Verb::Accept, None),
        // It should never have come; the report will say so.
        Fate::Undecodable => Plan::Settle(Verb::Accept, None),
    }
}

/// One write for all lines, so that a kill leaves whole lines.
fn say(lines: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
}
