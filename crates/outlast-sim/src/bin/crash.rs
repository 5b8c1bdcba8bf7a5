//! The crash harness as a program: `cargo xtask crash` builds and calls it.
//!
//! Ends with code 0 when every promise was kept, 2 when one was broken, and 1 when the harness
//! could not do its work.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use outlast_sim::crash::{self, Fault, Options};

/// Kill a broker at random moments under load and check what it had acknowledged.
#[derive(Parser)]
struct Cli {
    /// The broker: a program that understands `serve --listen --http-listen --data`
    #[arg(long)]
    server: PathBuf,
    /// How often the broker is killed
    #[arg(long, default_value_t = 50)]
    rounds: u32,
    /// Repeat the random choices of an earlier run
    #[arg(long)]
    seed: Option<u64>,
    /// A Python interpreter that has kafka-python: adds a producer
    #[arg(long)]
    python: Option<PathBuf>,
    /// A class path that has kafka-clients: adds a producer
    #[arg(long)]
    java_class_path: Option<String>,
    /// Damage something on purpose before the last restart, to see it noticed
    #[arg(long)]
    plant: Option<Fault>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let options = Options {
        server: cli.server,
        rounds: cli.rounds,
        seed: cli.seed.unwrap_or_else(|| fastrand::u64(..)),
        python: cli.python,
        java_class_path: cli.java_class_path,
        plant: cli.plant,
    };
    println!("seed {}", options.seed);
    match crash::run(&options) {
        Ok(report) => {
            print!("{report}");
            if report.all_kept() {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(2)
            }
        }
        Err(error) => {
            eprintln!("the crash harness could not do its work: {error:#}");
            eprintln!("repeat it with --seed {}", options.seed);
            ExitCode::FAILURE
        }
    }
}
