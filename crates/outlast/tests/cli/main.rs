//! The client commands, as the real program, against the real broker.

#[path = "../program/harness.rs"]
mod support;

mod bench;
mod group;
mod help;
mod log;
mod queue;
mod records;
mod resilience;
mod topic;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use support::{Running, outlast};
use tempfile::TempDir;

/// A broker with a directory of its own, and commands that are sent to it.
struct Cluster {
    directory: TempDir,
    broker: Running,
}

impl Cluster {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let broker = Running::start(directory.path(), &["--data", "data"]);
        Self { directory, broker }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = outlast(self.path());
        command
            .args(arguments)
            .env("OUTLAST_BOOTSTRAP", self.broker.kafka.to_string())
            .env("OUTLAST_HTTP", format!("http://{}", self.broker.http));
        command
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A command that doesn't read it may be gone already.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        child.wait_with_output().unwrap()
    }

    /// Standard output of a command that must succeed.
    fn say(&self, arguments: &[&str]) -> String {
        self.feed(arguments, "")
    }

    fn feed(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Standard error of a command that must fail with exit code 1.
    fn refusal(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments, "");
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {errors}");
        errors
    }

    fn json(&self, arguments: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.say(arguments)).unwrap()
    }
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}
