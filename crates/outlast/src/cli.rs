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
                  outlast serve                                 start a broker on localhost:9092, data in ./outlast-data\n  \
                  outlast serve --data /var/lib/outlast         the same with another data directory\n  \
                  outlast config reference                      every setting with its default, bounds and meaning\n  \
                  outlast completions bash > /etc/bash_completion.d/outlast",
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
    Serve(Box<ServeArgs>),
    #[command(flatten)]
    Client(ClientCommand),
    /// Show what can be configured
    Config(ConfigArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell to print it for
        shell: Shell,
    },
}
