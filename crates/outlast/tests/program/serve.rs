//! The real binary: starts, stops, and refuses to start.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::client::{FETCH, create_topic, fetch_all, put, send};
use crate::harness::{Running, outlast, refusal, serve, until};
use outlast_protocol::messages::FetchRequest;
use rustix::process::Signal;
use tempfile::tempdir;

#[test]
fn an_empty_directory_is_all_it_needs() {
    let directory = tempdir().unwrap();
    let running = Running::start(directory.path(), &[]);
    assert_eq!(
        running.report[0],
        format!("Outlast {}", env!("CARGO_PKG_VERSION"))
    );
    let data = directory
        .path()
        .canonicalize()
        .unwrap()
        .join("outlast-data");
    assert_eq!(running.field("data"), data.display().to_string());
    assert_eq!(running.field("recovery"), "new data directory");
    assert!(running.field("durability").contains("fdatasync"));
    assert!(running.get("/readyz").contains("\r\n\r\nready\n"));
    assert!(
        running
            .get("/metrics")
            .contains("outlast_server_open_connections 0")
    );
    let (status, log) = running.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("stopping") && log.contains("stopped"), "{log}");
}

#[test]
fn both_loopback_addresses_share_one_port_and_one_name() {
    let directory = tempdir().unwrap();
    // Given after the helper's own, so there are two listeners.
    let running = Running::start(directory.path(), &["--listen", "localhost:0"]);
    let kafka: Vec<&str> = running
        .report
        .iter()
        .filter_map(|line| line.trim().strip_prefix("kafka"))
        .collect();
    let port = |line: &str| {
        line.split(", ")
            .next()
            .unwrap()
            .rsplit(':')
            .next()
            .unwrap()
            .to_owned()
    };
    let told: Vec<&str> = kafka
        .iter()
        .map(|line| line.rsplit(' ').next().unwrap())
        .collect();
    assert_eq!(told[0], format!("127.0.0.1:{}", port(kafka[0])));
    assert_eq!(told[1], format!("localhost:{}", port(kafka[1])));
    // A machine without IPv6 has no third.
    for (line, told) in kafka.iter().zip(&told).skip(2) {
        assert!(line.contains("[::1]"), "{line}");
        assert_eq!(*told, format!("localhost:{}", port(kafka[1])));
    }
}

#[test]
fn a_clean_stop_is_a_clean_start() {
    let directory = tempdir().unwrap();
    let arguments = ["--data", "d"];
    Running::start(directory.path(), &arguments).stop();
    let running = Running::start(directory.path(), &arguments);
    assert!(
        !running.field("recovery").contains("cut off"),
        "{}",
        running.field("recovery")
    );
    assert_eq!(running.stop().0.code(), Some(0));
}

#[test]
fn a_second_process_is_told_who_holds_the_data_directory() {
    let directory = tempdir().unwrap();
    let running = Running::start(directory.path(), &[]);
    let said = refusal(&mut serve(directory.path(), &[]));
    assert!(said.contains("the data directory is in use"), "{said}");
    assert!(
        said.contains(&format!("process {}", running.child.id())),
        "{said}"
    );
    assert!(said.contains("--data"), "{said}");
}

#[test]
fn a_taken_port_is_named_and_nothing_is_touched() {
    let (first, second) = (tempdir().unwrap(), tempdir().unwrap());
    let running = Running::start(first.path(), &[]);
    for (flag, address) in [("--listen", running.kafka), ("--http-listen", running.http)] {
        let said = refusal(&mut serve(second.path(), &[flag, &address.to_string()]));
        assert!(
            said.contains(&format!("{address} is already in use")),
            "{said}"
        );
        assert!(said.contains(flag), "{said}");
    }
    assert_eq!(second.path().read_dir().unwrap().count(), 0);
}

#[test]
fn wrong_settings_stop_the_start_with_their_place_and_what_is_allowed() {
    let directory = tempdir().unwrap();
    std::fs::write(
        directory.path().join("outlast.toml"),
        "num.partitions = 0\nretention.ms = 5\n",
    )
    .unwrap();
    let mut command = serve(directory.path(), &["--max-connections", "none"]);
    let said = refusal(command.env("OUTLAST_MESAGE_MAX_BYTES", "1MiB"));
    insta::assert_snapshot!(said);
    assert!(!directory.path().join("outlast-data").exists());
}

#[test]
fn a_configuration_file_is_read_and_reported() {
    let directory = tempdir().unwrap();
    std::fs::write(directory.path().join("my.toml"), "data = \"elsewhere\"\n").unwrap();
    let running = Running::start(directory.path(), &["--config", "my.toml"]);
    assert_eq!(running.field("config"), "my.toml");
    assert!(running.field("data").ends_with("/elsewhere"));
}

#[test]
fn a_stop_does_not_wait_for_those_who_wait() {
    let directory = tempdir().unwrap();
    let running = Running::start(directory.path(), &["--shutdown-timeout-ms", "1h"]);
    let mut client = TcpStream::connect(running.kafka).unwrap();
    create_topic(&mut client);
    let poll = FetchRequest {
        max_wait_ms: 600_000,
        ..fetch_all()
    };
    send(&mut client, FETCH, &poll).unwrap();
    until(|| {
        running
            .get("/metrics")
            .contains("outlast_server_requests_in_flight 1")
    });
    let began = Instant::now();
    assert_eq!(running.stop().0.code(), Some(0));
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_second_signal_stops_at_once() {
    let directory = tempdir().unwrap();
    let running = Running::start(directory.path(), &["--shutdown-timeout-ms", "1h"]);
    // A client that doesn't read more than its socket takes keeps the first stop waiting.
    let mut client = TcpStream::connect(running.kafka).unwrap();
    create_topic(&mut client);
    put(&mut client, &[7; 900_000]);
    for _ in 0..40 {
        send(&mut client, FETCH, &fetch_all()).unwrap();
    }
    // Until the socket takes nothing any more.
    let sent = || {
        let metrics = running.get("/metrics");
        let sent = "outlast_server_sent_bytes_total ";
        let line = metrics.lines().find_map(|line| line.strip_prefix(sent));
        line.map_or(0, |sent| sent.parse::<u64>().unwrap())
    };
    until(|| {
        let before = sent();
        before > 900_000 && (0..50).all(|_| sent() == before)
    });
    running.signal(Signal::TERM);
    until(|| running.get("/readyz").contains("stopping"));
    running.signal(Signal::INT);
    let (status, log) = running.wait();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("second signal"), "{log}");
}

#[test]
fn nothing_is_written_but_the_data_directory() {
    let directory = tempdir().unwrap();
    Running::start(directory.path(), &[]).stop();
    let names: Vec<_> = directory
        .path()
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["outlast-data"]);
    assert!(
        outlast(directory.path())
            .output()
            .unwrap()
            .stdout
            .is_empty()
    );
}

#[test]
fn one_address_for_two_purposes_is_said_to_be_ours() {
    let directory = tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = taken.local_addr().unwrap().to_string();
    drop(taken);
    let mut command = outlast(directory.path());
    let said = refusal(command.args(["serve", "--listen", &free, "--http-listen", &free]));
    assert!(
        said.contains(&format!("{free} is to be listened on twice")),
        "{said}"
    );
}
