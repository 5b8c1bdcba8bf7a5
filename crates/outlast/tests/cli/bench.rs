//! `outlast bench`: that it measures what it says, not how fast this machine is.

use super::{Cluster, lines};

#[test]
fn each_bench_counts_what_it_did_and_says_it_in_one_line() {
    let cluster = Cluster::start();
    let result = |arguments: &[&str]| -> serde_json::Value {
        let said = cluster.say(&[&["bench"], arguments, &["--json"]].concat());
        assert_eq!(lines(&said).len(), 1, "{said}");
        serde_json::from_str(&said).unwrap()
    };
    let produced = result(&[
        "produce",
        "--topic",
        "load",
        "-p",
        "4",
        "-n",
        "5000",
        "--size",
        "100",
        "--producers",
        "3",
    ]);
    assert_eq!(produced["records"], 5000);
    assert_eq!(produced["bytes"], 500_000);
    assert_eq!(produced["partitions"], 4);
    for name in ["mib_per_second", "p50_ms", "p99_ms", "max_ms"] {
        assert!(
            produced[name].as_f64().is_some_and(|n| n > 0.0),
            "{name}: {produced}"
        );
    }
    let listed = cluster.json(&["topic", "list", "--json"]);
    assert_eq!(listed[0]["records"], 5000, "no record more or less");

    let consumed = result(&[
        "consume",
        "--topic",
        "load",
        "-n",
        "5000",
        "--consumers",
        "2",
    ]);
    assert_eq!(consumed["records"], 5000);
    assert_eq!(consumed["p50_ms"], serde_json::Value::Null);

    let there_and_back = result(&["e2e", "-n", "50"]);
    assert_eq!(there_and_back["records"], 50);
    let streamed = result(&["e2e", "-n", "50", "--rate", "500/s", "-p", "3"]);
    assert_eq!(streamed["records"], 50);

    let listed = cluster.json(&["topic", "list", "--json"]);
    assert_eq!(
        listed.as_array().map(Vec::len),
        Some(1),
        "topics of its own are deleted"
    );
}

#[test]
fn a_fixed_rate_takes_its_time() {
    let cluster = Cluster::start();
    let arguments = ["bench", "produce", "--rate", "100/s", "-n", "51", "--json"];
    let said = cluster.json(&arguments);
    assert!(said["seconds"].as_f64().is_some_and(|s| s >= 0.5), "{said}");
}

#[test]
fn too_few_records_are_a_failure() {
    let cluster = Cluster::start();
    cluster.feed(&["produce", "load"], "one\n");
    let arguments = [
        "bench", "consume", "--topic", "load", "-n", "2", "--idle", "100ms",
    ];
    let said = cluster.refusal(&arguments);
    assert!(said.contains("only 1 of 2"), "{said}");
}
