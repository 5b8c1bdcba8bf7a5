//! Collects the texts of all settings: flags win over environment variables, and those over the file.
//!
//! Every text is checked, also one that another overrides: a wrong line in a file is a wrong line.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::file;
use super::key::{ENV_PREFIX, Key};
use super::keys;
use super::problem::{Origin, Problem, Problems};
use super::value::Value;

/// The file that is read when it exists and no other is named.
const DEFAULT_FILE: &str = "outlast.toml";
const FILE_VARIABLE: &str = "OUTLAST_CONFIG";

/// What was given on the command line, by key name.
pub type FlagValues = BTreeMap<&'static str, Vec<String>>;

/// Everywhere a setting can come from.
#[derive(Debug, Default)]
pub struct Sources {
    pub flags: FlagValues,
    pub environment: Vec<(OsString, OsString)>,
    /// Variables with our prefix that are no settings, such as those of other commands.
    pub other_variables: Vec<String>,
    /// `--config`.
    pub file: Option<PathBuf>,
    /// Where the default file is looked for.
    pub directory: PathBuf,
}

/// The values that were given and hold, and the file they may have come from.
#[derive(Debug, Default)]
pub struct Given {
    pub values: BTreeMap<&'static str, Value>,
    pub file: Option<PathBuf>,
}

impl Sources {
    pub fn load(&self) -> Result<Given, Problems> {
        let mut loader = Loader::default();
        // Weakest first: what comes later replaces it.
        let file = self.load_file(&mut loader);
        self.load_environment(&mut loader);
        for (name, texts) in &self.flags {
            if let Some(key) = keys::find(name) {
                loader.take(Origin::Flag(key.flag()), &key, &texts.join(","));
            }
        }
        if loader.problems.is_empty() {
            Ok(Given {
                values: loader.values,
                file,
            })
        } else {
            Err(Problems(loader.problems))
        }
    }

    fn load_file(&self, loader: &mut Loader) -> Option<PathBuf> {
        let from_variable = || {
            let (_, value) = self
                .environment
                .iter()
                .find(|(name, _)| name == FILE_VARIABLE)?;
            Some((
                PathBuf::from(value),
                Origin::Variable(FILE_VARIABLE.to_owned()),
            ))
        };
        let from_flag = || Some((self.file.clone()?, Origin::Flag("config".to_owned())));
        let (path, named_by) = match from_flag().or_else(from_variable) {
            Some((path, origin)) => (path, Some(origin)),
            None => (self.directory.join(DEFAULT_FILE), None),
        };
        let content = match std::fs::read_to_string(&path) {
            Ok(content) => content,
            Err(error) if named_by.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                return None;
            }
            Err(error) => {
                let message = format!(
                    "the configuration file {} can't be read: {error}",
                    path.display()
                );
                loader.problems.push(match named_by {
                    Some(origin) => Problem::at(origin, message),
                    None => Problem::between(message),
                });
                return None;
            }
        };
        // The default file is shown by its bare name, as the user would write it.
        let shown = if named_by.is_some() {
            path.clone()
        } else {
            PathBuf::from(DEFAULT_FILE)
        };
        loader.take_file(&shown, &content);
        Some(shown)
    }

    fn load_environment(&self, loader: &mut Loader) {
        for (name, value) in &self.environment {
            let Some(name) = name.to_str().filter(|name| name.starts_with(ENV_PREFIX)) else {
                continue;
            };
            let ours =
                name == FILE_VARIABLE || self.other_variables.iter().any(|other| other == name);
            if ours {
                continue;
            }
            let origin = Origin::Variable(name.to_owned());
            match (
                keys::all().find(|key| key.environment_variable() == name),
                value.to_str(),
            ) {
                (Some(key), Some(text)) => loader.take(origin, &key, text),
                (Some(_), None) => loader
                    .problems
                    .push(Problem::at(origin, "its value is not valid UTF-8")),
                (None, _) if is_set_by_kubernetes(name) => {}
                (None, _) => {
                    let name = name[ENV_PREFIX.len()..].to_lowercase().replace('_', ".");
                    loader.problems.push(Problem::unknown(origin, &name));
                }
            }
        }
    }
}

/// Kubernetes gives every container variables about the services around it; for a service called `outlast` they have
/// our prefix: `OUTLAST_SERVICE_HOST`, `OUTLAST_SERVICE_PORT_HTTP`, `OUTLAST_PORT_9092_TCP_ADDR`.
fn is_set_by_kubernetes(name: &str) -> bool {
    name.contains("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.contains("_TCP")
        || name.contains("_UDP")
}

#[derive(Default)]
struct Loader {
    values: BTreeMap<&'static str, Value>,
    problems: Vec<Problem>,
}

impl Loader {
    fn take(&mut self, origin: Origin, key: &Key, text: &str) {
        match key.check(text) {
            Ok(value) => {
                self.values.insert(key.name, value);
            }
            Err(refusal) => self
                .problems
                .push(Problem::value(origin, key, text, &refusal)),
        }
    }

    fn take_file(&mut self, path: &Path, content: &str) {
        let entries = match file::parse(path, content) {
            Ok(entries) => entries,
            Err(problems) => return self.problems.extend(problems),
        };
        let mut lines = BTreeMap::new();
        for entry in entries {
            let origin = Origin::File {
                path: path.to_owned(),
                line: entry.line,
            };
            let Some(key) = keys::find(&entry.name) else {
                self.problems.push(Problem::unknown(origin, &entry.name));
                continue;
            };
            if let Some(before) = lines.insert(key.name, entry.line) {
                let message = format!("{} is given twice, here and in line {before}", key.name);
                self.problems.push(Problem::at(origin, message));
                continue;
            }
            self.take(origin, &key, &entry.text);
        }
    }
}

#[cfg(test)]
mod tests;
