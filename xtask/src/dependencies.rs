//! Installs what the client programs need, from the languages' package registries, through their
//! ordinary clients and those clients' own configuration.
//!
//! Each language works on a copy of `examples/<language>` under `target/deps`, so the checkout
//! stays clean. A copy is installed again only when the example has changed.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::{process, workspace};

const INSTALL_LIMIT: Duration = Duration::from_secs(15 * 60);

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, ValueEnum)]
pub enum Language {
    Python,
    Java,
    Go,
    Node,
    C,
    Rust,
}

impl Language {
    pub fn name(self) -> &'static str {
        match self {
            Language::Python => "python",
            Language::Java => "java",
            Language::Go => "go",
            Language::Node => "node",
            Language::C => "c",
            Language::Rust => "rust",
        }
    }

    /// The programs without which the language's client tests are skipped, with an argument
    /// that makes each of them end at once.
    fn toolchain(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Language::Python => &[("python3", "--version")],
            Language::Java => &[
                ("java", "-version"),
                ("javac", "-version"),
                ("mvn", "--version"),
            ],
            Language::Go => &[("go", "version")],
            Language::Node => &[("node", "--version"), ("npm", "--version")],
            Language::C => &[("cc", "--version"), ("make", "--version")],
            Language::Rust => &[],
        }
    }
}

/// A language whose programs can run, or why they can't.
pub enum Prepared {
    Ready(Toolbox),
    MissingToolchain(&'static str),
}

/// The commands of one language's example pair.
pub struct Toolbox {
    producer: Vec<PathBuf>,
    consumer: Vec<PathBuf>,
    /// Where the language's client has one.
    share_consumer: Option<Vec<PathBuf>>,
}

impl Toolbox {
    pub fn producer(&self) -> Command {
        command(&self.producer)
    }

    pub fn consumer(&self) -> Command {
        command(&self.consumer)
    }

    pub fn share_consumer(&self) -> Option<Command> {
        self.share_consumer.as_deref().map(command)
    }
}

fn command(words: &[PathBuf]) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

/// Installations that go on in the background while cargo builds.
pub struct Installations(HashMap<Language, JoinHandle<Result<Prepared>>>);

impl Installations {
    /// Starts with the languages whose packages come from elsewhere than cargo.
    pub fn start(languages: &[Language]) -> Self {
        let apart = |language: &&Language| !matches!(language, Language::C | Language::Rust);
        let start =
            |&language: &Language| (language, std::thread::spawn(move || prepare(language)));
        Self(languages.iter().filter(apart).map(start).collect())
    }

    /// Waits for one language. C and Rust need the workspace's build, which has to be done by now.
    pub fn finish(&mut self, language: Language) -> Result<Prepared> {
        match self.0.remove(&language) {
            Some(thread) => thread
                .join()
                .unwrap_or_else(|_| bail!("the installation panicked")),
            None => prepare(language),
        }
    }
}

/// Makes the example pair of a language ready to run; C and Rust need [`workspace::build`] first.
pub fn prepare(language: Language) -> Result<Prepared> {
    for &(program, argument) in language.toolchain() {
        if !process::is_installed(program, argument) {
            return Ok(Prepared::MissingToolchain(program));
        }
    }
    let toolbox = match language {
        Language::Python => python(),
        Language::Java => java(),
        Language::Go => go(),
        Language::Node => node(),
        Language::C => c(),
        Language::Rust => rust(),
    };
    Ok(Prepared::Ready(toolbox.with_context(|| {
        format!("preparing {}", language.name())
    })?))
}

/// The interpreter that has kafka-python, once `prepare` has installed it.
pub fn python_interpreter() -> PathBuf {
    copy_of(Language::Python).join("venv/bin/python")
}

/// The class path that has kafka-clients, once `prepare` has installed it.
pub fn java_class_path() -> Result<String> {
    let path = copy_of(Language::Java).join("classpath.txt");
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

fn python() -> Result<Toolbox> {
    let dir = install(Language::Python, |dir| {
        step(
            "python venv",
            Command::new("python3").args(["-m", "venv", "--clear", "venv"]),
            dir,
        )?;
        let pip = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ];
        let mut install = Command::new(dir.join("venv/bin/python"));
        step(
            "pip install",
            install.args(pip).args(["-r", "requirements.txt"]),
            dir,
        )
    })?;
    let run = |script| vec![python_interpreter(), dir.join(script)];
    Ok(Toolbox {
        producer: run("producer.py"),
        consumer: run("consumer.py"),
        share_consumer: Some(run("share_consumer.py")),
    })
}

fn java() -> Result<Toolbox> {
    let dir = install(Language::Java, |dir| {
        let mut maven = Command::new("mvn");
        maven.args(["--batch-mode", "--quiet", "compile"]);
        maven.arg("org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath");
        step(
            "mvn compile",
            maven.arg("-Dmdep.outputFile=classpath.txt"),
            dir,
        )
    })?;
    let class_path = format!(
        "{}:{}",
        dir.join("target/classes").display(),
        java_class_path()?
    );
    let run = |class: &str| {
        ["java", "-cp", &class_path, class]
            .map(PathBuf::from)
            .to_vec()
    };
    Ok(Toolbox {
        producer: run("Producer"),
        consumer: run("Consumer"),
        share_consumer: Some(run("ShareConsumer")),
    })
}

fn go() -> Result<Toolbox> {
    let dir = install(Language::Go, |dir| {
        step(
            "go build",
            Command::new("go").args(["build", "-o", "bin/", "./..."]),
            dir,
        )
    })?;
    let run = |program: &str| vec![dir.join("bin").join(program)];
    Ok(Toolbox {
        producer: run("producer"),
        consumer: run("consumer"),
        share_consumer: None,
    })
}

fn node() -> Result<Toolbox> {
    let dir = install(Language::Node, |dir| {
        step(
            "npm ci",
            Command::new("npm").args(["ci", "--no-audit", "--no-fund"]),
            dir,
        )
    })?;
    let run = |script: &str| vec![PathBuf::from("node"), dir.join(script)];
    Ok(Toolbox {
        producer: run("producer.js"),
        consumer: run("consumer.js"),
        share_consumer: None,
    })
}

/// Built with the rest of the workspace.
fn rust() -> Result<Toolbox> {
    // Named like the other languages' programs, not like anything of Outlast's.
    let run = |program| vec![workspace::built("debug", program)];
    Ok(Toolbox {
        producer: run("producer"),
        consumer: run("consumer"),
        share_consumer: None,
    })
}

/// C links the librdkafka that cargo has built for the Rust client: the same version everywhere,
/// and no system package to install.
fn c() -> Result<Toolbox> {
    let native = native_librdkafka()?;
    let dir = install(Language::C, |dir| {
        let mut make = Command::new("make");
        make.args(["clean", "all"]);
        make.arg(format!("RDKAFKA_CFLAGS={}", native.compile));
        make.arg(format!("RDKAFKA_LIBS={}", native.link));
        step("make", &mut make, dir)
    })?;
    let run = |program| vec![dir.join(program)];
    Ok(Toolbox {
        producer: run("producer"),
        consumer: run("consumer"),
        share_consumer: None,
    })
}

struct NativeFlags {
    compile: String,
    link: String,
}

/// Asks cargo where the build scripts of rdkafka-sys and libz-sys put what they built.
fn native_librdkafka() -> Result<NativeFlags> {
    let messages = workspace::build_messages()?;
    let scripts: Vec<serde_json::Value> = messages
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|message: &serde_json::Value| message["reason"] == "build-script-executed")
        .collect();
    let of = |package: &str| {
        let is_it = |script: &&serde_json::Value| {
            script["package_id"]
                .as_str()
                .is_some_and(|id| id.contains(package))
        };
        scripts
            .iter()
            .find(is_it)
            .with_context(|| format!("cargo built no {package}"))
    };
    let rdkafka = Path::new(of("rdkafka-sys")?["out_dir"].as_str().unwrap_or_default());
    let zlib = of("libz-sys")?["linked_paths"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let zlib = zlib
        .iter()
        .filter_map(|path| path.as_str()?.strip_prefix("native="));
    let zlib: String = zlib.map(|path| format!("-L{path} ")).collect();

    // The public headers are included as <librdkafka/rdkafka.h>, which the build tree doesn't have.
    let headers = workspace::target().join("deps/include/librdkafka");
    fs::create_dir_all(&headers)?;
    fs::copy(rdkafka.join("src/rdkafka.h"), headers.join("rdkafka.h"))?;
    let library = rdkafka.join("src/librdkafka.a");
    Ok(NativeFlags {
        compile: format!("-I{}", workspace::target().join("deps/include").display()),
        link: format!("{} {zlib}-lz -lpthread -ldl -lm", library.display()),
    })
}

fn copy_of(language: Language) -> PathBuf {
    workspace::target().join("deps").join(language.name())
}

/// Copies the example and runs `build` in the copy, unless that has been done for these sources.
fn install(language: Language, build: impl FnOnce(&Path) -> Result<String>) -> Result<PathBuf> {
    let source = workspace::root().join("examples").join(language.name());
    install_copy(&source, &copy_of(language), &[], build)
}

/// The same for any folder of ours, with files from elsewhere beside it.
pub fn install_copy(
    source: &Path,
    dir: &Path,
    beside: &[&Path],
    build: impl FnOnce(&Path) -> Result<String>,
) -> Result<PathBuf> {
    let stamp = dir.join(".installed");
    let mut wanted = contents(source)?;
    for path in beside {
        wanted += &fs::read_to_string(path)?;
    }
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(dir.to_owned());
    }
    copy(source, dir)?;
    for path in beside {
        fs::copy(
            path,
            dir.join(path.file_name().context("a file has a name")?),
        )?;
    }
    let _ = fs::remove_file(&stamp);
    build(dir)?;
    fs::write(&stamp, wanted)?;
    Ok(dir.to_owned())
}

/// All files of an example, concatenated: what decides whether an installation is current.
fn contents(dir: &Path) -> Result<String> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    paths.sort();
    let mut all = String::new();
    for path in paths {
        all += &path.display().to_string();
        all += &if path.is_dir() {
            contents(&path)?
        } else {
            fs::read_to_string(&path)?
        };
    }
    Ok(all)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().context("a directory entry has a name")?);
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}

/// Runs one command of an installation in its folder.
pub fn step(name: &str, command: &mut Command, dir: &Path) -> Result<String> {
    let finished = process::run(name, command.current_dir(dir), INSTALL_LIMIT)?;
    Ok(finished
        .expect_success()
        .with_context(|| name.to_owned())?
        .stdout)
}
