//! `outlast topic`.

use super::{Cluster, support};

#[test]
fn a_topic_lives_from_create_to_delete() {
    let cluster = Cluster::start();
    assert!(cluster.say(&["topic", "list"]).contains("no topics yet"));
    let create = [
        "topic",
        "create",
        "orders",
        "-p",
        "3",
        "--config",
        "retention.ms=3600000",
    ];
    assert_eq!(cluster.say(&create), "orders created\n");
    cluster.feed(&["produce", "orders", "--quiet"], "a\nb\n");
    let listed = cluster.json(&["topic", "list", "--json"]);
    assert_eq!(
        listed,
        serde_json::json!([{"name": "orders", "partitions": 3, "replicas": 1, "records": 2, "internal": false}])
    );
    cluster.say(&[
        "topic",
        "alter",
        "orders",
        "--partitions",
        "4",
        "--config",
        "max.message.bytes=2000000",
        "--reset",
        "retention.ms",
    ]);
    let described = &cluster.json(&["topic", "describe", "orders", "--json"])[0];
    assert_eq!(described["partitions"].as_array().map(Vec::len), Some(4));
    assert_eq!(
        described["configs"],
        serde_json::json!([{"name": "max.message.bytes", "value": "2000000", "source": "topic"}])
    );
    let all = &cluster.json(&["topic", "describe", "orders", "--all", "--json"])[0];
    let retention = all["configs"].as_array().unwrap().iter();
    let retention: Vec<_> = retention.filter(|c| c["name"] == "retention.ms").collect();
    assert_eq!(retention[0]["source"], "default");
    assert_eq!(
        cluster.say(&["topic", "delete", "orders"]),
        "orders deleted\n"
    );
    assert!(cluster.say(&["topic", "list"]).contains("no topics yet"));
}

#[test]
fn tables_are_plain_when_nobody_looks() {
    let cluster = Cluster::start();
    cluster.say(&["topic", "create", "orders", "-p", "2"]);
    assert_eq!(
        cluster.say(&["topic", "list"]),
        "TOPIC   PARTITIONS  REPLICAS  RECORDS\norders           2         1        0\n"
    );
    let described = cluster.say(&["topic", "describe", "orders"]);
    assert!(!described.contains('\u{1b}'), "{described}");
    assert!(
        described.contains("\n        1       1      0  1         1            0    0\n"),
        "{described}"
    );
}

#[test]
fn refusals_name_what_is_wrong() {
    let cluster = Cluster::start();
    cluster.say(&["topic", "create", "orders"]);
    let check = |arguments: &[&str], expect: &str| {
        let said = cluster.refusal(arguments);
        assert!(said.contains(expect), "{arguments:?}: {said}");
    };
    check(&["topic", "create", "orders"], "TOPIC_ALREADY_EXISTS");
    check(
        &["topic", "create", "a", "-c", "retention.mss=1"],
        "retention.mss",
    );
    check(&["topic", "create", "a/b"], "INVALID_TOPIC");
    check(&["topic", "describe", "none"], "outlast topic create none");
    check(&["topic", "alter", "orders"], "nothing to change");
    check(
        &["topic", "alter", "orders", "-p", "1"],
        "INVALID_PARTITIONS",
    );
    check(&["topic", "delete", "none"], "'none' does not exist");
    cluster.say(&["topic", "delete", "none", "--if-exists"]);
    cluster.say(&["topic", "create", "orders", "--if-not-exists"]);
    let dry = cluster.say(&["topic", "create", "other", "--dry-run"]);
    assert_eq!(dry, "other could be created\n");
    check(&["topic", "describe", "other"], "does not exist");
}

#[test]
fn without_a_broker_it_says_how_to_start_one() {
    let directory = tempfile::tempdir().unwrap();
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let said = support::refusal(support::outlast(directory.path()).args([
        "topic",
        "list",
        "--bootstrap",
        &address,
    ]));
    assert!(said.contains(&address), "{said}");
    assert!(said.contains("outlast serve"), "{said}");
}

#[test]
fn wrong_usage_is_exit_code_two() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [
        &["topic", "create"][..],
        &["topic", "create", "a", "--config", "novalue"],
        &["consume", "a", "--from", "yesterday"],
        &["consume", "a", "--format", "{valu}"],
        &["produce", "a", "--acks", "2"],
        &["produce", "a", "--rate", "0"],
        &["group", "reset", "g", "--topic", "a"],
        &["bench", "produce", "--size", "1parsec"],
    ] {
        let output = support::outlast(directory.path())
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}
