//! The list of differences that are meant: patterns of `step/field`, in which `*` stands for
//! anything, each group with its reason.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use toml::{Table, Value};

pub struct Accepted(Vec<Pattern>);

struct Pattern {
    text: String,
    is_used: bool,
}

impl Accepted {
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> Result<Self> {
        let table: Table = text.parse()?;
        let groups = table.get("accepted").and_then(Value::as_array);
        let mut patterns = Vec::new();
        for group in groups.into_iter().flatten() {
            let reason = group.get("reason").and_then(Value::as_str);
            ensure!(
                reason.is_some_and(|reason| !reason.is_empty()),
                "a difference without a reason"
            );
            let fields = group.get("fields").and_then(Value::as_array);
            for field in fields.into_iter().flatten().filter_map(Value::as_str) {
                patterns.push(Pattern {
                    text: field.to_owned(),
                    is_used: false,
                });
            }
        }
        Ok(Self(patterns))
    }

    /// Whether a difference is meant; remembers that the pattern was of use.
    pub fn covers(&mut self, step: &str, field: &str) -> bool {
        let place = format!("{step}/{field}");
        let mut is_covered = false;
        for pattern in &mut self.0 {
            if matches(&pattern.text, &place) {
                pattern.is_used = true;
                is_covered = true;
            }
        }
        is_covered
    }

    pub fn unused(&self) -> Vec<&str> {
        let unused = self.0.iter().filter(|pattern| !pattern.is_used);
        unused.map(|pattern| pattern.text.as_str()).collect()
    }
}

/// `*` is any run of characters.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match() {
        for (pattern, text, expect) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b.c", false),
            ("*.b", "x/a.b", true),
            ("*.b", "x/a.bc", false),
            ("x/*b*", "x/abc", true),
            ("x/*b*d", "x/abc", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, text), expect, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_that_is_of_no_use_is_told() {
        let text = "[[accepted]]\nreason = \"r\"\nfields = [\"*.a\", \"*.b\"]\n";
        let mut accepted = Accepted::parse(text).unwrap();
        assert!(accepted.covers("s", "x.a"));
        assert!(!accepted.covers("s", "x.c"));
        assert_eq!(accepted.unused(), ["*.b"]);
        assert!(Accepted::parse("[[accepted]]\nfields = [\"a\"]\n").is_err());
    }
}
