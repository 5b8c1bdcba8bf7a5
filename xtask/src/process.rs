//! Runs a program to its end under a deadline, with its output in a log file of its own.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use wait_timeout::ChildExt;

use crate::workspace;

/// What a program that came to its end left behind.
pub struct Finished {
    pub success: bool,
    pub code: Option<i32>,
    pub stdout: String,
    /// Standard error as far as it was kept apart, for messages.
    pub stderr: String,
}

impl Finished {
    /// The end of the output: what a person wants to see of a failure.
    pub fn tail(&self, lines: usize) -> String {
        let both = format!("{}\n{}", self.stdout.trim_end(), self.stderr.trim_end());
        let all: Vec<&str> = both.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// An error with the end of the output unless the program succeeded.
    pub fn expect_success(self) -> Result<Self> {
        if self.success {
            return Ok(self);
        }
        let code = self
            .code
            .map_or("a signal".to_owned(), |code| format!("code {code}"));
        bail!("ended with {code}\n{}", self.tail(40))
    }
}

impl Finished {
    /// Like [`Finished::expect_success`], for a program whose output is not for people.
    pub fn expect_success_of_stderr(self) -> Result<Self> {
        if self.success {
            return Ok(self);
        }
        Self {
            stdout: String::new(),
            ..self
        }
        .expect_success()
    }
}

/// The file that keeps one output stream of the step `name`.
pub fn log_path(name: &str, stream: &str) -> Result<PathBuf> {
    let dir = workspace::target().join("xtask-logs");
    fs::create_dir_all(&dir)?;
    let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    Ok(dir.join(format!("{name}.{stream}")))
}

/// Runs `command` to its end. After `limit` it is killed, which is an error.
pub fn run(name: &str, command: &mut Command, limit: Duration) -> Result<Finished> {
    let (out, err) = (log_path(name, "out")?, log_path(name, "err")?);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(File::create(&out)?)
        .stderr(File::create(&err)?)
        .spawn()
        .with_context(|| format!("cannot start {:?}", command.get_program()))?;
    let status = match child.wait_timeout(limit)? {
        Some(status) => status,
        None => {
            child.kill()?;
            child.wait()?;
            let finished = read(None, &out, &err)?;
            bail!(
                "did not end within {} s\n{}",
                limit.as_secs(),
                finished.tail(40)
            )
        }
    };
    read(Some(status), &out, &err)
}

fn read(
    status: Option<std::process::ExitStatus>,
    out: &PathBuf,
    err: &PathBuf,
) -> Result<Finished> {
    let text = |path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(Finished {
        success: status.is_some_and(|status| status.success()),
        code: status.and_then(|status| status.code()),
        stdout: text(out)?,
        stderr: text(err)?,
    })
}

/// Whether a program can be started at all: how a missing toolchain is told from a broken one.
pub fn is_installed(program: &str, argument: &str) -> bool {
    let probe = Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    probe.is_ok_and(|status| status.success())
}
