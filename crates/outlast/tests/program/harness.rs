//! Starts the real binary in a temporary directory.

#![allow(dead_code, reason = "each test file uses its part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(20);

/// The program in `directory`, with an environment of its own.
pub fn outlast(directory: &Path) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("outlast"));
    command.current_dir(directory).env_clear();
    command
}

/// `serve` on free ports, with these further arguments.
pub fn serve(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = outlast(directory);
    command
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--http-listen",
            "127.0.0.1:0",
        ])
        .args(arguments);
    command
}

/// A broker that runs.
pub struct Running {
    pub child: Child,
    /// Its lines up to and with `Ready …`.
    pub report: Vec<String>,
    pub kafka: SocketAddr,
    pub http: SocketAddr,
    errors: Option<ChildStderr>,
}

impl Running {
    pub fn start(directory: &Path, arguments: &[&str]) -> Self {
        let mut child = serve(directory, arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut report = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            report.push(line.unwrap());
            if report.last().is_some_and(|line| line.starts_with("Ready")) {
                break;
            }
        }
        let mut errors = child.stderr.take().unwrap();
        if !report.last().is_some_and(|line| line.starts_with("Ready")) {
            let mut said = String::new();
            errors.read_to_string(&mut said).unwrap();
            panic!("not ready: {report:?}\n{said}");
        }
        let address = |name: &str| {
            let value = field(&report, name);
            let value = value.strip_prefix("http://").unwrap_or(value);
            value.split(',').next().unwrap().parse().unwrap()
        };
        Self {
            kafka: address("kafka"),
            http: address("http"),
            child,
            report,
            errors: Some(errors),
        }
    }

    pub fn field(&self, name: &str) -> &str {
        field(&self.report, name)
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    /// How it ended, and what it said to standard error.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < PATIENCE, "still running");
            std::thread::sleep(Duration::from_millis(5));
        };
        let mut said = String::new();
        self.errors
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        (status, said)
    }

    pub fn stop(self) -> (ExitStatus, String) {
        self.signal(Signal::TERM);
        self.wait()
    }

    pub fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.http).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn field<'a>(report: &'a [String], name: &str) -> &'a str {
    let value = report
        .iter()
        .find_map(|line| line.trim_start().strip_prefix(name));
    value
        .unwrap_or_else(|| panic!("no {name} in {report:?}"))
        .trim()
}

/// Standard error of a command that must fail.
pub fn refusal(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        !output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert_eq!(
        output.stdout, b"",
        "nothing is reported by what doesn't start"
    );
    String::from_utf8(output.stderr).unwrap()
}

/// Asks again and again until it is so.
pub fn until(is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "it never came to be");
    }
}
