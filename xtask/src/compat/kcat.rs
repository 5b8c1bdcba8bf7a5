//! kcat from Debian's packages, unpacked under `target/deps`: nothing is installed on the machine.
//! It brings the librdkafka of its day along.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::process;

use super::install::{self, step};
use super::script;
use super::suite::{Extent, Findings, Suite};

const PACKAGES: &[&str] = &["kcat", "librdkafka1", "libyajl2"];

pub fn install() -> Result<PathBuf> {
    ensure!(
        process::is_installed("apt-get", "--version"),
        "kcat comes from Debian's packages, and there is no apt-get"
    );
    install::once("kcat", "1", |dir| {
        let mut download = Command::new("apt-get");
        step(
            "kcat download",
            download.arg("download").args(PACKAGES),
            dir,
        )?;
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|kind| kind == "deb") {
                let mut unpack = Command::new("dpkg");
                unpack.arg("-x").arg(&path).arg("root");
                step("kcat unpack", &mut unpack, dir)?;
            }
        }
        Ok(())
    })
}

pub fn run(suite: &Suite, extent: Extent, bootstrap: &str) -> Result<Findings> {
    let root = install()?.join("root/usr");
    script::run(suite, extent, bootstrap, |program| {
        let mut kcat = Command::new(root.join("bin").join(program));
        kcat.env("LD_LIBRARY_PATH", libraries(&root));
        kcat
    })
}

/// Debian keeps libraries in a folder named after the machine's architecture.
fn libraries(root: &std::path::Path) -> PathBuf {
    let folders = fs::read_dir(root.join("lib")).into_iter().flatten();
    let mut folders = folders.flatten().map(|entry| entry.path());
    folders.find(|path| path.is_dir()).unwrap_or_default()
}
