//! The crash harness: the real binary, real clients, SIGKILL at random moments.
//!
//! Producers of several languages and a consumer group run through the whole of it and reconnect
//! by themselves, while the broker is killed and restarted under them. Every so often, and at the
//! end, everything is read back and compared with what was acknowledged (`ledger`), what was
//! committed (`group`) and what was created. SIGKILL leaves the page cache alone, so this proves
//! recovery, not fsync: lost writes are the storage tests' subject.

mod fault;
mod group;
mod ledger;
mod message;
mod producers;
mod promise;

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tempfile::TempDir;

pub use fault::Fault;
pub(crate) use fault::lose_tail;
pub use promise::Promise;

use group::{Commits, GroupMember};
use ledger::{Ledger, ReadPartition};
use message::Message;
use producers::RunningProducer;

use crate::kafka_client::{client_config, retry};
use crate::read_back::{self, StoredRecord};
use crate::server::Server;

type Report = crate::report::Report<Promise>;

const TOPIC: &str = "crash";
const PARTITIONS: i32 = 4;
/// Rounds between two read-backs of everything.
const CHECK_EVERY: u32 = 10;
/// Rounds between two looks at what a kill left on the disk.
const VERIFY_EVERY: u32 = 3;
/// How long the first acknowledgement after a restart may take.
const FIRST_ACK_LIMIT: Duration = Duration::from_secs(60);
/// How long it should take, unoptimised and on a busy machine.
const RECOVERY_LIMIT: Duration = Duration::from_secs(20);
const GROUP_LIMIT: Duration = Duration::from_secs(90);

#[derive(Clone, Debug)]
pub struct Options {
    pub server: PathBuf,
    pub rounds: u32,
    pub seed: u64,
    pub python: Option<PathBuf>,
    pub java_class_path: Option<String>,
    pub plant: Option<Fault>,
}

/// Runs the harness; an error means that it could not do its work.
pub fn run(options: &Options) -> Result<Report> {
    let dir = TempDir::with_prefix("outlast-crash-")?;
    let server = Server::new(&options.server, dir.path())?;
    server.watch(Duration::from_secs(120 + 10 * u64::from(options.rounds)));
    let mut run = Run {
        rng: fastrand::Rng::with_seed(options.seed),
        shared: Shared::default(),
        options,
        server,
        topics: Vec::new(),
        kills: 0,
        restarted: None,
        slowest_recovery: Duration::ZERO,
    };
    let result = run.drive();
    let failed = result.is_err() || !run.shared.report().all_kept();
    if failed {
        println!(
            "--- the broker's last words\n{}\n---",
            run.server.log_tail()
        );
        println!("data and log are kept in {}", dir.keep().display());
    }
    let report = run.shared.report();
    match result {
        // What stopped the run may be the very thing that the report is about.
        Err(error) if report.all_kept() => Err(error),
        Err(error) => {
            println!("the run ended early: {error:#}");
            Ok(report)
        }
        Ok(()) => Ok(report),
    }
}

fn read_partitions(bootstrap: &str) -> Result<HashMap<i32, ReadPartition>> {
    let values = |records: Vec<StoredRecord>| {
        let pairs = records
            .into_iter()
            .map(|record| (record.offset, record.value));
        pairs.collect()
    };
    let read = read_back::read_topic(bootstrap, TOPIC, PARTITIONS)?;
    Ok(read
        .into_iter()
        .map(|(partition, records)| (partition, values(records)))
        .collect())
}

/// One run from the first start to the last check.
struct Run<'a> {
    options: &'a Options,
    rng: fastrand::Rng,
    shared: Shared,
    server: Server,
    topics: Vec<String>,
    kills: u32,
    /// When the broker was started again and nothing has been acknowledged since.
    restarted: Option<Instant>,
    slowest_recovery: Duration,
}

impl Run<'_> {
    fn drive(&mut self) -> Result<()> {
        let started = Instant::now();
        self.server.start()?;
        self.create_topic(TOPIC)?;
        let bootstrap = self.server.bootstrap();
        let producers = self.start_producers(&bootstrap)?;
        let member = GroupMember::start(&bootstrap, &self.shared)?;
        let result = self
            .await_all(&producers)
            .and_then(|()| self.crash_repeatedly());
        if let Err(error) = result {
            producers.into_iter().for_each(RunningProducer::abandon);
            return Err(error);
        }
        for producer in producers {
            let name = producer.name().to_owned();
            producer.finish(&self.shared);
            let acked = self.shared.ledger().acked_by(&name);
            self.shared.note(format!("{name}: {acked} acknowledged"));
        }
        self.check_everything()?;
        self.check_group_reaches_end(&bootstrap)?;
        member.stop();
        self.stop_and_verify()?;
        self.shared.note(format!(
            "{} kills, {} messages acknowledged, slowest recovery to the first acknowledgement {} ms, {} s in all",
            self.kills,
            self.shared.acked_count(),
            self.slowest_recovery.as_millis(),
            started.elapsed().as_secs(),
        ));
        Ok(())
    }

    fn start_producers(&self, bootstrap: &str) -> Result<Vec<RunningProducer>> {
        let clients = concat!(env!("CARGO_MANIFEST_DIR"), "/clients");
        let mut producers = vec![
            RunningProducer::librdkafka("none", bootstrap, &self.shared)?,
            RunningProducer::librdkafka("lz4", bootstrap, &self.shared)?,
        ];
        let mut add = |name: &str, command: &mut Command| {
            let log = self.server.dir().join(format!("{name}.log"));
            let child = RunningProducer::child(name, command, &log, bootstrap, &self.shared)?;
            producers.push(child);
            anyhow::Ok(())
        };
        if let Some(python) = &self.options.python {
            let mut command = Command::new(python);
            add(
                "python",
                command.arg(format!("{clients}/crash_producer.py")),
            )?;
        }
        if let Some(class_path) = &self.options.java_class_path {
            let mut command = Command::new("java");
            command.args(["-Xmx128M", "-cp", class_path]);
            add("java", command.arg(format!("{clients}/CrashProducer.java")))?;
        }
        Ok(producers)
    }

    /// Waits until every producer has had something acknowledged: a JVM needs its time to start.
    fn await_all(&self, producers: &[RunningProducer]) -> Result<()> {
        let started = Instant::now();
        for producer in producers {
            while self.shared.ledger().acked_by(producer.name()) == 0 {
                if started.elapsed() > FIRST_ACK_LIMIT {
                    bail!("{} had nothing acknowledged", producer.name());
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    fn crash_repeatedly(&mut self) -> Result<()> {
        let rounds = self.options.rounds;
        for round in 1..=rounds {
            self.await_acknowledgement(round)?;
            // The random moment: under load, anywhere in a write, a seal or a commit.
            std::thread::sleep(Duration::from_millis(self.rng.u64(0..900)));
            self.crash(round)?;
            if round.is_multiple_of(CHECK_EVERY) && round < rounds {
                self.check_everything()?;
                self.create_topic(&format!("made-after-{round}"))?;
                println!(
                    "round {round} of {rounds}: {} messages acknowledged",
                    self.shared.acked_count()
                );
            }
        }
        self.await_acknowledgement(rounds)
    }

    /// Waits until the clients have found the broker again, so that every kill meets a load.
    fn await_acknowledgement(&mut self, round: u32) -> Result<()> {
        let before = self.shared.acked_count();
        let started = Instant::now();
        while self.shared.acked_count() == before {
            if self
                .shared
                .report()
                .broken_promises()
                .contains(&Promise::ProducersGoOn)
            {
                // A producer that gave up stays silent; what it says is in the report.
                return Ok(());
            }
            if started.elapsed() > FIRST_ACK_LIMIT {
                bail!("no message was acknowledged for {FIRST_ACK_LIMIT:?} in round {round}");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        if let Some(restarted) = self.restarted.take() {
            let took = restarted.elapsed();
            self.slowest_recovery = self.slowest_recovery.max(took);
            // Recovery that grows with the number of crashes would show here.
            if took > RECOVERY_LIMIT {
                let what = format!("round {round}: {} ms", took.as_millis());
                self.shared.broken(Promise::RecoversQuickly, what);
            }
        }
        Ok(())
    }

    fn crash(&mut self, round: u32) -> Result<()> {
        if let Some(status) = self.server.exit_status()? {
            let what = format!(
                "it ended by itself with {status}\n{}",
                self.server.log_tail()
            );
            self.shared.broken(Promise::RestartsAlone, what);
        }
        self.server.kill()?;
        self.kills += 1;
        // Now and then recovery itself is killed.
        while self.rng.u8(..100) < 20 {
            self.server.spawn()?;
            std::thread::sleep(Duration::from_millis(self.rng.u64(0..60)));
            self.server.kill()?;
            self.kills += 1;
        }
        // What a kill leaves is no damage: at most the end of an entry is missing.
        if round.is_multiple_of(VERIFY_EVERY) {
            self.verify_log(&format!("after SIGKILL in round {round}"))?;
        }
        if self.options.plant == Some(Fault::LostTail) && round == self.options.rounds {
            let path = fault::lose_tail(&self.server.data())?;
            println!("planted: the end of {} is lost", path.display());
        }
        self.server.clear_log()?;
        self.restarted = Some(Instant::now());
        if let Err(error) = self.server.start() {
            let what = format!("round {round}: {error:#}");
            self.shared.broken(Promise::RestartsAlone, what);
            return Err(error);
        }
        Ok(())
    }

    fn check_everything(&mut self) -> Result<()> {
        let bootstrap = self.server.bootstrap();
        group::check_committed(&bootstrap, &self.shared)?;
        let promised = self.shared.ledger().clone();
        let mut read = read_partitions(&bootstrap)?;
        if self.options.plant == Some(Fault::DroppedRecord) {
            fault::drop_record(&mut read);
        }
        let mut report = Report::default();
        self.shared.ledger().check(&read, &promised, &mut report);
        self.shared.merge(report);
        self.check_topics()
    }

    fn create_topic(&mut self, name: &str) -> Result<()> {
        let bootstrap = self.server.bootstrap();
        let admin: AdminClient<DefaultClientContext> = client_config(&bootstrap).create()?;
        let topic = NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1));
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
        let results = pollster::block_on(admin.create_topics([&topic], &options))?;
        for result in results {
            result
                .map_err(|(_, code)| anyhow::anyhow!("{code}"))
                .with_context(|| format!("creating the topic {name}"))?;
        }
        self.topics.push(name.to_owned());
        Ok(())
    }

    fn check_topics(&self) -> Result<()> {
        let consumer: BaseConsumer = client_config(&self.server.bootstrap()).create()?;
        let limit = Duration::from_secs(10);
        let metadata = retry(|| consumer.fetch_metadata(None, limit))?;
        for name in &self.topics {
            let topic = metadata.topics().iter().find(|topic| topic.name() == name);
            let partitions = topic.map_or(0, |topic| topic.partitions().len());
            if partitions != PARTITIONS as usize {
                let what = format!("{name} has {partitions} partitions, not {PARTITIONS}");
                self.shared.broken(Promise::TopicsKept, what);
            }
        }
        Ok(())
    }

    /// With no producer running, the group must commit exactly the end of every partition.
    fn check_group_reaches_end(&self, bootstrap: &str) -> Result<()> {
        let read = read_partitions(bootstrap)?;
        let ends = read
            .iter()
            .map(|(&partition, records)| (partition, records.len() as i64));
        let ends: group::Positions = ends.collect();
        let started = Instant::now();
        loop {
            let committed = group::check_committed(bootstrap, &self.shared)?;
            if committed == ends {
                return Ok(());
            }
            if started.elapsed() > GROUP_LIMIT {
                let what = format!("it stays at {committed:?}; the partitions end at {ends:?}");
                self.shared.broken(Promise::GroupGoesOn, what);
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn verify_log(&self, when: &str) -> Result<()> {
        match self.server.verify_log()? {
            Some(Ok(())) => {}
            Some(Err(output)) => {
                self.shared
                    .broken(Promise::LogVerifies, format!("{when}: {output}"));
            }
            None => self.shared.unchecked(Promise::LogVerifies),
        }
        Ok(())
    }

    fn stop_and_verify(&mut self) -> Result<()> {
        match self.server.terminate() {
            Ok(status) if status.success() => {}
            Ok(status) => self
                .shared
                .broken(Promise::StopsCleanly, status.to_string()),
            Err(error) => self.shared.broken(Promise::StopsCleanly, error.to_string()),
        }
        self.server.kill()?;
        self.verify_log("after SIGTERM")?;
        Ok(())
    }
}

/// What the clients' threads and the harness all write to.
#[derive(Clone, Default, Debug)]
struct Shared {
    ledger: Arc<Mutex<Ledger>>,
    commits: Arc<Mutex<Commits>>,
    report: Arc<Mutex<Report>>,
}

impl Shared {
    fn acknowledge(&self, message: &Message, offset: i64) {
        self.ledger()
            .acknowledge(message, (offset >= 0).then_some(offset));
    }

    fn see(&self, partition: i32, offset: i64, value: &[u8]) {
        let mut report = lock(&self.report);
        self.ledger().see(partition, offset, value, &mut report);
    }

    fn broken(&self, promise: Promise, what: String) {
        lock(&self.report).broken(promise, what);
    }

    fn unchecked(&self, promise: Promise) {
        lock(&self.report).unchecked(promise);
    }

    fn note(&self, line: String) {
        lock(&self.report).note(line);
    }

    fn merge(&self, report: Report) {
        lock(&self.report).merge(report);
    }

    fn report(&self) -> Report {
        lock(&self.report).clone()
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    fn acked_count(&self) -> u64 {
        self.ledger().acked_count()
    }

    fn commits(&self) -> Commits {
        lock(&self.commits).clone()
    }

    fn with_commits(&self, change: impl FnOnce(&mut Commits)) {
        change(&mut lock(&self.commits));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
