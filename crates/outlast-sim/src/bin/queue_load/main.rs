//! The load of `cargo xtask bench --queues`: publishes to a queue of one of several products, and
//! works it off with plain clients, the same loop for all of them.
//!
//! Prints one JSON object with what was measured. Kafka's share consumers are a Java program of
//! their own (`xtask/kafka/ShareLoad.java`) that measures in the same way.

mod kafka;
mod measure;
mod nats;
mod outlast;
mod product;
mod rabbitmq;

use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};

use measure::Load;

/// Publish to a queue, or work it off.
#[derive(Parser)]
struct Cli {
    #[arg(long, value_enum)]
    product: Product,
    /// Where the broker listens, HOST:PORT
    #[arg(long)]
    address: String,
    #[arg(long)]
    queue: String,
    /// Bytes of a message
    #[arg(long, default_value_t = 1024)]
    size: usize,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Product {
    /// Outlast's queue API
    OutlastHttp,
    /// Kafka's protocol; publishes only
    Kafka,
    /// A quorum queue over AMQP 0.9.1
    Rabbitmq,
    /// A JetStream pull consumer
    Nats,
}

#[derive(Subcommand)]
enum Command {
    /// Create the queue
    Create {
        #[arg(long, default_value_t = 1)]
        partitions: u32,
    },
    /// Delete the queue with all that is in it
    Delete,
    /// Publish so many messages as fast as it goes
    Fill {
        #[arg(long)]
        messages: u64,
    },
    /// Publish at a rate
    Publish {
        #[arg(long)]
        rate: u32,
        #[arg(long)]
        seconds: u64,
    },
    /// Receive and acknowledge until so many are done or the time is over
    Drain {
        #[arg(long)]
        consumers: usize,
        #[arg(long)]
        messages: u64,
        #[arg(long)]
        seconds: u64,
    },
    /// Publish at a rate and measure the time to the receipt
    Rate {
        #[arg(long)]
        consumers: usize,
        #[arg(long)]
        rate: u32,
        #[arg(long)]
        seconds: u64,
    },
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    let (address, queue) = (cli.address.clone(), cli.queue.clone());
    match cli.product {
        Product::OutlastHttp => run(outlast::Outlast::new(&address, &queue)?, cli).await,
        Product::Kafka => run(kafka::Kafka::new(&address, &queue), cli).await,
        Product::Rabbitmq => run(rabbitmq::RabbitMq::new(&address, &queue), cli).await,
        Product::Nats => run(nats::Nats::new(&address, &queue), cli).await,
    }
}

async fn run(product: impl product::Product, cli: Cli) -> Result<()> {
    let load = Load { size: cli.size };
    match cli.command {
        Command::Create { partitions } => product.create(partitions).await,
        Command::Delete => product.delete().await,
        Command::Fill { messages } => measure::fill(&product, &load, messages).await,
        Command::Publish { rate, seconds } => {
            measure::publish(&product, &load, rate, Duration::from_secs(seconds)).await
        }
        Command::Drain {
            consumers,
            messages,
            seconds,
        } => {
            let limit = Duration::from_secs(seconds);
            let drained = measure::drain(&product, consumers, messages, limit).await?;
            println!("{}", serde_json::to_string(&drained)?);
            Ok(())
        }
        Command::Rate {
            consumers,
            rate,
            seconds,
        } => {
            let time = Duration::from_secs(seconds);
            let delays = measure::rate(&product, &load, consumers, rate, time).await?;
            println!("{}", serde_json::to_string(&delays)?);
            Ok(())
        }
    }
}
