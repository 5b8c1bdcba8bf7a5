//! Suites that are a list of commands: `compat/<suite>/script.toml` says what to start, what to
//! feed it and what it has to print. The steps build on each other and are run in their order.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use toml::{Table, Value};

use crate::{process, workspace};

use super::suite::{Extent, Findings, Suite, Verdict};

const STEP_LIMIT: Duration = Duration::from_secs(60);

/// One command with what is expected of it.
#[derive(Default, Debug, PartialEq)]
struct Step {
    name: String,
    run: Vec<String>,
    /// For its standard input.
    input: String,
    /// Files that it reads, by name; `{dir}/name` in the arguments.
    files: Vec<(String, String)>,
    prints: Vec<String>,
    never_prints: Vec<String>,
    /// It has to end with an error.
    fails: bool,
}

/// Runs the script; `command` makes the first word of a step into a program.
pub fn run(
    suite: &Suite,
    extent: Extent,
    bootstrap: &str,
    command: impl Fn(&str) -> Command,
) -> Result<Findings> {
    let path = workspace::root().join(format!("compat/{}/script.toml", suite.name));
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let steps = parse(&text).with_context(|| path.display().to_string())?;
    let mut findings = match extent {
        Extent::Everything => Findings::of(suite),
        Extent::Fast => Findings::default(),
    };
    let dir = TempDir::new()?;
    for step in steps {
        let is_fast = suite.fast.contains(&step.name);
        if suite.skip(&step.name).is_some() || (extent == Extent::Fast && !is_fast) {
            continue;
        }
        let verdict = match step.run_once(suite.name, dir.path(), bootstrap, &command) {
            Ok(()) => Verdict::Passed,
            Err(error) => Verdict::Failed(format!("{error:#}")),
        };
        println!("      {}: {}", step.name, verdict.word());
        findings.add(&step.name, verdict);
    }
    Ok(findings)
}

impl Step {
    fn run_once(
        &self,
        suite: &str,
        dir: &Path,
        bootstrap: &str,
        command: &impl Fn(&str) -> Command,
    ) -> Result<()> {
        let filled = |text: &String| {
            let dir = dir.display().to_string();
            text.replace("{bootstrap}", bootstrap)
                .replace("{dir}", &dir)
        };
        for (name, content) in &self.files {
            fs::write(dir.join(name), filled(content))?;
        }
        fs::write(dir.join("input"), filled(&self.input))?;
        let (program, arguments) = self.run.split_first().context("`run` is empty")?;
        let program = command(program);
        // A shell only to connect the input; the words go through it untouched.
        let mut shell = Command::new("sh");
        shell.args(["-c", "input=$1; shift; exec \"$@\" < \"$input\"", "sh"]);
        shell.arg(dir.join("input"));
        shell.arg(program.get_program()).args(program.get_args());
        for (name, value) in program.get_envs() {
            shell.env(name, value.unwrap_or_default());
        }
        shell.args(arguments.iter().map(filled));
        let log = format!("compat {suite} {}", self.name);
        let finished = process::run(&log, &mut shell, STEP_LIMIT)?;
        let output = format!("{}\n{}", finished.stdout, finished.stderr);
        let said = finished.tail(12);
        ensure!(
            finished.success != self.fails,
            "ended with {:?}\n{said}",
            finished.code
        );
        for text in &self.prints {
            ensure!(
                output.contains(&filled(text)),
                "did not print {text:?}\n{said}"
            );
        }
        for text in &self.never_prints {
            ensure!(!output.contains(text.as_str()), "printed {text:?}\n{said}");
        }
        Ok(())
    }
}

fn parse(text: &str) -> Result<Vec<Step>> {
    let table: Table = text.parse()?;
    let steps = table.get("step").and_then(Value::as_array);
    let steps = steps.context("a script has steps")?;
    let parse = |value: &Value| -> Result<Step> {
        let step = value.as_table().context("a step is a table")?;
        let mut parsed = Step::default();
        for (key, value) in step {
            let word = || value.as_str().map(str::to_owned).unwrap_or_default();
            let words = || {
                let list = value.as_array().into_iter().flatten();
                list.filter_map(Value::as_str).map(str::to_owned).collect()
            };
            match key.as_str() {
                "name" => parsed.name = word(),
                "run" => parsed.run = words(),
                "input" => parsed.input = word(),
                "prints" => parsed.prints = words(),
                "never_prints" => parsed.never_prints = words(),
                "fails" => parsed.fails = value.as_bool().unwrap_or_default(),
                "files" => {
                    let files = value.as_table().into_iter().flatten();
                    let file = |(name, content): (&String, &Value)| {
                        let content = content.as_str().unwrap_or_default();
                        (name.clone(), content.to_owned())
                    };
                    parsed.files = files.map(file).collect();
                }
                other => anyhow::bail!("a step has no `{other}`"),
            }
        }
        let says_something = !parsed.prints.is_empty() || !parsed.never_prints.is_empty();
        ensure!(
            says_something || parsed.fails,
            "`{}` expects nothing and can't fail",
            parsed.name
        );
        Ok(parsed)
    };
    steps.iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read() {
        let text = "[[step]]\nname = \"a\"\nrun = [\"x\", \"y\"]\nprints = [\"z\"]\n\
            files = { f = \"g\" }\n";
        let step = Step {
            name: "a".to_owned(),
            run: vec!["x".to_owned(), "y".to_owned()],
            prints: vec!["z".to_owned()],
            files: vec![("f".to_owned(), "g".to_owned())],
            ..Step::default()
        };
        assert_eq!(parse(text).unwrap(), [step]);
    }

    #[test]
    fn a_step_that_expects_nothing_is_refused() {
        assert!(parse("[[step]]\nname = \"a\"\nrun = [\"x\"]\n").is_err());
        assert!(parse("[[step]]\nname = \"a\"\nprint = [\"x\"]\n").is_err());
    }

    #[test]
    fn what_a_step_prints_decides() {
        let dir = TempDir::new().unwrap();
        let check = |prints: &str, fails: bool, run: &[&str]| {
            let step = Step {
                name: "unit".to_owned(),
                run: run.iter().map(|&word| word.to_owned()).collect(),
                input: "typed {bootstrap}".to_owned(),
                prints: vec![prints.to_owned()],
                fails,
                ..Step::default()
            };
            step.run_once("unit", dir.path(), "host:1", &|name| Command::new(name))
        };
        check("typed host:1", false, &["cat"]).unwrap();
        assert!(check("other", false, &["cat"]).is_err());
        assert!(check("typed", true, &["cat"]).is_err());
        assert!(check("", false, &["false"]).is_err());
    }
}
