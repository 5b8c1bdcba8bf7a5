//! The TOML file. Keys are written as Kafka writes them, `num.partitions = 3`; TOML's tables (`[log.retention]`) and
//! quoted keys are other spellings of the same names.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Origin, Problem};

/// One value of a file, as text.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub text: String,
    pub line: usize,
}

/// Every value of a file, from top to bottom.
pub fn parse(path: &Path, content: &str) -> Result<Vec<Entry>, Vec<Problem>> {
    let line_of = |offset: usize| 1 + content[..offset.min(content.len())].matches('\n').count();
    let at = |offset: usize| Origin::File {
        path: path.to_owned(),
        line: line_of(offset),
    };
    let table = DeTable::parse(content).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        let mut message = error.message().to_owned();
        if message.contains("extend") || message.contains("duplicate") {
            message.push_str(
                "; when the name of one setting begins with the name of another, write them in quotes: \
                 \"max.connections\" = 100",
            );
        }
        vec![Problem::at(at(offset), message)]
    })?;
    let (mut entries, mut problems) = (Vec::new(), Vec::new());
    flatten("", table.get_ref(), &mut |name, value| {
        let offset = value.span().start;
        match text(value.get_ref()) {
            Some(text) => entries.push(Entry {
                name,
                text,
                line: line_of(offset),
            }),
            None => problems.push(Problem::at(
                at(offset),
                format!(
                    "{name} can't be {}: allowed are texts, numbers, true, false and lists of them",
                    kind(value.get_ref())
                ),
            )),
        }
    });
    entries.sort_by_key(|entry| entry.line);
    if problems.is_empty() {
        Ok(entries)
    } else {
        Err(problems)
    }
}

fn flatten<'i>(
    prefix: &str,
    table: &DeTable<'i>,
    found: &mut dyn FnMut(String, &Spanned<DeValue<'i>>),
) {
    for (key, value) in table {
        let name = match prefix {
            "" => key.get_ref().to_string(),
            _ => format!("{prefix}.{}", key.get_ref()),
        };
        match value.get_ref() {
            DeValue::Table(inner) => flatten(&name, inner, found),
            _ => found(name, value),
        }
    }
}

/// As it would be written in a flag; None for what no setting can be.
fn text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .map(|number| number.to_string())
            .or_else(|| Some(integer.as_str().to_owned())),
        DeValue::Float(float) => Some(float.as_str().to_owned()),
        DeValue::Boolean(boolean) => Some(boolean.to_string()),
        DeValue::Array(items) if items.is_empty() => Some(String::new()),
        DeValue::Array(items) => {
            let one = |item: &Spanned<DeValue<'_>>| match item.get_ref() {
                DeValue::Array(_) => None,
                item => text(item),
            };
            let texts: Option<Vec<String>> = items.iter().map(one).collect();
            texts.map(|texts| texts.join(","))
        }
        DeValue::Table(_) | DeValue::Datetime(_) => None,
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::Datetime(_) => "a date",
        DeValue::Table(_) => "a table",
        _ => "an array of arrays",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_in_every_spelling() {
        let check = |content: &str, expect: &[(&str, &str, usize)]| {
            let entries = parse(Path::new("x.toml"), content).expect(content);
            let got: Vec<_> = entries
                .iter()
                .map(|entry| (entry.name.as_str(), entry.text.as_str(), entry.line))
                .collect();
            assert_eq!(got, expect, "{content}");
        };
        check("log.retention.ms = 5", &[("log.retention.ms", "5", 1)]);
        check(
            "\n\"log.retention.ms\" = \"5s\"",
            &[("log.retention.ms", "5s", 2)],
        );
        check(
            "[log.retention]\nms = 1_000",
            &[("log.retention.ms", "1000", 2)],
        );
        check("num.partitions = 0x10", &[("num.partitions", "16", 1)]);
        check("a = [7, 12]", &[("a", "7,12", 1)]);
        check("a = true\nb = 0.5", &[("a", "true", 1), ("b", "0.5", 2)]);
        check(
            "listen = [\n  \"127.0.0.1:1\", \"[::1]:1\"]",
            &[("listen", "127.0.0.1:1,[::1]:1", 1)],
        );
        check(
            "\"max.connections\" = 1\nmax.connections.per.ip = 2",
            &[
                ("max.connections", "1", 1),
                ("max.connections.per.ip", "2", 2),
            ],
        );
    }

    #[test]
    fn what_is_no_value_is_named_with_its_line() {
        let check = |content: &str, line: usize, part: &str| {
            let problems = parse(Path::new("x.toml"), content).expect_err(content);
            let path = Path::new("x.toml").to_owned();
            assert_eq!(
                problems[0].origin,
                Some(Origin::File { path, line }),
                "{content}"
            );
            assert!(
                problems[0].message.contains(part),
                "{}",
                problems[0].message
            );
        };
        check("\nnum.partitions 5", 2, "expected");
        check("a = 1\nlisten = [[1]]", 2, "listen can't be an array");
        check("x = 2020-01-01", 1, "x can't be a date");
        check(
            "max.connections = 1\nmax.connections.per.ip = 2",
            2,
            "in quotes",
        );
    }
}
