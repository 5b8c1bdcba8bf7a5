//! What is wrong with a configuration, said so that the reader knows where to look and what to write instead.

use std::fmt;
use std::path::PathBuf;

use super::key::Key;
use super::suggest;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Flag(String),
    Variable(String),
    File { path: PathBuf, line: usize },
}

#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    /// None: the values disagree with each other, wherever they come from.
    pub origin: Option<Origin>,
    pub message: String,
}

/// All problems at once, so that they can be put right at once.
#[derive(Debug)]
pub struct Problems(pub Vec<Problem>);

impl Problem {
    pub fn unknown(origin: Origin, name: &str) -> Self {
        let message = match suggest::instead_of(name) {
            Some(hint) => format!("there is no setting {name}; {hint}"),
            None => format!("there is no setting {name}"),
        };
        Self {
            origin: Some(origin),
            message,
        }
    }

    pub fn value(origin: Origin, key: &Key, text: &str, refusal: &str) -> Self {
        Self {
            origin: Some(origin),
            message: format!("{} can't be {text:?}: {refusal}", key.name),
        }
    }

    pub fn at(origin: Origin, message: impl Into<String>) -> Self {
        Self {
            origin: Some(origin),
            message: message.into(),
        }
    }

    pub fn between(message: impl Into<String>) -> Self {
        Self {
            origin: None,
            message: message.into(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "--{flag}"),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration can't be used:")?;
        for problem in &self.0 {
            match &problem.origin {
                Some(origin) => write!(f, "\n  {origin}: {}", problem.message)?,
                None => write!(f, "\n  {}", problem.message)?,
            }
        }
        f.write_str("\n`outlast config reference` lists every setting.")
    }
}

impl std::error::Error for Problems {}
