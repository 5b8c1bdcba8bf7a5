//! `--help` of every client command, as it is: a change here is a change for users.

use super::support::outlast;

fn help(command: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let output = outlast(directory.path())
        .args(command)
        .arg("-h")
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_command_teaches_by_example() {
    for command in [
        &["topic"][..],
        &["topic", "create"],
        &["topic", "list"],
        &["topic", "describe"],
        &["topic", "alter"],
        &["topic", "delete"],
        &["produce"],
        &["consume"],
        &["group"],
        &["group", "list"],
        &["group", "describe"],
        &["group", "reset"],
        &["group", "delete"],
        &["queue"],
        &["queue", "create"],
        &["queue", "list"],
        &["queue", "describe"],
        &["queue", "configure"],
        &["queue", "send"],
        &["queue", "receive"],
        &["queue", "peek"],
        &["queue", "purge"],
        &["queue", "delete"],
        &["dlq"],
        &["dlq", "list"],
        &["dlq", "show"],
        &["dlq", "redrive"],
        &["dlq", "purge"],
        &["dlq", "jobs"],
        &["log"],
        &["log", "dump"],
        &["log", "verify"],
        &["bench"],
        &["bench", "produce"],
        &["bench", "consume"],
        &["bench", "e2e"],
    ] {
        let help = help(command);
        assert!(help.contains("Examples:\n  "), "{command:?} has no example");
        insta::assert_snapshot!(command.join("_"), help);
    }
}
