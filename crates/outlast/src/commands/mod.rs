//! The client commands: they speak Kafka's protocol and work against any Kafka-compatible broker.

use clap::Subcommand;

/// Everything but running the server itself; [`crate::cli::Command`] flattens this into its own list.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {}

impl ClientCommand {
    pub fn run(self) -> anyhow::Result<()> {
        match self {}
    }
}
