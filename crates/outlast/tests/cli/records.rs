//! `outlast produce` and `outlast consume`.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use super::{Cluster, lines};

const ALL: [&str; 3] = ["--from", "beginning", "--until-end"];

fn consume<'a>(topic: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["consume", topic], &ALL[..], more].concat()
}

#[test]
fn lines_go_in_and_come_out() {
    let cluster = Cluster::start();
    cluster.feed(&["produce", "greetings"], "hello\n\nwörld");
    let read = cluster.say(&consume("greetings", &[]));
    assert_eq!(read, "hello\n\nwörld\n");
}

#[test]
fn keys_headers_and_compression_survive() {
    let cluster = Cluster::start();
    cluster.say(&["topic", "create", "orders", "-p", "4"]);
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let produce = [
            "produce", "orders", "-K", "::", "-H", "codec=x", "-z", codec,
        ];
        cluster.feed(&produce, &format!("{codec}::1\n{codec}::2\n"));
    }
    let read = cluster.say(&consume("orders", &["--format", "{key} {value} {headers}"]));
    let mut read = lines(&read);
    // A key's records stay in order; between keys there is none.
    read.sort_by_key(|line| line.split(' ').next().map(str::to_owned));
    assert_eq!(
        read,
        [
            "gzip 1 codec=x",
            "gzip 2 codec=x",
            "lz4 1 codec=x",
            "lz4 2 codec=x",
            "none 1 codec=x",
            "none 2 codec=x",
            "snappy 1 codec=x",
            "snappy 2 codec=x",
            "zstd 1 codec=x",
            "zstd 2 codec=x",
        ]
    );
}

#[test]
fn what_json_prints_can_be_produced_again() {
    let cluster = Cluster::start();
    let given = "{\"key\":\"k\",\"value\":\"v\",\"headers\":[{\"name\":\"h\",\"value\":\"1\"}]}\n\
                 {\"key_hex\":\"ff00\",\"value_hex\":\"80\"}\n\
                 {\"key\":\"gone\",\"value\":null}\n";
    let sent = cluster.feed(&["produce", "a", "--as", "json", "--json"], given);
    assert_eq!(lines(&sent)[2], r#"{"topic":"a","partition":0,"offset":2}"#);
    let first = cluster.say(&consume("a", &["--json"]));
    cluster.feed(&["produce", "b", "--as", "json"], &first);
    let second = cluster.say(&consume("b", &["--json"]));
    let without_origin = |text: &str| -> Vec<serde_json::Value> {
        let strip = |line: &str| {
            let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
            let fields = record.as_object_mut().unwrap();
            for name in ["topic", "timestamp", "time"] {
                fields.remove(name).unwrap();
            }
            record
        };
        text.lines().map(strip).collect()
    };
    assert_eq!(without_origin(&first), without_origin(&second));
    assert_eq!(without_origin(&first)[1]["key_hex"], "ff00");
    assert_eq!(without_origin(&first)[2]["value"], serde_json::Value::Null);
}

#[test]
fn a_file_can_be_lines_or_one_record() {
    let cluster = Cluster::start();
    std::fs::write(cluster.path().join("two"), "one\ntwo\n").unwrap();
    std::fs::write(cluster.path().join("big"), vec![b'x'; 300_000]).unwrap();
    cluster.say(&["produce", "a", "two"]);
    cluster.say(&["produce", "a", "--as", "files", "two", "big"]);
    let read = cluster.json_lines(&consume("a", &["--json"]));
    let sizes: Vec<_> = read
        .iter()
        .map(|r| (r["key"].as_str(), r["value"].as_str().unwrap().len()))
        .collect();
    assert_eq!(
        sizes,
        [
            (None, 3),
            (None, 3),
            (Some("two"), 8),
            (Some("big"), 300_000)
        ]
    );
    let said = cluster.refusal(&["produce", "a", "missing"]);
    assert!(said.contains("missing"), "{said}");
}

#[test]
fn reading_begins_and_stops_where_it_is_told() {
    let cluster = Cluster::start();
    cluster.say(&["topic", "create", "n", "-p", "2"]);
    let ten: String = (0..10).map(|n| format!("{n}\n")).collect();
    cluster.feed(&["produce", "n", "--partition", "1"], &ten);
    let check = |more: &[&str], expect: &str| {
        let arguments = [&["consume", "n"], more].concat();
        let read = cluster.say(&arguments).replace('\n', "");
        assert_eq!(read, expect, "{more:?}");
    };
    check(&["--from", "beginning", "--until-end"], "0123456789");
    check(&["--from", "beginning", "-n", "3"], "012");
    check(&["--from", "7", "--partition", "1", "--until-end"], "789");
    check(&["--from", "-2", "--until-end"], "89");
    check(&["--from", "end", "--until-end"], "");
    check(&["--from", "1h", "--until-end"], "0123456789");
    check(&["--from", "2099-01-01", "--until-end"], "");
    check(
        &[
            "--from",
            "4",
            "--partition",
            "1",
            "-n",
            "1",
            "--format",
            "{offset}",
        ],
        "4",
    );
    check(&["--from", "end", "--idle", "1ms"], "");
    let said = cluster.refusal(&["consume", "n", "--partition", "2"]);
    assert!(said.contains("only 0 to 1"), "{said}");
    let said = cluster.refusal(&["consume", "none"]);
    assert!(said.contains("outlast topic create none"), "{said}");
}

#[test]
fn a_record_that_is_too_large_fails_and_the_others_are_there() {
    let cluster = Cluster::start();
    cluster.say(&["topic", "create", "a", "--config", "max.message.bytes=1000"]);
    let long = "x".repeat(2000);
    let output = cluster.run(
        &["produce", "a", "--batch-size", "1"],
        &format!("1\n{long}\n2\n"),
    );
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("MESSAGE_TOO_LARGE"), "{said}");
    let read = cluster.say(&consume("a", &[]));
    assert!(!read.contains("xx") && read.starts_with("1\n"), "{read}");
}

#[test]
fn a_rate_is_kept() {
    let cluster = Cluster::start();
    let began = std::time::Instant::now();
    cluster.feed(&["produce", "a", "--rate", "20/s"], &"x\n".repeat(11));
    assert!(began.elapsed().as_millis() >= 500);
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let cluster = Cluster::start();
    cluster.feed(
        &["produce", "a", "--quiet"],
        &"a long enough line\n".repeat(100_000),
    );
    let mut child = cluster
        .command(&["consume", "a", "--from", "beginning"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    drop(out);
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(said, "");
    assert!(child.wait().unwrap().success());
}

#[test]
fn an_interrupt_commits_what_was_printed_and_leaves() {
    let cluster = Cluster::start();
    cluster.feed(&["produce", "a", "--quiet"], "1\n2\n3\n");
    let arguments = ["consume", "a", "--group", "g", "--from", "beginning"];
    let mut child = cluster
        .command(&arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    for _ in 0..3 {
        out.read_line(&mut String::new()).unwrap();
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert!(child.wait().unwrap().success());
    let group = &cluster.json(&["group", "describe", "g", "--json"])[0];
    assert_eq!(group["partitions"][0]["committed"], 3);
    assert_eq!(group["members"], serde_json::json!([]));
}

impl Cluster {
    fn json_lines(&self, arguments: &[&str]) -> Vec<serde_json::Value> {
        let text = self.say(arguments);
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}
