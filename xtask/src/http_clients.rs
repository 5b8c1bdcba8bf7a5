//! Clients of the HTTP API that other people's generators make of our OpenAPI document, each used for one round of a
//! queue's life against a broker of its own.
//!
//! What they need is installed like the examples' packages, into copies under `target/deps`; a client is generated again
//! when the document has changed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::broker::Broker;
use crate::dependencies::{install_copy, step};
use crate::tally::Tally;
use crate::workspace::Build;
use crate::{process, workspace};

const DOCUMENT: &str = "crates/outlast-server/src/http/openapi.json";
const PYTHON: &str = "venv/bin/python";
const PROGRAM_LIMIT: Duration = Duration::from_secs(90);

struct HttpClient {
    language: &'static str,
    /// Without these it is skipped.
    toolchain: &'static [(&'static str, &'static str)],
    /// Installs and generates in the folder.
    generate: fn(&Path) -> Result<String>,
    /// What runs the program of the folder.
    program: fn(&Path) -> Vec<PathBuf>,
}

const CLIENTS: [HttpClient; 3] = [
    HttpClient {
        language: "python",
        toolchain: &[("python3", "--version")],
        generate: generate_python,
        program: |dir| vec![dir.join(PYTHON), dir.join("worker.py")],
    },
    HttpClient {
        language: "node",
        toolchain: &[("node", "--version"), ("npm", "--version")],
        generate: generate_node,
        program: |dir| vec![PathBuf::from("node"), dir.join("worker.js")],
    },
    HttpClient {
        language: "go",
        toolchain: &[("go", "version")],
        generate: generate_go,
        program: |dir| vec![dir.join("bin/worker")],
    },
];

enum Prepared {
    Ready(Vec<PathBuf>),
    MissingToolchain(&'static str),
}

pub struct Installations(Vec<JoinHandle<Result<Prepared>>>);

/// Starts installing and generating; `cargo xtask test` does so before it builds.
pub fn start_installations() -> Installations {
    let start = |client: &'static HttpClient| std::thread::spawn(|| client.prepared());
    Installations(CLIENTS.iter().map(start).collect())
}

/// `cargo xtask http-clients`.
pub fn run(tally: &mut Tally) -> Result<()> {
    let installations = start_installations();
    workspace::build(Build::Programs)?;
    test(installations, tally);
    Ok(())
}

/// A part of `cargo xtask test`.
pub fn test(installations: Installations, tally: &mut Tally) {
    for (client, installation) in CLIENTS.iter().zip(installations.0) {
        let name = format!("generated HTTP client: {}", client.language);
        let started = Instant::now();
        let prepared = installation.join();
        match prepared.unwrap_or_else(|_| bail!("the installation panicked")) {
            Ok(Prepared::Ready(words)) => tally.record(&name, started, run_program(&name, &words)),
            Ok(Prepared::MissingToolchain(program)) => {
                tally.skip(&name, &format!("`{program}` is not installed"));
            }
            Err(error) => tally.fail(&name, &format!("{error:#}")),
        }
    }
}

fn run_program(name: &str, words: &[PathBuf]) -> Result<()> {
    let broker = Broker::start(&workspace::built("debug", "outlast"), name)?;
    let mut program = Command::new(&words[0]);
    program.args(&words[1..]).env("OUTLAST_HTTP", broker.http());
    process::run(name, &mut program, PROGRAM_LIMIT)?.expect_success()?;
    Ok(())
}

impl HttpClient {
    fn prepared(&self) -> Result<Prepared> {
        for &(program, argument) in self.toolchain {
            if !process::is_installed(program, argument) {
                return Ok(Prepared::MissingToolchain(program));
            }
        }
        let source = workspace::root().join("examples/http").join(self.language);
        let dir = workspace::target().join(format!("deps/http-{}", self.language));
        let document = workspace::root().join(DOCUMENT);
        install_copy(&source, &dir, &[&document], self.generate)?;
        Ok(Prepared::Ready((self.program)(&dir)))
    }
}

fn generate_python(dir: &Path) -> Result<String> {
    let mut venv = Command::new("python3");
    step(
        "http python venv",
        venv.args(["-m", "venv", "--clear", "venv"]),
        dir,
    )?;
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ];
    let mut install = Command::new(dir.join(PYTHON));
    install.args(pip).args(["-r", "requirements.txt"]);
    step("http pip install", &mut install, dir)?;
    let mut generate = Command::new(dir.join("venv/bin/openapi-python-client"));
    generate.args(["generate", "--path", "openapi.json", "--meta", "none"]);
    generate.args(["--output-path", "outlast_queues", "--overwrite"]);
    step("http python client", &mut generate, dir)
}

fn generate_node(dir: &Path) -> Result<String> {
    let mut install = Command::new("npm");
    step(
        "http npm ci",
        install.args(["ci", "--no-audit", "--no-fund"]),
        dir,
    )?;
    let mut build = Command::new("npm");
    step("http node client", build.args(["run", "build"]), dir)
}

fn generate_go(dir: &Path) -> Result<String> {
    let mut generate = Command::new("go");
    step("http go client", generate.args(["generate", "./..."]), dir)?;
    let mut build = Command::new("go");
    step(
        "http go build",
        build.args(["build", "-o", "bin/", "./worker"]),
        dir,
    )
}
