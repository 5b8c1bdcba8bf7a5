//! `outlast log`.

use super::{Cluster, lines};

#[test]
fn a_directory_is_shown_and_verified_while_its_broker_runs_and_after() {
    let cluster = Cluster::start();
    cluster.say(&["topic", "create", "orders"]);
    cluster.say(&["topic", "create", "other"]);
    cluster.feed(&["produce", "orders", "--key", "k"], "one\ntwo\n");
    cluster.feed(&["produce", "other"], "secret\n");
    let verify = ["log", "verify", "--data", "data"];
    assert!(cluster.say(&verify).contains("is in use"));
    let dump = [
        "log", "dump", "--data", "data", "--show", "records", "--topic", "orders",
    ];
    let shown = cluster.say(&dump);
    assert!(
        shown.contains("two") && !shown.contains("secret"),
        "{shown}"
    );
    assert!(shown.contains("append topic=orders partition="), "{shown}");
    let json = cluster.say(&[&dump[..], &["--json"]].concat());
    let mut batches = 0;
    for line in lines(&json) {
        let item: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(item.is_object(), "{line}");
        if item["item"] == "batch" {
            assert_eq!(item["topic"], "orders", "{line}");
            batches += 1;
        }
    }
    assert!(batches > 0, "{json}");
    let Cluster { directory, broker } = cluster;
    broker.stop();
    let verified = super::outlast(directory.path())
        .args(verify)
        .output()
        .unwrap();
    assert!(verified.status.success());
    let said = String::from_utf8(verified.stdout).unwrap();
    assert!(!said.contains("is in use"), "{said}");
}

#[test]
fn damage_is_exit_code_one_and_named() {
    let cluster = Cluster::start();
    cluster.feed(
        &["produce", "orders"],
        &"a line that is damaged\n".repeat(100),
    );
    let Cluster { directory, broker } = cluster;
    broker.stop();
    let mut damaged = false;
    for file in files(&directory.path().join("data")) {
        let mut bytes = std::fs::read(&file).unwrap();
        let found = bytes.windows(12).position(|w| w == b"that is dama");
        if let Some(at) = found {
            bytes[at] ^= 1;
            std::fs::write(&file, bytes).unwrap();
            damaged = true;
        }
    }
    assert!(damaged);
    let arguments = ["log", "verify", "--data", "data"];
    let verified = super::outlast(directory.path())
        .args(arguments)
        .output()
        .unwrap();
    assert_eq!(verified.status.code(), Some(1));
    let said = String::from_utf8(verified.stderr).unwrap();
    assert!(said.contains("data is damaged"), "{said}");
}

fn files(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory)
        .unwrap()
        .map(|e| e.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[test]
fn what_is_not_there_is_said() {
    let cluster = Cluster::start();
    let said = cluster.refusal(&["log", "dump", "--data", "nowhere"]);
    assert!(said.contains("no data directory nowhere"), "{said}");
    let said = cluster.refusal(&["log", "dump", "--data", "data", "--topic", "none"]);
    assert!(said.contains("knows no topic 'none'"), "{said}");
}
