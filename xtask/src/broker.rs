//! A broker of our own for the length of a test: free loopback ports, a temporary directory,
//! stopped by its process id when dropped.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tempfile::TempDir;

use crate::process;

pub struct Broker {
    child: Child,
    pub port: u16,
    http: u16,
    _data: TempDir,
}

impl Broker {
    /// Starts `binary` on free ports and an empty directory; returns when it takes connections.
    pub fn start(binary: &Path, name: &str) -> Result<Self> {
        Self::start_with(binary, name, &[])
    }

    /// Like [`Broker::start`], with more flags for `serve`.
    pub fn start_with(binary: &Path, name: &str, flags: &[&str]) -> Result<Self> {
        let (port, http) = (free_port()?, free_port()?);
        let mut arguments = vec![
            format!("--listen=127.0.0.1:{port}"),
            format!("--http-listen=127.0.0.1:{http}"),
        ];
        arguments.extend(flags.iter().map(|&flag| flag.to_owned()));
        Self::spawn(binary, name, (port, http), &arguments)
    }

    /// Starts `binary` the way a user does, on port 9092 of `localhost`.
    pub fn start_with_default_listeners(binary: &Path, name: &str) -> Result<Self> {
        Self::spawn(binary, name, (9092, 9644), &[])
    }

    fn spawn(
        binary: &Path,
        name: &str,
        (port, http): (u16, u16),
        listen: &[String],
    ) -> Result<Self> {
        let data = TempDir::new()?;
        let child = Command::new(binary)
            .arg("serve")
            .args(listen)
            .arg("--data")
            .arg(data.path().join("data"))
            .stdin(Stdio::null())
            .stdout(File::create(process::log_path(name, "broker.out")?)?)
            .stderr(File::create(process::log_path(name, "broker.err")?)?)
            .spawn()?;
        let mut broker = Self {
            child,
            port,
            http,
            _data: data,
        };
        broker.await_port(Duration::from_secs(20))?;
        Ok(broker)
    }

    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn http(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    fn await_port(&mut self, limit: Duration) -> Result<()> {
        let started = Instant::now();
        while !takes_connections(self.port) {
            if let Some(status) = self.child.try_wait()? {
                bail!("the broker ended at its start: {status}");
            }
            if started.elapsed() > limit {
                bail!(
                    "the broker took no connections within {} s",
                    limit.as_secs()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended by itself; either way nothing is left to do about it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port nobody listens on at this moment.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

pub fn takes_connections(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}
