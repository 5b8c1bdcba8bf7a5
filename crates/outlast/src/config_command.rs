//! `outlast config reference`: every setting, printed from the same declarations that the start checks.
//!
//! As TOML the output is a configuration file in which everything is commented out; as Markdown it is the page of the
//! documentation.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::{Args, Subcommand, ValueEnum};
use outlast_broker::GROUP_CONFIGS;

use crate::config::{self, Key, Section};

#[derive(Debug, Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print every setting with its default, bounds and meaning
    #[command(after_help = "Examples:\n  \
        outlast config reference                  read it\n  \
        outlast config reference > outlast.toml   start a configuration file")]
    Reference {
        /// How to print it
        #[arg(long, value_enum, default_value_t = Format::Toml)]
        format: Format,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A configuration file with every setting commented out
    Toml,
    /// A page with a table for each section
    Markdown,
}

pub fn run(args: ConfigArgs) -> anyhow::Result<()> {
    let ConfigCommand::Reference { format } = args.command;
    let text = match format {
        Format::Toml => toml(),
        Format::Markdown => markdown(),
    };
    // One write, and its error passed on: a reader that closes the pipe early must not cause a panic.
    std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes())?;
    Ok(())
}

fn by_section() -> BTreeMap<Section, Vec<Key>> {
    let mut sections = BTreeMap::new();
    for key in config::all() {
        sections
            .entry(key.section)
            .or_insert_with(Vec::new)
            .push(key);
    }
    sections
}

fn toml() -> String {
    let mut text = String::from(
        "# Every setting of Outlast, with its default.\n\
         # Each can also be given as an environment variable, or as a flag of `outlast serve`; flags win over variables,\n\
         # and those over this file. It is read from ./outlast.toml, or from where --config or OUTLAST_CONFIG point.\n",
    );
    for (section, keys) in by_section() {
        let _ = write!(text, "\n\n# ---- {section} ----\n");
        for key in keys {
            text.push('\n');
            for line in wrap(&key.documentation(), 116) {
                let _ = writeln!(text, "# {line}");
            }
            let _ = writeln!(text, "# Allowed: {}.", key.allowed());
            let _ = writeln!(
                text,
                "# Also: --{}, {}",
                key.flag(),
                key.environment_variable()
            );
            let _ = writeln!(text, "#{} = {}", toml_name(&key), toml_value(&key));
        }
    }
    text
}

/// Quoted where TOML would take the name for a table: `max.connections` beside `max.connections.per.ip`.
fn toml_name(key: &Key) -> String {
    let within = |inner: &str, outer: &str| {
        inner.starts_with(outer) && inner[outer.len()..].starts_with('.')
    };
    if config::all().any(|other| within(other.name, key.name)) {
        format!("\"{}\"", key.name)
    } else {
        key.name.to_owned()
    }
}

fn toml_value(key: &Key) -> String {
    let bare = key.default.parse::<f64>().is_ok() || matches!(key.default, "true" | "false");
    match (bare, key.takes_a_list()) {
        (true, _) => key.default.to_owned(),
        (false, true) if key.default.is_empty() => "[]".to_owned(),
        (false, true) => format!("[\"{}\"]", key.default.replace(',', "\", \"")),
        (false, false) => format!("\"{}\"", key.default),
    }
}

fn markdown() -> String {
    let mut text = String::from(
        "# Configuration reference\n\n\
         Printed by `outlast config reference --format markdown`.\n\n\
         A setting can be given as a flag of `outlast serve` (`--num-partitions 3`), as an environment variable\n\
         (`OUTLAST_NUM_PARTITIONS=3`) or in a TOML file (`num.partitions = 3`; `./outlast.toml`, or the file named by\n\
         `--config` or `OUTLAST_CONFIG`). Flags win over variables, and those over the file. A wrong name or value stops the\n\
         start. Sizes and times may carry a unit: `64MiB`, `10s`, `7d`.\n",
    );
    for (section, keys) in by_section() {
        let _ = write!(
            text,
            "\n## {section}\n\n| Setting | Default | Allowed | Meaning |\n|---|---|---|---|\n"
        );
        for key in keys {
            let (allowed, meaning) = (key.allowed(), key.documentation());
            row(&mut text, key.name, key.default, allowed, meaning);
        }
    }
    text.push_str(
        "\n## Groups\n\n\
         Set for one group by its name, whether or not it exists yet, with `kafka-configs --entity-type groups`, an\n\
         AdminClient or `outlast queue configure`. Where a broker key is named above for the same thing, that is the default of\n\
         all groups.\n\n\
         | Setting | Default | Allowed | Meaning |\n|---|---|---|---|\n",
    );
    for key in GROUP_CONFIGS {
        row(
            &mut text,
            key.name,
            key.default,
            key.kind.to_string(),
            key.documentation(),
        );
    }
    text
}

fn row(text: &mut String, name: &str, default: &str, allowed: String, meaning: String) {
    let default = match default {
        "" => "(none)".to_owned(),
        default => format!("`{default}`"),
    };
    let cells = [format!("`{name}`"), default, allowed, meaning];
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

/// Lines of up to `width` characters, broken between words.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_complete_and_is_itself_a_valid_configuration_file() {
        let reference = toml();
        for key in config::all() {
            assert!(
                reference.contains(&format!("\n#{} = ", toml_name(&key))),
                "{}",
                key.name
            );
            assert!(
                markdown().contains(&format!("| `{}` |", key.name)),
                "{}",
                key.name
            );
        }
        let settings = reference.lines().filter_map(|line| {
            let line = line.strip_prefix('#')?;
            (!line.starts_with(' ') && line.contains(" = ")).then_some(line)
        });
        let file: Vec<&str> = settings
            .filter(|line| !line.starts_with("advertise "))
            .collect();
        assert_eq!(file.len(), config::all().count() - 1);
        let directory = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(directory.path().join("outlast.toml"), file.join("\n")).expect("written");
        let sources = config::Sources {
            directory: directory.path().to_owned(),
            ..Default::default()
        };
        config::Settings::load(&sources).unwrap_or_else(|problems| panic!("{problems}"));
    }
}
