//! The checks that neither rustfmt nor clippy makes: house style that can be told by machine, and
//! documents that are generated from the code and must not fall behind it.
//!
//! The set of checked files is what git tracks or would track, so build output never counts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::tally::Tally;
use crate::workspace::Build;
use crate::{process, workspace};

/// Past this a source file needs to be two.
const MAX_LINES: usize = 800;
#[derive(Args)]
pub struct TidyArgs {
    /// Write the generated documents anew instead of checking them
    #[arg(long)]
    bless: bool,
}

/// `cargo xtask tidy`.
pub fn run(args: &TidyArgs, tally: &mut Tally) -> Result<()> {
    check_sources(tally)?;
    workspace::build(Build::Programs)?;
    for document in DOCUMENTS {
        let started = Instant::now();
        let result = if args.bless {
            document.write()
        } else {
            document.check()
        };
        tally.record(
            &format!("tidy: {} is up to date", document.path),
            started,
            result,
        );
    }
    Ok(())
}

/// The checks that only read sources.
pub fn check_sources(tally: &mut Tally) -> Result<()> {
    let sources = Sources::read()?;
    type Check = fn(&Source) -> Vec<String>;
    let checks: [(&str, Check); 5] = [
        ("files are short", file_length),
        ("modules open with //!", module_header),
        ("lines are clean", clean_lines),
        ("names say what a module is about", module_name),
        ("no machine's own paths", foreign_words),
    ];
    for (name, check) in checks {
        let started = Instant::now();
        let faults: Vec<String> = sources.0.iter().flat_map(check).collect();
        let result = if faults.is_empty() {
            Ok(())
        } else {
            Err(anyhow::anyhow!(faults.join("\n")))
        };
        tally.record(&format!("tidy: {name}"), started, result);
    }
    Ok(())
}

/// The documents that the binary itself prints, checked after it has been built.
pub fn check_documents(tally: &mut Tally) {
    for document in DOCUMENTS {
        let started = Instant::now();
        tally.record(
            &format!("tidy: {} is up to date", document.path),
            started,
            document.check(),
        );
    }
}

/// A document that a program prints.
struct Document {
    path: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
}

const DOCUMENTS: &[Document] = &[
    Document {
        path: "docs/COMPATIBILITY.md",
        program: "compatibility",
        arguments: &[],
    },
    Document {
        path: "docs/CONFIGURATION.md",
        program: "outlast",
        arguments: &["config", "reference", "--format", "markdown"],
    },
];

impl Document {
    fn generate(&self) -> Result<String> {
        let mut program = Command::new(workspace::built("debug", self.program));
        let finished = process::run(
            self.path,
            program.args(self.arguments),
            Duration::from_secs(30),
        )?;
        Ok(finished.expect_success()?.stdout)
    }

    fn check(&self) -> Result<()> {
        let written = fs::read_to_string(workspace::root().join(self.path)).unwrap_or_default();
        ensure!(
            written == self.generate()?,
            "run `cargo xtask tidy --bless` and commit the result"
        );
        Ok(())
    }

    fn write(&self) -> Result<()> {
        let path = workspace::root().join(self.path);
        fs::create_dir_all(workspace::root().join("docs"))?;
        Ok(fs::write(path, self.generate()?)?)
    }
}

struct Source {
    path: String,
    text: String,
}

impl Source {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    fn fault(&self, line: usize, what: &str) -> String {
        format!("{}:{}: {what}", self.path, line + 1)
    }
}

struct Sources(Vec<Source>);

impl Sources {
    fn read() -> Result<Self> {
        let listing = Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .current_dir(workspace::root())
            .output()
            .context("git lists the files to check")?;
        ensure!(
            listing.status.success(),
            "{}",
            String::from_utf8_lossy(&listing.stderr)
        );
        let listing = String::from_utf8(listing.stdout)?;
        let is_checked = |path: &&str| {
            let kind = Path::new(path).extension().and_then(|kind| kind.to_str());
            let kinds = [
                "rs", "md", "toml", "py", "java", "js", "go", "c", "xml", "sh", "json",
            ];
            kind.is_some_and(|kind| kinds.contains(&kind)) && !path.ends_with("package-lock.json")
        };
        let read = |path: &str| {
            let text = fs::read_to_string(workspace::root().join(path)).ok()?;
            Some(Source {
                path: path.to_owned(),
                text,
            })
        };
        // A file that git still lists may have been deleted in the work tree.
        Ok(Self(
            listing
                .lines()
                .filter(is_checked)
                .filter_map(read)
                .collect(),
        ))
    }
}

fn file_length(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    if source.is_rust() && lines > MAX_LINES {
        return vec![source.fault(lines, &format!("{lines} lines; {MAX_LINES} is the limit"))];
    }
    Vec::new()
}

fn module_header(source: &Source) -> Vec<String> {
    let is_test = Path::new(&source.path)
        .components()
        .any(|part| part.as_os_str() == "tests")
        || source.path.ends_with("/tests.rs");
    if source.is_rust() && !is_test && !source.text.starts_with("//!") {
        return vec![source.fault(0, "a module opens with //! that says what it is")];
    }
    Vec::new()
}

fn clean_lines(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    for (number, line) in source.text.lines().enumerate() {
        // Two spaces at the end are a line break in Markdown; we don't use it.
        if line.ends_with([' ', '\t', '\r']) {
            faults.push(source.fault(number, "space at the end of the line"));
        }
        if source.is_rust()
            && (line.contains("todo!(") || line.contains("dbg!("))
            && !is_tidy(source)
        {
            faults.push(source.fault(number, "left over from writing"));
        }
    }
    if !source.text.is_empty() && !source.text.ends_with('\n') {
        faults.push(source.fault(
            source.text.lines().count(),
            "no newline at the end of the file",
        ));
    }
    faults
}

/// Names that say nothing; see "Names" in CONTRIBUTING.md.
fn module_name(source: &Source) -> Vec<String> {
    let vague = [
        "util", "utils", "helper", "helpers", "common", "misc", "manager",
    ];
    let path = PathBuf::from(&source.path);
    let names = path.iter().filter_map(|part| part.to_str());
    let is_vague = |name: &str| {
        let stem = name.strip_suffix(".rs").unwrap_or(name);
        vague.contains(&stem) || stem.ends_with("_v2")
    };
    if source.is_rust() && names.into_iter().any(is_vague) {
        return vec![source.fault(0, "the module's name says nothing about its subject")];
    }
    Vec::new()
}

/// Absolute paths of somebody's machine have no business in a repository.
fn foreign_words(source: &Source) -> Vec<String> {
    if is_tidy(source) {
        return Vec::new();
    }
    let words = ["/home/", "/root/", "/Users/", "/work/"];
    let is_foreign = |line: &str| words.iter().any(|word| line.contains(word));
    let lines = source.text.lines().enumerate();
    lines
        .filter(|(_, line)| is_foreign(line))
        .map(|(number, _)| source.fault(number, "a path of one particular machine"))
        .collect()
}

/// This file must name what it forbids.
fn is_tidy(source: &Source) -> bool {
    source.path == "xtask/src/tidy.rs"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn faults_are_found() {
        let long = "//! x\n".repeat(MAX_LINES + 1);
        assert_eq!(file_length(&source("a.rs", &long)).len(), 1);
        assert_eq!(file_length(&source("a.md", &long)).len(), 0);
        assert_eq!(module_header(&source("a/src/b.rs", "use x;\n")).len(), 1);
        assert_eq!(module_header(&source("a/tests/b.rs", "use x;\n")).len(), 0);
        assert_eq!(
            clean_lines(&source("a.rs", "x \ny\n")),
            ["a.rs:1: space at the end of the line"]
        );
        assert_eq!(clean_lines(&source("a.rs", "x")).len(), 1);
        assert_eq!(module_name(&source("crates/a/src/helpers.rs", "")).len(), 1);
        assert_eq!(module_name(&source("crates/a/src/utils/b.rs", "")).len(), 1);
        assert_eq!(module_name(&source("crates/a/src/fetch.rs", "")).len(), 0);
        assert_eq!(foreign_words(&source("a.md", "see /home/me\n")).len(), 1);
    }
}
