//! `outlast group`, and consuming as a member.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::{Cluster, lines, support};

fn filled(partitions: &str, records: usize) -> Cluster {
    let cluster = Cluster::start();
    cluster.say(&["topic", "create", "orders", "-p", partitions]);
    let input: String = (0..records).map(|n| format!("{n}:{n}\n")).collect();
    cluster.feed(&["produce", "orders", "-K", ":", "--quiet"], &input);
    cluster
}

fn read(cluster: &Cluster, more: &[&str]) -> usize {
    let arguments = [
        &["consume", "orders", "--group", "g", "--from", "beginning"],
        more,
    ]
    .concat();
    lines(&cluster.say(&arguments)).len()
}

fn described(cluster: &Cluster) -> serde_json::Value {
    cluster.json(&["group", "describe", "g", "--json"])[0].clone()
}

#[test]
fn a_group_goes_on_exactly_where_it_stopped() {
    let cluster = filled("3", 100);
    assert_eq!(read(&cluster, &["-n", "40"]), 40);
    assert_eq!(
        described(&cluster)["total_lag"]
            .as_i64()
            .map(|lag| lag <= 60),
        Some(true)
    );
    assert_eq!(read(&cluster, &["-n", "60"]), 60);
    assert_eq!(described(&cluster)["total_lag"], 0);
    let listed = cluster.json(&["group", "list", "--json"]);
    assert_eq!(listed[0]["group"], "g");
    assert_eq!(listed[0]["state"], "Empty");
    assert_eq!(listed[0]["protocol"], "consumer");
}

#[test]
fn a_reset_shows_first_and_acts_when_told() {
    let cluster = filled("1", 10);
    assert_eq!(read(&cluster, &["-n", "10"]), 10);
    let committed = || described(&cluster)["partitions"][0]["committed"].clone();
    let shown = cluster.say(&[
        "group", "reset", "g", "--topic", "orders", "--to", "earliest",
    ]);
    assert!(
        shown.contains("nothing was changed; add --execute"),
        "{shown}"
    );
    assert_eq!(committed(), 10);
    let check = |place: &[&str], expect: i64| {
        let arguments = [
            &[
                "group",
                "reset",
                "g",
                "--topic",
                "orders:0",
                "--execute",
                "--json",
            ],
            place,
        ]
        .concat();
        let before = committed();
        let moves = cluster.json(&arguments);
        let expected = json!([{"topic": "orders", "partition": 0, "from": before, "to": expect}]);
        assert_eq!(moves, expected, "{place:?}");
        assert_eq!(committed(), expect, "{place:?}");
    };
    check(&["--to", "earliest"], 0);
    check(&["--to", "4"], 4);
    check(&["--by", "3"], 7);
    check(&["--by", "-2"], 5);
    check(&["--by", "100"], 10);
    check(&["--to", "-3"], 7);
    check(&["--to", "1h"], 0);
    check(&["--to", "latest"], 10);
    check(&["--to", "9999"], 10);
    let said = cluster.refusal(&["group", "reset", "g", "--topic", "orders:7", "--to", "0"]);
    assert!(said.contains("no partition '7'"), "{said}");
}

#[test]
fn a_group_or_some_of_its_offsets_can_be_deleted() {
    let cluster = filled("2", 10);
    assert_eq!(read(&cluster, &["-n", "10"]), 10);
    let committed = || described(&cluster)["partitions"].as_array().map(Vec::len);
    assert_eq!(committed(), Some(2));
    cluster.say(&["group", "delete", "g", "--topic", "orders:1"]);
    assert_eq!(committed(), Some(1));
    cluster.say(&["group", "delete", "g"]);
    let said = cluster.refusal(&["group", "describe", "g"]);
    assert!(said.contains("outlast group list"), "{said}");
    let said = cluster.refusal(&["group", "delete", "g"]);
    assert!(said.contains("GROUP_ID_NOT_FOUND"), "{said}");
}

/// A member that prints partition and value of what it gets.
struct Member {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Member {
    fn join(cluster: &Cluster, more: &[&str]) -> Self {
        let arguments = [
            &["consume", "orders", "--group", "g", "--from", "beginning"][..],
            &["--format", "{partition} {value}"],
            more,
        ]
        .concat();
        let mut child = cluster
            .command(&arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line
    }

    fn leave(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How many partitions each member has, once every partition has a member.
fn shares(cluster: &Cluster) -> Option<Vec<u64>> {
    let group = described(cluster);
    if group["state"] != "Stable" {
        return None;
    }
    let members = group["members"].as_array()?.iter();
    let mut shares: Vec<u64> = members.filter_map(|m| m["partitions"].as_u64()).collect();
    shares.sort_unstable();
    Some(shares)
}

fn rebalances(more: &[&str]) {
    let cluster = filled("4", 4);
    let mut first = Member::join(&cluster, more);
    for _ in 0..4 {
        first.line();
    }
    assert_eq!(shares(&cluster), Some(vec![4]));
    let second = Member::join(&cluster, more);
    support::until(|| shares(&cluster) == Some(vec![2, 2]));
    let said = cluster.refusal(&["group", "reset", "g", "--topic", "orders", "--to", "0"]);
    assert!(said.contains("2 running members"), "{said}");
    first.leave();
    support::until(|| shares(&cluster) == Some(vec![4]));
    // Everything was committed on the way: only what is new is read.
    cluster.feed(&["produce", "orders", "--partition", "2"], "new\n");
    let mut second = second;
    assert_eq!(second.line(), "2 new\n");
    second.leave();
    assert_eq!(described(&cluster)["total_lag"], 0);
}

#[test]
fn members_share_by_range() {
    rebalances(&[]);
}

#[test]
fn members_share_cooperatively() {
    rebalances(&["--cooperative"]);
}

#[test]
fn a_member_waits_for_a_topic_that_comes_later() {
    let cluster = Cluster::start();
    let mut member = Member::join(&cluster, &[]);
    support::until(|| {
        let groups = cluster.json(&["group", "list", "--json"]);
        groups[0]["state"] == "Stable"
    });
    cluster.feed(&["produce", "orders"], "late\n");
    assert_eq!(member.line(), "0 late\n");
    member.leave();
}
