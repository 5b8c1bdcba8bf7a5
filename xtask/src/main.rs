//! `cargo xtask`: everything a contributor or the CI runs that is more than one cargo command.
//!
//! `test` proves the whole project, the other commands are its parts with more to choose, and
//! the measurements. Nothing here is linked into Outlast; it is compiled before everything else,
//! so it stays small.

mod bench;
mod broker;
mod compat;
mod crash;
mod dependencies;
mod examples;
mod first_contact;
mod http_clients;
mod process;
mod share_consumers;
mod tally;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::tally::Tally;

/// The project's own chores.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything that proves Outlast: formatting, lints, tests, client programs, crashes
    Test(test::TestArgs),
    /// Check what neither rustfmt nor clippy checks: file lengths, module headers, generated documents
    Tidy(tidy::TidyArgs),
    /// Run the client programs under examples/ against a broker
    Examples(examples::ExamplesArgs),
    /// Generate clients from the OpenAPI document and run them against a broker
    HttpClients,
    /// Kill the broker at random moments under load and check that nothing acknowledged was lost
    Crash(crash::CrashArgs),
    /// Run the tests that other people wrote for Kafka and its clients against Outlast
    Compat(compat::CompatArgs),
    /// Measure Outlast, alone or against another broker
    Bench(bench::BenchArgs),
}

fn main() -> anyhow::Result<ExitCode> {
    let mut tally = Tally::new();
    match Cli::parse().command {
        Command::Test(args) => test::run(&args, &mut tally)?,
        Command::Tidy(args) => tidy::run(&args, &mut tally)?,
        Command::Examples(args) => examples::run(&args, &mut tally)?,
        Command::Compat(args) => compat::run(&args, &mut tally)?,
        Command::HttpClients => http_clients::run(&mut tally)?,
        Command::Crash(args) => return crash::run_alone(&args),
        Command::Bench(args) => {
            bench::run(&args)?;
            return Ok(ExitCode::SUCCESS);
        }
    }
    Ok(tally.finish())
}
