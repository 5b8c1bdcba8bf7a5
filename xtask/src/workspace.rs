//! Where things are in a checkout, and how cargo is called from inside it.

use std::path::PathBuf;
use std::process::Command;

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
