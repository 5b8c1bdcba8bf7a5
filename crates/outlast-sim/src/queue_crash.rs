//! The queue crash harness: the real binary, real workers, SIGKILL for both at random moments.
//!
//! Every message carries its fate (see `fate`): accepted, failed a few times, failed for ever,
//! rejected, expired, delayed and so on. Publishers send them, workers over HTTP and with Kafka's
//! share consumer treat them accordingly, and all the while the broker and the workers are killed
//! and started again. In the end the workers' own logs, the queue's topic and the dead-letter
//! topic are compared with what had to come of every message (`check`), and falsified copies of
//! these observations show that the comparison can fail (`fault`).

mod check;
mod crew;
pub mod facts;
pub mod fate;
mod fault;
mod promise;
mod publishers;
mod read_back;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;
use tempfile::TempDir;

pub use promise::Promise;

use crew::{Crew, Kind, Tools};
use facts::{Facts, Verb};
use publishers::Publishers;

use crate::clock::monotonic_ns;
use crate::crash::{Fault, lose_tail};
use crate::queue_api::{ApiError, QueueApi};
use crate::report::Promises;
use crate::server::Server;

pub type Report = crate::report::Report<Promise>;

/// The queue, its topic and its share group have one name.
const QUEUE: &str = "letters";
const PARTITIONS: i32 = 4;
const LOCK: Duration = Duration::from_secs(2);
/// What the clocks' rounding may take off a lock.
const LOCK_SLACK: Duration = Duration::from_millis(20);
/// So high that kills alone never use up the deliveries of a message that is to be accepted.
const DELIVERY_LIMIT: u32 = 8;
/// With half of the delay as jitter, a message that is released again and again uses up its
/// deliveries after 975 ms at the earliest: one that has to expire does so before.
const TTL_MS: u32 = 600;
const RETRY_INITIAL_MS: u32 = 50;
const RETRY_MAX_MS: u32 = 400;

const HTTP_WORKERS: usize = 4;
const SHARE_WORKERS: usize = 2;
/// Messages a second that are published, however fast the broker is: kills need something to hit.
const RATE: u32 = 700;
const LEAST_TIME: Duration = Duration::from_secs(8);
const LEAST_BROKER_KILLS: usize = 3;
const READY_LIMIT: Duration = Duration::from_secs(30);
/// How long the workers may need for what is left after the last kill.
const DRAIN_LIMIT: Duration = Duration::from_secs(120);

#[derive(Clone, Debug)]
pub struct Options {
    pub server: PathBuf,
    /// The `queue-worker` program
    pub worker: PathBuf,
    pub messages: u32,
    pub seed: u64,
    pub java_class_path: Option<String>,
    /// Real damage to the broker's data
    pub plant: Option<Fault>,
}

/// Runs the harness; an error means that it could not do its work.
pub fn run(options: &Options) -> Result<Report> {
    let dir = TempDir::with_prefix("outlast-queue-crash-")?;
    let server = Server::new(&options.server, dir.path())?;
    let publishing = LEAST_TIME.max(Duration::from_secs(u64::from(options.messages / RATE)));
    server.watch(Duration::from_secs(240) + 6 * publishing);
    let shared = Shared::default();
    {
        let mut facts = shared.facts();
        facts.lock = u64::try_from((LOCK - LOCK_SLACK).as_nanos())?;
        facts.delivery_limit = DELIVERY_LIMIT;
    }
    let mut run = Run {
        options,
        rng: fastrand::Rng::with_seed(options.seed),
        shared: shared.clone(),
        api: QueueApi::new(server.http_address(), QUEUE),
        runtime: tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?,
        server,
        worker_kills: 0,
        is_last: false,
    };
    let result = run.drive(publishing / options.messages.max(1) * 2);
    let mut report = shared.report();
    if result.is_ok() {
        let facts = shared.facts();
        report.merge(check::check(&facts));
        fault::check_the_check(&facts, options.seed, &mut report);
        run.summarise(&facts, &mut report);
    }
    if result.is_err() || !report.all_kept() {
        println!(
            "--- the broker's last words\n{}\n---",
            run.server.log_tail()
        );
        println!("data and logs are kept in {}", dir.keep().display());
    }
    match result {
        // What stopped the run may be the very thing that the report is about.
        Err(error) if report.all_kept() => Err(error),
        Err(error) => {
            println!("the run ended early: {error:#}");
            // What was not looked at can't be called kept.
            Promise::ALL.iter().for_each(|&it| report.unchecked(it));
            Ok(report)
        }
        Ok(()) => Ok(report),
    }
}

/// One run from the first start to the last look.
struct Run<'a> {
    options: &'a Options,
    rng: fastrand::Rng,
    shared: Shared,
    server: Server,
    api: QueueApi,
    runtime: tokio::runtime::Runtime,
    worker_kills: usize,
    /// The next kill is the last one, after which nothing is left to do.
    is_last: bool,
}

impl Run<'_> {
    /// `pace` is the time between two messages of one publisher.
    fn drive(&mut self, pace: Duration) -> Result<()> {
        self.server.start()?;
        self.create_queue()?;
        let http = self.server.http_address();
        let bootstrap = self.server.bootstrap();
        let tools = Tools {
            http_worker: self.options.worker.clone(),
            http: http.to_string(),
            bootstrap: bootstrap.clone(),
            java_class_path: self.options.java_class_path.clone(),
            dir: self.server.dir().to_owned(),
        };
        let mut crew = Crew::new(tools, &self.shared);
        for _ in 0..HTTP_WORKERS {
            crew.start(Kind::Http, self.rng.u64(..))?;
        }
        if self.options.java_class_path.is_some() {
            for _ in 0..SHARE_WORKERS {
                crew.start(Kind::Share, self.rng.u64(..))?;
            }
        }
        let publishers = Publishers::start(http, &bootstrap, self.options, pace, &self.shared)?;
        self.crash_repeatedly(&mut crew, &publishers)?;
        publishers.finish(&self.shared);
        self.drain(&mut crew)?;
        crew.stop()?;
        self.is_last = true;
        self.crash_broker()?;
        self.look_again().inspect_err(|error| {
            let what = format!("after the last kill: {error:#}");
            self.shared.broken(Promise::RestartsAlone, what);
        })?;
        read_back::read(&self.server.bootstrap(), &self.shared)?;
        if self.options.plant == Some(Fault::DroppedRecord) {
            self.shared.facts().stored.pop();
        }
        self.server.terminate()?;
        self.verify_log("after SIGTERM")
    }

    fn create_queue(&mut self) -> Result<()> {
        let settings = json!({
            "partitions": PARTITIONS,
            "settings": {
                "share.record.lock.duration.ms": LOCK.as_millis().to_string(),
                "share.delivery.count.limit": DELIVERY_LIMIT.to_string(),
                "retry.policy": "exponential",
                "retry.initial.delay.ms": RETRY_INITIAL_MS.to_string(),
                "retry.max.delay.ms": RETRY_MAX_MS.to_string(),
                "retry.jitter": "0.5",
                "message.dedupe.header": "outlast-message-id",
            },
        });
        let api = &mut self.api;
        self.runtime
            .block_on(insist(async || api.create(&settings).await))
            .context("creating the queue")
    }

    /// Kills the broker or a worker, again and again, until everything is published.
    fn crash_repeatedly(&mut self, crew: &mut Crew, publishers: &Publishers) -> Result<()> {
        let mut told = Instant::now();
        loop {
            std::thread::sleep(Duration::from_millis(self.rng.u64(100..1200)));
            let kills = self.shared.facts().broker_kills.len();
            if publishers.are_done() && kills >= LEAST_BROKER_KILLS {
                return Ok(());
            }
            if self.rng.u8(..100) < 40 {
                self.crash_broker()?;
                self.await_progress()?;
            } else {
                let kind = crew.kill_one(&mut self.rng)?;
                self.worker_kills += 1;
                crew.start(kind, self.rng.u64(..))?;
            }
            crew.check_alive()?;
            if told.elapsed() > Duration::from_secs(20) {
                told = Instant::now();
                let facts = self.shared.facts();
                println!(
                    "{} of {} published, {} deliveries, {} broker and {} worker kills",
                    facts.published.len(),
                    self.options.messages,
                    facts.deliveries.len(),
                    facts.broker_kills.len(),
                    self.worker_kills
                );
            }
        }
    }

    fn crash_broker(&mut self) -> Result<()> {
        if let Some(status) = self.server.exit_status()? {
            let what = format!(
                "it ended by itself with {status}\n{}",
                self.server.log_tail()
            );
            self.shared.broken(Promise::RestartsAlone, what);
        }
        let killed = |shared: &Shared| shared.facts().broker_kills.push(monotonic_ns());
        killed(&self.shared);
        self.server.kill()?;
        // Now and then recovery itself is killed.
        while self.rng.u8(..100) < 20 {
            self.server.spawn()?;
            std::thread::sleep(Duration::from_millis(self.rng.u64(0..60)));
            killed(&self.shared);
            self.server.kill()?;
        }
        if self.is_last && self.options.plant == Some(Fault::LostTail) {
            let path = lose_tail(&self.server.data())?;
            println!("planted: the end of {} is lost", path.display());
        }
        let kills = self.shared.facts().broker_kills.len();
        if kills.is_multiple_of(5) {
            self.verify_log(&format!("after kill {kills}"))?;
        }
        self.server.start().inspect_err(|error| {
            let what = format!("after kill {kills}: {error:#}");
            self.shared.broken(Promise::RestartsAlone, what);
        })
    }

    /// Waits until a worker has got something again, so that every kill meets work.
    fn await_progress(&self) -> Result<()> {
        let started = Instant::now();
        let before = self.shared.facts().deliveries.len();
        while self.shared.facts().deliveries.len() == before {
            if self.shared.report().all_kept() && started.elapsed() > READY_LIMIT {
                bail!("no worker got a message for {READY_LIMIT:?} after a restart");
            }
            if started.elapsed() > READY_LIMIT {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Lets the workers finish.
    fn drain(&mut self, crew: &mut Crew) -> Result<()> {
        let started = Instant::now();
        let mut empty = 0;
        while empty < 3 {
            let left = self.left()?;
            empty = if left == 0 { empty + 1 } else { 0 };
            if started.elapsed() > DRAIN_LIMIT {
                self.shared.facts().left = left;
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        crew.check_alive()
    }

    /// What the broker says it still has to do.
    fn left(&mut self) -> Result<u64> {
        let api = &mut self.api;
        let stats = self
            .runtime
            .block_on(insist(async || api.stats().await))
            .context("asking for the queue's numbers")?;
        let number = |name: &str| stats[name].as_u64().unwrap_or(1);
        Ok(["ready", "delayed", "inFlight", "dying"]
            .map(number)
            .iter()
            .sum())
    }

    /// After another crash, and once every lock is over, the queue must have nothing to give.
    fn look_again(&mut self) -> Result<()> {
        let api = &mut self.api;
        let wait = LOCK + Duration::from_secs(1);
        let again = self
            .runtime
            .block_on(insist(async || api.receive("last-look", 100, wait).await))
            .context("looking for what is left")?;
        let left = self.left()?;
        let mut facts = self.shared.facts();
        facts.left = facts.left.max(left).max(again.len() as u64);
        Ok(())
    }

    fn verify_log(&self, when: &str) -> Result<()> {
        match self.server.verify_log()? {
            Some(Ok(())) => {}
            Some(Err(output)) => self
                .shared
                .broken(Promise::LogVerifies, format!("{when}: {output}")),
            None => lock(&self.shared.report).unchecked(Promise::LogVerifies),
        }
        Ok(())
    }

    fn summarise(&self, facts: &Facts, report: &mut Report) {
        let tried = |verb| {
            let of_verb = |it: &&facts::Delivery| it.tried.is_some_and(|(tried, _)| tried == verb);
            facts.deliveries.iter().filter(of_verb).count()
        };
        report.note(format!(
            "{} messages, {} deliveries ({} accepted, {} released, {} put off, {} rejected), {} dead letters",
            facts.published.len(),
            facts.deliveries.len(),
            tried(Verb::Accept),
            tried(Verb::Release),
            tried(Verb::NotNow),
            tried(Verb::Reject),
            facts.dead.len(),
        ));
        let of_session = |it: &&facts::Delivery| facts.workers[it.worker].has_session;
        report.note(format!(
            "{} of the deliveries to Kafka share consumers",
            facts.deliveries.iter().filter(of_session).count(),
        ));
        report.note(format!(
            "{} kills of the broker, {} of {} workers",
            facts.broker_kills.len(),
            self.worker_kills,
            facts.workers.len(),
        ));
        if let Some((median, worst)) = lateness(facts) {
            report.note(format!(
                "delayed messages came {median} ms after their time in the median, {worst} ms at most"
            ));
        }
    }
}

/// How late the first deliveries of delayed messages were, in ms, crashes included.
fn lateness(facts: &Facts) -> Option<(u64, u64)> {
    let late = |delivery: &facts::Delivery| {
        let due = facts.letters.get(&delivery.number)?.due_ms();
        (due > 0 && delivery.count == 1).then(|| delivery.wall_ms.saturating_sub(due))
    };
    let mut late: Vec<u64> = facts.deliveries.iter().filter_map(late).collect();
    late.sort_unstable();
    Some((*late.get(late.len() / 2)?, *late.last()?))
}

/// Repeats a request that gets no answer, as right after a start.
async fn insist<T>(mut request: impl AsyncFnMut() -> Result<T, ApiError>) -> Result<T> {
    let started = Instant::now();
    loop {
        match request().await {
            Err(ApiError::NoAnswer(_)) if started.elapsed() < READY_LIMIT => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            result => return Ok(result?),
        }
    }
}

/// What publishers, the workers' logs and the harness all write to.
#[derive(Clone, Default, Debug)]
struct Shared {
    facts: Arc<Mutex<Facts>>,
    report: Arc<Mutex<Report>>,
}

impl Shared {
    fn facts(&self) -> MutexGuard<'_, Facts> {
        lock(&self.facts)
    }

    fn broken(&self, promise: Promise, what: String) {
        lock(&self.report).broken(promise, what);
    }

    fn report(&self) -> Report {
        lock(&self.report).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
