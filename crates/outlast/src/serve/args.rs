//! The flags of `outlast serve`, made from the declarations of the settings.

use std::path::PathBuf;

use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, CommandFactory, FromArgMatches, value_parser,
};

use crate::cli::Cli;
use crate::config::{self, FlagValues, Key, Sources};

const CONFIG: &str = "config";

#[derive(Clone, Debug)]
pub struct ServeArgs {
    config: Option<PathBuf>,
    flags: FlagValues,
}

impl ServeArgs {
    /// All sources of settings: these flags, this process's environment and working directory.
    pub fn sources(self) -> std::io::Result<Sources> {
        let mut other_variables = Vec::new();
        variables_of(&Cli::command(), &mut other_variables);
        Ok(Sources {
            flags: self.flags,
            environment: std::env::vars_os().collect(),
            other_variables,
            file: self.config,
            directory: std::env::current_dir()?,
        })
    }
}

/// The environment variables that commands take beside the settings.
fn variables_of(command: &Command, found: &mut Vec<String>) {
    let variables = command.get_arguments().filter_map(Arg::get_env);
    found.extend(variables.filter_map(|name| Some(name.to_str()?.to_owned())));
    for inner in command.get_subcommands() {
        variables_of(inner, found);
    }
}

impl Args for ServeArgs {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new(CONFIG)
            .long(CONFIG)
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help("Read settings from this TOML file [default: ./outlast.toml if it exists] [env: OUTLAST_CONFIG]");
        config::all()
            .map(|key| flag(&key))
            .fold(command.arg(file), Command::arg)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn flag(key: &Key) -> Arg {
    let default = match key.default {
        "" => String::new(),
        default => format!(" [default: {default}]"),
    };
    let help = format!(
        "{}{default} [env: {}]",
        key.documentation(),
        key.environment_variable()
    );
    Arg::new(key.name)
        .long(key.flag())
        .value_name(if key.is_basic() {
            basic_value_name(key)
        } else {
            "VALUE"
        })
        .help(help)
        .help_heading(key.section.to_string())
        .hide_short_help(!key.is_basic())
        .hide(!key.acts())
        .allow_hyphen_values(true)
        .action(if key.takes_a_list() {
            ArgAction::Append
        } else {
            ArgAction::Set
        })
}

fn basic_value_name(key: &Key) -> &'static str {
    match key.name {
        "data" => "DIR",
        "logging" => "LEVEL",
        _ => "HOST:PORT",
    }
}

impl FromArgMatches for ServeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |key: Key| {
            let texts = matches.get_many::<String>(key.name)?.cloned().collect();
            Some((key.name, texts))
        };
        Ok(Self {
            config: matches.get_one::<PathBuf>(CONFIG).cloned(),
            flags: config::all().filter_map(given).collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
