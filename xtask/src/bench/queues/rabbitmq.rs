//! RabbitMQ from Debian's packages, unpacked under `target/deps` and started from there: nothing is
//! installed on the machine.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::broker::{free_port, takes_connections};
use crate::process;
use crate::workspace;

const INSTALL_LIMIT: Duration = Duration::from_secs(600);
const START_LIMIT: Duration = Duration::from_secs(120);
const SERVERS: &str = "usr/lib/rabbitmq/lib";
/// Where Debian's Erlang believes to be.
const ERLANG_HOME: &str = "/usr/lib/erlang";

/// Fetches and unpacks the packages unless that was done before. A RabbitMQ that is installed on
/// the machine is taken as it is; the root is the machine's then.
pub fn install() -> Result<PathBuf> {
    let machine = PathBuf::from("/");
    if machine.join(SERVERS).is_dir() {
        return Ok(machine);
    }
    let dir = workspace::target().join("deps/rabbitmq");
    let root = dir.join("root");
    let stamp = dir.join(".complete");
    if stamp.exists() {
        return Ok(root);
    }
    ensure!(
        process::is_installed("apt-get", "--version"),
        "RabbitMQ comes from Debian's packages, and there is no apt-get"
    );
    println!("fetching RabbitMQ");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&root)?;
    let packages = needed_packages()?;
    let mut download = Command::new("apt-get");
    download.arg("download").args(&packages).current_dir(&dir);
    process::run("fetch rabbitmq", &mut download, INSTALL_LIMIT)?.expect_success()?;
    for entry in fs::read_dir(&dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|kind| kind == "deb") {
            let mut unpack = Command::new("dpkg");
            unpack.arg("-x").arg(&path).arg(&root);
            process::run("unpack rabbitmq", &mut unpack, INSTALL_LIMIT)?.expect_success()?;
        }
    }
    let erl = root.join("usr/lib/erlang/bin/erl");
    let home = root.join("usr/lib/erlang").display().to_string();
    let script = fs::read_to_string(&erl).context("Erlang's start script")?;
    let moved = script.replace(&format!("={ERLANG_HOME}"), &format!("={home}"));
    fs::write(&erl, moved)?;
    fs::write(stamp, "")?;
    Ok(root)
}

/// RabbitMQ's package and those of its dependencies that aren't installed.
fn needed_packages() -> Result<Vec<String>> {
    let mut simulate = Command::new("apt-get");
    simulate.args([
        "--simulate",
        "install",
        "--no-install-recommends",
        "rabbitmq-server",
    ]);
    let finished = process::run("find rabbitmq", &mut simulate, INSTALL_LIMIT)?.expect_success()?;
    let packages: Vec<String> = finished
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next())
        .map(str::to_owned)
        .collect();
    ensure!(
        packages.iter().any(|package| package == "rabbitmq-server"),
        "apt-get doesn't offer rabbitmq-server"
    );
    Ok(packages)
}

pub struct RabbitMq {
    port: u16,
    child: Child,
    /// Erlang's name service, without which no node starts.
    epmd: Child,
}

impl RabbitMq {
    pub fn start(dir: &Path) -> Result<Self> {
        let root = install()?;
        let erlang = root.join("usr/lib/erlang");
        fs::create_dir_all(dir)?;
        let (port, nodes_port, epmd_port) = (free_port()?, free_port()?, free_port()?);
        let log = File::create(dir.join("broker.log"))?;
        let epmd = Command::new(one_in(&erlang, "erts-")?.join("bin/epmd"))
            .args(["-port", &epmd_port.to_string(), "-address", "127.0.0.1"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?)
            .spawn()?;
        let server = one_in(&root.join(SERVERS), "rabbitmq_server-")?;
        let path = std::env::var("PATH").unwrap_or_default();
        let child = Command::new(server.join("sbin/rabbitmq-server"))
            .env("HOME", dir)
            .env("PATH", format!("{}/bin:{path}", erlang.display()))
            // The script replaces itself by the server, whose pid is then ours.
            .env("RUNNING_UNDER_SYSTEMD", "true")
            .env("ERL_EPMD_PORT", epmd_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODENAME", format!("bench-{port}@localhost"))
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", port.to_string())
            .env("RABBITMQ_DIST_PORT", nodes_port.to_string())
            .env("RABBITMQ_MNESIA_BASE", dir.join("data"))
            .env("RABBITMQ_LOG_BASE", dir.join("log"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", dir.join("plugins"))
            .env("RABBITMQ_CONF_ENV_FILE", dir.join("none"))
            .env("RABBITMQ_CONFIG_FILE", dir.join("none"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn();
        let mut started = match child {
            Ok(child) => Self { port, child, epmd },
            Err(error) => {
                end(epmd);
                return Err(error.into());
            }
        };
        started.await_port(dir)?;
        Ok(started)
    }

    fn await_port(&mut self, dir: &Path) -> Result<()> {
        let started = Instant::now();
        while !takes_connections(self.port) {
            if let Some(status) = self.child.try_wait()? {
                let log = fs::read_to_string(dir.join("broker.log")).unwrap_or_default();
                bail!("RabbitMQ ended at its start with {status}\n{log}");
            }
            ensure!(
                started.elapsed() < START_LIMIT,
                "RabbitMQ took no connections"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        for child in [&mut self.child, &mut self.epmd] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn end(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// The directory in `dir` whose name begins so; the rest is a version.
fn one_in(dir: &Path, prefix: &str) -> Result<PathBuf> {
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            return Ok(entry.path());
        }
    }
    bail!("{} has no {prefix}…", dir.display())
}
