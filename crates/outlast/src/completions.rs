//! `outlast completions SHELL`: prints a completion script, made from the same definition as the command line itself.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;

pub fn run(shell: Shell) -> anyhow::Result<()> {
    let mut command = Cli::command();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "outlast", &mut script);
    // Written in one go and with the error passed on: a reader that closes the pipe early must not cause a panic.
    std::io::Write::write_all(&mut std::io::stdout(), &script)?;
    Ok(())
}
