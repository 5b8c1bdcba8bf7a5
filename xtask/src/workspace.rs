//! Where things are in a checkout, and how cargo is called from inside it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process;

const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);

/// The root of the checkout.
pub fn root() -> PathBuf {
    let manifest = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest
        .parent()
        .expect("xtask lies in the workspace")
        .to_owned()
}

/// The folder cargo builds into; everything xtask makes goes there too, so git ignores it.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// The cargo that runs xtask, started in the checkout's root.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    // What cargo told this process about the xtask package is not true of what it builds next.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(name.as_ref());
        }
    }
    cargo
}

/// A program built by cargo in the given profile (`debug` or `release`).
pub fn built(profile: &str, program: &str) -> PathBuf {
    target().join(profile).join(program)
}

/// What to build. Cargo unites the features of all it builds in one call, so calls with different
/// sets compile the same dependencies again and again: there are few sets, and all use these.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Build {
    /// Everything that `cargo test --workspace` will run, programs included
    Everything,
    /// The programs alone: the broker, the examples in Rust, the crash harness
    Programs,
}

/// Builds in the dev profile; the compiler's complaints are in the error.
pub fn build(what: Build) -> Result<()> {
    let mut cargo = cargo();
    cargo.args([
        "build",
        "--workspace",
        "--message-format=json-render-diagnostics",
    ]);
    cargo.arg(match what {
        Build::Everything => "--all-targets",
        Build::Programs => "--bins",
    });
    let finished = process::run("build", &mut cargo, BUILD_LIMIT)?.expect_success_of_stderr()?;
    std::fs::write(messages_path(), finished.stdout)?;
    Ok(())
}

/// What cargo said about the last build, one JSON object a line: where build scripts put things.
pub fn build_messages() -> Result<String> {
    let path = messages_path();
    std::fs::read_to_string(&path).with_context(|| format!("{}: build first", path.display()))
}

fn messages_path() -> PathBuf {
    target().join("xtask-build-messages.json")
}
