//! Apache Kafka's own command-line tools, called as their shell scripts call them.

use anyhow::Result;

use crate::bench;

use super::script;
use super::suite::{Extent, Findings, Suite};

pub fn run(suite: &Suite, extent: Extent, bootstrap: &str) -> Result<Findings> {
    let libraries = bench::fetch_kafka()?;
    script::run(suite, extent, bootstrap, |class| {
        let mut java = bench::java(&libraries);
        java.arg(class);
        java
    })
}
