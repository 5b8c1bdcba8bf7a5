//! The brokers that are measured: how each is started, found in /proc and stopped by its pid.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use crate::broker::{free_port, takes_connections};
use crate::{process, workspace};

use super::process_stats::ProcessStats;

const START_LIMIT: Duration = Duration::from_secs(180);
const STOP_LIMIT: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, ValueEnum)]
pub enum Kind {
    /// Outlast, which syncs before every acknowledgement
    Outlast,
    /// Kafka as it comes: the operating system writes when it likes
    Kafka,
    /// Kafka with log.flush.interval.messages=1
    KafkaFsync,
}

impl Kind {
    pub fn title(self) -> &'static str {
        match self {
            Kind::Outlast => "Outlast",
            Kind::Kafka => "Kafka",
            Kind::KafkaFsync => "Kafka with fsync",
        }
    }

    fn file_name(self) -> &'static str {
        match self {
            Kind::Outlast => "outlast",
            Kind::Kafka => "kafka",
            Kind::KafkaFsync => "kafka-fsync",
        }
    }
}

/// A running broker with its directory.
pub struct Subject {
    pub kind: Kind,
    port: u16,
    controller_port: u16,
    libraries: PathBuf,
    dir: PathBuf,
    child: Option<Child>,
}

impl Subject {
    /// Starts a broker on an empty directory and waits until it takes connections.
    pub fn start(kind: Kind, libraries: &Path, data: &Path) -> Result<Self> {
        let mut subject = Self::prepare(kind, libraries, data)?;
        subject.spawn()?;
        subject.await_port()?;
        Ok(subject)
    }

    /// Everything but the start: Kafka's properties and its formatted directory.
    pub fn prepare(kind: Kind, libraries: &Path, data: &Path) -> Result<Self> {
        let dir = data.join(kind.file_name());
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir)?;
        let (port, controller_port) = (free_port()?, free_port()?);
        let libraries = libraries.to_owned();
        let subject = Self {
            kind,
            port,
            controller_port,
            libraries,
            dir,
            child: None,
        };
        if kind != Kind::Outlast {
            fs::write(subject.properties_path(), subject.properties())?;
            let mut format = java(&subject.libraries);
            format.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"]);
            format.arg(subject.properties_path());
            process::run("kafka format", &mut format, START_LIMIT)?.expect_success()?;
        }
        Ok(subject)
    }

    /// Starts the process and returns at once.
    pub fn spawn(&mut self) -> Result<()> {
        let mut command = match self.kind {
            Kind::Outlast => self.outlast(),
            Kind::Kafka | Kind::KafkaFsync => self.kafka(),
        };
        let log = File::create(self.dir.join("broker.log"))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| self.kind.title())?;
        self.child = Some(child);
        Ok(())
    }

    fn outlast(&self) -> Command {
        let mut command = Command::new(workspace::built("release", "outlast"));
        command.arg("serve");
        command.arg(format!("--listen=127.0.0.1:{}", self.port));
        command.arg(format!("--http-listen=127.0.0.1:{}", self.controller_port));
        command.arg("--data").arg(self.dir.join("data"));
        command
    }

    /// The heap and the collector of Kafka's own start script.
    fn kafka(&self) -> Command {
        let mut command = Command::new("java");
        command.args([
            "-Xmx1G",
            "-Xms1G",
            "-server",
            "-XX:+UseG1GC",
            "-XX:MaxGCPauseMillis=20",
        ]);
        command.args([
            "-XX:InitiatingHeapOccupancyPercent=35",
            "-XX:+ExplicitGCInvokesConcurrent",
        ]);
        command.args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp"]);
        command
            .arg(class_path(&self.libraries))
            .arg("kafka.Kafka")
            .arg(self.properties_path());
        command
    }

    fn properties_path(&self) -> PathBuf {
        self.dir.join("server.properties")
    }

    fn properties(&self) -> String {
        let Self {
            port,
            controller_port,
            ..
        } = self;
        let flush = match self.kind {
            Kind::KafkaFsync => "log.flush.interval.messages=1\n",
            Kind::Kafka | Kind::Outlast => "",
        };
        format!(
            "process.roles=broker,controller\n\
             node.id=1\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
             controller.listener.names=CONTROLLER\n\
             controller.quorum.voters=1@127.0.0.1:{controller_port}\n\
             log.dirs={}\n\
             offsets.topic.replication.factor=1\n\
             transaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\n\
             share.coordinator.state.topic.replication.factor=1\n\
             share.coordinator.state.topic.min.isr=1\n\
             group.initial.rebalance.delay.ms=0\n\
             {flush}",
            self.dir.join("data").display(),
        )
    }

    pub fn await_port(&mut self) -> Result<()> {
        let started = Instant::now();
        while !takes_connections(self.port) {
            let child = self.child.as_mut().context("the broker was started")?;
            if let Some(status) = child.try_wait()? {
                let log = fs::read_to_string(self.dir.join("broker.log")).unwrap_or_default();
                bail!("ended at its start with {status}\n{log}");
            }
            ensure!(started.elapsed() < START_LIMIT, "took no connections");
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where Outlast's HTTP port is.
    pub fn http_address(&self) -> String {
        format!("127.0.0.1:{}", self.controller_port)
    }

    pub fn pid(&self) -> Result<u32> {
        Ok(self.child.as_ref().context("the broker runs")?.id())
    }

    /// What the process has used so far.
    pub fn stats(&self) -> Result<ProcessStats> {
        ProcessStats::of(self.pid()?)
    }

    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// SIGTERM, and SIGKILL for one that won't.
    pub fn stop(mut self) -> Result<()> {
        let pid = self.pid()?.to_string();
        Command::new("kill").args(["-TERM", &pid]).status()?;
        let started = Instant::now();
        let child = self.child.as_mut().context("the broker runs")?;
        while child.try_wait()?.is_none() && started.elapsed() < STOP_LIMIT {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill()
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Any valid cluster id will do; the tool prints them as unpadded base64 of 16 bytes.
const CLUSTER_ID: &str = "AAAAAAAAQACAAAAAAAAAAA";

/// A Java command with Kafka's classes; clients' defaults otherwise.
pub fn java(libraries: &Path) -> Command {
    let mut command = Command::new("java");
    command.args([
        "-Xmx512M",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
        "-cp",
    ]);
    command.arg(class_path(libraries));
    command
}

fn class_path(libraries: &Path) -> String {
    format!("{}/*", libraries.display())
}
