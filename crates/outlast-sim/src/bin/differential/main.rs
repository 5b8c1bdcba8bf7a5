//! Plays one script of requests to two brokers, Apache Kafka and Outlast, and compares the answers
//! field by field. Differences that are meant are listed with their reason in a file; one that is
//! listed there and doesn't occur any more is a fault, too.
//!
//! Prints `same STEP` or `differs STEP` with a line for each field; `cargo xtask compat
//! differential` starts the brokers and reads this.

mod accepted;
mod answer;
mod script;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use outlast_client::{ClientConfig, Connection};

use accepted::Accepted;
use answer::{Answer, differences};

#[derive(Parser)]
struct Cli {
    /// Where Apache Kafka listens
    #[arg(long, value_name = "HOST:PORT")]
    kafka: String,
    /// Where Outlast listens
    #[arg(long, value_name = "HOST:PORT")]
    outlast: String,
    /// The differences that are meant
    #[arg(long, value_name = "FILE")]
    accepted: PathBuf,
    /// Print Outlast's answers instead of comparing
    #[arg(long)]
    show: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    let mut accepted = Accepted::read(&cli.accepted)?;
    // Recent enough for every retention.
    let now = std::time::UNIX_EPOCH.elapsed()?.as_millis();
    let start = i64::try_from(now)? - 60_000;
    let ours = play(&cli.outlast, start).await.context("Outlast")?;
    if cli.show {
        for answer in &ours {
            println!("{answer}");
        }
        return Ok(());
    }
    let theirs = play(&cli.kafka, start).await.context("Apache Kafka")?;
    ensure!(ours.len() == theirs.len(), "the script took two ways");
    for (theirs, ours) in theirs.iter().zip(&ours) {
        let mut left = differences(theirs, ours);
        left.retain(|difference| !accepted.covers(&ours.step, &difference.field));
        let verdict = if left.is_empty() { "same" } else { "differs" };
        println!("{verdict} {}", ours.step);
        for difference in left {
            println!("  {difference}");
        }
    }
    let unused = accepted.unused();
    let verdict = if unused.is_empty() { "same" } else { "differs" };
    println!("{verdict} every accepted difference occurs");
    for pattern in unused {
        println!("  {pattern}");
    }
    Ok(())
}

async fn play(bootstrap: &str, start: i64) -> Result<Vec<Answer>> {
    let config = ClientConfig::new(bootstrap)?;
    let address = config.bootstrap.first().context("an address")?;
    let connection = Connection::connect(address, &config).await?;
    script::play(connection, start).await
}
