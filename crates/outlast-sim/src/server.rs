//! The broker under test: the real binary as a child process, killed and started again on the same
//! port and directory.

use std::fs::{self, File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// The running child, shared with the watchdog, which must end it when the harness hangs.
type SharedChild = Arc<Mutex<Option<Child>>>;

#[derive(Debug)]
pub struct Server {
    program: PathBuf,
    dir: PathBuf,
    port: u16,
    http_port: u16,
    child: SharedChild,
}

impl Server {
    /// Prepares a broker with its data and its log file under `dir`; starts nothing yet.
    pub fn new(program: &Path, dir: &Path) -> Result<Self> {
        Ok(Self {
            program: program.to_owned(),
            dir: dir.to_owned(),
            port: free_port()?,
            http_port: free_port()?,
            child: SharedChild::default(),
        })
    }

    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn http_address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.http_port))
    }

    /// Where the run keeps everything.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Ends a harness that hangs, and the broker with it, so that nothing is left running.
    pub fn watch(&self, limit: Duration) {
        let child = Arc::clone(&self.child);
        std::thread::spawn(move || {
            std::thread::sleep(limit);
            eprintln!("the crash harness did not end within {} s", limit.as_secs());
            let _ = kill(&child);
            std::process::exit(1);
        });
    }

    /// Starts the process and returns at once.
    pub fn spawn(&mut self) -> Result<()> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())?;
        let child = Command::new(&self.program)
            .arg("serve")
            .arg(format!("--listen=127.0.0.1:{}", self.port))
            .arg(format!("--http-listen=127.0.0.1:{}", self.http_port))
            .arg("--data")
            .arg(self.data())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| self.program.display().to_string())?;
        *lock(&self.child) = Some(child);
        Ok(())
    }

    /// Starts the process and waits until it takes connections.
    pub fn start(&mut self) -> Result<()> {
        let started = Instant::now();
        self.spawn()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            if let Some(status) = self.exit_status()? {
                bail!(
                    "the broker ended at its start with {status}\n{}",
                    self.log_tail()
                );
            }
            if started.elapsed() > START_LIMIT {
                bail!(
                    "the broker took no connections for {} s",
                    START_LIMIT.as_secs()
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// How the process ended, if it has.
    pub fn exit_status(&self) -> Result<Option<ExitStatus>> {
        match lock(&self.child).as_mut() {
            Some(child) => Ok(child.try_wait()?),
            None => bail!("no broker was started"),
        }
    }

    /// SIGKILL, and waits until the process is gone.
    pub fn kill(&mut self) -> Result<()> {
        kill(&self.child)
    }

    /// SIGTERM, and waits for the end.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        if let Some(child) = lock(&self.child).as_ref() {
            kill_process(Pid::from_child(child), Signal::TERM)?;
        }
        let started = Instant::now();
        loop {
            if let Some(status) = self.exit_status()? {
                return Ok(status);
            }
            if started.elapsed() > STOP_LIMIT {
                bail!(
                    "SIGTERM did not stop the broker within {} s",
                    STOP_LIMIT.as_secs()
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// `log verify` over the data directory: its output when it finds fault, nothing when it
    /// doesn't, and `None` when the program has no such command.
    pub fn verify_log(&self) -> Result<Option<Result<(), String>>> {
        let verify = || {
            let mut command = Command::new(&self.program);
            command.args(["log", "verify"]).stdin(Stdio::null());
            command
        };
        if !verify().arg("--help").output()?.status.success() {
            return Ok(None);
        }
        let output = verify().arg("--data").arg(self.data()).output()?;
        if output.status.success() {
            return Ok(Some(Ok(())));
        }
        let (out, err) = (&output.stdout, &output.stderr);
        let text = [String::from_utf8_lossy(out), String::from_utf8_lossy(err)].concat();
        Ok(Some(Err(text)))
    }

    /// The last lines that the broker itself wrote.
    pub fn log_tail(&self) -> String {
        let log = fs::read(self.log_path()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("broker.log")
    }

    /// Empties the broker's own log, which a long run would let grow.
    pub fn clear_log(&self) -> Result<()> {
        File::create(self.log_path())?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill(&self.child);
    }
}

/// SIGKILL, and waits until the process is gone.
fn kill(child: &SharedChild) -> Result<()> {
    if let Some(mut child) = lock(child).take() {
        child.kill()?;
        child.wait()?;
    }
    Ok(())
}

fn lock(child: &SharedChild) -> MutexGuard<'_, Option<Child>> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A free port below those that the system gives to outgoing connections: a client that retries
/// while the broker is down could otherwise be given the broker's port, or connect to itself.
fn free_port() -> Result<u16> {
    for _ in 0..1000 {
        let port = fastrand::u16(20_000..32_000);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port on the loopback interface")
}
