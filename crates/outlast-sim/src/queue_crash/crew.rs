//! The workers of a run: programs of their own, so that SIGKILL takes one as it takes a service.
//!
//! What they say goes into the facts line by line. Those over HTTP are this package's
//! `queue-worker`; those that are Kafka share consumers are `clients/CrashShareWorker.java`.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::facts::{Worker, WorkerLog};
use super::promise::Promise;
use super::{LOCK, QUEUE, Shared};
use crate::clock::monotonic_ns;

const STOP_LIMIT: Duration = Duration::from_secs(20);

/// How to start workers.
#[derive(Clone, Debug)]
pub struct Tools {
    pub http_worker: PathBuf,
    pub http: String,
    pub bootstrap: String,
    pub java_class_path: Option<String>,
    /// Where the workers' standard errors go.
    pub dir: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Http,
    /// Kafka's own share consumer
    Share,
}

#[derive(Debug)]
pub struct Crew {
    tools: Tools,
    shared: Shared,
    running: Vec<Running>,
    started: usize,
}

#[derive(Debug)]
struct Running {
    kind: Kind,
    /// Its place among the workers of the facts.
    index: usize,
    child: Child,
    stdin: ChildStdin,
    reader: JoinHandle<()>,
}

impl Crew {
    pub fn new(tools: Tools, shared: &Shared) -> Self {
        Self {
            tools,
            shared: shared.clone(),
            running: Vec::new(),
            started: 0,
        }
    }

    pub fn start(&mut self, kind: Kind, seed: u64) -> Result<()> {
        self.started += 1;
        let name = match kind {
            Kind::Http => format!("http-{}", self.started),
            Kind::Share => format!("share-{}", self.started),
        };
        let log = File::create(self.tools.dir.join(format!("{name}.log")))?;
        let mut child = self
            .command(kind, &name, seed)?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting the worker {name}"))?;
        let stdin = child.stdin.take().context("its input is piped")?;
        let stdout = child.stdout.take().context("its output is piped")?;
        let index = {
            let mut facts = self.shared.facts();
            facts.workers.push(Worker {
                name,
                has_session: kind == Kind::Share,
                killed: None,
            });
            facts.workers.len() - 1
        };
        let shared = self.shared.clone();
        let reader = std::thread::spawn(move || {
            let mut log = WorkerLog::default();
            let mut lines = BufReader::new(stdout);
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|length| length > 0) {
                // A line without an end is where SIGKILL met the worker.
                if let Some(whole) = line.strip_suffix('\n') {
                    log.read(index, whole, &mut shared.facts());
                }
                line.clear();
            }
        });
        self.running.push(Running {
            kind,
            index,
            child,
            stdin,
            reader,
        });
        Ok(())
    }

    fn command(&self, kind: Kind, name: &str, seed: u64) -> Result<Command> {
        let tools = &self.tools;
        let lock = LOCK.as_millis().to_string();
        Ok(match kind {
            Kind::Http => {
                let mut command = Command::new(&tools.http_worker);
                command.args(["--http", &tools.http, "--queue", QUEUE, "--name", name]);
                command.args(["--seed", &seed.to_string(), "--lock-ms", &lock]);
                command
            }
            Kind::Share => {
                let class_path = tools.java_class_path.as_ref();
                let class_path = class_path.context("a class path with kafka-clients")?;
                let program = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/CrashShareWorker.java");
                let mut command = Command::new("java");
                command.args(["-Xmx128M", "-XX:+UseSerialGC", "-cp", class_path, program]);
                command.args([&tools.bootstrap, QUEUE, QUEUE, name]);
                command
            }
        })
    }

    /// SIGKILL for one of the workers; tells which kind it was.
    pub fn kill_one(&mut self, rng: &mut fastrand::Rng) -> Result<Kind> {
        // A JVM needs seconds to come back, most of the run if it were killed as often.
        let is_http = |running: &Running| running.kind == Kind::Http;
        let spare_share = rng.u8(..100) < 70;
        let candidates: Vec<usize> = (0..self.running.len())
            .filter(|&at| !spare_share || is_http(&self.running[at]))
            .collect();
        let at = candidates[rng.usize(..candidates.len())];
        let mut running = self.running.swap_remove(at);
        let now = monotonic_ns();
        running.child.kill()?;
        self.shared.facts().workers[running.index].killed = Some(now);
        running.child.wait()?;
        let _ = running.reader.join();
        Ok(running.kind)
    }

    /// Whether each worker that was started and not killed still runs.
    pub fn check_alive(&mut self) -> Result<()> {
        for running in &mut self.running {
            if let Some(status) = running.child.try_wait()? {
                let name = self.shared.facts().workers[running.index].name.clone();
                self.shared
                    .broken(Promise::WorkersGoOn, format!("{name} ended with {status}"));
            }
        }
        Ok(())
    }

    /// Ends the workers' input and waits until they have settled what they held.
    pub fn stop(&mut self) -> Result<()> {
        for running in std::mem::take(&mut self.running) {
            let Running {
                mut child,
                stdin,
                reader,
                index,
                ..
            } = running;
            drop(stdin);
            let started = Instant::now();
            while child.try_wait()?.is_none() {
                if started.elapsed() > STOP_LIMIT {
                    let name = self.shared.facts().workers[index].name.clone();
                    self.shared
                        .broken(Promise::WorkersGoOn, format!("{name} did not end"));
                    child.kill()?;
                    child.wait()?;
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = reader.join();
        }
        Ok(())
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for running in &mut self.running {
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }
}
