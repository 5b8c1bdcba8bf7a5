//! Brings other people's sources from cargo's registry to a folder where they can be built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{process, workspace};

pub const BUILD_LIMIT: Duration = Duration::from_secs(20 * 60);

/// The suite's own folder under `target/deps/compat`.
pub fn folder(suite: &str) -> PathBuf {
    workspace::target().join("deps/compat").join(suite)
}

/// Runs `build` in an empty folder unless that was done before with the same `version`.
pub fn once(
    suite: &str,
    version: &str,
    build: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let dir = folder(suite);
    let stamp = dir.join(".installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == version) {
        return Ok(dir);
    }
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir)?;
    build(&dir).with_context(|| format!("installing {suite}"))?;
    fs::write(stamp, version)?;
    Ok(dir)
}

/// One step of a build, in `dir`.
pub fn step(name: &str, command: &mut Command, dir: &Path) -> Result<()> {
    process::run(name, command.current_dir(dir), BUILD_LIMIT)?
        .expect_success()
        .with_context(|| name.to_owned())?;
    Ok(())
}

/// Where cargo keeps the sources of a dependency of this workspace.
pub fn crate_sources(package: &str) -> Result<PathBuf> {
    let mut cargo = workspace::cargo();
    cargo.args(["metadata", "--format-version", "1"]);
    let finished = process::run("cargo metadata", &mut cargo, BUILD_LIMIT)?;
    let metadata: serde_json::Value =
        serde_json::from_str(&finished.expect_success_of_stderr()?.stdout)?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let manifest = packages
        .filter(|found| found["name"] == package)
        .find_map(|found| found["manifest_path"].as_str())
        .with_context(|| format!("{package} is no dependency"))?;
    let folder = Path::new(manifest).parent();
    Ok(folder.context("a manifest lies in a folder")?.to_owned())
}

/// Copies a folder; registries keep their files read-only, the copy can be written.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().context("a directory entry has a name")?);
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            // Not fs::copy, which would copy the lack of permission, too; but programs stay programs.
            let mode = fs::metadata(&path)?.permissions();
            fs::write(&target, fs::read(&path)?)?;
            make_executable_like(&target, &mode)?;
        }
    }
    Ok(())
}

fn make_executable_like(path: &Path, original: &fs::Permissions) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if original.mode() & 0o111 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}
