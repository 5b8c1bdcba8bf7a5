//! The queue crash harness as a program: `cargo xtask crash --queue` builds and calls it.
//!
//! Ends with code 0 when every promise was kept, 2 when one was broken, and 1 when the harness
//! could not do its work.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use outlast_sim::crash::Fault;
use outlast_sim::queue_crash::{self, Options};

/// Kill a broker and the workers of its queue at random moments and check what became of each message.
#[derive(Parser)]
struct Cli {
    /// The broker: a program that understands `serve --listen --http-listen --data`
    #[arg(long)]
    server: PathBuf,
    /// The `queue-worker` program
    #[arg(long)]
    worker: PathBuf,
    /// How many messages are sent
    #[arg(long, default_value_t = 5_000)]
    messages: u32,
    /// Repeat the random choices of an earlier run
    #[arg(long)]
    seed: Option<u64>,
    /// A class path that has kafka-clients: adds workers that are Kafka share consumers
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
        worker: cli.worker,
        messages: cli.messages,
        seed: cli.seed.unwrap_or_else(|| fastrand::u64(..)),
        java_class_path: cli.java_class_path,
        plant: cli.plant,
    };
    println!("seed {}", options.seed);
    match queue_crash::run(&options) {
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
