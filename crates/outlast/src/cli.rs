//! The top of the command line: which commands there are. Each command's own arguments live beside its code.

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use crate::commands::ClientCommand;
use crate::config_command::ConfigArgs;
use crate::serve::ServeArgs;

#[derive(Debug, Parser)]
#[command(
    name = "outlast",
    version,
    about = "A durable message queue that speaks Kafka's protocol",
    long_about = "Outlast is a message queue in one program. It speaks Kafka's wire protocol, so every Kafka client can use it, \
                  and it acknowledges a message only when the disk has it.",
    after_help = "Examples:\n  \
                  outlast serve                       start a broker on localhost:9092, data in ./outlast-data\n  \
                  outlast serve --data /srv/outlast   the same with another data directory\n  \
                  outlast produce greetings           send what you type; then, elsewhere:\n  \
                  outlast consume greetings           print what comes in\n  \
                  outlast config reference            every setting with its default, bounds and meaning",
    arg_required_else_help = true,
    subcommand_required = true
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the broker
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(Box<ServeArgs>),
    #[command(flatten)]
    Client(Box<ClientCommand>),
    /// Show what can be configured
    Config(ConfigArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell to print it for
        shell: Shell,
    },
}

const SERVE_EXAMPLES: &str = "Examples:
  outlast serve
      a broker on localhost:9092, health and metrics on localhost:9644, data in ./outlast-data
  outlast serve --listen 0.0.0.0:9092 --advertise kafka.example.com:9092 --data /srv/outlast
      reachable from other machines, under a name that they know
  outlast serve --num-partitions 4 --log-retention-ms 3d
      topics that are created automatically get four partitions and keep three days
  OUTLAST_DATA=/srv/outlast outlast serve --config /etc/outlast.toml
      flags win over environment variables, and those over the file";
