//! What the commands do when the broker goes away under them.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::support::outlast;

/// A broker on a port that it can come back to.
struct Broker(Child);

impl Broker {
    fn start(directory: &Path, address: SocketAddr) -> Self {
        let mut child = outlast(directory)
            .args(["serve", "--data", "data", "--http-listen", "127.0.0.1:0"])
            .args(["--listen", &address.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines
            .map(Result::unwrap)
            .any(|line| line.starts_with("Ready"));
        assert!(ready);
        Self(child)
    }

    /// Without a chance to say good-bye.
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

#[test]
fn a_killed_broker_costs_neither_a_record_nor_the_order() {
    const RECORDS: usize = 600;
    let directory = tempfile::tempdir().unwrap();
    let address = free_address();
    let command = |arguments: &[&str]| -> Command {
        let mut command = outlast(directory.path());
        command
            .args(arguments)
            .env("OUTLAST_BOOTSTRAP", address.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        command
    };
    let mut broker = Broker::start(directory.path(), address);
    let created = command(&["topic", "create", "a"]).status().unwrap();
    assert!(created.success());
    let count = RECORDS.to_string();
    let mut reader = command(&["consume", "a", "--from", "beginning", "-n", &count])
        .spawn()
        .unwrap();
    let mut read = BufReader::new(reader.stdout.take().unwrap()).lines();
    let mut writer = command(&["produce", "a", "--rate", "400/s", "--quiet"])
        .spawn()
        .unwrap();
    let input: String = (0..RECORDS).map(|n| format!("{n}\n")).collect();
    writer
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    for n in 0..RECORDS {
        if n == 100 || n == 300 {
            broker.kill();
            broker = Broker::start(directory.path(), address);
        }
        assert_eq!(read.next().unwrap().unwrap(), n.to_string());
    }
    assert!(writer.wait().unwrap().success(), "all were acknowledged");
    assert!(reader.wait().unwrap().success());
    let again = command(&["consume", "a", "--from", "beginning", "--until-end"]);
    let again = { again }.output().unwrap();
    let again = String::from_utf8(again.stdout).unwrap();
    assert_eq!(again, input, "each record once, in order");
    drop(broker);
}
