//! `outlast queue` and `outlast dlq`.

use serde_json::{Value, json};

use super::{Cluster, lines, support};

/// A queue without waits between tries.
fn with_queue(more: &[&str]) -> Cluster {
    let cluster = Cluster::start();
    let create = [
        "queue",
        "create",
        "jobs",
        "-c",
        "retry.policy=fixed",
        "-c",
        "retry.initial.delay.ms=0",
    ];
    let said = cluster.say(&[&create, more].concat());
    assert_eq!(said, "jobs ready (1 partition)\n");
    cluster
}

fn stats(cluster: &Cluster) -> Value {
    cluster.json(&["queue", "describe", "jobs", "--json"])["stats"].clone()
}

#[test]
fn a_queue_lives_from_create_to_delete() {
    let cluster = with_queue(&[]);
    let said = cluster.refusal(&["queue", "create", "jobs"]);
    assert!(said.contains("exists already"), "{said}");
    cluster.say(&["queue", "create", "jobs", "--if-not-exists"]);
    assert_eq!(cluster.say(&["queue", "send", "jobs", "a", "b"]), "");
    cluster.feed(
        &["queue", "send", "jobs", "-K", ":", "--quiet"],
        "k:c\nk:d\n",
    );
    assert_eq!(
        cluster.say(&["queue", "list"]),
        "QUEUE  GROUP  PARTITIONS  READY  DELAYED  IN FLIGHT\n\
         jobs   jobs            1      4        0          0\n"
    );
    let changed = cluster.json(&[
        "queue",
        "configure",
        "jobs",
        "-c",
        "share.delivery.count.limit=2",
        "--json",
    ]);
    assert_eq!(changed["settings"]["share.delivery.count.limit"], "2");
    assert_eq!(
        cluster.say(&["queue", "receive", "jobs", "-n", "3"]),
        "a\nb\nc\n"
    );
    let seen = cluster.say(&["queue", "peek", "jobs"]);
    assert_eq!(lines(&seen).len(), 2, "{seen}");
    assert!(lines(&seen)[1].ends_with('d'), "{seen}");
    let described = cluster.say(&["queue", "describe", "jobs"]);
    for part in [
        "1 ready, 0 delayed, 0 in flight, 0 dead",
        "dlq.jobs",
        "retry.policy",
    ] {
        assert!(described.contains(part), "no {part} in\n{described}");
    }
    let dry = cluster.say(&["queue", "purge", "jobs", "--dry-run"]);
    assert_eq!(dry, "1 messages would be dropped; nothing was changed\n");
    assert_eq!(
        cluster.say(&["queue", "purge", "jobs"]),
        "1 messages dropped\n"
    );
    let dry = cluster.say(&["queue", "delete", "jobs", "--dry-run"]);
    assert_eq!(
        dry,
        "jobs with 0 messages that are not done would be deleted; nothing was changed\n"
    );
    assert_eq!(
        cluster.say(&["queue", "delete", "jobs"]),
        "jobs deleted; its topic is gone, too\n"
    );
    assert!(cluster.say(&["queue", "list"]).contains("no queues"));
    let said = cluster.refusal(&["queue", "receive", "jobs"]);
    assert!(said.contains("outlast queue create"), "{said}");
}

#[test]
fn received_messages_have_the_fate_that_was_asked_for() {
    let cluster = with_queue(&[]);
    cluster.say(&["queue", "send", "jobs", "-k", "key", "-H", "h=v", "a"]);
    let kept = [
        "queue", "receive", "jobs", "--then", "keep", "--lock", "300ms", "--json",
    ];
    let message = cluster.json(&kept);
    assert_eq!(message["key"], "key");
    assert_eq!(message["headers"], json!([{"name": "h", "value": "v"}]));
    assert!(message["receipt"].is_string());
    // The lock runs out; it is received again, and given back as if nothing had been.
    let back = ["queue", "receive", "jobs", "--wait", "10s", "--json"];
    let again = cluster.json(&[&back[..], &["--then", "release", "--not-counting"]].concat());
    assert_eq!(again["deliveryCount"], 2);
    let again = cluster.json(&[&back[..], &["--then", "release", "--delay", "1h"]].concat());
    assert_eq!(again["deliveryCount"], 2);
    support::until(|| stats(&cluster)["delayed"] == 1);
    assert_eq!(cluster.say(&["queue", "receive", "jobs"]), "");
}

#[test]
fn files_and_bytes_go_through_as_they_are() {
    let cluster = with_queue(&[]);
    let bytes: Vec<u8> = (0..=255).collect();
    let file = cluster.path().join("scan.bin");
    std::fs::write(&file, &bytes).unwrap();
    cluster.say(&[
        "queue",
        "send",
        "jobs",
        "--file",
        file.to_str().unwrap(),
        "--quiet",
    ]);
    let output = cluster.run(&["queue", "receive", "jobs"], "");
    assert_eq!(output.stdout, [&bytes[..], b"\n"].concat());
}

#[test]
fn later_is_later() {
    let cluster = with_queue(&[]);
    cluster.say(&["queue", "send", "jobs", "--delay", "200ms", "soon"]);
    cluster.say(&["queue", "send", "jobs", "--at", "2099-01-01", "far off"]);
    assert_eq!(cluster.say(&["queue", "receive", "jobs"]), "");
    let received = cluster.say(&["queue", "receive", "jobs", "-n", "2", "--wait", "10s"]);
    assert_eq!(received, "soon\n");
}

#[test]
fn dead_letters_are_shown_sent_back_and_dropped() {
    let cluster = with_queue(&[]);
    assert_eq!(cluster.say(&["dlq", "list", "jobs"]), "no dead letters\n");
    cluster.say(&["queue", "send", "jobs", "-k", "apple", "one"]);
    cluster.say(&["queue", "send", "jobs", "-k", "banana", "two"]);
    cluster.say(&[
        "queue", "receive", "jobs", "-n", "2", "--then", "reject", "--worker", "w",
    ]);
    support::until(|| stats(&cluster)["dead"] == 2);
    let listed = cluster.json(&["dlq", "list", "jobs", "--key", "a*", "--json"]);
    assert_eq!(listed[0]["value"], "one");
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    let table = cluster.say(&[
        "dlq", "list", "jobs", "--reason", "rejected", "--since", "1h",
    ]);
    assert_eq!(lines(&table).len(), 3, "{table}");
    let place = [&listed[0]["partition"], &listed[0]["offset"]].map(Value::to_string);
    let shown = cluster.say(&["dlq", "show", "jobs", &place[0], &place[1]]);
    for part in ["rejected", "last by w", "apple", "one"] {
        assert!(shown.contains(part), "no {part} in\n{shown}");
    }
    let dry = cluster.say(&["dlq", "redrive", "jobs", "--dry-run"]);
    assert!(dry.contains("nothing was changed"), "{dry}");
    let redrive = ["dlq", "redrive", "jobs", "--key", "a*"];
    assert_eq!(cluster.say(&redrive), "1 redriven\n");
    assert_eq!(cluster.say(&redrive), "no dead letters; nothing to do\n");
    let back = cluster.say(&["queue", "receive", "jobs", "--wait", "10s"]);
    assert_eq!(back, "one\n");
    assert_eq!(cluster.say(&["dlq", "purge", "jobs"]), "1 dropped\n");
    let jobs = cluster.json(&["dlq", "jobs", "--json"])["jobs"].clone();
    let kinds: Vec<&Value> = jobs
        .as_array()
        .unwrap()
        .iter()
        .map(|job| &job["kind"])
        .collect();
    assert_eq!(kinds, ["purge", "redrive"]);
    let id = jobs[0]["id"].as_str().unwrap();
    assert_eq!(cluster.say(&["dlq", "jobs", id]), "1 dropped\n");
    let said = cluster.refusal(&["dlq", "jobs", id, "--cancel"]);
    assert!(said.contains("runs no more"), "{said}");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let cluster = Cluster::start();
    let said = cluster.refusal(&["queue", "list", "--http", "127.0.0.1:1"]);
    assert!(
        said.contains("http://127.0.0.1:1 does not answer"),
        "{said}"
    );
    assert!(said.contains("--http"), "{said}");
    let said = cluster.refusal(&["queue", "create", "jobs", "-c", "retry.policy=never"]);
    assert!(said.contains("retry.policy"), "{said}");
}
