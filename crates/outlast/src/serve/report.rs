//! The few lines that a start prints to standard output: what runs, where, how durably, and what recovery found.

use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use outlast_server::Endpoint;
use outlast_storage::RecoveryReport;

pub struct StartReport<'a> {
    pub kafka: &'a [Endpoint],
    pub http: &'a [SocketAddr],
    pub data: &'a Path,
    pub config_file: Option<&'a Path>,
    pub recovery: &'a RecoveryReport,
    pub took: Duration,
}

impl fmt::Display for StartReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Outlast {}", env!("CARGO_PKG_VERSION"))?;
        for endpoint in self.kafka {
            let told = match &endpoint.advertised {
                Some(address) => format!("advertised as {address}"),
                None => "advertised as the address that a client reaches".to_owned(),
            };
            line(f, "kafka", format_args!("{}, {told}", endpoint.address))?;
        }
        for address in self.http {
            line(f, "http", format_args!("http://{address}"))?;
        }
        if self.http.is_empty() {
            line(f, "http", format_args!("off"))?;
        }
        if let Some(file) = self.config_file {
            line(f, "config", format_args!("{}", file.display()))?;
        }
        line(f, "data", format_args!("{}", self.data.display()))?;
        line(
            f,
            "durability",
            format_args!("every acknowledged write is on disk (fdatasync before each answer)"),
        )?;
        recovery(f, self.recovery)?;
        writeln!(f, "Ready in {} ms.", self.took.as_millis())
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, value: fmt::Arguments<'_>) -> fmt::Result {
    writeln!(f, "  {name:<11}{value}")
}

/// What opening the data directory found, in one line a person can judge.
fn recovery(f: &mut fmt::Formatter<'_>, report: &RecoveryReport) -> fmt::Result {
    if report.files == 0 {
        return line(f, "recovery", format_args!("new data directory"));
    }
    let mut found = format!(
        "{} partitions, {} log files, {} of the newest checked",
        report.partitions,
        report.files,
        size(report.bytes_scanned)
    );
    if report.torn_bytes > 0 {
        let _ = write!(
            found,
            ", {} of an unfinished write cut off",
            size(report.torn_bytes)
        );
    }
    line(f, "recovery", format_args!("{found}"))?;
    for damage in &report.damage {
        line(f, "DAMAGED", format_args!("{damage}"))?;
    }
    for path in &report.quarantined {
        line(f, "kept", format_args!("{}", path.display()))?;
    }
    Ok(())
}

fn size(bytes: u64) -> String {
    let (mut amount, mut unit) = (bytes as f64, "B");
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if amount < 1024.0 {
            break;
        }
        (amount, unit) = (amount / 1024.0, larger);
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ => format!("{amount:.1} {unit}"),
    }
}
