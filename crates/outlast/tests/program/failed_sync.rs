//! The real binary on a disk whose fsync fails: it says so, acknowledges nothing any more, and ends with an error.
//!
//! `strace` attaches to the running process and makes the system call fail. Where it isn't installed or may not attach,
//! the test says that it is skipped.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use outlast_protocol::ErrorCode;
use tempfile::tempdir;

use crate::client::{FETCH, call, create_topic, fetch_all, put};
use crate::harness::Running;

#[test]
fn a_failed_fsync_ends_the_process_with_an_error() {
    let directory = tempdir().unwrap();
    let running = Running::start(directory.path(), &[]);
    let mut client = TcpStream::connect(running.kafka).unwrap();
    create_topic(&mut client);
    assert_eq!(put(&mut client, b"before"), Some(ErrorCode::None));
    // The first in each thread, and no other: who tries again would take what is lost for safe.
    let Some(mut strace) = fail_syncs(running.child.id(), "when=1") else {
        eprintln!(
            "skipped a_failed_fsync_ends_the_process_with_an_error: strace is not there, or may not attach"
        );
        return;
    };
    let answer = put(&mut client, b"lost");
    assert!(
        answer.is_none_or(|code| code == ErrorCode::KafkaStorageError),
        "{answer:?}"
    );
    let (status, log) = running.wait();
    let _ = strace.wait();
    assert_eq!(status.code(), Some(1), "{log}");
    for part in [
        "storage has failed",
        "nothing is acknowledged any more",
        "Input/output error",
        "check the disk",
    ] {
        assert!(log.contains(part), "{log:?} lacks {part:?}");
    }

    let running = Running::start(directory.path(), &[]);
    let mut client = TcpStream::connect(running.kafka).unwrap();
    let fetched = call(&mut client, FETCH, &fetch_all()).unwrap();
    let found = fetched.responses[0].partitions[0].records.clone();
    let found = found.unwrap_or_default().into_bytes();
    assert!(
        found.windows(6).any(|bytes| bytes == b"before"),
        "it was acknowledged"
    );
    assert_eq!(put(&mut client, b"after"), Some(ErrorCode::None));
    assert_eq!(running.stop().0.code(), Some(0));
}

/// Attaches to all threads of a process, and lets their fdatasync fail.
fn fail_syncs(process: u32, when: &str) -> Option<Child> {
    let mut strace = Command::new("strace")
        .args(["-f", "-e", "trace=fdatasync", "-e"])
        .arg(format!("inject=fdatasync:error=EIO:{when}"))
        .args(["-p", &process.to_string()])
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let mut lines = BufReader::new(strace.stderr.take()?).lines();
    let attached = lines
        .by_ref()
        .map_while(Result::ok)
        .any(|line| line.contains("attached"));
    // It would wait for somebody to read what it says.
    std::thread::spawn(move || lines.map_while(Result::ok).count());
    if !attached {
        let _ = strace.wait();
    }
    attached.then_some(strace)
}
