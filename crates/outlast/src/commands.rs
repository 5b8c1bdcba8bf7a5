//! The client commands. Most speak Kafka's protocol and work against any Kafka-compatible broker; `queue` and `dlq` use
//! Outlast's HTTP API.

mod bench;
mod consume;
mod dlq;
mod group;
mod http;
mod log;
mod output;
mod produce;
mod queue;
mod record_format;
mod target;
mod topic;
mod when;

use std::io;

use clap::Subcommand;

/// Everything but running the server itself; [`crate::cli::Command`] flattens this into its own list.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Create, list, describe, alter and delete topics
    Topic(topic::TopicArgs),
    /// Send records: lines of standard input or of files
    #[command(after_help = produce::EXAMPLES)]
    Produce(produce::ProduceArgs),
    /// Read records and print them
    #[command(after_help = consume::EXAMPLES)]
    Consume(consume::ConsumeArgs),
    /// List and describe consumer groups, see their lag, reset their offsets
    Group(group::GroupArgs),
    /// Create and watch queues, send and receive messages (Outlast only, over HTTP)
    Queue(queue::QueueArgs),
    /// Look at dead letters, send them back, drop them (Outlast only, over HTTP)
    Dlq(dlq::DlqArgs),
    /// Look into a data directory while no broker uses it
    Log(log::LogArgs),
    /// Measure throughput and latency of any Kafka broker
    Bench(bench::BenchArgs),
}

impl ClientCommand {
    pub fn run(self) -> anyhow::Result<()> {
        let result = match self {
            Self::Topic(args) => wait_for(topic::run(args)),
            Self::Produce(args) => wait_for(produce::run(args)),
            Self::Consume(args) => wait_for(consume::run(args)),
            Self::Group(args) => wait_for(group::run(args)),
            Self::Queue(args) => queue::run(args),
            Self::Dlq(args) => dlq::run(args),
            Self::Log(args) => log::run(args),
            Self::Bench(args) => bench::run(args),
        };
        match result {
            // Whoever read our output has seen enough.
            Err(error) if is_broken_pipe(&error) => Ok(()),
            other => other.map_err(target::with_advice),
        }
    }
}

/// One thread is enough for a command that waits for a network or a person.
fn wait_for(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(command)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}
