//! An answer taken apart into fields by path, out of the pretty form that every message prints
//! itself in: `topics[0].partitions[1].error_code` is `0`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What one broker said to one step of the script.
pub struct Answer {
    pub step: String,
    fields: BTreeMap<String, String>,
}

impl Answer {
    pub fn new(step: &str, answer: &impl fmt::Debug) -> Self {
        Self {
            step: step.to_owned(),
            fields: flatten(&format!("{answer:#?}")),
        }
    }

    /// For answers whose fields are better known by names of the content's.
    pub fn of_fields(step: &str, fields: BTreeMap<String, String>) -> Self {
        Self {
            step: step.to_owned(),
            fields,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.step)?;
        let mut fields = self.fields.iter();
        fields.try_for_each(|(field, value)| writeln!(f, "  {field} = {value}"))
    }
}

pub struct Difference {
    pub field: String,
    kafka: Option<String>,
    outlast: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<String>| value.clone().unwrap_or("nothing".to_owned());
        write!(
            f,
            "{}: Kafka says {}, Outlast {}",
            self.field,
            text(&self.kafka),
            text(&self.outlast)
        )
    }
}

pub fn differences(kafka: &Answer, outlast: &Answer) -> Vec<Difference> {
    let fields: BTreeSet<&String> = kafka.fields.keys().chain(outlast.fields.keys()).collect();
    let compare = |field: &String| {
        let (kafka, outlast) = (kafka.fields.get(field), outlast.fields.get(field));
        (kafka != outlast).then(|| Difference {
            field: field.clone(),
            kafka: kafka.cloned(),
            outlast: outlast.cloned(),
        })
    };
    fields.into_iter().filter_map(compare).collect()
}

/// Where in the printed form a line is.
struct Level {
    path: String,
    is_list: bool,
    next: usize,
}

fn flatten(printed: &str) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let mut levels: Vec<Level> = Vec::new();
    for line in printed.lines().map(str::trim) {
        let line = line.strip_suffix(',').unwrap_or(line);
        if matches!(line, "}" | "]" | ")") {
            levels.pop();
            continue;
        }
        let (path, content) = place(line, levels.last_mut());
        match content.chars().last() {
            Some(opening @ ('{' | '[' | '(')) => levels.push(Level {
                path,
                is_list: opening == '[',
                next: 0,
            }),
            _ => {
                fields.insert(path, content.to_owned());
            }
        }
    }
    fields
}

/// The path of what a line holds, and what follows the field's name.
fn place<'a>(line: &'a str, level: Option<&mut Level>) -> (String, &'a str) {
    let Some(level) = level else {
        return (String::new(), line);
    };
    if level.is_list {
        level.next += 1;
        return (format!("{}[{}]", level.path, level.next - 1), line);
    }
    let is_name = |name: &str| {
        let mut letters = name.chars();
        !name.is_empty()
            && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    match line.split_once(": ") {
        Some((name, content)) if is_name(name) => {
            let dot = if level.path.is_empty() { "" } else { "." };
            (format!("{}{dot}{name}", level.path), content)
        }
        // What is inside `Some(`.
        _ => (level.path.clone(), line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    #[allow(dead_code)]
    struct Outer {
        code: i16,
        parts: Option<Vec<Inner>>,
        list: Vec<i32>,
        none: Vec<i32>,
    }

    #[derive(Debug)]
    #[allow(dead_code)]
    struct Inner {
        name: &'static str,
        id: Option<i32>,
    }

    fn outer(id: i32) -> Outer {
        let name = "a: b";
        Outer {
            code: -1,
            parts: Some(vec![Inner { name, id: None }, Inner { name, id: Some(id) }]),
            list: vec![3, 4],
            none: Vec::new(),
        }
    }

    #[test]
    fn fields_have_paths() {
        let fields = flatten(&format!("{:#?}", outer(7)));
        let expected = [
            ("code", "-1"),
            ("list[0]", "3"),
            ("list[1]", "4"),
            ("none", "[]"),
            ("parts[0].id", "None"),
            ("parts[0].name", "\"a: b\""),
            ("parts[1].id", "7"),
            ("parts[1].name", "\"a: b\""),
        ];
        let expected = expected.map(|(path, value)| (path.to_owned(), value.to_owned()));
        assert_eq!(fields, BTreeMap::from(expected));
    }

    #[test]
    fn a_difference_is_found() {
        let (one, other) = (Answer::new("s", &outer(7)), Answer::new("s", &outer(8)));
        let found = differences(&one, &other);
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["parts[1].id: Kafka says 7, Outlast 8"]);
    }
}
