//! `outlast log`: looks into a data directory while no broker uses it.

use clap::Args;

#[derive(Debug, Args)]
pub struct LogArgs {}

pub fn run(_args: LogArgs) -> anyhow::Result<()> {
    Ok(())
}
