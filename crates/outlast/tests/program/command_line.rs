//! What the command line says about itself.

use crate::harness::outlast;
use tempfile::tempdir;

fn say(arguments: &[&str]) -> String {
    let directory = tempdir().unwrap();
    let output = outlast(directory.path()).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn serve_help_is_short_and_teaches_by_example() {
    insta::assert_snapshot!(say(&["serve", "-h"]));
}

#[test]
fn serve_help_in_full_has_every_setting_that_acts() {
    let help = say(&["serve", "--help"]);
    for flag in [
        "--listen",
        "--max-connections",
        "--wal-file-bytes",
        "--num-partitions",
        "--log-retention-ms",
    ] {
        assert!(help.contains(flag), "{flag}");
    }
    assert!(
        !help.contains("--log-preallocate"),
        "changes nothing, so it is left to the reference"
    );
}

#[test]
fn the_reference_names_every_flag() {
    let reference = say(&["config", "reference"]);
    let page = say(&["config", "reference", "--format", "markdown"]);
    for setting in [
        "listen",
        "data",
        "num.partitions",
        "message.max.bytes",
        "offsets.retention.minutes",
    ] {
        assert!(reference.contains(&format!("\n#{setting} = ")), "{setting}");
        assert!(page.contains(&format!("| `{setting}` |")), "{setting}");
    }
}

#[test]
fn completions_exist_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = say(&["completions", shell]);
        assert!(script.contains("num-partitions"), "{shell}");
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_error_of_ours() {
    use std::process::Stdio;

    let directory = tempdir().unwrap();
    let mut child = outlast(directory.path())
        .args(["config", "reference"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("panicked"), "{said}");
}
