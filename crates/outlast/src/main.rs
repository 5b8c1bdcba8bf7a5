//! The `outlast` program: it parses the command line, runs one command and turns its result into an exit code.
//! Nothing else lives here; each command is a module of its own.

mod cli;
mod commands;
mod completions;
mod config;
mod config_command;
mod serve;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(args) => serve::run(*args),
        Command::Config(args) => config_command::run(args),
        Command::Completions { shell } => completions::run(shell),
        Command::Client(command) => command.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
