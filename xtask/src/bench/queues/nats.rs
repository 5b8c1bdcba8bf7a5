//! NATS with JetStream: the server as a Go module, built under `target/deps`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::broker::{free_port, takes_connections};
use crate::process;
use crate::workspace;

const VERSION: &str = "v2.15.2";
const INSTALL_LIMIT: Duration = Duration::from_secs(900);
const START_LIMIT: Duration = Duration::from_secs(60);

/// Builds the server unless that was done before.
pub fn install() -> Result<PathBuf> {
    let dir = workspace::target().join("deps/nats").join(VERSION);
    let program = dir.join("nats-server");
    if program.exists() {
        return Ok(program);
    }
    ensure!(
        process::is_installed("go", "version"),
        "NATS is built as a Go module, and there is no Go"
    );
    println!("building NATS {VERSION}");
    fs::create_dir_all(&dir)?;
    let mut go = Command::new("go");
    go.arg("install")
        .arg(format!("github.com/nats-io/nats-server/v2@{VERSION}"))
        .env("GOBIN", &dir)
        // Outside of any module.
        .current_dir(&dir);
    process::run("build nats", &mut go, INSTALL_LIMIT)?.expect_success()?;
    Ok(program)
}

pub struct Nats {
    port: u16,
    child: Child,
}

impl Nats {
    pub fn start(dir: &Path, sync_always: bool) -> Result<Self> {
        let program = install()?;
        fs::create_dir_all(dir)?;
        let port = free_port()?;
        let sync = if sync_always {
            "sync_interval: always"
        } else {
            ""
        };
        let config = format!(
            "listen: 127.0.0.1:{port}\njetstream {{\n  store_dir: \"{}\"\n  {sync}\n}}\n",
            dir.join("data").display()
        );
        let config_path = dir.join("nats.conf");
        fs::write(&config_path, config)?;
        let log = File::create(dir.join("broker.log"))?;
        let child = Command::new(program)
            .arg("--config")
            .arg(config_path)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut started = Self { port, child };
        let since = Instant::now();
        while !takes_connections(port) {
            if let Some(status) = started.child.try_wait()? {
                let log = fs::read_to_string(dir.join("broker.log")).unwrap_or_default();
                bail!("NATS ended at its start with {status}\n{log}");
            }
            ensure!(since.elapsed() < START_LIMIT, "NATS took no connections");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(started)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
